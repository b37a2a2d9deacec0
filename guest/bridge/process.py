# SPDX-License-Identifier: Apache-2.0
"""The process of a kernel: its end, its signals, and its raw output, which does not go through
Jupyter's channels."""
import asyncio
import os
import signal
import threading
import time

import memory
import wire

TAIL = 4096  # bytes of raw output kept to explain a kernel that does not start
OOM_SCORE = 300  # the kernel goes before the bridge when memory runs out


class Process:
    """A kernel leads a session and a process group: `pid` is also the number of its group."""

    def __init__(self, pid, raw_fd, on_raw, forked=False):
        """Takes ownership of `raw_fd`, the read end of the kernel's stdout and stderr. A `forked`
        process is the zygote's child, and somebody calls ended()."""
        self.pid = pid
        self.died = asyncio.get_running_loop().create_future()
        self.tail = b""
        self._started = time.monotonic()
        self._kills = 0
        self._end = (0, 0)  # exit code and signal
        self._loop = asyncio.get_running_loop()
        self._fd = raw_fd
        self._on_raw = on_raw
        os.set_blocking(raw_fd, False)
        self._loop.add_reader(raw_fd, self.read_raw)
        self._prefer_as_oom_victim()
        if not forked:
            threading.Thread(target=self._wait, name=f"wait-{pid}", daemon=True).start()

    @property
    def alive(self):
        return not self.died.done()

    def mark(self):
        """A run begins: what was killed before it is not its end."""
        self._kills = memory.kills()

    def death(self):
        """How it ended, as wire.done() wants it."""
        code, number = self._end
        full = number == signal.SIGKILL and memory.kills() > self._kills
        cause = wire.CAUSE_MEMORY if full else wire.CAUSE_ITSELF
        lived_us = int((time.monotonic() - self._started) * 1e6)
        return (128 + number if number else code, number, cause, lived_us)

    def signal(self, number):
        """To the kernel alone."""
        self._send(os.kill, number)

    def signal_group(self, number):
        self._send(os.killpg, number)

    async def kill(self):
        self.signal_group(signal.SIGKILL)
        if self.alive:
            await asyncio.wait({self.died}, timeout=10)
        self.close()

    def has_raw_stdout(self):
        """Whether descriptor 1 of the kernel is still the pipe it was started with."""
        try:
            return os.path.samestat(os.stat(f"/proc/{self.pid}/fd/1"), os.fstat(self._fd))
        except OSError:
            return False

    def read_raw(self):
        """Passes on the output so far, at most 1 MiB of it."""
        for _ in range(16):
            if self._fd < 0:
                return
            try:
                data = os.read(self._fd, 65536)
            except BlockingIOError:
                return
            if not data:
                self.close()
                return
            self.tail = (self.tail + data)[-TAIL:]
            self._on_raw(data)

    def close(self):
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1

    def _send(self, send, number):
        if self.alive:
            try:
                send(self.pid, number)
            except (ProcessLookupError, PermissionError):
                pass

    def _prefer_as_oom_victim(self):
        try:
            with open(f"/proc/{self.pid}/oom_score_adj", "w", encoding="ascii") as file:
                file.write(str(OOM_SCORE))
        except OSError:
            pass

    def _wait(self):
        try:
            info = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
            exited = info.si_code == os.CLD_EXITED
            self._end = (info.si_status, 0) if exited else (0, info.si_status)
        except ChildProcessError:
            pass
        try:
            self._loop.call_soon_threadsafe(self._ended)
        except RuntimeError:
            pass  # the loop is closed, because the bridge ends

    def ended(self, code, number):
        """Takes its exit code and the signal that ended it, of a process that is not reaped yet."""
        self._end = (code, number)
        self._ended()

    def _ended(self):
        """Ends the rest of the group with the kernel. No other process can get the number before
        the kernel is reaped here."""
        if self.alive:
            self.signal_group(signal.SIGKILL)
            try:
                os.waitpid(self.pid, os.WNOHANG)
            except ChildProcessError:
                pass
            self.died.set_result(None)
