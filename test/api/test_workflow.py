# SPDX-License-Identifier: Apache-2.0
"""Workflows: definitions and their faults, runs, retries, cancelling."""
from accounts import ENVIRONMENTS, WORKFLOWS
from corraltest import wait_until
from workflows import HOLD, WorkflowTest, code, command


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
    def test_variables_that_refer_to_much_output_fail_their_step(self):
        """60 KB, named 1900 times by each of 20 variables, would be 2 GB in the server."""
        before = self.server.resident_kib()
        status, steps = self.run_steps(
            command("a", "head -c 60000 /dev/zero | tr '\\0' x"),
            command("b", "true", "a", retries=3, environment={
                f"V{i}": "${steps.a.stdout}" * 1900 for i in range(20)}))
        self.assertEqual((status, steps["b"]["status"]), ("failed", "failed"), steps["b"])
        self.assertIn("1048576", steps["b"]["error"])
        self.assertEqual(steps["b"]["attempts"], 1)
        self.assertLess(self.server.resident_kib() - before, 64 << 10)

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
        """As many as may be are held at the same moment, and the others have not begun."""
        steps = [command(f"s{i}", f"mkdir -p /tmp/in; touch /tmp/in/{i}; " + HOLD.format("all")
                         + f"ls /tmp/in | wc -l; rm /tmp/in/{i}") for i in range(4)]
        for limit in (2, 4):
            flow = self.make(*steps, max_parallel=limit)
            run = self.start(flow)
            self.wait_for(run, f"[ $(ls /tmp/in | wc -l) = {limit} ]", f"{limit} steps have begun")
            states = [s["status"] for s in self.steps(flow).values()]
            self.assertEqual(states.count("running"), limit, states)
            self.let_go(run, "all")
            over = self.wait(flow)
            self.assertEqual(over["status"], "completed", over)
            for step in over["steps"]:
                self.assertLessEqual(int(step["output"]["stdout"]), limit)

    def test_code_side_by_side(self):
        """Each waits for the other's file."""
        text = ("import os, time\nopen('/tmp/{0}', 'w').close()\n"
                "while not os.path.exists('/tmp/{1}'): time.sleep(0.05)\n'met'")
        status, done = self.run_steps(code("a", text.format("a", "b")),
                                      code("b", text.format("b", "a")))
        self.assertEqual(status, "completed", done)
        self.assertEqual({s["output"]["result"] for s in done.values()}, {"'met'"})

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
