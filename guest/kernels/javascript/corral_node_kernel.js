// SPDX-License-Identifier: Apache-2.0
//
// A Jupyter kernel for JavaScript and TypeScript on Node.js:
//
//     node corral_node_kernel.js CONNECTION_FILE javascript|typescript
//
// Needs the npm packages zeromq and typescript, installed globally. The code runs in this process,
// in V8's REPL mode (evaluator.js). Its output becomes stream messages, and the value of its last
// expression an execute_result.
"use strict";
const { writeSync } = require("fs");
const { inspect } = require("util");

const { Evaluator, Interrupted } = require("./evaluator");
const { Output } = require("./output");
const { Server } = require("./server");
const { prepare } = require("./prepare");
const random = require("./random");

// The frames between the user's code and the event loop mean nothing to the user.
const OWN_FRAME =
    /^\s+at .*(node:inspector|node:vm|node:internal\/process\/task|evalmachine|\/opt\/corral\/)/;
const DISPLAY = Symbol.for("Jupyter.display");
const STDIN = "nobody can answer: standard input is not available in a kernel";

class Kernel {
    constructor(connection, language) {
        this.language = language;
        this.count = 0;
        this.run = null; // the execute_request at work, or the last one
        this.ended = true;
        this.evaluator = new Evaluator(process.cwd());
        this.server = new Server(connection, {
            kernel_info_request: () => this.info(),
            execute_request: (message) => this.execute(message),
            interrupt_request: () => this.interrupt(),
            shutdown_request: () => setImmediate(() => process.reallyExit(0)) && { restart: false },
            is_complete_request: () => ({ status: "unknown" }),
            comm_info_request: () => ({ comms: {} }),
        });
        this.output = new Output((name, text) => this.stream(name, text));
    }

    async start() {
        await this.server.bind();
        this.output.capture();
        process.on("SIGINT", () => this.interrupt());
        process.on("exit", () => this.exiting());
        for (const event of ["uncaughtException", "unhandledRejection"]) {
            process.on(event, (fault) => console.error("Uncaught", trace(fault)));
        }
        Object.defineProperty(process, "stdin", {
            get() {
                throw new Error(STDIN);
            },
        });
    }

    info() {
        return {
            status: "ok",
            protocol_version: "5.3",
            implementation: "corral_node",
            implementation_version: "1",
            banner: `Node.js ${process.version}`,
            language_info: {
                name: this.language,
                version: process.version,
                mimetype: `text/${this.language}`,
                file_extension: this.language === "typescript" ? ".ts" : ".js",
            },
        };
    }

    async execute(message) {
        const { code, silent, store_history: counts } = message.content;
        this.run = message;
        this.ended = false;
        this.silent = silent;
        if (!silent && counts !== false) {
            this.count += 1;
        }
        if (!silent) {
            this.publish("execute_input", { execution_count: this.count, code: "" });
        }
        const reply = await this.evaluate(String(code));
        this.output.flush();
        this.ended = true;
        return { execution_count: this.count, user_expressions: {}, payload: [], ...reply };
    }

    async evaluate(code) {
        try {
            const name = `cell-${this.count}.${this.language === "typescript" ? "ts" : "js"}`;
            const value = await this.evaluator.run(prepare(code, this.language, name), name);
            if (value !== undefined && !this.silent) {
                const data = bundle(value);
                this.output.flush();
                this.publish("execute_result", {
                    execution_count: this.count,
                    data,
                    metadata: {},
                });
            }
            return { status: "ok" };
        } catch (fault) {
            const error = describe(fault);
            if (!this.silent) {
                this.output.flush();
                this.publish("error", error);
            }
            return { status: "error", ...error };
        }
    }

    interrupt() {
        this.evaluator.interrupt();
        return { status: "ok" };
    }

    stream(name, text) {
        if (this.run !== null && !this.silent) {
            this.publish("stream", { name, text });
        }
    }

    publish(kind, content) {
        this.server.publish(kind, content, this.run);
    }

    // process.exit() in the user's code ends the run well; the next run gets a new kernel.
    exiting() {
        this.output.flush();
        if (!this.ended) {
            this.server.finish(this.run, {
                status: "ok",
                execution_count: this.count,
                user_expressions: {},
                payload: [{ source: "ask_exit", keepkernel: false }],
            });
        }
    }
}

function bundle(value) {
    const own = typeof value === "object" && value !== null ? value[DISPLAY] : undefined;
    const rich = typeof own === "function" ? own.call(value) : {};
    return { "text/plain": inspect(value), ...rich };
}

function trace(fault) {
    const text = typeof fault?.traceback === "string" ? fault.traceback : inspect(fault);
    const lines = text.split("\n").filter((line) => !OWN_FRAME.test(line));
    return lines.join("\n");
}

function describe(fault) {
    if (fault instanceof Interrupted) {
        return { ename: "Interrupted", evalue: fault.message, traceback: [] };
    }
    const isError = typeof fault?.message === "string" && typeof fault?.name === "string";
    return {
        ename: isError ? fault.name : "Uncaught",
        evalue: isError ? fault.message : inspect(fault),
        traceback: trace(fault).split("\n"),
    };
}

if (require.main === module) {
    const [connection, language] = process.argv.slice(2);
    process.argv.splice(1);
    random.install();
    new Kernel(connection, language).start().catch((fault) => {
        writeSync(2, `${inspect(fault)}\n`);
        process.reallyExit(1);
    });
}
