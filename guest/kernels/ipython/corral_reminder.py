# SPDX-License-Identifier: Apache-2.0
"""No interrupt waits for a call that does not end.

Python takes a signal between two of its instructions. One that comes after the last of them before
a call that waits, time.sleep(1000), does not end that call, and is taken after it: of the interrupts
that come as the code begins one in some hundred. So as long as one has not been taken the main
thread is sent it again, which ends its wait.

What has not been taken is known from the descriptor of signal.set_wakeup_fd: Python writes each
signal's number to it at once, and our handlers read it. The thread that looks at it from outside is
the one of the kernel's output, which is there anyway.
"""
import os
import signal
import threading

FIRST_S = 0.05
LONGEST_S = 1.0  # between two reminders of a call that no signal ends


class Reminder:
    """`handlers` are those of SIGINT that call taken(). Where another one is set, nobody is
    reminded: whether it has run is not known."""

    def __init__(self, kernel, handlers):
        self._handlers = handlers
        self._lock = threading.RLock()
        self._waiting = False  # a SIGINT was read here and has not been taken
        self._main = threading.main_thread().ident
        self._loop = getattr(getattr(kernel, "iopub_thread", None), "io_loop", None)
        self._fd = None
        if hasattr(self._loop, "add_handler"):
            self._fd, write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
            signal.set_wakeup_fd(write, warn_on_full_buffer=False)
            os.register_at_fork(after_in_child=self._leave)  # a child's signals are its own
            self._loop.add_callback(self._watch)

    def taken(self):
        if self._fd is not None:
            with self._lock:
                self._read()
                self._waiting = False

    def _read(self):
        try:
            return os.read(self._fd, 4096)
        except BlockingIOError:
            return b""

    def _leave(self):
        self._fd = None
        try:
            signal.set_wakeup_fd(-1)
        except ValueError:
            pass  # not its main thread

    def _watch(self):
        self._loop.add_handler(self._fd, self._told, self._loop.READ)

    def _told(self, *_):
        # Not looked at until the main thread has had its time.
        self._loop.remove_handler(self._fd)
        self._loop.call_later(FIRST_S, self._remind, FIRST_S)

    def _remind(self, after):
        with self._lock:
            self._waiting = signal.SIGINT in self._read() or self._waiting
            if self._waiting and signal.getsignal(signal.SIGINT) in self._handlers:
                signal.pthread_kill(self._main, signal.SIGINT)
                after = min(2 * after, LONGEST_S)
                self._loop.call_later(after, self._remind, after)
                return
            self._waiting = False
        self._watch()
