# SPDX-License-Identifier: Apache-2.0
"""Web pages of other origins: what a browser asks before a request, and the headers of answers."""
import socket
import time

from corraltest import ApiTest

A, B, OTHER = "https://a.example", "http://b.example:3000", "https://other.example"
ROUTE = "/sandboxes"


class CorsTest(ApiTest):
    """Checks that all policies share; `self.sees(origin)` is what a page of that origin is told."""

    def preflight(self, path, origin, method="POST", headers="authorization,content-type", **more):
        return self.api.request("OPTIONS", path, headers={
            "Authorization": "", "Origin": origin, "Access-Control-Request-Method": method,
            "Access-Control-Request-Headers": headers}, **more)

    def assert_allowed(self, answer, origin):
        self.assertEqual(answer.headers.get_all("Access-Control-Allow-Origin"), [origin], answer)

    def assert_refused(self, answer):
        self.assertNotIn("Access-Control-Allow-Origin", answer.headers)
        self.assertNotIn("Access-Control-Expose-Headers", answer.headers)

    def answers(self, origin):
        """Answers of many kinds to a page."""
        headers = {"Origin": origin}
        yield self.api.get(ROUTE, headers=headers)
        yield self.api.get("/health", prefix="", headers=headers)
        yield self.api.get("/nothing", headers=headers)
        yield self.api.get(ROUTE, headers={**headers, "Authorization": "Bearer wrong"})
        yield self.api.post(ROUTE, b"{broken", headers=headers)
        yield self.api.delete(ROUTE, headers=headers)
        yield self.api.get("/sandboxes/no-id", headers=headers)
        yield self.api.post(ROUTE, headers={**headers, "Content-Length": str(1 << 40)})
        yield self.api.request("BREW", ROUTE, headers=headers)
        yield self.api.get(f"/{'x' * 9000}", headers=headers)
        yield self.api.get(ROUTE, headers={**headers, "X-Long": "x" * 40000})


class ListedTest(CorsTest):
    options = ("--cors", f"{A},{B}")

    def test_preflight(self):
        for origin in (A, B):
            answer = self.preflight(ROUTE, origin)
            self.assertEqual((answer.status, answer.body), (204, b""))
            self.assert_allowed(answer, origin)
            self.assertEqual(answer.headers["Vary"], "Origin")
            methods = set(answer.headers["Access-Control-Allow-Methods"].split(", "))
            self.assertEqual(methods, {"GET", "HEAD", "POST", "OPTIONS"})
            self.assertEqual(answer.headers["Access-Control-Allow-Headers"],
                             "authorization,content-type")
            self.assertTrue(0 < int(answer.headers["Access-Control-Max-Age"]) <= 86400)
            self.assertNotIn("Access-Control-Allow-Credentials", answer.headers)

    def test_preflight_of_every_kind_of_route(self):
        box = "/sandboxes/00000000-0000-4000-8000-000000000000"
        for path, method in ((f"{box}/code/run", "POST"), (box, "DELETE"), (f"{box}/upload", "POST"),
                             (f"{box}/download", "GET")):
            answer = self.preflight(path, A, method)
            self.assertEqual(answer.status, 204)
            self.assertIn(method, answer.headers["Access-Control-Allow-Methods"])
        self.assertEqual(self.preflight("/health", A, "GET", prefix="").status, 204)
        answer = self.preflight("/nothing", A)
        self.assert_error(answer, 404, "not_found")
        self.assert_allowed(answer, A)

    def test_requested_headers_are_checked(self):
        usual = "Authorization, Content-Type, Idempotency-Key, Range"
        for asked, allowed in (("x-client-version", "x-client-version"), ("", usual),
                               ("a" * 2000, usual), ("x<script>", usual)):
            answer = self.preflight(ROUTE, A, headers=asked)
            self.assertEqual(answer.headers["Access-Control-Allow-Headers"], allowed)

    def test_other_origins(self):
        for origin in (OTHER, "null", f"{A},{B}", "https://a.example.evil", "https://a.exampl", "",
                       A.upper(), f"{A}/"):
            with self.subTest(origin=origin):
                answer = self.preflight(ROUTE, origin)
                self.assert_refused(answer)
                self.assertNotIn("Access-Control-Allow-Methods", answer.headers)
                answer = self.api.get(ROUTE, headers={"Origin": origin})
                self.assertEqual(answer.status, 200)  # a browser keeps it from the page
                self.assert_refused(answer)
                self.assertEqual(answer.headers["Vary"], "Origin")

    def test_every_answer(self):
        for answer in self.answers(A):
            with self.subTest(status=answer.status):
                self.assertEqual(answer.headers.get_all("Vary"), ["Origin"])
                if answer.status in (414, 431, 501):  # refused before or amid the headers
                    continue
                self.assert_allowed(answer, A)
                self.assertIn("X-RateLimit-Remaining",
                              answer.headers["Access-Control-Expose-Headers"])

    def test_options_without_a_browser(self):
        answer = self.api.request("OPTIONS", ROUTE)
        self.assertEqual(answer.status, 204)
        self.assertEqual(set(answer.headers["Allow"].split(", ")), {"GET", "HEAD", "POST", "OPTIONS"})
        self.assert_refused(answer)
        self.assertIn("OPTIONS", self.api.delete(ROUTE).headers["Allow"])


class AnyTest(CorsTest):
    options = ("--cors", "*", "--rate-limit", "600/min,3/s")

    def test_every_answer(self):
        for answer in self.answers(OTHER):
            with self.subTest(status=answer.status):
                self.assert_allowed(answer, "*")
                self.assertNotIn("Vary", answer.headers)

    def test_preflights_are_not_counted(self):
        for _ in range(10):
            self.assertEqual(self.preflight(ROUTE, OTHER).status, 204)
        time.sleep(1.1)
        statuses = [self.api.get(ROUTE, headers={"Origin": OTHER}) for _ in range(10)]
        limited = next(a for a in statuses if a.status == 429)
        self.assert_allowed(limited, "*")
        for name in ("X-RateLimit-Limit", "X-RateLimit-Reset", "Retry-After"):
            self.assertIn(name, limited.headers)
            self.assertIn(name, limited.headers["Access-Control-Expose-Headers"])

    def test_head_that_comes_too_late(self):
        with socket.create_connection(("127.0.0.1", self.server.port), timeout=30) as s:
            s.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n")
            answer = s.recv(4096)
        self.assertIn(b" 408 ", answer)
        self.assertIn(b"Access-Control-Allow-Origin: *\r\n", answer)


class OffTest(CorsTest):
    def test_nothing_is_said(self):
        for answer in self.answers(A):
            self.assert_refused(answer)
            self.assertNotIn("Vary", answer.headers)

    def test_options_is_no_method(self):
        answer = self.preflight(ROUTE, A)
        self.assert_error(answer, 405, "method_not_allowed")
        self.assertEqual(set(answer.headers["Allow"].split(", ")), {"GET", "HEAD", "POST"})
        self.assert_refused(answer)
