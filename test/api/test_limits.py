# SPDX-License-Identifier: Apache-2.0
"""Rate limits, quotas, idempotent creates, metrics."""
import http.client
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
