# SPDX-License-Identifier: Apache-2.0
"""Ten thousand clients that keep their connection: all served, cheap, and in nobody's way."""
import resource
import select
import socket
import time

from corraltest import ApiTest, not_emulated

CONNECTIONS = 10000
REQUEST = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"


@not_emulated("the emulated network takes minutes for ten thousand connections")
class ManyConnectionsTest(ApiTest):
    build = "release"
    # A sandbox of the pool that starts meanwhile opens descriptors of its own.
    options = ("--pool-size", "0")

    @classmethod
    def setUpClass(cls):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if hard < CONNECTIONS * 4 // 3 + 100:
            cls.skipTest(cls, f"this process may only open {hard} files")
        # The server is started with a low limit, which it has to raise.
        resource.setrlimit(resource.RLIMIT_NOFILE, (1024, hard))
        try:
            super().setUpClass()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        cls.addClassCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))

    def serve(self, sockets):
        """One request on each, one answer from each; the seconds it took."""
        started = time.monotonic()
        poll = select.epoll()
        waiting = {s.fileno(): s for s in sockets}
        for s in sockets:
            s.sendall(REQUEST)
            poll.register(s, select.EPOLLIN)
        while waiting:
            events = poll.poll(20)
            self.assertTrue(events, f"{len(waiting)} connections get no answer")
            for number, _ in events:
                answer = waiting.pop(number).recv(4096)
                self.assertTrue(answer.startswith(b"HTTP/1.1 200 OK\r\n"), answer)
                self.assertIn(b"Connection: keep-alive", answer)
                poll.unregister(number)
        poll.close()
        return time.monotonic() - started

    def prompt(self, n=50):
        """The slowest of some new clients, in milliseconds."""
        slowest = 0
        for _ in range(n):
            started = time.monotonic()
            self.assertEqual(self.api.get("/sandboxes").status, 200)
            slowest = max(slowest, time.monotonic() - started)
        return slowest * 1000

    def settled(self):
        """The server's descriptors when it has seen the ends of old connections."""
        files, end = self.server.descriptors(), time.monotonic() + 1
        while time.monotonic() < end:
            time.sleep(0.05)
            files = min(files, self.server.descriptors())
        return files

    def test_ten_thousand_idle_connections(self):
        limit = next(line.split()[3:5] for line in self.server.proc("limits").splitlines()
                     if line.startswith("Max open files"))
        self.assertEqual(limit[0], limit[1])
        self.prompt()
        files, memory, sockets = self.settled(), self.server.resident_kib(), []
        for _ in range(CONNECTIONS):
            sockets.append(socket.create_connection(("127.0.0.1", self.server.port), timeout=20))
        first = self.serve(sockets)
        each = (self.server.resident_kib() - memory) * 1024 / CONNECTIONS
        self.assertGreaterEqual(self.server.descriptors(), files + CONNECTIONS)
        prompt = self.prompt()
        again = self.serve(sockets)
        print(f"note {CONNECTIONS} idle connections: {each:.0f} bytes each, a request on all of them "
              f"in {first:.2f} s, then {again:.2f} s; a new client waits at most {prompt:.1f} ms")
        self.assertLess(each, 16384)
        self.assertLess(prompt, 500)
        for s in sockets:
            s.close()
        end = time.monotonic() + 20
        while self.server.descriptors() > files and time.monotonic() < end:
            time.sleep(0.1)
        self.assertLessEqual(self.server.descriptors(), files)
        self.prompt()
