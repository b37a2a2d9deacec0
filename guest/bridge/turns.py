# SPDX-License-Identifier: Apache-2.0
"""Turns: first come, first served, with a bounded queue and bounded waiting."""
import asyncio
from collections import deque

from wire import E_BUSY, WireError

MAX_WAITING = 64


class Turns:
    def __init__(self):
        self._taken = False
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
        loop = asyncio.get_running_loop()
        turn = loop.create_future()
        self._waiting.append(turn)
        timer = loop.call_later(limit_s, self._expire, turn)
        try:
            await turn
        except asyncio.CancelledError:
            # The turn may have come in the same round of the loop as the cancellation.
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self.leave()
            elif turn in self._waiting:
                self._waiting.remove(turn)
            raise
        finally:
            timer.cancel()

    def leave(self):
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._taken = False

    def refuse(self, fault):
        """Ends all waiting with `fault`."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_exception(fault)

    def _expire(self, turn):
        if not turn.done():
            self._waiting.remove(turn)
            turn.set_exception(WireError(E_BUSY, "the context stayed busy for too long"))
