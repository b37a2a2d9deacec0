# SPDX-License-Identifier: Apache-2.0
"""The queue of a context alone: which waits run out of time, and which do not."""
import asyncio
import os
import sys
import unittest
from unittest import mock

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

# One module of the bridge has the same name as a module of the tests.
with mock.patch.dict(sys.modules), mock.patch.object(sys, "path", [f"{TOP}/guest/bridge", *sys.path]):
    sys.modules.pop("wire", None)
    from turns import Turns
    from wire import WireError

LIMIT_S = 0.2


class Waiting(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self):
        self.turns = Turns()
        await self.turns.enter(LIMIT_S)

    async def waiter(self, limit_s=LIMIT_S):
        task = asyncio.ensure_future(self.turns.enter(limit_s))
        await asyncio.sleep(0)
        return task

    async def test_runs_out(self):
        waiter = await self.waiter()
        with self.assertRaises(WireError):
            await waiter
        self.turns.leave()
        self.assertFalse(self.turns.taken)

    async def test_what_does_not_count(self):
        """One waits before the uncounted time begins, one comes during it. Neither is refused."""
        first = await self.waiter()
        with self.turns.uncounted():
            second = await self.waiter()
            await asyncio.sleep(2 * LIMIT_S)
        self.assertFalse(first.done() or second.done())
        self.turns.leave()
        await first
        self.turns.leave()
        await second

    async def test_counts_again_after_it(self):
        waiter = await self.waiter()
        await asyncio.sleep(LIMIT_S / 2)
        with self.turns.uncounted():
            await asyncio.sleep(LIMIT_S)
        began = asyncio.get_running_loop().time()
        with self.assertRaises(WireError):
            await waiter
        self.assertLess(asyncio.get_running_loop().time() - began, LIMIT_S)

    async def test_those_who_left_are_passed_over(self):
        first, second = await self.waiter(), await self.waiter()
        first.cancel()
        with self.turns.uncounted():
            await asyncio.sleep(0)
        self.turns.leave()
        await second
        self.turns.leave()
        self.assertFalse(self.turns.taken)

    async def test_a_turn_that_comes_with_the_cancellation_is_passed_on(self):
        first, second = await self.waiter(), await self.waiter()
        self.turns.leave()
        first.cancel()
        await second

    async def test_refusal_ends_all_waiting(self):
        waiters = [await self.waiter(), await self.waiter()]
        with self.turns.uncounted():
            self.turns.refuse(WireError(1, "closed"))
        for waiter in waiters:
            with self.assertRaises(WireError):
                await waiter
