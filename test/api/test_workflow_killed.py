# SPDX-License-Identifier: Apache-2.0
"""Workflows and kill -9 of the server at any moment: what runs in a sandbox goes on without its
server, and the next one attaches to it."""
import random
import time

from accounts import ENVIRONMENTS, WORKFLOWS
from corraltest import Client, patience, wait_until
from test_restart import kill_sandbox
from workflows import WorkflowTest, code, command


class Killed(WorkflowTest):
    """kill -9 of the server in the middle of each step of a diamond."""

    NOTE = "echo {0} >> /tmp/log; sleep 1.5; "

    def restart(self, down=0):
        self.server.kill()
        time.sleep(down)
        self.server.start()

    def wait_running(self, flow, name):
        wait_until(lambda: self.steps(flow)[name]["status"] == "running", 30, "it runs")

    def sandbox_of(self, run):
        api = Client(self.server.port, self.server.key)
        return next((s for s in api.get("/sandboxes").json["sandboxes"]
                     if s["metadata"].get("run_id") == run), {"status": None})

    def test_at_random_moments(self):
        """Between any two commits: every step has run once, though none may be tried again."""
        moments = random.Random(3)
        note = "echo {0} >> /tmp/log; sleep 0.3; echo {0}"
        for _ in range(6):
            flow = self.make(command("a", note.format("a")), command("b", note.format("b"), "a"),
                             command("c", note.format("c"), "a"),
                             command("d", "cat /tmp/log", "b", "c"))
            self.start(flow)
            for _ in range(2):
                time.sleep(moments.random() * 0.7)
                self.restart()
            over = self.wait(flow)
            steps = {s["name"]: s for s in over["steps"]}
            self.assertEqual(over["status"], "completed", over)
            self.assertEqual({s["attempts"] for s in steps.values()}, {1})
            self.assertEqual(sorted(steps["d"]["output"]["stdout"].split()), ["a", "b", "c"])
            for name in "abc":
                self.assertEqual(steps[name]["output"]["stdout"], name + "\n")

    def diamond(self):
        return self.make(
            command("a", self.NOTE.format("a") + "echo A"),
            command("b", self.NOTE.format("b") + "echo b:$X", "a",
                    environment={"X": "${steps.a.stdout}"}),
            command("c", self.NOTE.format("c") + "test -e /tmp/2 || { touch /tmp/2; exit 3; }", "a",
                    retries=1, retry_delay=0),
            code("d", "import os, time\nopen('/tmp/log', 'a').write('d\\n')\ntime.sleep(1.5)\n"
                 "print(os.environ['B'])", "b", "c",
                 environment={"B": "${steps.b.stdout}"}),
            command("e", self.NOTE.format("e") + "cat /tmp/log", "d"))

    def check(self, over):
        steps = {s["name"]: s for s in over["steps"]}
        self.assertEqual(over["status"], "completed", over)
        self.assertEqual(steps["d"]["output"]["stdout"], "b:A\n")
        log = steps["e"]["output"]["stdout"].split()
        usual = {"a": 1, "b": 1, "c": 2, "d": 1, "e": 1}
        self.assertEqual({n: log.count(n) for n in "abcde"}, usual)
        self.assertEqual({n: steps[n]["attempts"] for n in "abcde"}, usual)

    def test_undisturbed(self):
        flow = self.diamond()
        self.start(flow)
        self.check(self.wait(flow))

    def test_in_each_step(self):
        for name in "abcde":
            with self.subTest(step=name):
                flow = self.diamond()
                self.start(flow)
                self.wait_running(flow, name)
                time.sleep(0.7)
                self.restart()
                self.check(self.wait(flow))

    def test_in_every_step_of_one_run(self):
        flow = self.diamond()
        self.start(flow)
        for name in "abde":
            self.wait_running(flow, name)
            time.sleep(0.7)
            self.restart()
        self.check(self.wait(flow))

    STEPS = (
        command("s", "echo 1 >> /tmp/s; echo early; sleep 2; echo 2 >> /tmp/s; echo late; "
                "echo err >&2; exit 7"),
        code("s", "import time\n"
             "def note(n):\n    with open('/tmp/s', 'a') as f: f.write(f'{n}\\n')\n"
             "note(1)\nprint('early', flush=True)\ntime.sleep(2)\nnote(2)\nprint('late')\n"
             "import sys\nprint('err', file=sys.stderr)\n{'answer': 42}"),
    )

    def test_a_step_runs_once_whenever_the_server_dies(self):
        """Before it begins, at its start, twice in its middle, and past its end while it is down."""
        for step in self.STEPS:
            for kills in ((0, 0), (0.1, 0), (0.5, 0), (1.2, 0), (1.9, 0.5), (0.8, 3)):
                with self.subTest(type=step["type"], after=kills[0], down=kills[1]):
                    flow = self.make({**step, "continue_on_error": True},
                                     command("log", "cat /tmp/s", "s"))
                    self.start(flow)
                    if kills[0]:
                        self.wait_running(flow, "s")
                    time.sleep(kills[0])
                    self.restart(kills[1])
                    self.restart()
                    over = self.wait(flow)
                    steps = {s["name"]: s for s in over["steps"]}
                    self.assertEqual(over["status"], "completed", over)
                    self.assertEqual(steps["log"]["output"]["stdout"], "1\n2\n")
                    out = steps["s"]["output"]
                    self.assertEqual((out["stdout"], out["stderr"]), ("early\nlate\n", "err\n"))
                    self.assertEqual(steps["s"]["attempts"], 1)
                    if step["type"] == "command":
                        self.assertIn("exit code 7", steps["s"]["error"])
                    else:
                        self.assertEqual(out["result"], "{'answer': 42}")

    def test_a_stop_leaves_steps_alone(self):
        for step in self.STEPS:
            flow = self.make({**step, "continue_on_error": True},
                             command("log", "cat /tmp/s", "s"))
            self.start(flow)
            self.wait_running(flow, "s")
            time.sleep(0.5)
            self.assertEqual(self.server.stop(), 0)
            self.server.start()
            self.assertEqual(self.wait(flow)["status"], "completed")
            self.assertEqual(self.steps(flow)["log"]["output"]["stdout"], "1\n2\n")

    def test_the_time_out_counts_from_the_real_start(self):
        flow = self.make(command("a", "echo on; sleep 60", timeout=4))
        self.start(flow)
        self.wait_running(flow, "a")
        time.sleep(1)
        self.restart(down=2)
        restarted = time.monotonic()
        over = self.wait(flow)
        self.assertLess(time.monotonic() - restarted, 3.5)
        self.assertEqual((over["status"], over["steps"][0]["output"]["stdout"]), ("failed", "on\n"))
        self.assertIn("time-out", over["steps"][0]["error"])

    def test_an_attached_step_can_be_cancelled(self):
        """In an environment that outlives the run: what it started is gone."""
        made = self.me.post(ENVIRONMENTS, {"name": "mine"}).json["environment_id"]
        steps = command("a", "sleep 987"), code("b", "import time\ntime.sleep(987)")
        for step in steps:
            step["config"]["environment_id"] = made
        look = {"code": "import subprocess\nprint(subprocess.run(['pgrep', '-fc', '[s]leep 987'], "
                        "capture_output=True, text=True).stdout)"}
        count = lambda: int(self.me.post(f"{ENVIRONMENTS}/{made}/execute", look).json["stdout"])
        for restarts in (False, True):
            flow = self.make(*steps)
            self.start(flow)
            wait_until(lambda: count() == 1, 30, "the command runs")
            if restarts:
                self.restart()
                self.assertEqual(self.status(flow)["status"], "running")
                time.sleep(0.5)
                self.assertEqual(count(), 1)
            self.assert_json(self.me.post(f"{WORKFLOWS}/{flow}/cancel"), 200)
            wait_until(lambda: count() == 0, 10, "the command is gone")
        self.me.delete(f"{ENVIRONMENTS}/{made}")

    def test_a_sandbox_that_died_meanwhile(self):
        """Without retries the step fails and says why; with one it is tried again elsewhere."""
        for retries, status in ((0, "failed"), (1, "completed")):
            work = f"test -e /var/tmp/x || sleep {min(patience(2), 20)}"
            flow = self.make(command("a", work, retries=retries, retry_delay=0),
                             command("b", "true", "a"))
            run = self.start(flow)
            self.wait_running(flow, "a")
            # A step of a sandbox that is not ready yet begins again, in another one.
            wait_until(lambda: self.sandbox_of(run)["status"] == "running", 30, "it is ready")
            time.sleep(0.5)
            sandbox = self.sandbox_of(run)["sandbox_id"]
            self.server.kill()
            kill_sandbox(sandbox)
            self.server.start()
            self.assertEqual(self.wait(flow)["status"], status)
            steps = self.steps(flow)
            self.assertEqual(steps["a"]["attempts"], 1 + retries)
            if retries == 0:
                self.assertIn("restarted", steps["a"]["error"])
                self.assertIn("ended", steps["a"]["error"])
                self.assertEqual(steps["b"]["status"], "skipped")

    def test_a_waiting_retry_keeps_its_time(self):
        flow = self.make(command("a", "test -e /tmp/1 || { touch /tmp/1; exit 1; }", retries=1,
                                 retry_delay=4))
        self.start(flow)
        wait_until(lambda: self.steps(flow)["a"]["status"] == "retrying", 30, "it waits")
        self.server.kill()
        self.server.start()
        self.assertEqual(self.steps(flow)["a"]["status"], "retrying")
        self.assertEqual(self.wait(flow)["status"], "completed")
        self.assertEqual(self.steps(flow)["a"]["attempts"], 2)

    def test_finished_runs_stay(self):
        flow = self.make(command("a", "echo kept"))
        self.start(flow)
        before = self.wait(flow)
        self.server.kill()
        self.server.start()
        self.assertEqual(self.status(flow), before)
