# SPDX-License-Identifier: Apache-2.0
"""The IPython kernel with changed output streams.

ipykernel 6 puts a pipe at descriptors 1 and 2 and has a thread copy what comes out to its streams.
That thread ends when a read cuts a character in two, and nothing waits for it: the output of a
child may come after later prints, or after the run. Here the pipe is also emptied before each write
and flush of the stream, so that the order is right and no output is late.

All text is sent: in messages of bounded size, with a replacement for what cannot be encoded.

ipykernel flushes both streams three times in each run, and each flush waits for another thread. A
stream that nobody has written to since its last flush has nothing to wait for.

A request may bring along what has to happen before its code runs: a clone's new seed, variables.
As a request of its own that would cost as much again as the code's, in time and in memory written.
"""
import codecs
import itertools
import os
import select
import sys
import threading

import corral_interrupts
import corral_results
import zmq
from ipykernel.iostream import IOPubThread, OutStream
from ipykernel.ipkernel import IPythonKernel
from ipykernel.kernelapp import IPKernelApp
from ptyprocess import PtyProcess

PIECE = 65536
PIECES = 32  # a child that never stops writing must not hold up the kernel's own output
MESSAGE = 4 << 20  # characters in one message
BACKLOG = 32  # messages that wait for the bridge; then the code does
STALE = "corral_stale"  # the error of a request whose code must not run (guest/bridge/execution.py)


class Capture:
    """Moves text from the pipe of one OutStream to the stream."""

    def __init__(self, stream, write):
        self._fd = stream._fid
        self._write = write
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._lock = threading.RLock()
        self._pid = os.getpid()
        os.set_blocking(self._fd, False)

    def empty(self):
        # A forked child shares the pipe, but only its parent reads.
        if os.getpid() != self._pid:
            return
        with self._lock:
            for _ in range(PIECES):
                try:
                    data = os.read(self._fd, PIECE)
                except BlockingIOError:
                    return
                if not data:
                    return
                self._write(self._decoder.decode(data))

    def watch(self, wanted):
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        while wanted():
            poll.poll()
            self.empty()


def encodable(text):
    """Replaces lone surrogates: one of them would lose the whole message."""
    try:
        text.encode()
        return text
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode()


def change_streams():
    """Changes the capture only in versions of ipykernel that capture in the known way."""
    write, flush = OutStream.write, OutStream.flush
    marks = itertools.count(1)

    def empty_pipe(stream):
        capture = stream.__dict__.get("_corral_capture")
        if capture is not None:
            capture.empty()

    def write_bounded(stream, text):
        written = stream.__dict__.get("_corral_written", 0)
        for at in range(0, len(text), MESSAGE):
            write(stream, text[at : at + MESSAGE])
            written += min(len(text) - at, MESSAGE)
            if written >= MESSAGE:
                flush(stream)
                written = 0
        stream._corral_written = written
        stream._corral_mark = next(marks)  # after the text: a flush that sees it takes the text

    def watch(self):
        self._corral_capture = Capture(self, lambda text: write_bounded(self, text))
        self._corral_capture.watch(lambda: self._should_watch)

    def write_in_order(self, text):
        if not isinstance(text, str):
            return write(self, text)  # it raises the right error
        empty_pipe(self)
        write_bounded(self, encodable(text))
        return len(text)

    def flush_all(self):
        empty_pipe(self)
        mark = self.__dict__.get("_corral_mark", 0)
        if mark != self.__dict__.get("_corral_flushed", 0):
            self._corral_written = 0
            flush(self)
            self._corral_flushed = mark

    if hasattr(OutStream, "_watch_pipe_fd"):
        OutStream._watch_pipe_fd = watch
    OutStream.flush_timeout = None  # it waits as long as the bridge does not read
    OutStream.write = write_in_order
    OutStream.flush = flush_all


def send_at_once():
    """ipykernel's sending thread puts what it has to say itself into its own queue. Here that queue
    has a mark (init_iopub), at which the thread would wait for itself: with several threads that
    write and flush, all output stopped for good."""
    schedule = IOPubThread.schedule

    def schedule_or_call(self, job):
        if threading.current_thread() is self.thread:
            job()
        else:
            schedule(self, job)

    IOPubThread.schedule = schedule_or_call


def close_at_once():
    """ptyprocess sleeps 0.1 s at the end of each `!command`, for the end of its process to become
    known. After the last output it then waits for that anyway."""
    close = PtyProcess.close

    def close_what_has_ended(self, force=True):
        if self.flag_eof:
            self.delayafterclose = 0
        return close(self, force)

    PtyProcess.close = close_what_has_ended


def attempt(code):
    """False when it failed. The user's objects may raise anything here."""
    try:
        exec(code, {})  # pylint: disable=exec-used
        return True
    except BaseException:  # pylint: disable=broad-except
        return False


def catch_up(owed):
    """Runs the snippets of `must`, then those of `may`. False when the request's code must not run.
    An interrupt waits for the code (corral_interrupts.py)."""
    if not all(map(attempt, owed["must"])):
        return False
    for code in owed["may"]:
        attempt(code)
    return True


class Kernel(IPythonKernel):
    # ipykernel sleeps before each reply, in the hope that the output has arrived then. The bridge
    # waits for the idle status, which comes behind all output.
    _execute_sleep = 0

    def execute_request(self, stream, ident, parent):
        owed = (parent.get("metadata") or {}).get("corral")
        if owed and not catch_up(owed):
            refusal = {"status": "error", "execution_count": self.execution_count, "ename": STALE,
                       "evalue": "", "traceback": []}
            self.session.send(stream, "execute_reply", refusal, parent, ident=ident)
            return None
        return super().execute_request(stream, ident, parent)


class KernelApp(IPKernelApp):
    def init_iopub(self, context):
        # A PUB socket drops messages over its mark while the bridge does not read. This one waits
        # instead, and so do the threads that hand it messages: the sockets between them have the
        # mark, too.
        context.setsockopt(zmq.XPUB_NODROP, 1)
        context.setsockopt(zmq.SNDHWM, BACKLOG)
        context.setsockopt(zmq.RCVHWM, BACKLOG)
        super().init_iopub(context)

    def init_shell(self):
        super().init_shell()
        # traitlets makes a record of each debug message, which its handler then drops.
        self.log.setLevel(self.log_level)
        corral_results.register(self.shell.display_formatter)
        corral_interrupts.install(self.kernel, self.shell)


def main():
    change_streams()
    send_at_once()
    close_at_once()
    KernelApp.launch_instance(kernel_class=Kernel)


if __name__ == "__main__":
    # The user's imports come from the working directory, not from the folder of this file.
    sys.path[0] = os.getcwd()
    main()
