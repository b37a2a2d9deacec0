# SPDX-License-Identifier: Apache-2.0
"""HTTP/1.1 as it comes over the wire: limits, pipelining, Expect, HEAD, broken and slow clients."""
import json
import re
import socket
import time

from corraltest import HOST, ApiTest, patience


class Wire:
    """A raw connection."""

    def __init__(self, port, timeout=patience(20)):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=timeout)
        self.data = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data if isinstance(data, bytes) else data.encode())
        return self

    def _more(self):
        try:
            piece = self.socket.recv(65536)
        except ConnectionResetError:
            piece = b""
        self.data += piece
        return bool(piece)

    def answer(self, head_only=False):
        """The next (status, headers, body)."""
        while b"\r\n\r\n" not in self.data:
            if not self._more():
                raise AssertionError(f"closed before an answer: {self.data[:200]!r}")
        head, _, rest = self.data.partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        status = int(lines[0].split(" ")[1])
        headers = {n.lower(): v.strip() for n, _, v in (line.partition(":") for line in lines[1:])}
        length = 0 if head_only or status < 200 else int(headers.get("content-length", 0))
        while len(rest) < length and self._more():
            rest = self.data.partition(b"\r\n\r\n")[2]
        self.data = rest[length:]
        return status, headers, rest[:length]

    def closed(self):
        """Reads to the end; what came until then."""
        while self._more():
            pass
        return self.data


class HttpTest(ApiTest):
    def wire(self, timeout=patience(20)):
        return Wire(self.server.port, timeout)

    def head(self, method="GET", path="/health", extra="", key=True):
        auth = f"Authorization: Bearer {self.api.key}\r\n" if key else ""
        return f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n{auth}{extra}\r\n"

    def alive(self):
        self.assertEqual(self.api.get("/health", prefix="").status, 200)

    def refused(self, data, status, code):
        """The answer is an error in our own form, and the connection ends."""
        with self.wire() as w:
            w.send(data)
            got, headers, body = w.answer()
            self.assertEqual(got, status, body)
            self.assertEqual(json.loads(body)["error"]["code"], code)
            self.assertEqual(headers.get("content-type", "").split(";")[0], "application/json")
            self.assertEqual(headers.get("connection", "").lower(), "close")
            w.closed()
        self.alive()


class Connections(HttpTest):
    def test_keep_alive(self):
        with self.wire() as w:
            for _ in range(3):
                status, headers, body = w.send(self.head()).answer()
                self.assertEqual((status, json.loads(body)["status"]), (200, "ok"))
                self.assertNotEqual(headers.get("connection", "").lower(), "close")

    def test_connection_close(self):
        with self.wire() as w:
            status, headers, _ = w.send(self.head(extra="Connection: close\r\n")).answer()
            self.assertEqual((status, headers["connection"].lower()), (200, "close"))
            self.assertEqual(w.closed(), b"")

    def test_http_1_0(self):
        with self.wire() as w:
            self.assertEqual(w.send("GET /health HTTP/1.0\r\n\r\n").answer()[0], 200)
            self.assertEqual(w.closed(), b"")

    def test_pipelining(self):
        with self.wire() as w:
            w.send(self.head() + self.head(path="/v1/agents/sandboxes") + self.head(path="/nope")
                   + self.head())
            self.assertEqual([w.answer()[0] for _ in range(4)], [200, 200, 404, 200])

    def test_a_request_in_single_bytes(self):
        body = b'{"provider": 1}'
        data = self.head("POST", "/v1/agents/sandboxes",
                         f"Content-Length: {len(body)}\r\n").encode() + body
        with self.wire() as w:
            w.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for n in range(len(data)):
                w.send(data[n:n + 1])
            self.assertEqual(w.answer()[0], 400)

    def test_chunked_body(self):
        with self.wire() as w:
            w.send(self.head("POST", "/v1/agents/sandboxes", "Transfer-Encoding: chunked\r\n"))
            w.send("5\r\n{\"pro\r\nb;x=y\r\nvider\": 1}\n\r\n0\r\nTrailer: x\r\n\r\n")
            status, _, body = w.answer()
            self.assertEqual((status, json.loads(body)["error"]["code"]),
                             (400, "invalid_argument"))
            self.assertEqual(w.send(self.head()).answer()[0], 200)

    def test_expect_continue(self):
        body = b'{"provider": 1}'
        with self.wire() as w:
            w.send(self.head("POST", "/v1/agents/sandboxes",
                             f"Content-Length: {len(body)}\r\nExpect: 100-continue\r\n"))
            self.assertEqual(w.answer()[0], 100)
            self.assertEqual(w.send(body).answer()[0], 400)

    def test_expect_continue_is_refused_early(self):
        extra = "Content-Length: 100\r\nExpect: 100-continue\r\n"
        with self.wire() as w:
            status = w.send(self.head("POST", "/v1/agents/sandboxes", extra, key=False)).answer()[0]
            self.assertEqual(status, 401)

    def test_head(self):
        with self.wire() as w:
            status, headers, _ = w.send(self.head("HEAD")).answer(head_only=True)
            self.assertEqual(status, 200)
            self.assertGreater(int(headers["content-length"]), 10)
            self.assertEqual(w.send(self.head()).answer()[0], 200)

    def test_a_half_closed_client_gets_its_answer(self):
        with self.wire() as w:
            w.send(self.head())
            w.socket.shutdown(socket.SHUT_WR)
            self.assertEqual(w.answer()[0], 200)

    def test_a_client_that_leaves_at_every_point(self):
        data = self.head("POST", "/v1/agents/sandboxes", "Content-Length: 20\r\n") + "{" * 10
        for n in range(0, len(data), 7):
            with self.wire() as w:
                w.send(data[:n])
        self.alive()


class Refusals(HttpTest):
    def test_no_such_route(self):
        for path in ("/v1", "/v1/agents", "/v1/agents/", "/v2/agents/sandboxes",
                     "/v1/agents/sandboxes/x/y/z/w", "//sandboxes", "/%73andboxesx"):
            with self.subTest(path=path):
                self.assert_error(self.api.get(path, prefix=""), 404, "not_found")

    def test_method_not_allowed(self):
        for method, path, allowed in (
                ("PUT", "/sandboxes", {"GET", "POST"}), ("PATCH", "/templates", {"GET", "POST"}),
                ("GET", "/sandboxes/550e8400-e29b-41d4-a716-446655440000/commands/run", {"POST"})):
            with self.subTest(method=method, path=path):
                answer = self.api.request(method, path)
                self.assert_error(answer, 405, "method_not_allowed")
                listed = {m.strip() for m in answer.headers["Allow"].split(",")}
                self.assertTrue(allowed <= listed <= allowed | {"HEAD", "OPTIONS"}, listed)

    def test_body_too_large(self):
        head = self.head("POST", "/v1/agents/sandboxes", "Content-Length: 1000000000\r\n")
        self.refused(head, 413, "body_too_large")
        with self.wire() as w:
            w.send(self.head("POST", "/v1/agents/sandboxes", "Transfer-Encoding: chunked\r\n"))
            chunk = b"100000\r\n" + b" " * 0x100000 + b"\r\n"
            try:
                for _ in range(64):
                    w.send(chunk)
            except OSError:
                pass  # closed while sending: the answer is there already
            self.assertEqual(w.answer()[0], 413)
        self.alive()

    def test_long_target(self):
        self.refused(self.head(path="/" + "x" * 10000), 414, "uri_too_long")

    def test_large_headers(self):
        self.refused(self.head(extra=f"X: {'x' * 40000}\r\n"), 431, "headers_too_large")
        self.refused(self.head(extra="".join(f"X-{n}: y\r\n" for n in range(150))), 431,
                     "headers_too_large")

    def test_malformed_heads(self):
        for data in ("GET\r\n\r\n",
                     "GET /health HTTP/1.1\r\nNo colon\r\n\r\n",
                     "GET /health HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n",
                     "GET /health HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
                     "GET /health HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n"
                     "Content-Length: 2\r\n\r\nxx",
                     "POST /health HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n"
                     "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                     "GET /he\0alth HTTP/1.1\r\nHost: a\r\n\r\n",
                     "GET /health HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n",
                     "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"):
            with self.subTest(data=data):
                self.refused(data, 400, "invalid_request")

    def test_broken_chunks(self):
        with self.wire() as w:
            w.send(self.head("POST", "/v1/agents/sandboxes", "Transfer-Encoding: chunked\r\n"))
            w.send("xyz\r\n")
            self.assertEqual(w.answer()[0], 400)
            w.closed()
        self.alive()

    def test_other_protocol_versions_and_methods(self):
        self.assertIn(self.first_status("GET /health HTTP/3.7\r\nHost: a\r\n\r\n"), (400, 505))
        self.assertIn(self.first_status("GET /health\r\n\r\n"), (400, 505))
        self.assertIn(self.first_status("BREW /health HTTP/1.1\r\nHost: a\r\n\r\n"), (400, 405, 501))
        self.assertIn(self.first_status("nonsense\r\n\r\n"), (400, 501))
        self.alive()

    def first_status(self, data):
        with self.wire() as w:
            return w.send(data).answer()[0]

    def test_expectation_failed(self):
        self.refused(self.head("POST", "/v1/agents/sandboxes",
                               "Content-Length: 2\r\nExpect: tea\r\n") + "{}",
                     417, "expectation_failed")

    def test_strange_paths(self):
        for path in ("/v1/agents/sandboxes/%zz", "/v1/agents/sandboxes/%00",
                     "/v1/agents/sandboxes/%2e%2e", "/v1/agents/sandboxes?limit=%zz",
                     "/v1/agents/sandboxes?" + "&" * 5000):
            with self.subTest(path=path[:40]):
                answer = self.api.get(path, prefix="")
                self.assertLess(answer.status, 500, answer)


class Slow(HttpTest):
    def test_clients_that_never_finish_cost_a_socket_each(self):
        wires = [self.wire() for _ in range(min(200, 4 * HOST.at_once))]
        try:
            for w in wires:
                w.send("GET /health HTTP/1.1\r\nHost: x\r\nX-Slow: ")
            for _ in range(3):
                for w in wires:
                    w.send("y")
                started = time.monotonic()
                self.alive()
                self.assert_within(2, started)
        finally:
            for w in wires:
                w.socket.close()
        self.alive()

    def test_a_client_that_does_not_read(self):
        with self.wire() as w:
            w.socket.setblocking(False)
            try:
                for _ in range(20000):
                    w.socket.send(self.head().encode())
            except BlockingIOError:
                pass
            self.alive()
            self.assertLess(self.server.resident_kib(), 1 << 20)
        self.alive()


class Everywhere(HttpTest):
    def test_answers_carry_length_and_type(self):
        for path, status in (("/v1/agents/sandboxes", 200), ("/health", 200), ("/nope", 404)):
            with self.wire() as w:
                got, headers, body = w.send(self.head(path=path)).answer()
                self.assertEqual((got, int(headers["content-length"])), (status, len(body)))
                self.assertEqual(headers["content-type"].split(";")[0], "application/json")

    def test_metrics(self):
        answer = self.api.get("/metrics", prefix="")
        self.assertEqual(answer.status, 200, answer)
        self.assertEqual(answer.headers.get_content_type(), "text/plain")
        for line in answer.body.decode().splitlines():
            self.assertRegex(line, r"^(# (HELP|TYPE) \w+ .*|\w+(\{.*\})? [0-9.e+-]+|)$")
        self.assertTrue(re.search(rb"^corral_sandboxes", answer.body, re.M))
