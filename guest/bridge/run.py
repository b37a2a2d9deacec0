# SPDX-License-Identifier: Apache-2.0
"""One CODE_RUN: the request, the outbox for its output, and its end by the client."""
import asyncio

from outbox import Outbox


class Run:
    def __init__(self, code, timeout_ms, variables):
        self.code = code
        self.timeout_s = timeout_ms / 1000 if timeout_ms else None
        self.variables = variables
        self.queued = True  # it waits for its turn in the context
        self.kernel = None  # while it runs
        self.begun = asyncio.Event()  # the kernel has begun the code, or the run is over
        self.outbox = Outbox(self._pressure)
        self.abandoned = asyncio.get_running_loop().create_future()

    def abandon(self):
        """The client is gone."""
        self.outbox.discard()
        if not self.abandoned.done():
            self.abandoned.set_result(None)

    def _pressure(self, pressing):
        if self.kernel is not None:
            self.kernel.pause("client", pressing)
