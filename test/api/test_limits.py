# SPDX-License-Identifier: Apache-2.0
"""Rate limits, quotas, idempotent creates, metrics; what one client can make the server hold."""
import http.client
import socket
import threading
import time

from corraltest import ApiTest, SandboxTest


class Rate(ApiTest):
    options = ("--rate-limit", "15/min,10/s", "--pool-size", "0")

    def test_headers_and_429(self):
        answers = [self.api.get("/templates") for _ in range(20)]
        statuses = [a.status for a in answers]
        self.assertEqual(statuses[:10], [200] * 10)
        self.assertIn(429, statuses)
        self.assertGreaterEqual(statuses.count(200), 10)
        self.assertLessEqual(statuses.count(200), 15)
        for answer in answers:
            self.assertEqual(answer.headers["X-RateLimit-Limit"], "15")
            self.assertGreaterEqual(int(answer.headers["X-RateLimit-Reset"]), int(time.time()))
        self.assertEqual([int(a.headers["X-RateLimit-Remaining"]) for a in answers[:3]],
                         [14, 13, 12])
        refused = next(a for a in answers if a.status == 429)
        self.assert_error(refused, 429, "rate_limited")
        self.assertGreaterEqual(int(refused.headers["Retry-After"]), 1)
        self.assertEqual(self.api.get("/health", prefix="").status, 200)


class Quota(ApiTest):
    options = ("--max-sandboxes", "3", "--max-account", "2", "--pool-size", "0")

    def test_account_and_host(self):
        boxes = [self.create() for _ in range(2)]
        answer = self.api.post("/sandboxes", {"provider": "a", "region": "b"})
        self.assertIn("account", self.assert_error(answer, 429, "quota_exceeded"))
        self.assertEqual(answer.headers["Retry-After"], "1")
        self.api.delete(f"/sandboxes/{boxes[0]}")
        self.create()


class Memory(ApiTest):
    options = ("--max-memory", "2048MiB", "--pool-size", "0")

    def test_admission(self):
        self.create()
        answer = self.api.post("/sandboxes", {"provider": "a", "region": "b"})
        self.assertIn("memory", self.assert_error(answer, 429, "quota_exceeded"))


class Idempotency(ApiTest):
    def post(self, key, **fields):
        return self.api.post("/sandboxes", {"provider": "a", "region": "b", **fields},
                             headers={"Idempotency-Key": key})

    def test_the_same_key_gives_the_same_sandbox(self):
        first = self.assert_json(self.post("k1"), 201)
        self.addCleanup(self.api.delete, f"/sandboxes/{first['sandbox_id']}")
        again = self.assert_json(self.post("k1"), 201)
        self.assertEqual(again, first)
        self.assert_error(self.post("k1", timeout=7), 409, "conflict")
        other = self.assert_json(self.post("k2"), 201)
        self.addCleanup(self.api.delete, f"/sandboxes/{other['sandbox_id']}")
        self.assertNotEqual(other["sandbox_id"], first["sandbox_id"])
        self.assert_error(self.post("k" * 300), 400, "invalid_argument")

    def test_after_a_restart(self):
        first = self.assert_json(self.post("k3"), 201)
        self.server.kill()
        self.server.start()
        self.assertEqual(self.post("k3").json["sandbox_id"], first["sandbox_id"])
        self.api.delete(f"/sandboxes/{first['sandbox_id']}")


class Metrics(SandboxTest):
    def metrics(self):
        answer = self.api.get(f"/sandboxes/{self.box}/metrics")
        body = self.assert_json(answer, 200)
        self.assert_keys(body, {"timestamp", "cpu_usage", "memory_usage", "memory_total",
                                "disk_read", "disk_write", "network_rx", "network_tx"})
        return body

    def test_of_a_sandbox(self):
        before = self.metrics()
        self.assert_time(before["timestamp"], near=time.time())
        self.assertEqual(before["memory_total"], 2048)
        self.api.code(self.box, "held = bytearray(64 << 20)")
        self.assertGreater(self.metrics()["memory_usage"], before["memory_usage"] + 60)
        self.run_command("timeout 2 sh -c 'while :; do :; done'")
        busy = self.metrics()
        self.assertGreater(busy["cpu_usage"], 5)
        self.assertLessEqual(busy["cpu_usage"], 100)
        # What the server and the agent say to each other is no network of the sandbox.
        self.run_command("cat", args=["/usr/bin/python3.11"])
        self.post("files/write", {"path": "x", "content": "y" * 1_000_000})
        after = self.metrics()
        self.assertEqual((after["network_rx"], after["network_tx"]),
                         (before["network_rx"], before["network_tx"]))

    def test_of_the_server(self):
        answer = self.api.get("/metrics", prefix="")
        self.assertEqual(answer.status, 200)
        self.assertIn("text/plain", answer.headers["Content-Type"])
        text = answer.body.decode()
        self.assertIn('corral_sandboxes{state="running"} 1', text)
        self.assertIn('corral_http_requests_total{method="POST",route="/sandboxes",status="201"} 1',
                      text)
        for line in text.splitlines():
            if not line.startswith("#"):
                float(line.rsplit(" ", 1)[1])


class Slowest:
    """The longest that /health took while the block ran, in seconds."""

    def __init__(self, api):
        self.api, self.worst, self.over = api, 0, threading.Event()
        self.thread = threading.Thread(target=self._ask)

    def _ask(self):
        while not self.over.is_set():
            begun = time.monotonic()
            assert self.api.get("/health", prefix="").status == 200
            self.worst = max(self.worst, time.monotonic() - begun)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()


class Bodies(ApiTest):
    options = ("--pool-size", "0", "--max-buffered", "64MiB")
    NOWHERE = "/sandboxes/00000000-0000-4000-8000-000000000000"

    def test_a_body_without_content_is_small(self):
        many = b'{"provider":"a","region":"b","metadata":{"a":[' + b"1," * (13 << 20) + b"1]}}"
        with Slowest(self.api) as slowest:
            self.assert_error(self.api.post("/sandboxes", many), 413, "body_too_large")
        print(f"note 26 MiB of metadata: /health took {slowest.worst * 1000:.0f} ms at most")
        self.assertLess(slowest.worst, 0.5)
        large = {"provider": "a", "region": "b", "metadata": {"a": "x" * 16384}}
        self.assertIn("16384", self.assert_error(self.api.post("/sandboxes", large), 400,
                                                 "invalid_argument"))
        self.assert_error(self.api.post(f"{self.NOWHERE}/files/list", {"path": "x" * 65536}), 413,
                          "body_too_large")

    def test_many_values_are_refused_and_hold_nobody_up(self):
        definition = b'{"name":[' + b"1," * (13 << 20) + b"1]}"
        with Slowest(self.api) as slowest:
            answer = self.api.post("/api/v1/orchestrator/workflows", definition, prefix="")
            self.assertIn("too many values", self.assert_error(answer, 400, "invalid_json"))
        print(f"note 13 million values: /health took {slowest.worst * 1000:.0f} ms at most")
        self.assertLess(slowest.worst, 0.5)

    def test_unfinished_bodies_have_one_budget(self):
        head = (f"POST /api/v1/orchestrator/workflows HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "
                f"{self.api.key}\r\nContent-Length: {32 << 20}\r\n\r\n").encode()
        before, piece, held = self.server.resident_kib(), b'"' + b"x" * (1 << 20), []
        refused = 0
        for _ in range(40):
            s = socket.create_connection(("127.0.0.1", self.server.port))
            self.addCleanup(s.close)
            s.settimeout(5)
            s.sendall(head)
            for _ in range(12):
                try:
                    s.sendall(piece)
                except OSError:
                    break
            held.append(s)
        self.assertEqual(self.api.get("/health", prefix="").status, 200)
        grown = self.server.resident_kib() - before
        for s in held:
            s.settimeout(0.2)
            try:
                answer = s.recv(4096)
            except OSError:
                continue
            if answer.startswith(b"HTTP/1.1 503"):
                refused += 1
                self.assertIn(b"Retry-After: 1", answer)
        print(f"note 40 unfinished bodies of 12 MiB: {grown >> 10} MiB held, {refused} refused")
        self.assertLess(grown, 200 << 10)
        self.assertGreaterEqual(refused, 30)


class Lists(SandboxTest):
    def test_a_list_that_is_too_long_names_its_limit(self):
        for route, field, value in (
                ("commands/run", "environment", {f"V{i}": "x" for i in range(20000)}),
                ("commands/run", "args", ["x"] * 100000),
                ("processes", "environment", {f"V{i}": "x" for i in range(20000)}),
                ("processes", "args", ["x"] * 100000),
                ("code/run", "environment", {f"V{i}": "x" for i in range(20000)})):
            run = {"code": "1"} if route == "code/run" else {"command": "true"}
            answer = self.api.post(f"/sandboxes/{self.box}/{route}", {**run, field: value})
            message = self.assert_error(answer, 400, "invalid_argument")
            self.assertIn(field, message)
            self.assertIn("4095", message)

    def test_variables_with_those_of_providers_have_a_limit(self):
        """1 MiB: four providers of 64 variables of 4 KiB are more, three and 256 KiB are, too."""
        providers = []
        for i in range(4):
            answer = self.api.request("POST", "/v1/identity/providers", {
                "name": f"provider {i}", "secrets": [
                    {"key": f"KEY_{i}_{j}", "value": "v" * 4096} for j in range(64)]}, prefix="")
            self.assertEqual(answer.status, 201, answer)
            providers.append(next(iter(answer.json.values()))["id"])
            self.addCleanup(self.api.request, "DELETE", f"/v1/identity/providers/{providers[i]}",
                            prefix="")
        answer = self.api.request("POST", "/v1/agents/runtime", {"providers": providers}, prefix="")
        box = self.assert_json(answer, 201)["runtime_id"]
        self.addCleanup(self.api.delete, f"/sandboxes/{box}")
        runs = {"commands/run": {"command": "true"}, "code/run": {"code": "1"},
                "processes": {"command": "true"}}

        def assert_refused(environment):
            for route, run in runs.items():
                answer = self.api.post(f"/sandboxes/{box}/{route}",
                                       {**run, "environment": environment})
                message = self.assert_error(answer, 400, "invalid_argument")
                self.assertIn("providers", message)
                self.assertIn("1048576", message)

        assert_refused({})
        answer = self.api.request("DELETE", f"/v1/identity/providers/{providers[3]}", prefix="")
        self.assertEqual(answer.status, 200, answer)
        assert_refused({f"MORE_{i}": "x" * 4096 for i in range(64)})
        for route, run in runs.items():
            answer = self.api.post(f"/sandboxes/{box}/{route}", {**run, "environment": {"A": "b"}})
            self.assertIn(answer.status, (200, 201), answer)
        self.assertEqual(self.api.run(box, "env | grep -c ^KEY_")["stdout"], "192\n")

    def test_200000_lines_arrive_whole(self):
        want = "".join(f"{i}\n" for i in range(200000))
        begun = time.monotonic()
        got = self.api.code(self.box, "for i in range(200000): print(i)", timeout=120)
        taken = time.monotonic() - begun
        self.assertEqual("\n".join(got["logs"]["stdout"]) + "\n", want)
        self.assertEqual(len(got["results"]["stdout"]), 200000)
        self.assertEqual(self.api.run(self.box, "seq 0 199999")["stdout"], want)
        print(f"note 200000 printed lines, {len(want)} bytes: {taken:.1f} s")


class Ended(ApiTest):
    options = ("--pool-size", "0")

    def test_metadata_stays_listed(self):
        metadata = {"note": "x" * 15000}
        box = self.create(metadata=metadata)
        self.api.delete(f"/sandboxes/{box}")
        for again in (False, True):
            if again:
                self.server.kill()
                self.server.start()
            self.assertEqual(self.api.get(f"/sandboxes/{box}").json["metadata"], metadata)
            listed = self.api.get("/sandboxes").json["sandboxes"]
            self.assertEqual([b["metadata"] for b in listed if b["sandbox_id"] == box], [metadata])
