// SPDX-License-Identifier: Apache-2.0
//
// Makes random numbers differ in clones of a running kernel. The generators of OpenSSL and V8 keep
// their state in this process and cannot be seeded from here. The operating system's generator is
// reseeded when the machine is cloned. So JavaScript's functions take their numbers from that one.
"use strict";
const crypto = require("crypto");
const fs = require("fs");
const Module = require("module");
const vm = require("vm");

const MAX_BLOCK = 65536;
const source = fs.openSync("/dev/urandom", "r");

const { randomBytes, randomFill, randomFillSync, randomInt } = crypto;
const original = { randomBytes, randomFill, randomFillSync, randomInt };

function fill(bytes) {
    for (let at = 0; at < bytes.length; ) {
        at += fs.readSync(source, bytes, at, Math.min(bytes.length - at, MAX_BLOCK));
    }
}

function viewOf(array, offset, size) {
    const view = ArrayBuffer.isView(array)
        ? new Uint8Array(array.buffer, array.byteOffset, array.byteLength)
        : new Uint8Array(array);
    const unit = array.BYTES_PER_ELEMENT ?? 1;
    const start = (offset ?? 0) * unit;
    return view.subarray(start, size === undefined ? undefined : start + size * unit);
}

// The original runs first, because it checks the arguments.
function mixed(method, reach) {
    return function (...values) {
        const result = method.apply(this, values);
        fill(reach(result, values));
        return result;
    };
}

function uuid() {
    const bytes = Buffer.alloc(16);
    fill(bytes);
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    return bytes.toString("hex").replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

// Like the original, for ranges below 2 ** 48: a number that would favour some results is drawn
// again.
function drawInt(min, max, done) {
    if (max === undefined || typeof max === "function") {
        [min, max, done] = [0, min, max];
    }
    original.randomInt(min, max); // checks them
    const range = max - min;
    const limit = 2 ** 48 - (2 ** 48 % range);
    const bytes = Buffer.alloc(6);
    let drawn;
    do {
        fill(bytes);
        drawn = bytes.readUIntBE(0, 6);
    } while (drawn >= limit);
    const result = min + (drawn % range);
    return done === undefined ? result : void process.nextTick(done, null, result);
}

// Takes 53 bits at a time from a block of random words.
function mathRandom() {
    const block = new BigUint64Array(256);
    let left = 0;
    const random = () => {
        if (left === 0) {
            fill(viewOf(block));
            left = block.length;
        }
        left -= 1;
        return Number(block[left] >> 11n) / 2 ** 53;
    };
    const renew = () => {
        left = 0;
    };
    return { random, renew };
}

// Each new context of the vm module has a Math of its own, which V8 seeds from this process. (A
// worker thread is seeded by OpenSSL, which asks the operating system after a jump of the clock.)
function coverContexts(random) {
    const { createContext } = vm;
    vm.createContext = (...values) => {
        const context = createContext(...values);
        vm.runInContext("Math", context).random = random;
        return context;
    };
    const contextOf = (object) =>
        object === undefined || (object !== null && typeof object === "object")
            ? vm.createContext(object)
            : object;
    const { runInNewContext } = vm;
    vm.runInNewContext = (code, object, options) =>
        runInNewContext(code, contextOf(object), options);
    const { prototype } = vm.Script;
    const run = prototype.runInNewContext;
    prototype.runInNewContext = function (object, options) {
        return run.call(this, contextOf(object), options);
    };
}

function install() {
    const { random, renew } = mathRandom();
    Math.random = random;
    coverContexts(random);
    const bytes = mixed((size) => original.randomBytes(size), (result) => result);
    crypto.randomBytes = (size, done) => {
        const result = bytes(size);
        return done === undefined ? result : void process.nextTick(done, null, result);
    };
    crypto.randomFillSync = mixed(original.randomFillSync, (_, values) => viewOf(...values));
    crypto.randomFill = (array, ...rest) => {
        const done = rest.pop();
        original.randomFill(array, ...rest, (fault, result) => {
            if (!fault) {
                fill(viewOf(array, ...rest));
            }
            done(fault, result);
        });
    };
    crypto.randomInt = drawInt;
    crypto.randomUUID = uuid;
    const prototype = Object.getPrototypeOf(crypto.webcrypto);
    prototype.getRandomValues = mixed(prototype.getRandomValues, (result) => viewOf(result));
    prototype.randomUUID = uuid;
    Module.syncBuiltinESMExports();
    process[Symbol.for("corral.reseed")] = renew;
}

exports.install = install;
