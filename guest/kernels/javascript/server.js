// SPDX-License-Identifier: Apache-2.0
//
// Jupyter's messages over zmq: five sockets, signed messages, one handler per kind of request.
"use strict";
const crypto = require("crypto");
const { readFileSync } = require("fs");

const zmq = require("./packages").load("zeromq");

const DELIMITER = "<IDS|MSG>";
const SESSION = crypto.randomUUID();

class Server {
    // `handlers` maps msg_type to a function that takes the message and returns the reply.
    constructor(connectionFile, handlers) {
        this.connection = JSON.parse(readFileSync(connectionFile, "utf8"));
        this.handlers = handlers;
        // No message is dropped, as a slow reader stops this process (SIGSTOP). With a time-out of
        // 0 zmq takes a message during the call, even while the event loop stands still.
        const sending = { sendHighWaterMark: 0, sendTimeout: 0, linger: 1000 };
        this.iopub = new zmq.Publisher(sending);
        this.shell = new zmq.Router(sending);
        this.control = new zmq.Router(sending);
        this.stdin = new zmq.Router({ linger: 0 });
        this.heartbeat = new zmq.Reply({ linger: 0 });
    }

    async bind() {
        for (const [socket, name] of [
            [this.iopub, "iopub"],
            [this.shell, "shell"],
            [this.control, "control"],
            [this.stdin, "stdin"],
            [this.heartbeat, "hb"],
        ]) {
            await socket.bind(this.address(this.connection[`${name}_port`]));
        }
        this.serve(this.shell);
        this.serve(this.control);
        this.echo();
    }

    publish(kind, content, parent) {
        this.send(this.iopub, [kind], kind, content, parent);
    }

    reply(message, content) {
        const kind = message.header.msg_type.replace("_request", "_reply");
        this.send(message.socket, message.identities, kind, content, message);
    }

    // Sends the reply and the end of a request at once: the process may be about to end.
    finish(message, content) {
        this.reply(message, content);
        this.publish("status", { execution_state: "idle" }, message);
    }

    address(port) {
        const { transport, ip } = this.connection;
        return transport === "ipc" ? `ipc://${ip}-${port}` : `${transport}://${ip}:${port}`;
    }

    async serve(socket) {
        for await (const parts of socket) {
            const message = this.parse(parts);
            if (message !== null) {
                message.socket = socket;
                await this.handle(message);
            }
        }
    }

    async handle(message) {
        const handler = this.handlers[message.header.msg_type];
        if (handler === undefined) {
            return;
        }
        this.publish("status", { execution_state: "busy" }, message);
        this.finish(message, await handler(message));
    }

    async echo() {
        for await (const parts of this.heartbeat) {
            await this.heartbeat.send(parts);
        }
    }

    parse(parts) {
        const at = parts.findIndex((part) => part.toString() === DELIMITER);
        if (at < 0 || parts.length < at + 6) {
            return null;
        }
        const bodies = parts.slice(at + 2, at + 6);
        const given = Buffer.from(parts[at + 1].toString());
        const wanted = Buffer.from(this.sign(bodies));
        if (given.length !== wanted.length || !crypto.timingSafeEqual(given, wanted)) {
            return null;
        }
        try {
            const [header, , , content] = bodies.map((body) => JSON.parse(body.toString()));
            return { identities: parts.slice(0, at), header, content };
        } catch {
            return null;
        }
    }

    send(socket, identities, kind, content, parent) {
        const header = {
            msg_id: crypto.randomUUID(),
            msg_type: kind,
            session: SESSION,
            username: "kernel",
            date: new Date().toISOString(),
            version: "5.3",
        };
        const bodies = [header, parent?.header ?? {}, {}, content].map((x) => JSON.stringify(x));
        // It fails only when the peer has closed.
        socket.send([...identities, DELIMITER, this.sign(bodies), ...bodies]).catch(() => {});
    }

    sign(bodies) {
        if (!this.connection.key) {
            return "";
        }
        const hmac = crypto.createHmac("sha256", this.connection.key);
        bodies.forEach((body) => hmac.update(body));
        return hmac.digest("hex");
    }
}

exports.Server = Server;
