# SPDX-License-Identifier: Apache-2.0
"""More slow connections than the server may have descriptors: others are still served."""
import socket
import time
import unittest.mock

from corraltest import ApiTest, Server, not_emulated


@not_emulated("the server's limit of open files is set on this host")
class Crowd(ApiTest):
    options = ("--pool-size", "0")

    @classmethod
    def setUpClass(cls):
        plain = Server.command
        limited = lambda *a: ["prlimit", "--nofile=256:256", *plain(*a)]  # noqa: E731
        with unittest.mock.patch.object(Server, "command", limited):
            super().setUpClass()

    def crowd(self, text):
        """230 sockets that have sent `text`."""
        sockets = []
        for _ in range(230):
            s = socket.create_connection(("127.0.0.1", self.server.port), timeout=10)
            self.addCleanup(s.close)
            sockets.append(s)
            s.sendall(text)
        return sockets

    def test_health_is_answered(self):
        for text in (b"", b"GET /health HTTP/1.1\r\nX: ",
                     b"POST /api/v1/auth/token HTTP/1.1\r\nHost: x\r\nContent-Length: 9999\r\n\r\nx"):
            sockets, slowest = self.crowd(text), 0
            for _ in range(20):
                begun = time.monotonic()
                self.assertEqual(self.api.get("/health", prefix="", timeout=5).status, 200)
                slowest = max(slowest, time.monotonic() - begun)
            print(f"note /health with 230 slow sockets and 256 descriptors: {slowest * 1000:.0f} ms "
                  f"at most, {self.server.descriptors()} descriptors")
            box = self.create()
            self.assertEqual(self.api.run(box, "echo a")["stdout"], "a\n")
            for s in sockets:
                s.close()
