# SPDX-License-Identifier: Apache-2.0
"""A zmq socket on the event loop: every message goes to one function, without polling."""
import asyncio

import zmq

BATCH = 64  # messages handled before other work gets its turn


class Channel:
    """Owns `socket`. `receive(parts)` gets each message. `backlog(True)` is called when messages
    wait behind a full batch, `backlog(False)` when none wait any more. `held`: all wait."""

    def __init__(self, socket, receive, backlog=None):
        self._socket = socket
        self._receive = receive
        self._backlog = backlog
        self._behind = False
        self._held = False
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(socket.fileno(), self.drain)
        # The descriptor reports changes only, not the messages that are there already.
        self._loop.call_soon(self.drain)

    def send(self, session, message):
        session.send(self._socket, message)
        # Sending may have consumed the report of a change.
        self._loop.call_soon(self.drain)

    def hold(self, held):
        """Leaves messages where they are, or goes on with them."""
        if self._held and not held:
            self._loop.call_soon(self.drain)
        self._held = held

    def waits(self):
        """Whether there may be messages that have arrived and were not handled."""
        return self._socket is not None and (self._held or self._behind)

    def stop_monitor(self):
        """Call it before the monitor's own channel closes. The I/O thread of zmq, which serves all
        sockets of the process, sends the events with a call that blocks without a reader."""
        if self._socket is not None:
            self._socket.disable_monitor()

    def close(self):
        if self._socket is not None:
            self._loop.remove_reader(self._socket.fileno())
            self._socket.close(linger=0)
            self._socket = None

    def drain(self):
        """Handles the messages that have arrived, one batch of them."""
        for _ in range(BATCH):
            if self._socket is None or self._held:
                return
            try:
                parts = self._socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                self._set_behind(False)
                return
            self._receive(parts)
        self._set_behind(True)
        self._loop.call_soon(self.drain)

    def _set_behind(self, behind):
        if behind != self._behind:
            self._behind = behind
            if self._backlog is not None:
                self._backlog(behind)
