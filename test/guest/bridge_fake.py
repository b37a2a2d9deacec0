# SPDX-License-Identifier: Apache-2.0
"""Jupyter and zmq as far as the code bridge uses them, so that it runs where neither is installed.
Behind them is a kernel that answers at once, and whose messages the code of a run may spoil."""
import asyncio
import hashlib
import json
import os
import random
import socket
import sys
import types
from collections import deque

DELIMITER = b"<IDS|MSG>"
HOSTILE = "hostile"  # code that begins so chooses the messages by its text
SPECS = {"ipython": "python", "bash": "bash", "ir": "r"}
KINDS = {
    "stream": ("name", "text"),
    "execute_result": ("data", "execution_count"),
    "display_data": ("data",),
    "update_display_data": ("data",),
    "error": ("ename", "evalue", "traceback"),
    "status": ("execution_state",),
    "execute_input": ("execution_count",),
    "execute_reply": ("status", "execution_count", "ename", "evalue", "traceback", "payload"),
    "unknown": (),
}
KEYS = ("name", "text", "data", "text/plain", "source", "status")
TEXTS = ("", "idle", "busy", "ok", "error", "stderr", "stdout", "corral_stale", "ask_exit",
         "state_lost", "\0", "\ud800", "\U0001f600" * 40000, "\x1b[31mred\x1b[0m", "9" * 5000)


class Again(Exception):
    """There is no message."""


class Socket:
    """Like that of zmq its descriptor reports changes only, and any call consumes the report."""

    def __init__(self, on_send=None):
        self.on_send = on_send
        self.monitor = None
        self._messages = deque()
        self._near, self._far = socket.socketpair()
        self._near.setblocking(False)
        self._far.setblocking(False)

    def fileno(self):
        return self._near.fileno()

    def put(self, parts):
        if self._far.fileno() >= 0:
            self._messages.append(parts)
            try:
                self._far.send(b"!")
            except BlockingIOError:
                pass

    def recv_multipart(self, _flags):
        try:
            self._near.recv(4096)
        except BlockingIOError:
            pass
        if not self._messages:
            raise Again
        return self._messages.popleft()

    def get_monitor_socket(self, _events):
        self.monitor = Socket()
        return self.monitor

    def disable_monitor(self):
        self.monitor = None

    def close(self, linger):
        del linger
        self._near.close()
        self._far.close()


class Session:
    def __init__(self):
        self._count = 0

    def msg(self, kind, content, metadata):
        self._count += 1
        return {"header": {"msg_id": str(self._count), "msg_type": kind}, "content": content,
                "metadata": metadata}

    def send(self, channel, message):
        channel.on_send(message)

    def sign(self, bodies):
        return hashlib.sha256(b"".join(bodies)).hexdigest().encode()

    def feed_identities(self, parts):
        at = parts.index(DELIMITER)
        return parts[:at], parts[at + 1:]


class Process:
    def __init__(self):
        self.alive = True
        self.tail = b""
        self.died = asyncio.get_running_loop().create_future()

    def die(self):
        self.alive = False
        if not self.died.done():
            self.died.set_result(None)

    async def kill(self):
        self.die()

    def death(self):
        return 0, 9, 0, 1000

    def has_raw_stdout(self):
        return False

    def mark(self):
        pass

    read_raw = mark

    def signal(self, _number):
        pass

    signal_group = signal


def value(rng, depth=0):
    """Anything that JSON can say, and what Python's reader takes beyond it."""
    kind = rng.randrange(16)
    if kind < 3 and depth < 3:
        return {rng.choice(KEYS): value(rng, depth + 1) for _ in range(rng.randrange(5))}
    if kind < 5 and depth < 3:
        return [value(rng, depth + 1) for _ in range(rng.randrange(4))]
    if kind < 9:
        return rng.choice(TEXTS)
    return rng.choice((None, True, 0, -1, 1 << 70, 1.5, float("nan"), float("inf")))


class Interpreter:
    """The far end of the sockets of one kernel. Stands for Jupyter's manager, too."""

    def __init__(self, process):
        self.session = Session()
        self._process = process
        self._shell = self._iopub = None
        self._count = 0

    def connect_shell(self):
        self._shell = Socket(self._answer)
        return self._shell

    def connect_iopub(self):
        self._iopub = Socket()
        return self._iopub

    def interrupt_kernel(self):
        pass

    cleanup_resources = interrupt_kernel

    def _answer(self, message):
        parent, content = message["header"]["msg_id"], message["content"]
        if message["header"]["msg_type"] == "kernel_info_request":
            self._say("iopub", parent, "status", {"execution_state": "idle"})
            return
        script = self._script(content["silent"])
        if content["code"].startswith(HOSTILE):
            self._spoil(random.Random(content["code"]), parent, script)
            return
        for where, kind, said in script:
            self._say(where, parent, kind, said)

    def _script(self, silent):
        self._count += not silent
        count = {"execution_count": self._count}
        yield "iopub", "status", {"execution_state": "busy"}
        if not silent:
            yield "iopub", "execute_input", count
            yield "iopub", "execute_result", {"data": {"text/plain": "42"}, **count}
        yield "iopub", "status", {"execution_state": "idle"}
        yield "shell", "execute_reply", {"status": "ok", **count}

    def _spoil(self, rng, parent, script):
        # A run with few kinds gets further than one with all of them.
        script, kinds = list(script), rng.sample(list(KINDS), 3)
        if rng.randrange(2):
            script[-2:] = script[:-3:-1]  # the reply comes first
        for where, kind, said in script:
            for _ in range(rng.randrange(6)):
                self._hostile(rng, parent, kinds)
            self._say(where, parent, kind, said)
        if rng.randrange(16) == 0:
            self._process.die()

    def _hostile(self, rng, parent, kinds):
        where = rng.choice(("iopub", "iopub", "shell"))
        kind = "execute_reply" if where == "shell" else rng.choice(kinds)
        choice = rng.randrange(20)
        if choice == 0:
            self._put(where, [rng.randbytes(rng.randrange(9)) for _ in range(rng.randrange(8))])
        elif choice == 1:
            self._put(where, self._signed([rng.randbytes(3) for _ in range(rng.randrange(6))]))
        elif choice == 2:
            self._say(where, parent, kind, {}, b"[" * rng.choice((3, 200000)))
        elif choice == 3 and self._iopub.monitor is not None:
            self._iopub.monitor.put([b"event", b"address"])
        elif choice < 6:
            self._say(where, value(rng), value(rng), value(rng))
        else:
            keys = [key for key in KINDS[kind] if rng.randrange(2)]
            self._say(where, parent, kind, {key: value(rng, 1) for key in keys})

    def _say(self, where, parent, kind, content, text=None):
        bodies = [{"msg_type": kind}, {"msg_id": parent}, {}, content]
        bodies = [json.dumps(body).encode() for body in bodies]
        self._put(where, self._signed(bodies if text is None else [*bodies[:3], text]))

    def _signed(self, bodies):
        return [b"topic", DELIMITER, self.session.sign(bodies[:4]), *bodies]

    def _put(self, where, parts):
        (self._iopub if where == "iopub" else self._shell).put(parts)


def _kernel_specs(_self):
    return {name: os.path.join(_kernel_specs.folder, name) for name in SPECS}


def write_specs(folder):
    """The kernelspecs that Languages finds from now on."""
    _kernel_specs.folder = folder
    for name, language in SPECS.items():
        os.makedirs(f"{folder}/{name}")
        with open(f"{folder}/{name}/kernel.json", "w", encoding="utf-8") as file:
            json.dump({"argv": ["/bin/sh"], "language": language}, file)


def install():
    """Makes them what the bridge's modules import."""
    def module(name, **names):
        sys.modules[name] = types.ModuleType(name)
        vars(sys.modules[name]).update(names)

    module("zmq", Again=Again, Context=object, NOBLOCK=1, EVENT_DISCONNECTED=512)
    module("jupyter_client")
    module("jupyter_client.manager", AsyncKernelManager=object)
    module("jupyter_client.kernelspec", KernelSpecManager=type(
        "KernelSpecManager", (), {"__init__": lambda self, ensure_native_kernel: None,
                                  "find_kernel_specs": _kernel_specs}))
    module("traitlets", Instance=lambda kind: None)


def kernel_class(real, channel):
    """The bridge's Kernel (module `real`), started on an Interpreter."""
    class Kernel(real.Kernel):
        async def _launch(self, cwd, variables):
            self._process = Process()
            self._manager = Interpreter(self._process)
            self._process.died.add_done_callback(self._on_died)
            self._shell = channel.Channel(self._manager.connect_shell(), self._on_shell)
            self._connect_iopub()

    return Kernel
