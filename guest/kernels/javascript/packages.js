// SPDX-License-Identifier: Apache-2.0
//
// Loads globally installed npm packages, where require() does not look by itself.
"use strict";

const PREFIXES = ["/usr/local/lib", "/usr/lib"];

exports.load = (name) => require(require.resolve(name, { paths: PREFIXES }));
