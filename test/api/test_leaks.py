# SPDX-License-Identifier: Apache-2.0
"""After many sandboxes everything is as before, and an idle server is small. CORRAL_CYCLES sets
how many (default 20)."""
import concurrent.futures
import json
import os
import re
import socket
import time

from corraltest import (ApiTest, cgroups_with, mounts_with, patience, processes_with,
                        wait_until)

CYCLES = int(os.environ.get("CORRAL_CYCLES", "20"))


class Cycles(ApiTest):
    def pool_ready(self):
        found = re.search(rb"^corral_pool_ready (\d+)$",
                          self.api.get("/metrics", prefix="").body, re.M)
        return int(found.group(1))

    def counts(self):
        """What a sandbox may leave behind."""
        ids = sorted(self.server.note_ids())
        return {"descriptors": self.server.descriptors(),
                "processes": len(processes_with([self.server.state] + ids)),
                "mounts": len(mounts_with([self.server.state] + ids)),
                "cgroups": len(cgroups_with(ids)),
                "directories": len(self.server.directories()),
                "ready": self.pool_ready()}

    def settled(self):
        """The counts once the pool is warm again: the same for some seconds."""
        seen, end = [], time.monotonic() + patience(63)
        while time.monotonic() < end:
            seen.append(self.counts())
            if seen[-4:] == [seen[-1]] * 4 and seen[-1]["ready"] == seen[-1]["directories"]:
                break
            time.sleep(0.7)
        return seen[-1]

    def assert_as_before(self, before):
        after = self.settled()
        if after != before:  # once more: the first may have caught a pool that still grew
            after = self.settled()
        self.assertEqual(after, before)

    def cycle(self, n):
        sandbox = self.api.create()["sandbox_id"]
        self.assertEqual(self.api.run(sandbox, f"echo {n}")["stdout"], f"{n}\n")
        if n % 4 == 0:
            self.api.code(sandbox, "1 + 1")
        self.assertEqual(self.api.delete(f"/sandboxes/{sandbox}").status, 200)

    def test_create_run_kill(self):
        self.cycle(0)
        before = self.settled()
        for n in range(CYCLES):
            self.cycle(n)
        self.assert_as_before(before)

    def test_many_at_once(self):
        self.cycle(0)
        before = self.settled()
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            list(pool.map(self.cycle, range(8)))
        self.assert_as_before(before)

    def test_clients_that_leave_during_create(self):
        before = self.settled()
        body = json.dumps({"provider": "a", "region": "b", "timeout": 5}).encode()
        head = (f"POST /v1/agents/sandboxes HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "
                f"{self.api.key}\r\nContent-Length: {len(body)}\r\n\r\n").encode()
        for _ in range(5):
            with socket.create_connection(("127.0.0.1", self.server.port)) as s:
                s.sendall(head + body)
        time.sleep(1)
        self.assert_as_before(before)


class Idle(ApiTest):
    build = "release"
    options = ("--pool-size", "0")

    def test_resident_memory(self):
        self.assertLess(self.server.resident_kib(), 10 * 1024)
        sandbox = self.api.create()["sandbox_id"]
        self.api.run(sandbox, "seq 100000")
        self.api.code(sandbox, "1")
        self.api.delete(f"/sandboxes/{sandbox}")
        wait_until(lambda: self.server.resident_kib() < 14 * 1024, 5, "memory has come back")

    def test_no_wake_ups(self):
        def switches():
            return int(re.search(r"\nvoluntary\S+\s+(\d+)", self.server.proc("status")).group(1))
        time.sleep(2)
        before = switches()
        time.sleep(5)
        self.assertLessEqual(switches() - before, 10)
