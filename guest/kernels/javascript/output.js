// SPDX-License-Identifier: Apache-2.0
//
// Turns process.stdout and process.stderr into messages. The first writes of each window leave at
// once, because code that keeps the event loop busy must be heard, too. A flood of writes is
// gathered into larger messages.
"use strict";
const { StringDecoder } = require("string_decoder");

const later = setTimeout;
const WINDOW = 50; // ms
const DIRECT = 64; // writes that leave at once in a window
const GATHER = 1 << 18; // characters at which gathered text leaves
const MESSAGE = 1 << 20; // characters of one message, at most

class Output {
    // `emit(name, text)` sends one message.
    constructor(emit) {
        this.emit = emit;
        this.name = "";
        this.text = "";
        this.window = 0;
        this.writes = 0;
        this.timer = null;
    }

    capture() {
        for (const name of ["stdout", "stderr"]) {
            const decoder = new StringDecoder("utf8");
            process[name].write = (chunk, encoding, done) => {
                if (typeof encoding === "function") {
                    [encoding, done] = [undefined, encoding];
                }
                const data = typeof chunk === "string" ? Buffer.from(chunk, encoding) : chunk;
                this.write(name, decoder.write(data));
                if (typeof done === "function") {
                    process.nextTick(done);
                }
                return true;
            };
        }
    }

    write(name, text) {
        if (name !== this.name) {
            this.flush();
            this.name = name;
        }
        this.text += text;
        const now = performance.now();
        if (now - this.window > WINDOW) {
            this.window = now;
            this.writes = 0;
        }
        this.writes += 1;
        if (this.writes <= DIRECT || this.text.length >= GATHER) {
            this.flush();
        } else {
            this.timer ??= later(() => this.flush(), WINDOW).unref();
        }
    }

    flush() {
        const text = this.text;
        this.text = "";
        clearTimeout(this.timer);
        this.timer = null;
        for (let at = 0, end; at < text.length; at = end) {
            end = Math.min(at + MESSAGE, text.length);
            if (end < text.length && (text.charCodeAt(end - 1) & 0xfc00) === 0xd800) {
                end -= 1; // both halves of a surrogate pair stay together
            }
            this.emit(this.name, text.slice(at, end));
        }
    }
}

exports.Output = Output;
