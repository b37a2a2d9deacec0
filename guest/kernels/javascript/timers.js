// SPDX-License-Identifier: Apache-2.0
//
// Changes the global timers so that the timers of one run can be removed.
"use strict";
const Module = require("module");
const { promisify } = require("util");

// From now on each timer puts a function that removes it into `timers`.
function track(timers) {
    const own = { setTimeout, setInterval, setImmediate };
    const clear = {
        setTimeout: clearTimeout,
        setInterval: clearInterval,
        setImmediate: clearImmediate,
    };
    for (const [name, original] of Object.entries(own)) {
        const tracked = (callback, ...rest) => {
            if (typeof callback !== "function") {
                return original(callback, ...rest);
            }
            const cancel = () => clear[name](timer);
            const timer = original((...values) => {
                if (name !== "setInterval") {
                    timers.delete(cancel);
                }
                callback(...values);
            }, ...rest);
            timers.add(cancel);
            return timer;
        };
        Object.defineProperty(tracked, "name", { value: name });
        Object.defineProperty(tracked, promisify.custom, {
            value: original[promisify.custom],
            configurable: true,
        });
        globalThis[name] = require("timers")[name] = tracked;
    }
    const promises = require("timers/promises");
    const sleep = promises.setTimeout;
    promises.setTimeout = (delay, value, options) =>
        options === undefined
            ? new Promise((resolve) => globalThis.setTimeout(resolve, delay, value))
            : sleep(delay, value, options);
    const custom = { value: promises.setTimeout };
    Object.defineProperty(globalThis.setTimeout, promisify.custom, custom);
    Module.syncBuiltinESMExports();
}

exports.track = track;
