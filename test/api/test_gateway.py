# SPDX-License-Identifier: Apache-2.0
"""Environments: the reference's examples with curl, execute, bad input."""
import json
import subprocess
import threading
import time
import unittest

from accounts import AUTH, ENVIRONMENTS, PASSWORD, WORKFLOWS, AccountTest, Person
from corraltest import HOST, UUID, patience, wait_until

ID = r"env-[0-9a-f]{32}"
ENVIRONMENT_KEYS = {"environment_id", "name", "template", "status", "creation_time", "timeout_at",
                    "ended_at"}
EXECUTION_KEYS = {"execution_id", "status", "stdout", "stderr", "result", "error", "exit_code",
                  "duration_ms"}


class CurlExamples(AccountTest):
    """The usage examples as they are printed, in order, with a token of the token endpoint."""

    def curl(self, method, path, data=None):
        arguments = ["curl", "-s", "-X", method, "-H", f"Authorization: Bearer {self.token}"]
        if data is not None:
            arguments += ["-H", "Content-Type: application/json", "-d", data]
        arguments += ["-w", "\n%{http_code}", f"http://127.0.0.1:{self.server.port}{path}"]
        out = subprocess.run(arguments, capture_output=True, check=True, text=True).stdout
        body, status = out.rsplit("\n", 1)
        return int(status), json.loads(body)

    def test_all(self):
        self.make_user("your_username")
        self.token = self.sign_in("your_username")["access_token"]
        status, made = self.curl("POST", ENVIRONMENTS,
                                 '{"name": "test-env", "template": "python-base-v1"}')
        self.assertEqual(status, 201)
        self.assert_keys(made, {"environment_id", "status", "creation_time"})
        self.assertRegex(made["environment_id"], f"^{ID}$")
        self.assertEqual(made["status"], "creating")
        self.assert_time(made["creation_time"], near=time.time())
        status, ran = self.curl("POST", f"{ENVIRONMENTS}/{made['environment_id']}/execute",
                                '{"code": "print(\\"Hello, World!\\")"}')
        self.assertEqual((status, ran["stdout"]), (200, "Hello, World!\n"))
        self.assert_keys(ran, EXECUTION_KEYS)
        status, listed = self.curl("GET", ENVIRONMENTS)
        self.assertEqual((status, listed["total"]), (200, 1))
        status, flow = self.curl("POST", WORKFLOWS, """{
    "name": "example-workflow",
    "steps": [
      {
        "name": "step1",
        "type": "code_execution",
        "config": {
          "code": "print(\\"Step 1\\")"
        }
      }
    ]
  }""")
        self.assertEqual(status, 201)
        self.assertRegex(flow["workflow_id"], "^workflow-")
        path = f"{WORKFLOWS}/{flow['workflow_id']}"
        self.assertEqual(self.curl("POST", path + "/start")[0], 200)
        wait_until(lambda: self.curl("GET", path + "/status")[1]["status"] == "completed", 30,
                   "the workflow has completed")
        status, listed = self.curl("GET", WORKFLOWS)
        self.assertEqual((status, listed["total"]), (200, 1))
        status, deleted = self.curl("DELETE", f"{ENVIRONMENTS}/{made['environment_id']}")
        self.assertEqual((status, deleted["environment_id"]), (200, made["environment_id"]))

    def test_documented_bodies(self):
        self.make_user("named")
        token = self.assert_json(self.nobody.post(AUTH + "/token", {
            "username": "named", "password": PASSWORD}), 200)
        person = Person(self.server.port, token["access_token"])
        made = self.assert_json(person.post(ENVIRONMENTS, {
            "name": "test-environment", "template": "python-base-v1", "timeout": 3600}), 201)
        path = f"{ENVIRONMENTS}/{made['environment_id']}"
        ran = person.post(path + "/execute", {"code": "print('Hello, World!')", "timeout": 30})
        self.assertEqual(self.assert_json(ran, 200)["status"], "completed")
        person.delete(path)


class Environments(AccountTest):
    @classmethod
    def prepare(cls):
        super().prepare()
        cls.me = Person(cls.server.port, cls.server.key)
        cls.box = cls.me.post(ENVIRONMENTS, {"name": "shared", "timeout": 3600}).json[
            "environment_id"]

    def execute(self, code, box=None, **fields):
        return self.me.post(f"{ENVIRONMENTS}/{box or self.box}/execute", {"code": code, **fields})

    def make(self, **fields):
        made = self.assert_json(self.me.post(ENVIRONMENTS, {"name": "one", **fields}), 201)
        self.addCleanup(self.me.delete, f"{ENVIRONMENTS}/{made['environment_id']}")
        return made["environment_id"]

    def test_an_environment_is_a_sandbox(self):
        made = self.make()
        digits = made[4:]
        sandboxes = [s["sandbox_id"] for s in self.api.get("/sandboxes").json["sandboxes"]]
        self.assertIn(digits, [s.replace("-", "") for s in sandboxes])
        sandbox = self.api.create()["sandbox_id"]
        self.assertRegex(sandbox, f"^{UUID.pattern}$")
        got = self.me.get(f"{ENVIRONMENTS}/env-{sandbox.replace('-', '')}")
        self.assertIsNone(self.assert_json(got, 200)["name"])
        self.assertEqual(self.execute("6*7", "env-" + sandbox.replace("-", "")).json["result"], "42")
        self.api.delete(f"/sandboxes/{sandbox}")

    def test_keys_of_get_and_list(self):
        made = self.make(name="näme")
        self.execute("1", made)
        got = self.assert_json(self.me.get(f"{ENVIRONMENTS}/{made}"), 200)
        self.assert_keys(got, ENVIRONMENT_KEYS)
        self.assertEqual((got["name"], got["status"]), ("näme", "running"))
        listed = self.assert_json(self.me.get(ENVIRONMENTS + "?limit=1"), 200)
        self.assert_keys(listed, {"environments", "total"})
        self.assertEqual(listed["environments"], [got])

    def test_state_is_kept_and_errors_are_told(self):
        self.execute("x = 20")
        self.assertEqual(self.execute("x + 1").json["result"], "21")
        got = self.assert_json(self.execute("1/0"), 200)
        self.assertEqual((got["status"], got["exit_code"]), ("failed", 1))
        self.assert_keys(got["error"], {"name", "value", "traceback"})
        self.assertEqual(got["error"]["name"], "ZeroDivisionError")
        got = self.execute("import sys; print('e', file=sys.stderr)").json
        self.assertEqual((got["stderr"], got["result"], got["error"]), ("e\n", None, None))

    def test_time_out(self):
        started = time.monotonic()
        self.assert_error(self.execute("import time; time.sleep(60)", timeout=1), 408, "timeout")
        self.assert_within(20, started)
        self.assertEqual(self.execute("x = 1; x").json["result"], "1")

    def test_bad_create(self):
        for body, status in (({}, 400), ({"name": ""}, 400), ({"name": 1}, 400),
                             ({"name": "a\nb"}, 400), ({"name": "x" * 300}, 400),
                             ({"name": "x", "timeout": -1}, 400), ({"name": "x", "timeout": "1"}, 400),
                             ({"name": "x", "timeout": 10**9}, 400), ({"name": "x", "template": 1}, 400),
                             ({"name": "x", "template": "none-such"}, 404)):
            with self.subTest(body=str(body)[:60]):
                self.assertEqual(self.me.post(ENVIRONMENTS, body).status, status)

    def test_bad_ids(self):
        for name in ("env-123456", "x", self.box + "0", "env-" + "g" * 32, "env-" + "0" * 32):
            for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/execute")):
                answer = self.me.request(method, f"{ENVIRONMENTS}/{name}{path}", {"code": "1"})
                self.assert_error(answer, 404, "environment_not_found")

    def test_bad_execute(self):
        for body in ({}, {"code": 1}, {"code": None}, {"code": "1", "timeout": -1},
                     {"code": "1", "timeout": 10**9}, {"code": "1", "language": "klingon"}):
            with self.subTest(body=body):
                answer = self.me.post(f"{ENVIRONMENTS}/{self.box}/execute", body)
                self.assertEqual(answer.status, 400, answer)
        self.assertEqual(self.execute("#" + "x" * (50 << 20)).status, 413)

    def test_deleted_during_execute(self):
        made = self.make()
        self.execute("1", made)
        answers = []
        thread = threading.Thread(target=lambda: answers.append(
            self.execute("import time; time.sleep(30)", made)))
        thread.start()
        time.sleep(1)
        self.assertEqual(self.me.delete(f"{ENVIRONMENTS}/{made}").status, 200)
        thread.join(patience(10))
        self.assert_error(answers[0], 400, "invalid_state")
        self.assert_error(self.execute("1", made), 400, "invalid_state")
        self.assert_error(self.me.delete(f"{ENVIRONMENTS}/{made}"), 400, "invalid_state")

    def test_created_before_the_server_died(self):
        made = self.make(name="survivor")
        self.server.kill()
        self.server.start()
        got = self.assert_json(self.me.get(f"{ENVIRONMENTS}/{made}"), 200)
        self.assertEqual(got["name"], "survivor")
        self.assertIn(got["status"], ("running", "failed"))
        if got["status"] == "running":
            self.assertEqual(self.execute("1+1", made).json["result"], "2")


@unittest.skipUnless("python-3.9" in HOST.templates(), "python-3.9 is not built")
class OldPython(AccountTest):
    def test_python_3_9(self):
        me = Person(self.server.port, self.server.key)
        answer = me.post(ENVIRONMENTS, {"name": "old", "template": "python-3.9"})
        made = self.assert_json(answer, 201)["environment_id"]
        self.addCleanup(me.delete, f"{ENVIRONMENTS}/{made}")
        got = me.post(f"{ENVIRONMENTS}/{made}/execute",
                      {"code": "import sys; '%d.%d' % sys.version_info[:2]"})
        self.assertEqual(self.assert_json(got, 200)["result"], "'3.9'")
