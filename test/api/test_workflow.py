# SPDX-License-Identifier: Apache-2.0
"""Workflows: definitions and their faults, runs, retries, cancelling, and kill -9 at every step:
what runs in a sandbox goes on without its server, and the next one attaches to it."""
import random
import time

from accounts import ENVIRONMENTS, WORKFLOWS, AccountTest, Person
from corraltest import Client, wait_until
from test_restart import kill_sandbox

STATUS_KEYS = {"workflow_id", "name", "run_id", "status", "steps", "started_at", "completed_at",
               "error"}
STEP_KEYS = {"name", "type", "status", "attempts", "started_at", "completed_at", "output", "error"}


def command(name, text, *needs, **fields):
    return {"name": name, "type": "command", "config": {"command": text},
            **({"depends_on": list(needs)} if needs else {}), **fields}


def code(name, text, *needs, **fields):
    return {"name": name, "type": "code_execution", "config": {"code": text},
            **({"depends_on": list(needs)} if needs else {}), **fields}


class WorkflowTest(AccountTest):
    @classmethod
    def prepare(cls):
        super().prepare()
        cls.me = Person(cls.server.port, cls.server.key)

    def make(self, *steps, **fields):
        answer = self.me.post(WORKFLOWS, {"name": "test", "steps": list(steps), **fields})
        made = self.assert_json(answer, 201)
        self.assert_keys(made, {"workflow_id", "name", "status", "creation_time"})
        self.assertRegex(made["workflow_id"], "^workflow-")
        return made["workflow_id"]

    def start(self, flow, query=""):
        got = self.assert_json(self.me.post(f"{WORKFLOWS}/{flow}/start{query}"), 200)
        self.assert_keys(got, {"workflow_id", "run_id", "status", "started_at", "completed_at"})
        return got["run_id"]

    def status(self, flow, run=None):
        path = f"{WORKFLOWS}/{flow}/status" + (f"?run_id={run}" if run else "")
        got = self.assert_json(self.me.get(path), 200)
        self.assert_keys(got, STATUS_KEYS)
        for step in got["steps"]:
            self.assert_keys(step, STEP_KEYS)
        return got

    def steps(self, flow, run=None):
        return {step["name"]: step for step in self.status(flow, run)["steps"]}

    def wait(self, flow, run=None, seconds=60):
        return wait_until(lambda: (s := self.status(flow, run))["status"] not in
                          ("pending", "running") and s, seconds, "the run is over")

    def run_steps(self, *steps, **fields):
        flow = self.make(*steps, **fields)
        self.start(flow)
        over = self.wait(flow)
        return over["status"], {step["name"]: step for step in over["steps"]}


class Definitions(WorkflowTest):
    def faults(self, definition):
        answer = self.me.post(WORKFLOWS, definition)
        self.assert_error(answer, 400, "invalid_workflow")
        return {f["path"]: f["message"] for f in answer.json["error"]["details"]["faults"]}

    def test_faults_are_named(self):
        good = command("a", "true")
        cases = (
            ({}, "$.name"), ({"name": "x"}, "$.steps"), ({"name": "x", "steps": []}, "$.steps"),
            ({"name": "x", "steps": 3}, "$.steps"), ({"name": 3, "steps": [good]}, "$.name"),
            ({"name": "x\u0007", "steps": [good]}, "$.name"),
            ({"name": "x", "steps": [good], "stepz": 1}, "$.stepz"),
            ({"name": "x", "steps": ["a"]}, "$.steps[0]"),
            ({"name": "x", "steps": [good, good]}, "$.steps[1].name"),
            ({"name": "x", "steps": [command("a\n", "true")]}, "$.steps[0].name"),
            ({"name": "x", "steps": [{"name": "a"}]}, "$.steps[0].type"),
            ({"name": "x", "steps": [{"name": "a", "type": "http_request"}]}, "$.steps[0].type"),
            ({"name": "x", "steps": [{"name": "a", "type": "command"}]}, "$.steps[0].config"),
            ({"name": "x", "steps": [command("a", 3)]}, "$.steps[0].config.command"),
            ({"name": "x", "steps": [code("a", "")]}, "$.steps[0].config.code"),
            ({"name": "x", "steps": [command("a", "true", "b")]}, "$.steps[0].depends_on[0]"),
            ({"name": "x", "steps": [command("a", "true", "a")]}, "$.steps[0].depends_on"),
            ({"name": "x", "steps": [command("a", "true", "b"), command("b", "true", "a")]},
             "$.steps[1].depends_on"),
            ({"name": "x", "steps": [command("a", "true", retries=-1)]}, "$.steps[0].retries"),
            ({"name": "x", "steps": [command("a", "true", retries=1.5)]}, "$.steps[0].retries"),
            ({"name": "x", "steps": [command("a", "true", timeout=0)]}, "$.steps[0].timeout"),
            ({"name": "x", "steps": [command("a", "true", continue_on_error=1)]},
             "$.steps[0].continue_on_error"),
            ({"name": "x", "steps": [command("a", "true", environment=[])]},
             "$.steps[0].environment"),
            ({"name": "x", "steps": [command("a", "true", environment={"A": 1})]},
             "$.steps[0].environment.A"),
            ({"name": "x", "steps": [command("a", "true", environment={"A=": "1"})]},
             "$.steps[0].environment.A="),
            ({"name": "x", "steps": [good, command("b", "true",
                                                   environment={"A": "${steps.a.stdout}"})]},
             "$.steps[1].environment.A"),
            ({"name": "x", "steps": [command("a", "true", environment={"A": "${steps.a}"})]},
             "$.steps[0].environment.A"),
            ({"name": "x", "steps": [{**good, "config": {"command": "x", "environment_id": "e"}}]},
             "$.steps[0].config.environment_id"),
        )
        for definition, path in cases:
            with self.subTest(path=path, definition=str(definition)[:100]):
                self.assertIn(path, self.faults(definition))

    def test_too_large(self):
        many = [command(f"s{i}", "true") for i in range(10000)]
        self.assertIn("$.steps", self.faults({"name": "x", "steps": many}))
        answer = self.me.post(WORKFLOWS, {"name": "x", "steps": [code("a", "x" * (50 << 20))]})
        self.assert_error(answer, 413, "body_too_large")
        self.assertIn("$.steps[0].config.code",
                      self.faults({"name": "x", "steps": [code("a", "x" * (2 << 20))]}))
        self.assertEqual(self.me.post(WORKFLOWS, b"[]").status, 400)

    def test_get_list_delete(self):
        flow = self.make(command("a", "true"), name="kept")
        got = self.assert_json(self.me.get(f"{WORKFLOWS}/{flow}"), 200)
        self.assertEqual(got["definition"]["steps"][0]["name"], "a")
        never = self.status(flow)
        self.assertEqual((never["status"], never["run_id"]), ("created", None))
        self.server.kill()
        self.server.start()
        listed = self.assert_json(self.me.get(WORKFLOWS), 200)
        self.assertIn(flow, [w["workflow_id"] for w in listed["workflows"]])
        self.assertEqual(listed["total"], len(listed["workflows"]))
        self.assertEqual(self.me.delete(f"{WORKFLOWS}/{flow}").status, 200)
        for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/start"), ("GET", "/status"),
                             ("POST", "/cancel"), ("GET", "/runs")):
            answer = self.me.request(method, f"{WORKFLOWS}/{flow}{path}")
            self.assert_error(answer, 404, "workflow_not_found")

    def test_other_accounts(self):
        flow = self.make(command("a", "true"))
        other = self.person("other", account="rivals")
        self.assert_error(other.get(f"{WORKFLOWS}/{flow}"), 403, "forbidden")
        self.assertEqual(other.get(WORKFLOWS).json["total"], 0)


class Runs(WorkflowTest):
    def test_outputs_are_data(self):
        text = "it's $(id) `id` \"; $HOME & '\\n"
        status, steps = self.run_steps(
            code("a", f"import sys\nsys.stdout.write({text!r})\n6 * 7"),
            command("b", 'printf %s "$X"; printf %s "$Y$Z"; exit 0', "a", environment={
                "X": "<${steps.a.stdout}>", "Y": "${steps.a.result}:${steps.a.exit_code}",
                "Z": "$${steps.a.stdout}"}))
        self.assertEqual(status, "completed", steps)
        self.assertEqual(steps["a"]["output"]["result"], "42")
        self.assertEqual(steps["b"]["output"]["stdout"], f"<{text}>42:0${{steps.a.stdout}}")

    def test_one_sandbox_and_nothing_left(self):
        status, steps = self.run_steps(command("a", "echo x > /tmp/x; hostname"),
                                       command("b", "cat /tmp/x; hostname", "a"))
        self.assertEqual(status, "completed")
        host = steps["a"]["output"]["stdout"]
        self.assertEqual(steps["b"]["output"]["stdout"], "x\n" + host)
        wait_until(lambda: self.running() == 0, 10, "the run's sandbox has ended")

    def running(self):
        return sum(e["status"] in ("running", "creating")
                   for e in self.me.get(ENVIRONMENTS).json["environments"])

    def test_side_by_side_within_the_limit(self):
        steps = [command(f"s{i}", "date +%s%N; sleep 1; date +%s%N") for i in range(4)]
        for limit in (2, 4):
            status, done = self.run_steps(*steps, max_parallel=limit)
            self.assertEqual(status, "completed")
            spans = [tuple(map(int, s["output"]["stdout"].split())) for s in done.values()]
            most = max(sum(a <= t < b for a, b in spans) for t, _ in spans)
            self.assertLessEqual(most, limit)
            self.assertGreaterEqual(most, 2)

    def test_code_side_by_side(self):
        text = "import time\na = time.time()\ntime.sleep(2)\nprint(a, time.time())"
        status, done = self.run_steps(code("a", text), code("b", text))
        self.assertEqual(status, "completed", done)
        (a, b), (c, d) = (map(float, s["output"]["stdout"].split()) for s in done.values())
        self.assertLess(max(a, c), min(b, d))

    def test_failure_skips_what_follows(self):
        status, steps = self.run_steps(command("a", "exit 3"), command("b", "true", "a"),
                                       code("c", "1/0", continue_on_error=True))
        self.assertEqual(status, "failed")
        self.assertEqual(steps["a"]["status"], "failed")
        self.assertIn("exit code 3", steps["a"]["error"])
        self.assertEqual((steps["b"]["status"], steps["b"]["attempts"]), ("skipped", 0))

    def test_continue_on_error(self):
        status, steps = self.run_steps(
            code("a", "1/0", continue_on_error=True),
            command("b", "echo $CODE", "a", environment={"CODE": "${steps.a.exit_code}"}))
        self.assertEqual(status, "completed")
        self.assertIn("ZeroDivisionError", steps["a"]["error"])
        self.assertEqual(steps["b"]["output"]["stdout"], "1\n")

    def test_retries_wait_longer_each_time(self):
        status, steps = self.run_steps(command("a", "date +%s >> /tmp/t; cat /tmp/t; exit 1",
                                               retries=2, retry_delay=1))
        self.assertEqual((status, steps["a"]["attempts"]), ("failed", 3))
        times = list(map(int, steps["a"]["output"]["stdout"].split()))
        self.assertGreaterEqual(times[2] - times[0], 2)

    def test_time_out_of_a_step(self):
        status, steps = self.run_steps(command("a", "sleep 60", timeout=1))
        self.assertEqual(status, "failed")
        self.assertIn("time-out", steps["a"]["error"])

    def test_an_environment_of_its_own(self):
        made = self.me.post(ENVIRONMENTS, {"name": "mine"}).json["environment_id"]
        self.me.post(f"{ENVIRONMENTS}/{made}/execute", {"code": "open('/tmp/m', 'w').write('me')"})
        step = command("a", "cat /tmp/m")
        step["config"]["environment_id"] = made
        status, steps = self.run_steps(step)
        self.assertEqual((status, steps["a"]["output"]["stdout"]), ("completed", "me"))
        self.assertEqual(self.me.get(f"{ENVIRONMENTS}/{made}").json["status"], "running")
        self.me.delete(f"{ENVIRONMENTS}/{made}")
        status, steps = self.run_steps({**step, "retries": 3})
        self.assertEqual((status, steps["a"]["status"]), ("failed", "failed"))

    def test_unknown_template(self):
        status, steps = self.run_steps(command("a", "true"), template="none-such")
        self.assertEqual(status, "failed")
        self.assertIn("none-such", steps["a"]["error"])

    def test_start_twice_and_cancel(self):
        flow = self.make(command("a", "sleep 60"), command("b", "true", "a"))
        self.assert_error(self.me.post(f"{WORKFLOWS}/{flow}/cancel"), 409, "conflict")
        first = self.start(flow)
        self.assert_error(self.me.post(f"{WORKFLOWS}/{flow}/start"), 409, "conflict")
        self.assert_error(self.me.delete(f"{WORKFLOWS}/{flow}"), 409, "conflict")
        second = self.start(flow, "?parallel=true")
        runs = self.assert_json(self.me.get(f"{WORKFLOWS}/{flow}/runs"), 200)
        self.assertEqual({r["run_id"] for r in runs["runs"]}, {first, second})
        wait_until(lambda: self.steps(flow, first)["a"]["status"] == "running", 20, "it runs")
        for run in (first, second):
            got = self.assert_json(self.me.post(f"{WORKFLOWS}/{flow}/cancel?run_id={run}"), 200)
            self.assertEqual(got["status"], "cancelled")
        self.assertEqual({s["status"] for s in self.steps(flow, first).values()}, {"cancelled"})
        wait_until(lambda: self.running() == 0, 20, "the sandboxes have ended")
        answer = self.me.get(f"{WORKFLOWS}/{flow}/status?run_id=run-nothing")
        self.assert_error(answer, 404, "workflow_not_found")
        self.assertEqual(self.me.delete(f"{WORKFLOWS}/{flow}").status, 200)


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
        return next(s["sandbox_id"] for s in api.get("/sandboxes").json["sandboxes"]
                    if s["metadata"].get("run_id") == run)

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
            flow = self.make(command("a", "test -e /var/tmp/x || sleep 2", retries=retries,
                                     retry_delay=0), command("b", "true", "a"))
            run = self.start(flow)
            self.wait_running(flow, "a")
            time.sleep(0.5)
            sandbox = self.sandbox_of(run)
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
