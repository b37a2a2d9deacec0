# SPDX-License-Identifier: Apache-2.0
"""The output streams of the IPython kernel, changed.

ipykernel 6 puts a pipe at descriptors 1 and 2 and has a thread copy what comes out to its streams.
That thread ends when a read cuts a character in two, and nothing waits for it: the output of a
child may come after later prints, or after the run. Here the pipe is also emptied before each write
and flush of the stream, so that the order is right and no output is late.

All text is sent: in messages of bounded size, with a replacement for what cannot be encoded. A
message waits for the bridge where ipykernel would drop it.

ipykernel flushes both streams three times in each run, and each flush waits for another thread. A
stream that nobody has written to since its last flush has nothing to wait for.
"""
import codecs
import itertools
import os
import select
import threading

import zmq
from ipykernel.iostream import IOPubThread, OutStream

PIECE = 65536
PIECES = 32  # a child that never stops writing must not hold up the kernel's own output
MESSAGE = 4 << 20  # characters in one message
BACKLOG = 32  # messages that wait for the bridge; then the code does


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
    has a mark (drop_nothing), at which the thread would wait for itself: with several threads that
    write and flush, all output stopped for good."""
    schedule = IOPubThread.schedule

    def schedule_or_call(self, job):
        if threading.current_thread() is self.thread:
            job()
        else:
            schedule(self, job)

    IOPubThread.schedule = schedule_or_call


def drop_nothing(context):
    """A PUB socket drops messages over its mark while the bridge does not read. This one waits
    instead, and so do the threads that hand it messages: the sockets between them have the mark,
    too."""
    context.setsockopt(zmq.XPUB_NODROP, 1)
    context.setsockopt(zmq.SNDHWM, BACKLOG)
    context.setsockopt(zmq.RCVHWM, BACKLOG)
