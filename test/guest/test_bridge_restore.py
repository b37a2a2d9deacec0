# SPDX-License-Identifier: Apache-2.0
"""A restore from a snapshot, as the bridge and its kernels see it: the wall clock jumps by a day,
the monotonic clock does not, and CODE_ENV comes with a seed."""
import os
import struct
import subprocess
import threading
import time
import unittest

from guesthost import GuestHost, GuestTest, wire

HERE = os.path.dirname(os.path.abspath(__file__))
DAY_S = 86400


class RestoreTest(GuestTest):
    @classmethod
    def setUpClass(cls):
        cls.host = GuestHost(cls.template, cls.warmup, cls.prepare)
        cls.addClassCleanup(cls.host.stop)
        cls.socket = cls.host.socket

    @staticmethod
    def prepare(shared):
        subprocess.run(["cc", "-Wall", "-O1", "-shared", "-fPIC", "-o", f"{shared}/wallclock.so",
                        f"{HERE}/wallclock.c"], check=True)
        with open(f"{shared}/wallclock", "wb") as file:
            file.truncate(8 + 4 * 65536)
        os.chmod(f"{shared}/wallclock", 0o666)
        return ["LD_PRELOAD=/mnt/test/wallclock.so", "CORRAL_WALLCLOCK=/mnt/test/wallclock"]

    def set_clock(self, offset_s):
        with open(f"{self.host.shared}/wallclock", "r+b") as file:
            file.write(struct.pack("<q", offset_s * 10**9))

    def draws(self, pid):
        """How often the process has asked the kernel for random bytes."""
        with open(f"{self.host.shared}/wallclock", "rb") as file:
            file.seek(8 + 4 * pid)
            return struct.unpack("<I", file.read(4))[0]

    def setUp(self):
        self.set_clock(-DAY_S)

    def restore(self, seed="seed"):
        self.set_clock(0)
        self.set_environment(["RESTORED=1"], seed)

    def assert_asks_after_the_jump(self, pid, use):
        """`use` makes a library draw from its own generator."""
        use()
        before = self.draws(pid)
        use()
        self.assertEqual(self.draws(pid), before, "it asks the kernel each time")
        self.set_clock(0)
        use()
        self.assertGreater(self.draws(pid), before)


class Clock(RestoreTest):
    def test_contexts_live_on(self):
        self.create_context("a", lifetime=600)
        self.value("import time; x = 41; time.time()", context="a")
        created = self.get_context("a")[1][4]
        self.assertAlmostEqual(created / 1000, time.time() - DAY_S, delta=60)
        self.restore()
        kind, fields = self.get_context("a")
        self.assertEqual((kind, fields[0]), (wire.CONTEXT, "a"))
        self.assertAlmostEqual(fields[4] - created, DAY_S * 1000, delta=100)
        self.assertEqual(fields[5] - fields[4], 600 * 1000)
        self.assertEqual(self.get_context("a")[1][4:6], fields[4:6])
        self.assertEqual(self.value("x + 1", context="a"), "42")
        now = float(self.value("time.time()", context="a"))
        self.assertAlmostEqual(now, time.time(), delta=5)

    def test_contexts_still_expire(self):
        self.create_context("b", language="bash", lifetime=3)
        self.restore()
        self.assertEqual(self.get_context("b")[0], wire.CONTEXT)
        time.sleep(3.2)
        self.assert_refused(self.get_context("b"), wire.E_CONTEXT)

    def test_a_run_goes_on(self):
        self.value("import time; time.sleep(0)")
        outcomes = []
        runs = [threading.Thread(target=lambda: outcomes.append(self.run_code(
            "time.sleep(2); print('end')", timeout_ms=20000)))]
        runs.append(threading.Thread(target=lambda: outcomes.append(self.run_code(
            "import time\ntime.sleep(2); print('end')", context="c", timeout_ms=20000))))
        self.create_context("c")
        self.value("1", context="c")
        for run in runs:
            run.start()
        time.sleep(1)
        self.restore()
        for run in runs:
            run.join()
        for outcome in outcomes:
            self.assertEqual((outcome.status, outcome.stdout), (wire.DONE_OK, "end\n"))
            self.assertLess(outcome.seconds, 10)

    def test_timeouts_are_as_long_as_before(self):
        self.value("import time; time.sleep(0)")
        self.restore()
        self.assertEqual(self.value("time.sleep(1); 'in time'", timeout_ms=5000), "'in time'")
        outcome = self.run_code("time.sleep(60)", timeout_ms=500)
        self.assertEqual(outcome.status, wire.TIMED_OUT)
        self.assertLess(outcome.seconds, 5)

    def test_bash_and_the_way_back(self):
        self.output("x=1")
        self.restore()
        self.assertEqual(self.output("sleep 0.3; echo $x $RESTORED"), "1 1\n")
        self.set_clock(-DAY_S)
        self.assertEqual(self.output("echo $x"), "1\n")


class Generators(RestoreTest):
    def test_openssl_in_python(self):
        pid = int(self.value("import os, ssl; os.getpid()"))
        self.assert_asks_after_the_jump(pid, lambda: self.value("ssl.RAND_bytes(8)"))

    def test_openssl_of_libraries_in_threads(self):
        """Each thread has a generator of its own, which asks that of the process."""
        pid = int(self.value(
            "import os, ssl, queue, threading\n"
            "asked, told = queue.Queue(), queue.Queue()\n"
            "def serve():\n"
            "    while True:\n"
            "        told.put(ssl.RAND_bytes(asked.get()))\n"
            "threading.Thread(target=serve, daemon=True).start(); os.getpid()"))
        self.assert_asks_after_the_jump(pid, lambda: self.value("asked.put(8); told.get()"))

    def test_python_modules(self):
        """Acts like two clones: each generator has the same state and gets another seed."""
        draw = ("import random, numpy, uuid, tempfile\n"
                "random.seed(7); numpy.random.seed(7); uuid._node = 5")
        look = ("(random.random(), numpy.random.random(), uuid.getnode(), "
                "next(tempfile._get_candidate_names()), uuid.uuid1().node, uuid.uuid4())")
        seen = []
        for i in range(4):
            self.run_code(draw)
            self.restore(f"seed {i}")
            seen.append(self.value(look).strip("()").split(", "))
        for column in zip(*seen):
            self.assertEqual(len(set(column)), 4, column)

    def test_a_kernel_that_is_busy_catches_up(self):
        """No code runs before the seed has come, not even code that waits already."""
        self.run_code("import random, time")
        values = set()
        for seed in "abc":
            with wire.Connection(self.socket, wire.code_run("random.seed(3); time.sleep(1)")):
                time.sleep(0.3)
                started = time.monotonic()
                self.restore(seed)
                self.assertLess(time.monotonic() - started, 0.5)
                # Not closed before its end, because that would interrupt it.
                time.sleep(1)
            values.add(self.value("random.random()"))
        self.assertEqual(len(values), 3)

    def test_a_kernel_that_cannot_be_reseeded_is_replaced(self):
        self.run_code("import random\nrandom.seed = None\nmine = 1")
        self.restore()
        self.assertEqual(self.run_code("mine").errors[0][0], "NameError")
        self.assertEqual(self.value("1 + 1"), "2")


class Node(RestoreTest):
    template = "javascript-base-v1"

    def js_value(self, code):
        return self.value(code, language="javascript")

    def test_openssl(self):
        pid = int(self.js_value("ecdh = require('crypto').createECDH('prime256v1'); process.pid"))
        self.assert_asks_after_the_jump(pid, lambda: self.js_value("ecdh.generateKeys('hex')"))

    def test_openssl_of_the_thread_pool(self):
        pid = int(self.js_value(
            "make = () => new Promise((done) => require('crypto').generateKeyPair('ed25519', {},"
            "(fault, key) => done(key)));"
            # Every thread of the pool makes one.
            "all = () => Promise.all([...Array(64)].map(make)); process.pid"))
        self.assert_asks_after_the_jump(pid, lambda: self.js_value("await all(); 1"))

    def test_webcrypto(self):
        pid = int(self.js_value("process.pid"))
        self.assert_asks_after_the_jump(pid, lambda: self.js_value(
            "await Promise.all([...Array(64)].map(() => crypto.subtle.generateKey("
            "{name: 'AES-GCM', length: 256}, true, ['encrypt']))); 1"))


class OldPython(RestoreTest):
    template = "python-3.9"

    def test_openssl(self):
        pid = int(self.value("import os, ssl; os.getpid()"))
        self.assert_asks_after_the_jump(pid, lambda: self.value("ssl.RAND_bytes(8)"))

if __name__ == "__main__":
    unittest.main()
