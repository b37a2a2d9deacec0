# SPDX-License-Identifier: Apache-2.0
"""Sandboxes that begin as one that runs, or is paused."""
import concurrent.futures
import unittest

from corraltest import HOST, SandboxTest, parse_time, wait_until
from test_snapshots import KIND, MEMORY, Api


class Forks(Api, SandboxTest):
    fields = {"metadata": {"of": "parent"}, "timeout": 1800}

    def test_children(self):
        self.run_command("echo base > kept")
        answer = self.fork(self.box, count=3)
        self.assert_keys(answer, {"sandbox_id", "kind", "memory_bytes", "pause_us", "children"})
        self.assertEqual((answer["kind"], answer["sandbox_id"]), (KIND, self.box))
        boxes = [child["sandbox"]["sandbox_id"] for child in answer["children"]]
        self.assertEqual(len(set(boxes + [self.box])), 4)
        said, hosts = set(), set()
        for child in answer["children"]:
            box = child["sandbox"]["sandbox_id"]
            self.assert_sandbox(child["sandbox"])
            self.assertEqual(child["sandbox"]["metadata"], {"of": "parent"})
            left = parse_time(child["sandbox"]["timeout_at"]) - parse_time(
                child["sandbox"]["started_at"])
            self.assertAlmostEqual(left, 1800, delta=2)
            self.assertEqual(self.api.run(box, "cat kept; echo own > kept")["stdout"], "base\n")
            hosts.add(self.api.run(box, "hostname")["stdout"])
            said.add(self.api.run(box, "od -An -tx8 -N8 /dev/urandom; cat /etc/machine-id")["stdout"])
        self.assertEqual((len(said), len(hosts)), (3, 3))
        self.assertEqual(self.run_command("cat kept")["stdout"], "base\n")
        self.assertEqual(self.assert_json(self.ask("GET"), 200)["total"], 0)
        place = f"{self.server.state}/snapshots"
        wait_until(lambda: not HOST.list(place), 10, "nothing is left of it")

    def test_what_a_child_is_told(self):
        answer = self.fork(self.box, timeout=120, metadata={"is": "child"}, env_vars={"NAME": "c"})
        child = answer["children"][0]["sandbox"]
        self.assertEqual(child["metadata"], {"is": "child"})
        self.assertAlmostEqual(parse_time(child["timeout_at"]) - parse_time(child["started_at"]), 120,
                               delta=2)
        self.assertEqual(self.api.run(child["sandbox_id"], "echo $NAME")["stdout"], "c\n")

    def test_bad_requests(self):
        for fields in ({"count": 0}, {"count": 101}, {"count": "two"}, {"timeout": 10 ** 7},
                       {"env_vars": {"": "x"}}, {"metadata": []}):
            with self.subTest(fields):
                self.assert_error(self.post("fork", fields), 400, "invalid_argument")


class OfPaused(Api, SandboxTest):
    """What is paused stays so, and can be the beginning of others."""

    def pause(self):
        self.assert_json(self.api.post(f"/sandboxes/{self.box}/pause"), 200)

    def tearDown(self):
        if self.state() == "paused":
            self.assert_json(self.api.post(f"/sandboxes/{self.box}/resume"), 200)

    def state(self):
        return self.assert_json(self.api.get(f"/sandboxes/{self.box}/lifecycle"), 200)["state"]

    def value(self, box):
        """Of the variable that the parent's kernel has."""
        return "".join(self.api.code(box, "print(globals().get('x'))")["logs"]["stdout"]).strip()

    def test_a_snapshot_and_a_fork(self):
        self.api.code(self.box, "x = 7")
        self.run_command("echo kept > file")
        self.pause()
        made = self.snapshot(self.box)
        self.assertEqual((made["kind"], made["sandbox_id"]), (KIND, self.box))
        self.assertGreater(made["disk_bytes"], 0)
        answer = self.fork(self.box, count=2)
        self.assertEqual((answer["memory_bytes"], answer["pause_us"]), (None, None))
        self.assertEqual(self.state(), "paused")
        boxes = [child["sandbox"]["sandbox_id"] for child in answer["children"]]
        for box in boxes:
            self.addCleanup(self.api.delete, f"/sandboxes/{box}")
        boxes.append(self.create(template=made["snapshot_id"]))
        for box in boxes:
            self.assertEqual(self.api.run(box, "cat file; echo own > file")["stdout"], "kept\n")
            self.assertEqual(self.value(box), "7" if MEMORY else "None")
        # Neither needs the other: the snapshot outlives the resumption, and the sandbox the snapshot.
        self.assert_json(self.api.post(f"/sandboxes/{self.box}/resume"), 200)
        self.assertEqual(self.run_command("cat file")["stdout"], "kept\n")
        self.assertEqual(self.value(self.box), "7")
        late = self.create(template=made["snapshot_id"])
        self.assertEqual(self.api.run(late, "cat file")["stdout"], "kept\n")
        self.pause()
        self.assertEqual(self.ask("DELETE", made["snapshot_id"]).status, 200)
        self.assert_json(self.api.post(f"/sandboxes/{self.box}/resume"), 200)
        self.assertEqual(self.value(self.box), "7")

    def test_who_resumes_it_meanwhile_waits(self):
        self.run_command("head -c 4000000 /dev/urandom > large")
        self.pause()
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            snapshot = pool.submit(self.api.post, f"/sandboxes/{self.box}/snapshots", {})
            resumed = pool.submit(self.api.post, f"/sandboxes/{self.box}/resume")
            self.assert_json(resumed.result(), 200)
            answer = snapshot.result()
        self.assertEqual(self.state(), "running")
        self.assertEqual(self.run_command("stat -c %s large")["stdout"], "4000000\n")
        if answer.status == 409:  # it came while the sandbox resumed
            self.assert_error(answer, 409, "conflict")
        else:
            made = self.assert_json(answer, 201)["snapshot_id"]
            self.assertEqual(self.ask("DELETE", made).status, 200)

    def test_its_end_ends_both(self):
        box = self.create()
        self.assert_json(self.api.post(f"/sandboxes/{box}/pause"), 200)
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            snapshot = pool.submit(self.api.post, f"/sandboxes/{box}/snapshots", {})
            self.assertEqual(pool.submit(self.api.delete, f"/sandboxes/{box}").result().status, 200)
            answer = snapshot.result()
        if answer.status == 201:  # it was first
            self.assertEqual(self.ask("DELETE", answer.json["snapshot_id"]).status, 200)
        else:
            self.assertIn(answer.json["error"]["code"],
                          ("sandbox_gone", "invalid_state", "sandbox_not_found"))
        place = f"{self.server.state}/snapshots"
        wait_until(lambda: not HOST.list(place), 10, "nothing is left of it")

    def test_surfaces(self):
        self.run_command("echo kept > file")
        self.pause()
        e2b = self.api.request("POST", f"/sandboxes/{self.box}/fork", {"count": 1},
                               {"X-API-Key": self.api.key}, prefix="")
        gravix = self.api.request("POST", f"/v1/agents/runtime/{self.box}/fork", {"count": 1},
                                  prefix="")
        boxes = [self.assert_json(e2b, 201)[0]["sandbox"]["sandboxID"],
                 self.assert_json(gravix, 201)["children"][0]["runtime"]["runtime_id"]]
        for box in boxes:
            self.addCleanup(self.api.delete, f"/sandboxes/{box}")
            self.assertEqual(self.api.run(box, "cat file")["stdout"], "kept\n")
        self.assertEqual(self.state(), "paused")


@unittest.skipUnless(MEMORY, "no process of a container is in its fork")
class LiveForks(Api, SandboxTest):
    """Memory goes from one microVM to the others, and the parent runs on."""
    # It writes as fast as it can, and says how often it has written all.
    WRITER = ("python3 -uc \"import itertools\nb = bytearray(16 << 20)\nfor n in itertools.count():\n"
              " for i in range(0, len(b), 4096): b[i] = n & 255\n print(n)\"")
    DRAWN = "import random, numpy, os; print(len(df), random.random(), numpy.random.rand(), os.urandom(8).hex())"

    def said(self, box, pid):
        """What the process has said so far, by its numbers of events."""
        got = self.assert_json(self.api.get(f"/sandboxes/{box}/processes/{pid}"), 200)
        return got["status"], got["next_seq"]

    def goes_on(self, box, pid):
        _, first = self.said(box, pid)
        wait_until(lambda: self.said(box, pid)[1] > first, 20, "its process goes on")
        self.assertEqual(self.said(box, pid)[0], "running")

    def drawn(self, box):
        answer = self.api.code(box, self.DRAWN)
        self.assertIsNone(answer["error"], answer)
        return answer["logs"]["stdout"][0].split()

    def children(self, box, count):
        answer = self.fork(box, count=count)
        self.assertGreater(answer["pause_us"], 0)
        boxes = [child["sandbox"]["sandbox_id"] for child in answer["children"]]
        for one in boxes:
            self.addCleanup(self.api.delete, f"/sandboxes/{one}")
        return answer, boxes

    def test_processes_and_kernels_go_on_in_each(self):
        self.api.code(self.box, "import pandas, numpy; df = pandas.DataFrame(numpy.ones((200000, 4)))")
        answer = self.api.post(f"/sandboxes/{self.box}/processes", {"command": self.WRITER})
        pid = self.assert_json(answer, 201)["pid"]
        self.goes_on(self.box, pid)
        answer, boxes = self.children(self.box, 3)
        self.assertGreater(answer["memory_bytes"], 200000 * 4 * 8)
        drawn = [self.drawn(box) for box in boxes + [self.box]]
        self.assertEqual({values[0] for values in drawn}, {"200000"})
        for column in zip(*(values[1:] for values in drawn)):
            self.assertEqual(len(set(column)), 4, column)
        for box in boxes + [self.box]:
            self.goes_on(box, pid)
        # A child is a microVM like others: it is put away, kept and forked with what it shares.
        self.assert_json(self.api.post(f"/sandboxes/{boxes[0]}/pause"), 200)
        self.assert_json(self.api.post(f"/sandboxes/{boxes[0]}/resume"), 200)
        made = self.snapshot(boxes[1])["snapshot_id"]
        self.api.delete(f"/sandboxes/{self.box}")
        _, grandchildren = self.children(boxes[2], 1)
        for box in (boxes[0], self.create(template=made), grandchildren[0], boxes[2]):
            self.assertEqual(self.drawn(box)[0], "200000")
            self.goes_on(box, pid)
        self.assertEqual(self.ask("DELETE", made).status, 200)

    def test_a_hundred_at_once(self):
        """Each runs and is like no other, or says why it cannot be had; the parent runs on."""
        answer = self.fork(self.box, count=100)
        self.assertEqual(len(answer["children"]), 100)
        boxes = [child["sandbox"]["sandbox_id"] for child in answer["children"] if "sandbox" in child]
        for one in boxes:
            self.addCleanup(self.api.delete, f"/sandboxes/{one}")
        for child in answer["children"]:
            self.assertTrue("sandbox" in child or child["error"]["code"] == "quota_exceeded", child)
        said = {self.api.run(box, "od -An -tx8 -N8 /dev/urandom")["stdout"] for box in boxes}
        self.assertEqual(len(said), len(boxes))
        print(f"note of a hundred children {len(boxes)} run", flush=True)
        self.assertEqual(self.run_command("echo on")["stdout"], "on\n")


if __name__ == "__main__":
    unittest.main()
