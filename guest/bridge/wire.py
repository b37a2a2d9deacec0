# SPDX-License-Identifier: Apache-2.0
"""Frames of the wire protocol (corral-wire(7)): the numbers, a reader and the replies as bytes."""
import struct
import time

HEADER = struct.Struct("<IHH")
CHUNK = 65536
MAX_PAYLOAD = 16 << 20
MAX_LIST = 4096

CODE_RUN = 0x40
CONTEXT_CREATE = 0x41
CONTEXT_GET = 0x42
CONTEXT_DELETE = 0x43
CODE_ENV = 0x44
CODE_READY = 0x45
CONTEXT_LIST = 0x46
CONTEXT_INTERRUPT = 0x47
CONTEXT_RESTART = 0x48

OK = 0x80
ERROR = 0x81
END = 0x93
CODE_STREAM = 0xA0
CODE_RESULT = 0xA1
CODE_DISPLAY = 0xA2
CODE_ERROR = 0xA3
CODE_DONE = 0xA4
CONTEXT = 0xA5
CODE_BEGUN = 0xA6

E_PROTOCOL = 1
E_INVALID = 2
E_EXISTS = 7
E_BUSY = 10
E_CONTEXT = 12
E_LANGUAGE = 13
E_INTERNAL = 14

STDOUT = 1
STDERR = 2

DONE_OK = 0
DONE_RAISED = 1
DONE_TIMED_OUT = 2
DONE_RESTARTED = 3
DONE_KERNEL_DIED = 4

CAUSE_ITSELF = 0
CAUSE_MEMORY = 2


class WireError(Exception):
    """The reply of a failed operation: one of the E_ codes and a message for people."""

    def __init__(self, code, message):
        super().__init__(message)
        self.code = code


class Fields:
    """A cursor over one payload. Every fault raises WireError(E_PROTOCOL)."""

    def __init__(self, payload):
        self._data = payload
        self._at = 0

    def _take(self, size):
        end = self._at + size
        if end > len(self._data):
            raise WireError(E_PROTOCOL, "a field runs past the end of its frame")
        part = self._data[self._at : end]
        self._at = end
        return part

    def u32(self):
        return int.from_bytes(self._take(4), "little")

    def str(self):
        part = self._take(self.u32())
        if b"\0" in part:
            raise WireError(E_PROTOCOL, "a string contains NUL")
        try:
            return part.decode()
        except UnicodeDecodeError:
            raise WireError(E_INVALID, "a string is not UTF-8") from None

    def list(self):
        count = self.u32()
        if count > MAX_LIST:
            raise WireError(E_PROTOCOL, "a list is too long")
        return [self.str() for _ in range(count)]

    def end(self):
        if self._at != len(self._data):
            raise WireError(E_PROTOCOL, "a frame is longer than its fields")


async def read_frame(reader):
    """The next frame as (type, payload). Raises IncompleteReadError at the end of the stream."""
    length, kind, reserved = HEADER.unpack(await reader.readexactly(HEADER.size))
    if reserved != 0 or length > MAX_PAYLOAD:
        raise WireError(E_PROTOCOL, "bad frame header")
    return kind, await reader.readexactly(length)


def frame(kind, *parts):
    payload = b"".join(parts)
    return HEADER.pack(len(payload), kind, 0) + payload


def u32(value):
    return (value & 0xFFFFFFFF).to_bytes(4, "little")


def i64(value):
    return value.to_bytes(8, "little", signed=True)


def string(value):
    # The wire has no lone surrogates, which a Python string may hold, and no NUL.
    data = value.replace("\0", "\ufffd").encode("utf-8", "replace")
    return u32(len(data)) + data


def ok():
    return frame(OK)


def end():
    return frame(END)


def error(fault):
    return frame(ERROR, u32(fault.code), string(str(fault)[:4096]))


def stream(which, text):
    return frame(CODE_STREAM, bytes([which]), i64(now_ms()), string(text))


def begun(count):
    return frame(CODE_BEGUN, u32(count))


def result(count, bundle):
    return frame(CODE_RESULT, u32(count), string(bundle))


def display(bundle):
    return frame(CODE_DISPLAY, string(bundle))


def code_error(name, value, traceback):
    return frame(CODE_ERROR, string(name), string(value), string(traceback))


def done(status, count, death=None):
    """`death` of a kernel that died: (exit code, signal, cause, microseconds that it lived)."""
    if status != DONE_KERNEL_DIED:
        return frame(CODE_DONE, u32(status), u32(count))
    code, number, cause, lived_us = death
    parts = (status, count, code, number, cause)
    return frame(CODE_DONE, *map(u32, parts), i64(lived_us))


def now_ms():
    return time.time_ns() // 1_000_000
