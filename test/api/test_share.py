# SPDX-License-Identifier: Apache-2.0
"""A microVM at rest shares again with its template what it has written and not changed."""
import unittest

from corraltest import ISOLATION, SandboxTest, wait_until
from monitors import guest_kib

RUN = """
import pandas
kept = pandas.DataFrame({"a": range(1000)})
print(kept.describe())
"""
# Every page is written and becomes again what it was, all the time, but for one word of each that
# counts. No traffic comes out of it while the guest is looked at.
BORROW = """
import numpy, time
pages = numpy.zeros((4096, 512), dtype=numpy.uint64)
end, rounds = time.monotonic() + 8, 0
while time.monotonic() < end:
    pages[:, 1:] += 1
    pages[:, 0] += 1
    pages[:, 1:] -= 1
    rounds += 1
bool((pages[:, 0] == rounds).all() and (pages[:, 1:] == 0).all())
"""


@unittest.skipUnless(ISOLATION == "kvm", "containers have their memory from one host")
class Rest(SandboxTest):
    options = ("--share-after", "2s")
    fields = {"template": "python-base-v1"}

    def code(self, code):
        answer = self.api.code(self.box, code)
        self.assertIsNone(answer["error"], answer)
        result = answer["results"]["result"]
        return result and result["data"]["text/plain"]

    def setUp(self):
        self.box = self.create(timeout=1800)

    def settled(self, below):
        wait_until(lambda: guest_kib(self.box) < below, 60, f"less than {below} KiB are private")
        return guest_kib(self.box)

    def test_what_a_run_borrows(self):
        self.code(RUN)
        first = guest_kib(self.box)
        rest = self.settled(first * 0.8)
        self.assertEqual(self.code("int(kept.a.sum())"), "499500")
        again = guest_kib(self.box)
        self.assertGreater(again, rest)
        print(f"note share: after a run {first} KiB, at rest {rest}, after another {again}", flush=True)
        self.settled(again)
        self.assertEqual(self.code("int(kept.a.sum())"), "499500")

    def test_nothing_wakes_a_guest(self):
        """Of what its kernel would do by itself."""
        answer = self.run_command("cat /proc/sys/vm/compaction_proactiveness /proc/sys/kernel/watchdog;"
                                  " ls -d /proc/pressure; ls -A /proc/fs/jbd2")
        self.assertEqual(answer["stdout"].split(), ["0", "0"], answer)

    def test_a_guest_at_work(self):
        for _ in range(3):
            self.assertEqual(self.code(BORROW), "True")

    def test_a_snapshot_of_it(self):
        """A fork of a guest at rest has what is shared from the template, and the rest from it."""
        self.code(RUN)
        self.settled(guest_kib(self.box) * 0.8)
        answer = self.assert_json(self.post("fork", {"count": 1}), 201)
        child = answer["children"][0]["sandbox"]["sandbox_id"]
        self.addCleanup(self.api.delete, f"/sandboxes/{child}")
        answer = self.api.code(child, "int(kept.a.sum())")
        self.assertEqual(answer["results"]["result"]["data"]["text/plain"], "499500", answer)


@unittest.skipUnless(ISOLATION == "kvm", "containers have their memory from one host")
class Never(SandboxTest):
    options = ("--share-after", "0")
    fields = {"template": "python-base-v1"}

    def test_nothing_is_given_back(self):
        self.box = self.create(timeout=1800)
        self.api.code(self.box, RUN)
        before = guest_kib(self.box)
        self.api.code(self.box, "import time; time.sleep(15)")
        self.assertGreater(guest_kib(self.box), before * 0.9)
