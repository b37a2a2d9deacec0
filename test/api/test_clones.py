# SPDX-License-Identifier: Apache-2.0
"""Many sandboxes of one template, alive at once: what should differ does from the first answer on,
and their clocks are right. On kvm they are clones of one snapshot, with the same memory.

Environment: CORRAL_CLONES (how many; default 30 on kvm, 6 on oci).
"""
import concurrent.futures
import json
import os
import re
import time
import unittest

from corraltest import HOST, ISOLATION, ApiTest, wait_until
from hosts import guest_area
from monitors import guest_kib, monitors

KVM = ISOLATION == "kvm"
COUNT = int(os.environ.get("CORRAL_CLONES", "30" if KVM else "6"))
CLOCK_S = 0.1  # a clone's clock is at most this far from its host's
CLOCK_TRIES = 5  # at least
CLOCK_TRIES_MAX = 20
OUTSIDE_KIB = 1024  # anonymous memory of a VMM that is not the guest's
SHARED = 0.85  # of it is left at most, when a clone that has run code is at rest
REST_S = 20  # until all are
SHARE_AFTER = "40s"  # long enough to look at a clone after its run, also on a busy machine
FEW = 4
SIDE_BY_SIDE = 4  # requests

# What code sees of every generator at its very first run.
PYTHON = """
import json, os, random, secrets, ssl, tempfile, uuid
import numpy
print(json.dumps({
    "os.urandom": os.urandom(16).hex(),
    "random.random": random.random(),
    "random.Random": random.Random().random(),
    "numpy.random.random": numpy.random.random(),
    "numpy.random.default_rng": numpy.random.default_rng().random(),
    "uuid.uuid4": str(uuid.uuid4()),
    "uuid.uuid1": str(uuid.uuid1()),
    "secrets.token_hex": secrets.token_hex(8),
    "ssl.RAND_bytes": ssl.RAND_bytes(16).hex(),
    "tempfile": tempfile.mktemp(),
}))
"""

NODE = """
{
    const { createECDH, randomBytes, randomInt, randomUUID } = require("crypto");
    const ecdh = createECDH("prime256v1");
    console.log(JSON.stringify({
        "Math.random": Math.random(),
        "crypto.randomUUID": crypto.randomUUID(),
        "node:crypto.randomUUID": randomUUID(),
        "crypto.randomBytes": randomBytes(16).toString("hex"),
        "crypto.randomInt": randomInt(2 ** 47),
        "crypto.getRandomValues": crypto.getRandomValues(new Uint8Array(16)).join(),
        "ecdh.generateKeys": ecdh.generateKeys("hex"),
        "vm context": require("vm").runInNewContext("Math.random()"),
    }));
}
"""

# One value of $RANDOM has 15 bits: two of 30 clones may well have the same.
BASH = """
printf '{"RANDOM": "%s %s %s %s"}' $RANDOM $RANDOM $RANDOM $RANDOM
"""

IDENTITY = """
printf '{"hostname": "%s", "machine-id": "%s", "boot_id": "%s"}' \
    "$(uname -n)" "$(cat /etc/machine-id)" "$(cat /proc/sys/kernel/random/boot_id)"
"""


def side_by_side(work, items, width=SIDE_BY_SIDE):
    with concurrent.futures.ThreadPoolExecutor(width) as pool:
        return list(pool.map(work, items))


class ClonesTest(ApiTest):
    """`count` sandboxes of `template`, `boxes`, that have not run anything yet."""

    count = COUNT
    options = ("--share-after", SHARE_AFTER)

    template = "python-base-v1"

    @classmethod
    def prepare(cls):
        cls.boxes = side_by_side(lambda _: cls.api.create(
            template=cls.template, timeout=3600)["sandbox_id"], range(cls.count))

    def values(self, code, language, width=SIDE_BY_SIDE, then=lambda box: None):
        """What each clone prints: one JSON object. `then` is called after its run."""
        def run(box):
            answer = self.api.code(box, code, language=language)
            self.assertIsNone(answer["error"], answer)
            then(box)
            return json.loads("".join(answer["logs"]["stdout"]))
        return side_by_side(run, self.boxes, width)

    def assert_all_differ(self, values, but=()):
        for name in values[0]:
            seen = [value[name] for value in values]
            if name not in but:
                self.assertEqual(len(set(seen)), len(self.boxes), (name, seen))
                self.assertTrue(all(str(one).strip() for one in seen), (name, seen))

    def clock_error(self, box):
        """The guest's clock minus the host's lies between these two. Requests take their time, so
        it is asked until they are close together."""
        low, high = float("-inf"), float("inf")
        for tries in range(CLOCK_TRIES_MAX):
            if tries >= CLOCK_TRIES and high - low <= CLOCK_S:
                break
            before = HOST.clock()
            guest = float(self.api.run(box, "date +%s.%N")["stdout"])
            after = HOST.clock()
            low, high = max(low, guest - after), min(high, guest - before)
        return low, high


class Python(ClonesTest):
    """The tests run in the order of their names: the first runs of code come first."""

    first_kib = []  # anonymous memory of each guest right after its first run

    def test_1_first_values_differ(self):
        def look(box):
            if KVM:
                type(self).first_kib.append(guest_kib(box))
        self.assert_all_differ(self.values(PYTHON, "python", then=look))

    @unittest.skipUnless(KVM, "a process of its own for each sandbox is what microVMs have")
    def test_2_memory(self):
        self.assertEqual(len(self.first_kib), COUNT)
        first = sum(self.first_kib) / COUNT
        self.note(f"{COUNT} clones after one run: anonymous in the guest {first / 1024:.1f} MiB")
        wait_until(lambda: self.memory() < SHARED * first, 60, "clones share again what is the same")
        time.sleep(REST_S)
        self.memory("at rest")

    def memory(self, when=None):
        """The mean of the guests' anonymous memory in KiB."""
        pss, guests, rest = [], [], []
        for pid, areas in monitors(self.boxes):
            guest = guest_area(areas)
            pss.append(sum(a["Pss"] for a in areas))
            guests.append(guest["Anonymous"])
            rest.append(sum(a["Anonymous"] for a in areas if a is not guest))
            self.assertLess(rest[-1], OUTSIDE_KIB, pid)
        self.assertEqual(len(pss), COUNT)
        if when:
            self.note(f"{COUNT} clones {when}: mean PSS {sum(pss) / COUNT / 1024:.1f} MiB,"
                      f" anonymous in the guest {sum(guests) / COUNT / 1024:.1f} MiB,"
                      f" outside of it at most {max(rest)} KiB")
        return sum(guests) / COUNT

    def test_3_identities_differ(self):
        values = [json.loads(self.api.run(box, IDENTITY)["stdout"]) for box in self.boxes]
        self.assert_all_differ(values, but=() if KVM else ("boot_id",))
        for box, value in zip(self.boxes, values):
            letter = "" if re.search("[a-f]", box[:8]) else "s"  # not to be taken for an address
            self.assertEqual(value["hostname"], letter + box[:8])
            self.assertRegex(value["machine-id"], "^[0-9a-f]{32}$")
            self.assertRegex(value["boot_id"], "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")

    def test_4_clocks_are_right(self):
        errors = [self.clock_error(box) for box in self.boxes]
        middles = [500 * (low + high) for low, high in errors]
        self.note(f"clocks of {COUNT} clones are off by {min(middles):.0f} to {max(middles):.0f} ms,"
                  f" give or take {500 * max(high - low for low, high in errors):.0f} ms")
        for box, (low, high) in zip(self.boxes, errors):
            self.assertTrue(low <= CLOCK_S and high >= -CLOCK_S, (box, low, high))

    @unittest.skipUnless(KVM, "vsock is the way into microVMs")
    def test_5_the_agent_is_the_servers_alone(self):
        """Whatever a process of the sandbox connects to, itself or the host, no agent answers."""
        code = """
import socket, struct
answers = []
for cid in (1, 2, 3):
    with socket.socket(socket.AF_VSOCK) as s:
        s.settimeout(5)
        try:
            s.connect((cid, 1024))
            s.sendall(struct.pack("<IHH", 0, 1, 0))
            answers.append(s.recv(1))
        except OSError:
            answers.append(b"")
b"".join(answers)
"""
        answer = self.api.code(self.boxes[0], code)
        self.assertEqual(answer["results"]["result"]["data"]["text/plain"], "b''")

    def test_6_time_goes_on(self):
        """A clone whose timers stand still answers, but does not wake up from a sleep."""
        code = "import time; a = time.monotonic(); time.sleep(0.2); time.monotonic() - a >= 0.2"
        for answer in side_by_side(lambda box: self.api.code(box, code), self.boxes):
            self.assertEqual(answer["results"]["result"]["data"]["text/plain"], "True")

    def note(self, text):
        print(f"note clones: {text}", flush=True)


class Bash(ClonesTest):
    """Its kernel starts cold, which is seconds of work in each clone: a few stand for all, one at a
    time."""

    count = FEW

    def test_values_differ(self):
        self.assert_all_differ(self.values(BASH, "bash", width=1))


@unittest.skipUnless("javascript-base-v1" in HOST.templates(), "javascript-base-v1 is not built")
class Node(ClonesTest):
    template = "javascript-base-v1"

    def test_first_values_differ(self):
        self.assert_all_differ(self.values(NODE, "javascript"))
        self.assert_all_differ(self.values(NODE, "typescript"))
