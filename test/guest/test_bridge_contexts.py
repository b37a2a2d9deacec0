# SPDX-License-Identifier: Apache-2.0
"""Contexts: isolation, life time, limits, turns."""
import threading
import time

from guesthost import GuestTest, wire

HOUR = 3600


class Contexts(GuestTest):
    def tearDown(self):
        for name in ("a", "b"):
            self.delete_context(name)

    def test_contexts_do_not_see_each_other(self):
        for name in ("a", "b"):
            self.create_context(name)
            self.run_code(f"x = '{name}'", context=name)
        self.assertEqual(self.value("x", context="a"), "'a'")
        self.assertEqual(self.value("x", context="b"), "'b'")
        self.assertEqual(self.run_code("x").errors[0][0], "NameError")

    def test_what_a_context_says_of_itself(self):
        now = time.time() * 1000
        kind, fields = self.create_context("a", cwd="/tmp", lifetime=HOUR)
        self.assertEqual((kind, fields[:4]), (wire.CONTEXT, ["a", "python", "/tmp", "active"]))
        created, expires, used = fields[4:]
        self.assertLess(abs(created - now), 5000)
        self.assertEqual((expires - created, used), (HOUR * 1000, created))
        self.run_code("1", context="a")
        self.assertGreater(self.get_context("a")[1][6], used)
        with wire.Connection(self.socket, wire.code_run("import time; print(1, flush=True); "
                                                        "time.sleep(30)", context="a")) as run:
            run.next()
            self.assertEqual(self.get_context("a")[1][3], "busy")

    def test_working_directories(self):
        self.create_context("a", cwd="new/deep")
        self.assertEqual(self.value("import os; os.getcwd()", context="a"), "'/home/user/new/deep'")
        for cwd in ("/nowhere/at/all", "/etc/passwd", "/home/user/../../root/x"):
            self.assert_refused(self.create_context("b", cwd=cwd), wire.E_INVALID)

    def test_the_language_of_a_context_counts(self):
        self.create_context("a", language="bash")
        outcome = self.run_code("echo $((1 + 1))", context="a", language="python")
        self.assertEqual(outcome.stdout, "2\n")

    def test_bad_requests(self):
        self.assert_refused(self.create_context(""), wire.E_INVALID)
        self.assert_refused(self.create_context("a", lifetime=0), wire.E_INVALID)
        self.assert_refused(self.create_context("a", language="cobol"), wire.E_LANGUAGE)
        self.create_context("a")
        self.assert_refused(self.create_context("a"), wire.E_EXISTS)
        self.assert_refused(self.get_context("unknown"), wire.E_CONTEXT)
        self.assert_refused(self.delete_context("unknown"), wire.E_CONTEXT)
        self.assertEqual(self.run_code("1", context="unknown").refusal[0], wire.E_CONTEXT)

    def test_deleting_ends_the_run(self):
        self.create_context("a")
        with wire.Connection(self.socket, wire.code_run("print(1, flush=True)\nwhile True: pass",
                                                        context="a"), timeout=20) as run:
            run.next()
            queued = wire.Connection(self.socket, wire.code_run("1", context="a"), timeout=20)
            time.sleep(0.2)
            self.assertEqual(self.delete_context("a"), (wire.OK, []))
            self.assertEqual(run.all()[-1][1][0], wire.KERNEL_DIED)
            self.assertEqual(queued.all()[-1][1][0], wire.E_CONTEXT)
            queued.close()
        self.assert_refused(self.get_context("a"), wire.E_CONTEXT)

    def test_an_interrupt_at_once_is_not_lost(self):
        """A kernel ignores signals before it begins the code, and the context is busy earlier."""
        self.create_context("a")
        for _ in range(10):
            with wire.Connection(self.socket, wire.code_run("import time; time.sleep(1000)",
                                                            context="a"), timeout=60) as run:
                while self.get_context("a")[1][3] != "busy":
                    pass
                self.assertEqual(self.ask(wire.CONTEXT_INTERRUPT, wire.string("a"),
                                          wire.string("python")), (wire.OK, []))
                ends = [fields for kind, fields in run.all() if kind == wire.CODE_ERROR]
                self.assertEqual([end[0] for end in ends], ["KeyboardInterrupt"])
        self.assertEqual(self.value("1", context="a"), "1")

    def test_an_interrupt_just_before_a_call_that_waits_ends_it(self):
        """Without the signal that would end the call itself, as when that has come already."""
        outcome = self.run_code("import _thread, threading, time\n"
                                "threading.Timer(0.3, _thread.interrupt_main).start()\n"
                                "time.sleep(1000)", timeout_ms=30000)
        self.assertEqual(outcome.status, wire.RAISED)
        name, _, trace = outcome.errors[0]
        self.assertEqual(name, "KeyboardInterrupt")
        self.assertIn("time.sleep(1000)", trace)
        self.assertNotIn("corral", trace)

    def test_an_interrupt_that_was_taken_comes_once(self):
        self.assertEqual(self.value("import _thread, time\ncount = 0\n"
                                    "for _ in range(3):\n"
                                    "    try:\n        _thread.interrupt_main(); time.sleep(0.3)\n"
                                    "    except KeyboardInterrupt:\n        count += 1\n"
                                    "        time.sleep(0.3)\n"
                                    "count"), "3")
        self.assertEqual(self.value("import os, signal, time\ntaken = []\n"
                                    "own = signal.signal(signal.SIGINT, lambda *_: taken.append(1))\n"
                                    "os.kill(os.getpid(), signal.SIGINT)\ntime.sleep(1)\n"
                                    "_ = signal.signal(signal.SIGINT, own)\nlen(taken)"), "1")

    def test_a_timeout_at_once_keeps_the_state(self):
        self.create_context("a")
        self.run_code("kept = 1", context="a")
        for milliseconds in range(1, 21, 2):
            outcome = self.run_code("while True: pass", context="a", timeout_ms=milliseconds)
            self.assertEqual(outcome.status, wire.TIMED_OUT, outcome.frames)
        self.assertEqual(self.value("kept", context="a"), "1")

    def test_a_run_outlives_its_context(self):
        self.create_context("a", lifetime=3)
        outcome = self.run_code("import time; time.sleep(4); 'finished'", context="a")
        self.assertEqual((outcome.status, outcome.text), (wire.DONE_OK, "'finished'"))
        self.assert_refused(self.get_context("a"), wire.E_CONTEXT)
        self.assertEqual(self.run_code("1", context="a").refusal[0], wire.E_CONTEXT)

    def test_there_is_a_limit(self):
        names = [f"many-{i}" for i in range(33)]
        try:
            # Made and deleted at once: kernels still starting must go, too.
            replies = [self.create_context(name, language="bash", lifetime=60) for name in names]
            self.assertTrue(all(kind == wire.CONTEXT for kind, _ in replies[:32]))
            self.assert_refused(replies[32], wire.E_BUSY)
        finally:
            for name in names[:32]:
                self.delete_context(name)
        self.assertEqual(self.value("1"), "1")


class Turns(GuestTest):
    def test_runs_take_turns_in_order(self):
        self.run_code("import time\norder = []")
        connections = []
        for i in range(5):
            code = f"time.sleep(0.1)\norder.append({i})"
            connections.append(wire.Connection(self.socket, wire.code_run(code)))
            time.sleep(0.02)
        for connection in connections:
            self.assertEqual(connection.all()[-1][0], wire.DONE)
            connection.close()
        self.assertEqual(self.value("order"), "[0, 1, 2, 3, 4]")

    def test_the_queue_is_bounded_and_leaving_makes_room(self):
        self.run_code("ran = 0")
        blocker = wire.Connection(self.socket, wire.code_run("while True: pass"))
        time.sleep(0.3)
        waiting = [wire.Connection(self.socket, wire.code_run("ran += 1")) for _ in range(64)]
        time.sleep(0.5)
        self.assertEqual(self.run_code("ran += 1").refusal[0], wire.E_BUSY)
        for connection in waiting[:60]:
            connection.close()
        time.sleep(0.5)
        last = wire.Connection(self.socket, wire.code_run("ran += 100"))
        time.sleep(0.2)
        blocker.close()
        self.assertEqual(last.all()[-1][1][0], wire.DONE_OK)
        last.close()
        self.assertEqual(self.value("ran"), "104")

    def test_a_timeout_starts_with_the_run(self):
        self.run_code("import time")
        first = threading.Thread(target=self.run_code, args=("time.sleep(1.5)",))
        first.start()
        time.sleep(0.3)
        self.assertEqual(self.value("'ran'", timeout_ms=1000), "'ran'")
        first.join()

    def test_other_contexts_do_not_wait(self):
        self.create_context("other")
        self.value("1", context="other")
        with wire.Connection(self.socket, wire.code_run("while True: pass")):
            self.assertLess(self.run_code("1", context="other").seconds, 5)
