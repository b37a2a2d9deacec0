// SPDX-License-Identifier: Apache-2.0
//
// Adds what a module has and a bare script lacks: require() and its like, and the function
// __import__, which stands for import() after prepare.js.
"use strict";
const Module = require("module");
const path = require("path");
const { pathToFileURL } = require("url");
const vm = require("vm");

// Node.js says once that the loader below is experimental. That is our choice and not the user's.
const OURS = "vm.USE_MAIN_CONTEXT_DEFAULT_LOADER";

function keepOursQuiet() {
    const { emitWarning } = process;
    process.emitWarning = function (warning, ...rest) {
        if (!String(warning).startsWith(OURS)) {
            emitWarning.call(this, warning, ...rest);
        }
    };
}

// Modules are looked up from `folder`.
function addGlobals(folder) {
    keepOursQuiet();
    const filename = path.join(folder, "cell.js");
    const options = { filename };
    options.importModuleDynamically = vm.constants?.USE_MAIN_CONTEXT_DEFAULT_LOADER;
    const script = new vm.Script("(name, options) => import(name, options)", options);
    const load = script.runInThisContext();
    load.meta = { url: pathToFileURL(filename).href, filename, dirname: folder };
    const module = new Module(filename);
    module.filename = filename;
    module.paths = Module._nodeModulePaths(folder);
    const values = {
        __import__: load,
        require: Module.createRequire(filename),
        module,
        exports: module.exports,
        __filename: filename,
        __dirname: folder,
    };
    for (const [name, value] of Object.entries(values)) {
        Object.defineProperty(globalThis, name, { value, writable: true, configurable: true });
    }
}

exports.addGlobals = addGlobals;
