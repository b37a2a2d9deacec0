# SPDX-License-Identifier: Apache-2.0
"""Large downloads: every byte, in ranges, behind each other on one connection, to clients that are
slow, idle or leave, and of files that change meanwhile."""
import hashlib
import http.client
import socket
import threading
import time

from corraltest import PREFIX, SandboxTest, not_emulated, wait_until

SIZE = 70 << 20
LEAST = 256 << 10  # what one read takes from the sandbox's socket


@not_emulated("many MiB, each byte through interpreted copies")
class Downloads(SandboxTest):
    options = ("--pool-size", "0")  # descriptors are counted

    @classmethod
    def prepare(cls):
        super().prepare()
        cls.api.run(cls.box, f"head -c {SIZE} /dev/urandom >random; for n in 0 1 {LEAST - 1} {LEAST} "
                             f"{LEAST + 1}; do head -c $n random >of$n; done")

    def setUp(self):
        self.connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=60)
        self.addCleanup(self.connection.close)

    def ask(self, path, method="GET", **headers):
        self.connection.request(method, f"{PREFIX}/sandboxes/{self.box}/download?path={path}",
                                headers={"Authorization": f"Bearer {self.server.key}", **headers})
        return self.connection.getresponse()

    def digest(self, command):
        return self.run_command(f"{command} | sha256sum")["stdout"].split()[0]

    def raw(self, *paths, buffer=None):
        """A socket with requests for all paths on it, one behind the other."""
        s = socket.socket()
        self.addCleanup(s.close)
        s.settimeout(60)
        if buffer:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        s.connect(("127.0.0.1", self.server.port))
        for path in paths:
            s.sendall(f"GET {PREFIX}/sandboxes/{self.box}/download?path={path} HTTP/1.1\r\nHost: x\r\n"
                      f"Authorization: Bearer {self.server.key}\r\n\r\n".encode())
        return s

    def test_sizes_and_ranges_on_one_connection(self):
        for size in (0, 1, LEAST - 1, LEAST, LEAST + 1):
            answer = self.ask(f"of{size}")
            body = answer.read()
            self.assertEqual((answer.status, len(body)), (200, size))
            self.assertEqual(hashlib.sha256(body).hexdigest(), self.digest(f"cat of{size}"))
        for first, last in ((0, SIZE - 1), (7, LEAST + 6), (7, LEAST + 5), (SIZE - LEAST, SIZE - 1),
                            (SIZE - 2 * LEAST, SIZE + 99), (4096, 9 << 20), (0, (1 << 63) - 1),
                            (1, 1 << 20), (65537, (3 << 20) + 327679), (SIZE - 262145, SIZE - 1),
                            ((5 << 20) - 7, (22 << 20) + 3)):
            answer = self.ask("random", Range=f"bytes={first}-{last}")
            body, last = answer.read(), min(last, SIZE - 1)
            self.assertEqual((answer.status, len(body)), (206, last - first + 1))
            self.assertEqual(answer.headers["Content-Range"], f"bytes {first}-{last}/{SIZE}")
            self.assertEqual(hashlib.sha256(body).hexdigest(), self.digest(
                f"tail -c +{first + 1} random | head -c {last - first + 1}"))
        for header, start in (("bytes=-1000000", SIZE - 1000000), (f"bytes=-{9 * SIZE}", 0),
                              (f"bytes={SIZE - 600000}-", SIZE - 600000)):
            body = self.ask("random", Range=header).read()
            self.assertEqual(hashlib.sha256(body).hexdigest(),
                             self.digest(f"tail -c +{start + 1} random"))
        answer = self.ask("random", "HEAD")
        self.assertEqual((answer.headers["Content-Length"], answer.read()), (str(SIZE), b""))
        answer = self.ask("random", Range=f"bytes={SIZE}-")
        self.assertEqual((answer.status, bool(answer.read())), (416, True))
        self.assertEqual(len(self.ask("random").read()), SIZE)

    def test_every_byte_while_others_are_served(self):
        answer, received = self.ask("random"), hashlib.sha256()
        self.assertEqual(answer.headers["Content-Length"], str(SIZE))
        while chunk := answer.read(5 << 20):
            received.update(chunk)
            self.assertEqual(self.api.get("/health", prefix="").status, 200)
        self.assertEqual(received.hexdigest(), self.digest("cat random"))
        self.connection.request("GET", "/health")
        self.assertEqual(self.connection.getresponse().status, 200)

    def test_pipelined_to_a_slow_reader(self):
        s = self.raw("random", "of1", "random", buffer=16384)
        want = self.digest("cat random"), self.digest("cat of1"), self.digest("cat random")
        file = s.makefile("rb", 65536)
        for digest in want:
            length = None
            for line in iter(file.readline, b"\r\n"):
                if line.lower().startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            received = hashlib.sha256()
            while length > 0:
                chunk = file.read(min(length, 1 << 20))
                self.assertTrue(chunk)
                received.update(chunk)
                length -= len(chunk)
                time.sleep(0.005)
                self.assertEqual(self.api.get("/health", prefix="").status, 200)
            self.assertEqual(received.hexdigest(), digest)

    def test_several_at_a_time(self):
        want, got = self.digest("cat random"), []

        def download():
            body = self.api.get(f"/sandboxes/{self.box}/download?path=random").body
            got.append(hashlib.sha256(body).hexdigest())
        threads = [threading.Thread(target=download) for _ in range(6)]
        for thread in threads:
            thread.start()
        idle = self.raw("random")  # does not read
        for thread in threads:
            thread.join()
        self.assertEqual(got, [want] * 6)
        idle.close()

    def test_clients_that_leave(self):
        before = self.server.descriptors()
        for count in (0, 1, 100000, 3 << 20):
            s = self.raw("random")
            while count > 0:
                count -= len(s.recv(min(count, 1 << 16)))
            s.close()
        wait_until(lambda: self.server.descriptors() <= before, 20, "the descriptors are closed")
        self.assertEqual(self.run_command("wc -c < random")["stdout"], f"{SIZE}\n")

    def test_a_file_that_is_cut_short(self):
        self.run_command("cp random shrinks")
        answer = self.ask("shrinks")
        self.assertEqual(answer.headers["Content-Length"], str(SIZE))
        self.run_command("truncate -s 100000 shrinks")
        with self.assertRaises((http.client.IncompleteRead, ConnectionError)):
            answer.read()

    def test_a_file_that_grows_or_goes(self):
        self.run_command("cp random grows")
        answer = self.ask("grows")
        self.run_command("echo more >>grows; rm grows")
        self.assertEqual(hashlib.sha256(answer.read()).hexdigest(), self.digest("cat random"))

    def test_the_sandbox_ends(self):
        box = self.create()
        self.api.run(box, f"head -c {SIZE} /dev/zero >zeros")
        before = self.server.descriptors()
        self.connection.request("GET", f"{PREFIX}/sandboxes/{box}/download?path=zeros",
                                headers={"Authorization": f"Bearer {self.server.key}"})
        answer = self.connection.getresponse()
        self.assertEqual(self.api.delete(f"/sandboxes/{box}").status, 200)
        with self.assertRaises((http.client.IncompleteRead, ConnectionError)):
            answer.read()
        wait_until(lambda: self.server.descriptors() < before, 20, "the descriptors are closed")
