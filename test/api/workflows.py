# SPDX-License-Identifier: Apache-2.0
"""Workflows for tests: steps, definitions, runs and their ends."""
from accounts import WORKFLOWS, AccountTest, Person
from corraltest import wait_until

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
