// SPDX-License-Identifier: Apache-2.0
//
// Globally installed npm packages, which require() does not look at by itself.
"use strict";

const PREFIXES = ["/usr/local/lib", "/usr/lib"];

exports.load = (name) => require(require.resolve(name, { paths: PREFIXES }));
