# SPDX-License-Identifier: Apache-2.0
"""The frames of one run on their way to the client. The queue is bounded and holds the kernel
back."""
import asyncio
from collections import deque

import wire

HIGH = 4 << 20  # bytes queued at which the kernel is asked to pause
LOW = 1 << 20  # bytes queued at which it may continue
CAP = 64 << 20  # bytes queued beyond which output is dropped; a paused kernel does not get here
WRITE = 256 << 10  # bytes handed to the connection at once
STALL_S = 120  # a client that takes nothing for this long is gone


class Outbox:
    def __init__(self, pressure):
        """`pressure(True)` is called when the queue is too long, `pressure(False)` when it is short
        again."""
        self._pressure = pressure
        self._frames = deque()
        self._size = 0
        self._dropped = 0
        self._pressing = False
        self._discarding = False
        self._closed = False
        self._changed = asyncio.Event()

    def put(self, frame):
        if self._closed or self._discarding:
            return
        if self._size + len(frame) > CAP:
            self._dropped += len(frame)
            return
        self._append(frame)
        if self._size > HIGH:
            self._press(True)

    def note_loss(self):
        """Records that output was lost before it came here."""
        self._dropped += 1

    def close(self, last):
        """`last` is the final frame. The queued frames go out before it."""
        if self._closed:
            return
        if self._dropped and not self._discarding:
            self._append(wire.stream(wire.STDERR, "\n[some output was too large and is lost]\n"))
        self._append(last)
        self._closed = True

    def discard(self):
        """The client is gone: nothing queues up any more."""
        self._discarding = True
        self._frames.clear()
        self._size = 0
        self._press(False)

    async def send_all(self, writer):
        """Writes frames to the connection until the last one is out."""
        while True:
            while not self._frames:
                if self._closed:
                    return
                self._changed.clear()
                await self._changed.wait()
            batch, size = [], 0
            while self._frames and size < WRITE:
                batch.append(self._frames.popleft())
                size += len(batch[-1])
            writer.write(b"".join(batch))
            await asyncio.wait_for(writer.drain(), STALL_S)
            self._size = max(0, self._size - size)
            if self._size < LOW:
                self._press(False)

    def _append(self, frame):
        self._frames.append(frame)
        self._size += len(frame)
        self._changed.set()

    def _press(self, pressing):
        if pressing != self._pressing:
            self._pressing = pressing
            self._pressure(pressing)
