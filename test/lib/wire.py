# SPDX-License-Identifier: Apache-2.0
"""A client of the wire protocol for tests: requests as bytes, replies as tuples."""
import json
import socket
import struct
import time

CODE_RUN, CONTEXT_CREATE, CONTEXT_GET, CONTEXT_DELETE, CODE_ENV, CODE_READY = range(0x40, 0x46)
CONTEXT_INTERRUPT = 0x47
OK, ERROR = 0x80, 0x81
STREAM, RESULT, DISPLAY, CODE_ERROR, DONE, CONTEXT, BEGUN = range(0xA0, 0xA7)

E_PROTOCOL, E_INVALID, E_EXISTS, E_BUSY, E_CONTEXT, E_LANGUAGE = 1, 2, 7, 10, 12, 13
DONE_OK, RAISED, TIMED_OUT, RESTARTED, KERNEL_DIED = range(5)

# Layouts of replies: u u32, i i64, b u8, s str.
REPLIES = {
    OK: "",
    ERROR: "us",
    STREAM: "bis",
    RESULT: "us",
    DISPLAY: "s",
    CODE_ERROR: "sss",
    DONE: "uu",
    CONTEXT: "ssssiii",
    BEGUN: "u",
}


def u32(value):
    return struct.pack("<I", value)


def string(value):
    data = value.encode() if isinstance(value, str) else value
    return u32(len(data)) + data


def strings(values):
    return u32(len(values)) + b"".join(string(v) for v in values)


def frame(kind, *parts):
    payload = b"".join(parts)
    return struct.pack("<IHH", len(payload), kind, 0) + payload


def code_run(code, language="python", context="", timeout_ms=0, env=()):
    return frame(
        CODE_RUN,
        string(context),
        string(language),
        string(code),
        u32(timeout_ms),
        strings(env),
    )


def decode(kind, payload):
    """The fields of a reply. Raises when they do not exactly fill the payload."""
    at, fields = 0, []
    layouts = REPLIES[kind]
    if kind == DONE and payload[:4] == u32(KERNEL_DIED):
        layouts += "uuui"
    for field in layouts:
        if field == "s":
            (size,) = struct.unpack_from("<I", payload, at)
            assert at + 4 + size <= len(payload)
            fields.append(payload[at + 4 : at + 4 + size].decode())
            at += 4 + size
        else:
            layout = {"u": "<I", "i": "<q", "b": "<B"}[field]
            fields.append(struct.unpack_from(layout, payload, at)[0])
            at += struct.calcsize(layout)
    assert at == len(payload), f"{len(payload) - at} bytes after the fields of {kind:#x}"
    return fields


class Connection:
    """One operation. `path` is the unix socket."""

    def __init__(self, path, request=b"", timeout=90):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(timeout)
        self.socket.connect(path)
        self.socket.sendall(request)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def next(self):
        """(type, fields) or None at the end."""
        header = self._read(8)
        if header is None:
            return None
        length, kind, reserved = struct.unpack("<IHH", header)
        assert reserved == 0 and length <= 16 << 20
        return kind, decode(kind, self._read(length))

    def spoken(self):
        """The next frame but for the one that tells the number of the run."""
        frame = self.next()
        return self.next() if frame is not None and frame[0] == BEGUN else frame

    def all(self):
        frames = []
        while True:
            item = self.next()
            if item is None:
                return frames
            frames.append(item)

    def _read(self, size):
        parts = []
        while size:
            data = self.socket.recv(min(size, 1 << 20))
            if not data:
                assert not parts, "the connection ended inside a frame"
                return None
            parts.append(data)
            size -= len(data)
        return b"".join(parts)


class Outcome:
    """What one CODE_RUN gave."""

    def __init__(self, frames, seconds):
        self.frames = frames
        self.seconds = seconds
        self.stdout = "".join(f[2] for k, f in frames if k == STREAM and f[0] == 1)
        self.stderr = "".join(f[2] for k, f in frames if k == STREAM and f[0] == 2)
        self.results = [json.loads(f[1]) for k, f in frames if k == RESULT]
        self.displays = [json.loads(f[0]) for k, f in frames if k == DISPLAY]
        self.errors = [f for k, f in frames if k == CODE_ERROR]
        last_kind, last = frames[-1] if frames else (None, [])
        self.status, self.count = last[:2] if last_kind == DONE else (None, None)
        self.death = tuple(last[2:5]) if last_kind == DONE else ()  # exit code, signal, cause
        self.refusal = last if last_kind == ERROR else None

    @property
    def text(self):
        return self.results[-1]["text/plain"] if self.results else None


def run(path, code, **options):
    started = time.monotonic()
    with Connection(path, code_run(code, **options)) as connection:
        frames = connection.all()
    return Outcome(frames, time.monotonic() - started)


def ask(path, *request):
    """The only reply to a request that has one: (type, fields)."""
    with Connection(path, frame(*request)) as connection:
        (reply,) = connection.all()
    return reply
