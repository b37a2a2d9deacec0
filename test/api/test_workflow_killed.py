# SPDX-License-Identifier: Apache-2.0
"""Workflows and kill -9 of the server at any moment: what runs in a sandbox goes on without its
server, and the next one attaches to it."""
import random
import time

from accounts import ENVIRONMENTS, WORKFLOWS
from corraltest import patience, wait_until
from test_restart import kill_sandbox
from workflows import HOLD, HOLD_CODE, WorkflowTest, code, command


# Each notes that it has begun, waits until the test lets it go, and notes its end.
COMMAND = command("s", "echo begun >> /tmp/s; echo early; " + HOLD.format("s")
                  + "echo over >> /tmp/s; echo late; echo err >&2; exit 7", continue_on_error=True)
CODE = code("s", "def note(text):\n    with open('/tmp/s', 'a') as f: f.write(text + '\\n')\n"
            "note('begun')\nprint('early', flush=True)\n" + HOLD_CODE.format("s")
            + "note('over')\nprint('late')\nimport sys\nprint('err', file=sys.stderr)\n"
            "{'answer': 42}", continue_on_error=True)


class KilledTest(WorkflowTest):
    def restart(self, down=0):
        self.server.kill()
        time.sleep(down)
        self.server.start()

    def wait_running(self, flow, name):
        wait_until(lambda: self.steps(flow)[name]["status"] == "running", 30, "it runs")


class Diamond(KilledTest):
    """kill -9 of the server in the middle of each step of a diamond."""

    def diamond(self, held=""):
        """Its steps note that they have begun; the held ones wait."""
        hold = {n: HOLD.format(n) if n in held else "" for n in "abce"}
        hold["d"] = HOLD_CODE.format("d") if "d" in held else ""
        return self.make(
            command("a", f"echo a >> /tmp/log; {hold['a']}echo A"),
            command("b", f"echo b >> /tmp/log; {hold['b']}echo b:$X", "a",
                    environment={"X": "${steps.a.stdout}"}),
            command("c", f"echo c >> /tmp/log; {hold['c']}"
                    "test -e /tmp/2 || { touch /tmp/2; exit 3; }", "a", retries=1, retry_delay=0),
            code("d", f"open('/tmp/log', 'a').write('d\\n')\n{hold['d']}"
                 "import os\nprint(os.environ['B'])", "b", "c",
                 environment={"B": "${steps.b.stdout}"}),
            command("e", f"echo e >> /tmp/log; {hold['e']}cat /tmp/log", "d"))

    def check(self, over):
        steps = {s["name"]: s for s in over["steps"]}
        self.assertEqual(over["status"], "completed", over)
        self.assertEqual(steps["d"]["output"]["stdout"], "b:A\n")
        log = steps["e"]["output"]["stdout"].split()
        usual = {"a": 1, "b": 1, "c": 2, "d": 1, "e": 1}
        self.assertEqual({n: log.count(n) for n in "abcde"}, usual)
        self.assertEqual({n: steps[n]["attempts"] for n in "abcde"}, usual)

    def kill_in(self, *names):
        flow = self.diamond(names)
        run = self.start(flow)
        for name in names:
            self.wait_for(run, f"grep -qx {name} /tmp/log", f"step {name} has begun")
            self.restart()
            self.let_go(run, name)
        self.check(self.wait(flow))

    def test_undisturbed(self):
        self.kill_in()

    def test_in_the_first_step(self):
        self.kill_in("a")

    def test_in_a_command(self):
        self.kill_in("b")

    def test_in_a_step_that_is_tried_again(self):
        self.kill_in("c")

    def test_in_code(self):
        self.kill_in("d")

    def test_in_the_last_step(self):
        self.kill_in("e")

    def test_in_every_step_of_one_run(self):
        self.kill_in("a", "b", "d", "e")


class Once(KilledTest):
    """A step runs once, whenever the server dies, and its next one hears all that it said."""

    def begin(self, step):
        flow = self.make(step, command("log", "cat /tmp/s", "s"))
        return flow, self.start(flow)

    def wait_begun(self, run):
        self.wait_for(run, "grep -qx begun /tmp/s", "the step has begun")

    def check(self, flow, step):
        over = self.wait(flow)
        steps = {s["name"]: s for s in over["steps"]}
        self.assertEqual(over["status"], "completed", over)
        self.assertEqual(steps["log"]["output"]["stdout"], "begun\nover\n")
        out = steps["s"]["output"]
        self.assertEqual((out["stdout"], out["stderr"]), ("early\nlate\n", "err\n"))
        self.assertEqual(steps["s"]["attempts"], 1)
        if step is COMMAND:
            self.assertIn("exit code 7", steps["s"]["error"])
        else:
            self.assertEqual(out["result"], "{'answer': 42}")

    def before_it_begins(self, step):
        flow, run = self.begin(step)
        self.restart()
        self.restart()
        self.let_go(run, "s")
        self.check(flow, step)

    def at_its_start(self, step):
        flow, run = self.begin(step)
        self.wait_running(flow, "s")
        self.restart()
        self.restart()
        self.let_go(run, "s")
        self.check(flow, step)

    def in_its_middle(self, step):
        flow, run = self.begin(step)
        self.wait_begun(run)
        self.restart()
        self.restart()
        self.let_go(run, "s")
        self.check(flow, step)

    def at_its_end(self, step):
        flow, run = self.begin(step)
        self.wait_begun(run)
        self.let_go(run, "s")
        self.restart()
        self.restart()
        self.check(flow, step)

    def past_its_end(self, step):
        """It ends while no server runs; on a host that is too slow for that, a little before."""
        flow, run = self.begin(step)
        self.wait_begun(run)
        self.let_go(run, "s", after=1)
        self.restart(down=3)
        self.restart()
        self.check(flow, step)

    def by_a_stop(self, step):
        flow, run = self.begin(step)
        self.wait_begun(run)
        self.assertEqual(self.server.stop(), 0)
        self.server.start()
        self.let_go(run, "s")
        self.check(flow, step)

    def test_command_before_it_begins(self):
        self.before_it_begins(COMMAND)

    def test_command_at_its_start(self):
        self.at_its_start(COMMAND)

    def test_command_in_its_middle(self):
        self.in_its_middle(COMMAND)

    def test_command_at_its_end(self):
        self.at_its_end(COMMAND)

    def test_command_past_its_end(self):
        self.past_its_end(COMMAND)

    def test_command_by_a_stop(self):
        self.by_a_stop(COMMAND)

    def test_code_before_it_begins(self):
        self.before_it_begins(CODE)

    def test_code_at_its_start(self):
        self.at_its_start(CODE)

    def test_code_in_its_middle(self):
        self.in_its_middle(CODE)

    def test_code_at_its_end(self):
        self.at_its_end(CODE)

    def test_code_past_its_end(self):
        self.past_its_end(CODE)

    def test_code_by_a_stop(self):
        self.by_a_stop(CODE)


class Killed(KilledTest):
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

    def test_the_time_out_counts_from_the_real_start(self):
        """It is over while no server runs, and the next server does not begin another one."""
        limit = min(patience(6), 60)
        flow = self.make(command("a", "echo on; sleep 1000", timeout=int(limit)))
        run = self.start(flow)
        self.wait_for(run, "pgrep -f 'sleep 100[0]'", "the command runs")
        self.restart(down=limit)
        restarted = time.monotonic()
        over = self.wait(flow)
        self.assertLess(time.monotonic() - restarted, limit)
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

    def lose_the_sandbox(self, retries):
        """While no server runs; returns the workflow and its run."""
        flow = self.make(command("a", "touch /tmp/begun; " + HOLD.format("a"), retries=retries,
                                 retry_delay=0), command("b", "true", "a"))
        run = self.start(flow)
        # A step of a sandbox that is not ready yet begins again, in another one.
        self.wait_for(run, "test -e /tmp/begun", "the step has begun")
        sandbox = self.sandbox_of(run)
        self.server.kill()
        kill_sandbox(sandbox)
        self.server.start()
        return flow, run

    def test_a_sandbox_that_died_meanwhile(self):
        flow, _ = self.lose_the_sandbox(retries=0)
        self.assertEqual(self.wait(flow)["status"], "failed")
        steps = self.steps(flow)
        self.assertEqual(steps["a"]["attempts"], 1)
        self.assertIn("restarted", steps["a"]["error"])
        self.assertIn("ended", steps["a"]["error"])
        self.assertEqual(steps["b"]["status"], "skipped")

    def test_a_sandbox_that_died_is_replaced(self):
        """Where the step may be tried again."""
        flow, run = self.lose_the_sandbox(retries=1)
        self.let_go(run, "a")
        self.assertEqual(self.wait(flow)["status"], "completed")
        self.assertEqual(self.steps(flow)["a"]["attempts"], 2)

    def test_a_waiting_retry_keeps_its_time(self):
        delay = int(min(patience(4), 60))
        flow = self.make(command("a", "date +%s >> /tmp/t; cat /tmp/t; [ $(wc -l < /tmp/t) = 2 ]",
                                 retries=1, retry_delay=delay))
        self.start(flow)
        wait_until(lambda: self.steps(flow)["a"]["status"] == "retrying", 30, "it waits")
        self.restart()
        over = self.wait(flow)
        self.assertEqual((over["status"], over["steps"][0]["attempts"]), ("completed", 2))
        first, second = map(int, over["steps"][0]["output"]["stdout"].split())
        self.assertGreaterEqual(second - first, delay)

    def test_finished_runs_stay(self):
        flow = self.make(command("a", "echo kept"))
        run = self.start(flow)
        before = self.wait(flow)
        # What is told may not be on disk yet; the sandbox ends when it is.
        wait_until(lambda: self.sandbox_of(run) is None, 30, "the run's sandbox has ended")
        self.server.kill()
        self.server.start()
        self.assertEqual(self.status(flow), before)
