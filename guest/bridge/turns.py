# SPDX-License-Identifier: Apache-2.0
"""Turns: first come, first served, with a bounded queue and bounded waiting."""
import asyncio
import contextlib
from collections import deque

from wire import E_BUSY, WireError

MAX_WAITING = 64


class _Waiter:
    """Waits at most `left_s` of the time that counts. `turn` is the future of its turn."""

    def __init__(self, left_s):
        self._loop = asyncio.get_running_loop()
        self._left_s = left_s
        self._since = None
        self._timer = None
        self.turn = self._loop.create_future()

    def count(self):
        self._since = self._loop.time()
        self._timer = self._loop.call_later(self._left_s, self._expire)

    def halt(self):
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._left_s -= self._loop.time() - self._since

    def _expire(self):
        if not self.turn.done():
            self.turn.set_exception(WireError(E_BUSY, "the context stayed busy for too long"))


class Turns:
    def __init__(self):
        self._taken = False
        self._counts = True
        self._waiting = deque()

    @property
    def taken(self):
        return self._taken

    async def enter(self, limit_s):
        """Returns when it is the caller's turn, which ends with leave(). WireError(E_BUSY) when
        the queue is full or the wait is longer than `limit_s`."""
        if not self._taken:
            self._taken = True
            return
        if len(self._waiting) >= MAX_WAITING:
            raise WireError(E_BUSY, "too many runs are waiting in this context")
        waiter = _Waiter(limit_s)
        self._waiting.append(waiter)
        if self._counts:
            waiter.count()
        turn = waiter.turn
        try:
            await turn
        except asyncio.CancelledError:
            # The turn may have come in the same round of the loop as the cancellation.
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self.leave()
            raise
        finally:
            waiter.halt()
            if waiter in self._waiting:
                self._waiting.remove(waiter)

    @contextlib.contextmanager
    def uncounted(self):
        """In this block the time that others wait for a turn does not count, because the work in it
        has a limit of its own."""
        self._counts = False
        for waiter in self._waiting:
            waiter.halt()
        try:
            yield
        finally:
            self._counts = True
            for waiter in self._waiting:
                waiter.count()

    def leave(self):
        while self._waiting:
            turn = self._waiting.popleft().turn
            if not turn.done():
                turn.set_result(None)
                return
        self._taken = False

    def refuse(self, fault):
        """Every caller that waits gets `fault`."""
        while self._waiting:
            turn = self._waiting.popleft().turn
            if not turn.done():
                turn.set_exception(fault)
