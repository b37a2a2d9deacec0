// SPDX-License-Identifier: Apache-2.0
//
// Runs code in V8's REPL mode, through the inspector: declarations stay and may be repeated, await
// works at the top level, and the value of the last expression comes back.
//
// An interrupt ends code that keeps the thread busy: the vm module watches SIGINT until the event
// loop turns. Code that waits cannot be ended, but its timers are removed, so that a loop around a
// sleep does not continue unseen.
"use strict";
const inspector = require("inspector");
const vm = require("vm");

const { addGlobals } = require("./globals");
const { track } = require("./timers");

const later = setImmediate;
const GROUP = "run";
const DOOR = Symbol.for("corral.door"); // a global that exists only while something passes

class Interrupted extends Error {
    constructor() {
        super("the execution was interrupted");
    }
}

class Evaluator {
    // Modules are looked up from `folder`.
    constructor(folder) {
        this.session = new inspector.Session();
        this.session.connect();
        this.taken = undefined;
        this.timers = new Set();
        this.stop = null; // ends the wait for the run at work
        this.turn = new vm.Script(`globalThis[Symbol.for("${DOOR.description}")]()`);
        this.taker = this.handle((value) => {
            this.taken = value;
        });
        track(this.timers);
        addGlobals(folder);
    }

    // Returns the value of the code's last expression, and throws what the code throws.
    async run(code, name) {
        this.timers.clear();
        const interrupted = new Promise((_, reject) => {
            this.stop = () => reject(new Interrupted());
        });
        interrupted.catch(() => {});
        try {
            const value = await Promise.race([this.evaluate(code, name), interrupted]);
            // Code whose last expression is a call of an asynchronous main function waits for it.
            return value.promise ? await Promise.race([value.promise, interrupted]) : value.value;
        } finally {
            this.stop = null;
            this.post("Runtime.releaseObjectGroup", { objectGroup: GROUP });
            this.post("Runtime.discardConsoleEntries");
        }
    }

    interrupt() {
        if (this.stop !== null) {
            this.timers.forEach((clear) => clear());
            this.timers.clear();
            this.stop();
        }
    }

    // A promise in the result is wrapped, because `await` would wait for it here.
    async evaluate(code, name) {
        const outcome = await this.start(`${code}\n//# sourceURL=${name}`);
        const details = outcome.exceptionDetails;
        if (details !== undefined) {
            throw withPlace(this.take(details.exception), details, code, name);
        }
        const value = this.take(outcome.result);
        return value instanceof Promise ? { promise: value } : { value };
    }

    start(expression) {
        return new Promise((resolve, reject) => {
            const turn = () => {
                delete globalThis[DOOR];
                const request = { expression, replMode: true, silent: true, objectGroup: GROUP };
                this.session.post("Runtime.evaluate", request, (fault, outcome) =>
                    fault ? reject(fault) : resolve(outcome));
                // Code that waits for a settled promise continues here, where it is watched.
                process._tickCallback?.();
            };
            later(() => {
                globalThis[DOOR] = turn;
                try {
                    this.turn.runInThisContext({ breakOnSigint: true });
                } catch (fault) {
                    const broken = fault?.code === "ERR_SCRIPT_EXECUTION_INTERRUPTED";
                    reject(broken ? new Interrupted() : fault);
                }
            });
        });
    }

    // Returns the value that the inspector's description stands for.
    take(remote) {
        const { objectId, unserializableValue, value } = remote;
        const plain = unserializableValue === undefined ? { value } : { unserializableValue };
        this.post("Runtime.callFunctionOn", {
            objectId: this.taker,
            functionDeclaration: "function (value) { this(value); }",
            arguments: [objectId === undefined ? plain : { objectId }],
            silent: true,
        });
        const taken = this.taken;
        this.taken = undefined;
        return taken;
    }

    // Returns the inspector's id of a value.
    handle(value) {
        globalThis[DOOR] = value;
        const expression = `globalThis[Symbol.for("${DOOR.description}")]`;
        const { result } = this.post("Runtime.evaluate", { expression });
        delete globalThis[DOOR];
        return result.objectId;
    }

    post(method, parameters) {
        let answer;
        this.session.post(method, parameters, (fault, result) => {
            answer = result;
        });
        return answer;
    }
}

// V8 reports the place of a syntax error outside the error object.
function withPlace(fault, details, code, name) {
    if (fault instanceof SyntaxError && details.text === "Uncaught" && details.scriptId) {
        const line = code.split("\n")[details.lineNumber] ?? "";
        const at = `${name}:${details.lineNumber + 1}:${details.columnNumber + 1}`;
        const marker = " ".repeat(details.columnNumber) + "^";
        fault.traceback = `${at}\n${line}\n${marker}\n${fault.name}: ${fault.message}`;
        Object.defineProperty(fault, "traceback", { enumerable: false });
    }
    return fault;
}

exports.Evaluator = Evaluator;
exports.Interrupted = Interrupted;
