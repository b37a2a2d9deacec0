# SPDX-License-Identifier: Apache-2.0
"""Workflows for tests: steps, definitions, runs and their ends."""
from accounts import WORKFLOWS, AccountTest, Person
from corraltest import SLOW, Client, patience, time_out, wait_until

STATUS_KEYS = {"workflow_id", "name", "run_id", "status", "steps", "started_at", "completed_at",
               "error"}
STEP_KEYS = {"name", "type", "status", "attempts", "started_at", "completed_at", "output", "error"}


# Where kernels start in minutes; a test that is about a time-out names its own.
STEP = {"timeout": 1200} if SLOW > 1 else {}


def command(name, text, *needs, **fields):
    return {"name": name, "type": "command", "config": {"command": text},
            **({"depends_on": list(needs)} if needs else {}), **STEP, **fields}


def code(name, text, *needs, **fields):
    return {"name": name, "type": "code_execution", "config": {"code": text},
            **({"depends_on": list(needs)} if needs else {}), **STEP, **fields}


# For steps: shell and Python that go on when the test says so, after the seconds that it names.
HOLD = "until [ -e /tmp/go.{0} ]; do sleep 0.05; done; sleep $(cat /tmp/go.{0}); "
HOLD_CODE = ("import os, time\nwhile not os.path.exists('/tmp/go.{0}'): time.sleep(0.05)\n"
             "time.sleep(float(open('/tmp/go.{0}').read()))\n")


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
        self.addCleanup(self.end, made["workflow_id"])
        return made["workflow_id"]

    def end(self, flow):
        """No run goes on after its test, however that ended."""
        for run in self.me.get(f"{WORKFLOWS}/{flow}/runs").json.get("runs", ()):
            if run["status"] in ("pending", "running"):
                self.me.post(f"{WORKFLOWS}/{flow}/cancel?run_id={run['run_id']}")

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

    def wait(self, flow, run=None):
        """A run is several steps, each of which may need all of the usual patience."""
        return wait_until(lambda: (s := self.status(flow, run))["status"] not in
                          ("pending", "running") and s, 2 * patience(60), "the run is over")

    def run_steps(self, *steps, **fields):
        flow = self.make(*steps, **fields)
        self.start(flow)
        over = self.wait(flow)
        return over["status"], {step["name"]: step for step in over["steps"]}

    def sandbox_of(self, run):
        """The id of the run's sandbox when it answers, else None."""
        sandboxes = Client(self.server.port, self.server.key).get("/sandboxes").json["sandboxes"]
        return next((s["sandbox_id"] for s in sandboxes
                     if s["metadata"].get("run_id") == run and s["status"] == "running"), None)

    def ask(self, run, text):
        """Whether a command succeeds in the run's sandbox; not while there is none."""
        sandbox = self.sandbox_of(run)
        if sandbox is None:
            return False
        answer = Client(self.server.port, self.server.key).post(
            f"/sandboxes/{sandbox}/commands/run", {"command": text, **time_out(30, 1000)})
        return answer.status == 200 and answer.json["exit_code"] == 0

    def wait_for(self, run, text, what):
        wait_until(lambda: self.ask(run, text), 30, what)

    def let_go(self, run, name, after=0):
        """Ends the HOLD of a step."""
        self.wait_for(run, f"echo {after} > /tmp/new.{name} && mv /tmp/new.{name} /tmp/go.{name}",
                      f"step {name} is let go")
