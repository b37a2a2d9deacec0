# SPDX-License-Identifier: Apache-2.0
"""One execute request: turns the kernel's messages into frames."""
import asyncio
import json
import re

import wire

IDLE_GRACE_S = 5  # the idle status counts as lost this long after the reply
LOSSY_GRACE_S = 0.5  # the same when messages are known to be lost
REPLY_GRACE_S = 20  # the reply counts as never sent this long after the idle status

_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[@-Z\\-_])")
_TEXT_CAP = 1 << 20
_STALE = "corral_stale"  # the error of a kernel that has not run the code


def _plain(text):
    return _ANSI.sub("", str(text))[:_TEXT_CAP]


def _error_texts(content):
    """Name, value and traceback of an error."""
    traceback = "\n".join(str(line) for line in content.get("traceback") or [])
    return _plain(content.get("ename", "")), _plain(content.get("evalue", "")), _plain(traceback)


def _failure(reply):
    """The same of a reply that reports one, else None."""
    if reply.get("status") == "ok":
        return None
    return _error_texts(
        {
            "ename": reply.get("ename") or "ExecutionAborted",
            "evalue": reply.get("evalue") or "the kernel did not run the code",
            "traceback": reply.get("traceback"),
        }
    )


def _bundle(data):
    text = json.dumps(data, ensure_ascii=False)
    if len(text) <= (wire.MAX_PAYLOAD - 64) // 4 or len(text.encode("utf-8", "replace")) < (
        wire.MAX_PAYLOAD - 64
    ):
        return text
    return json.dumps({"text/plain": f"<{', '.join(data)[:256]}: too large to show>"})


class Execution:
    """`put(frame)` takes the output; without it the request is silent. The result of `done` is True
    when the kernel has finished, False when it died. `owing`: the kernel has to catch up first, and
    if it cannot, it is `stale` and has run nothing. `has_more()`: some of what the kernel has said
    may not have come here yet."""

    def __init__(self, put=None, owing=False, has_more=lambda: False):
        self._loop = asyncio.get_running_loop()
        self._put = put
        self._owing = owing
        self._has_more = has_more
        self._idle = False
        self._replied = False
        self._failure = None  # what the reply says of one
        self._last_heard = 0.0
        self._late = None  # the timer of what is missing
        self.done = self._loop.create_future()
        self.raised = False
        self.stale = False
        self.on_begin = None  # called when the kernel begins the code
        self.lossy = False
        self.died = False
        self.lost_state = False  # the code ended its interpreter
        self._open_line = False  # stderr is in the middle of one
        self.count = 0
        self.payload_sources = set()

    def iopub(self, kind, content):
        self._last_heard = self._loop.time()
        handler = self._HANDLERS.get(kind)
        if handler is not None:
            handler(self, content)

    def reply(self, content):
        # All is read before any of it counts: of a reply that makes no sense nothing may stay
        # behind, or the end of the run fails at it.
        count = int(content.get("execution_count") or 0)
        payload_sources = {p.get("source") for p in content.get("payload") or []}
        failure = _failure(content)
        self._replied = True
        self._last_heard = self._loop.time()
        self.count, self.payload_sources, self._failure = count, payload_sources, failure
        self.stale = self._owing and content.get("ename") == _STALE
        if not self._finish():
            self._wait(self._grace(), self._idle_is_late)

    def output(self, which, text):
        """Sends text in pieces of at most one chunk, cut between characters."""
        if self._put is None:
            return
        data = text.replace("\0", "\ufffd").encode("utf-8", "replace")
        at = 0
        if data and which == wire.STDERR:
            self._open_line = not data.endswith(b"\n")
        while at < len(data):
            end = at + wire.CHUNK
            while end < len(data) and data[end] & 0xC0 == 0x80:
                end -= 1
            self._put(wire.stream(which, data[at:end].decode()))
            at = end

    def note(self, text):
        """A line of stderr that is ours."""
        self.output(wire.STDERR, f"\n{text}" if self._open_line else text)

    def kernel_died(self):
        if not self.done.done():
            self.died = True
            self._end(False)

    def _finish(self):
        if self._idle and self._replied and not self.done.done():
            self._report_failed_reply()
            self._end(True)
        return self.done.done()

    def _end(self, alive):
        self._wait_no_more()
        self.done.set_result(alive)

    def _wait(self, seconds, then):
        self._wait_no_more()
        self._late = self._loop.call_later(seconds, then)

    def _wait_no_more(self):
        """A timer that nobody needs would wake a sandbox at rest, and each clone of a snapshot that
        was taken meanwhile."""
        if self._late is not None:
            self._late.cancel()

    def _report_failed_reply(self):
        if self._failure is not None and not self.raised and not self.stale:
            self._raise(*self._failure)

    def _raise(self, name, value, traceback):
        self.raised = True
        if self._put is not None:
            self._put(wire.code_error(name, value, traceback))

    def _grace(self):
        return LOSSY_GRACE_S if self.lossy else IDLE_GRACE_S

    def _idle_is_late(self):
        if self.done.done():
            return
        quiet = 0 if self._has_more() else self._loop.time() - self._last_heard
        if quiet < self._grace():
            self._wait(self._grace() - quiet, self._idle_is_late)
            return
        self.lossy = True
        self._idle = True
        self._finish()

    def _reply_is_late(self):
        """An interrupt between two steps of the kernel itself costs it its reply."""
        if not self._replied and not self.done.done():
            self.reply({"status": "error", "ename": "KeyboardInterrupt"})

    def _on_input(self, content):
        if self.on_begin is not None:
            self.on_begin()
        if self._put is not None:
            self._put(wire.begun(int(content.get("execution_count") or 0)))

    def _on_stream(self, content):
        which = wire.STDERR if content.get("name") == "stderr" else wire.STDOUT
        self.output(which, str(content.get("text", "")))

    def _on_result(self, content):
        if self._put is not None:
            count = int(content.get("execution_count") or 0)
            self._put(wire.result(count, _bundle(content.get("data") or {})))

    def _on_display(self, content):
        if self._put is not None:
            self._put(wire.display(_bundle(content.get("data") or {})))

    def _on_error(self, content):
        self._raise(*_error_texts(content))

    def _on_status(self, content):
        if content.get("execution_state") == "idle" and not self._idle:
            self._idle = True
            if not self._finish():
                self._wait(REPLY_GRACE_S, self._reply_is_late)

    _HANDLERS = {
        "execute_input": _on_input,
        "stream": _on_stream,
        "execute_result": _on_result,
        "display_data": _on_display,
        "update_display_data": _on_display,
        "error": _on_error,
        "status": _on_status,
    }
