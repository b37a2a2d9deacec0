# SPDX-License-Identifier: Apache-2.0
"""What published clients of the API rely on, as they send it. Their dataclasses refuse any unknown
key and any missing one, so the key sets here are exact."""
import json
import os
import subprocess

from corraltest import ApiTest, SandboxTest, patience

PY_HEADERS = {"Content-Type": "application/json", "Accept-Encoding": "gzip, deflate",
              "Accept": "*/*", "User-Agent": "python-requests/2.28.1"}


class Strict(SandboxTest):
    """Answers as constructor arguments: required keys, optional keys, nothing else."""

    def strict(self, answer, required, optional=()):
        self.assertIn(answer.status, (200, 201), answer)
        body = answer.json
        self.assertEqual(set(required.split()) - set(body), set())
        self.assertEqual(set(body) - set(required.split()) - set(" ".join(optional).split()), set())
        return body

    SANDBOX = ("template template_id started_at timeout_at cpu_count memory_mb metadata ended_at",)

    def test_create_get_and_list_items(self):
        answer = self.api.post("/sandboxes", {"provider": "azure", "region": "eastus2",
                                              "template": None, "timeout": None},
                               headers=PY_HEADERS)
        made = self.strict(answer, "sandbox_id status", self.SANDBOX)
        self.assertEqual(made["status"], "running")
        path = f"/sandboxes/{made['sandbox_id']}"
        self.strict(self.api.get(path, headers=PY_HEADERS), "sandbox_id status", self.SANDBOX)
        body = self.strict(self.api.get("/sandboxes?limit=100&offset=0", headers=PY_HEADERS),
                           "sandboxes total")
        self.assertIsInstance(body["sandboxes"], list)
        self.strict(self.api.delete(path, headers=PY_HEADERS), "message", ("sandbox_id",))
        again = self.api.delete(path, headers=PY_HEADERS)
        self.assert_error(again, 400, "invalid_state")

    def test_timeout(self):
        self.strict(self.post("timeout", {"timeout": 3600}), "message timeout timeout_at")

    def test_commands(self):
        for body in ({"command": "echo a; echo b"}, {"command": "echo a; echo b", "args": []}):
            got = self.strict(self.post("commands/run", body),
                              "stdout stderr exit_code duration_ms success", ("error",))
            self.assertEqual(got["stdout"], "a\nb\n")
        got = self.strict(self.post("commands/run", {"command": "true"}),
                          "stdout stderr exit_code duration_ms success", ("error",))
        self.assertEqual((got["stdout"], got["stderr"], got["exit_code"]), ("", "", 0))

    def test_code(self):
        body = {"code": "print('x')", "language": "python", "on_stdout": True, "on_result": True}
        got = self.strict(self.post("code/run", body), "execution_id results error logs")
        self.assertEqual("\n".join(got["logs"]["stdout"]), "x")
        self.assertEqual(got["logs"]["stderr"], [])
        self.strict(self.post("code/run", {"code": "1/0"}), "execution_id results error logs")

    def test_contexts(self):
        made = self.strict(self.post("code/contexts", {}),
                           "context_id language cwd created_at expires_at")
        path = f"/sandboxes/{self.box}/code/contexts/{made['context_id']}"
        self.strict(self.api.get(path), "context_id language cwd created_at expires_at",
                    ("status last_used",))
        self.strict(self.api.delete(path, headers=PY_HEADERS), "message", ("context_id",))

    def test_templates(self):
        body = self.strict(self.api.get("/templates?limit=100&offset=0"), "templates limit offset")
        for template in body["templates"]:
            self.assertEqual(set(template), {
                "id", "name", "description", "vcpu_count", "memory_mb", "disk_size_mb",
                "visibility", "created_at", "updated_at"})

    def test_cli_list_with_nan(self):
        body = self.strict(self.api.get("/sandboxes?limit=NaN"), "sandboxes total")
        self.assertGreaterEqual(len(body["sandboxes"]), 1)

    def test_javascript_create_with_empty_objects(self):
        answer = self.api.post("/sandboxes", {"provider": "gravix", "region": "eu-west-1",
                                              "template": "python-base-v1", "timeout": 300,
                                              "env_vars": {}, "metadata": {}})
        made = self.strict(answer, "sandbox_id status", self.SANDBOX)
        self.api.delete(f"/sandboxes/{made['sandbox_id']}")


class Sdk(ApiTest):
    """The session of a client library: requests with a shared Session, as generation A does."""

    PROGRAM = r'''
import json, sys, requests
base, key = sys.argv[1:]
session = requests.Session()
session.trust_env = False
session.headers.update({"Authorization": f"Bearer {key}", "Content-Type": "application/json"})
box = session.post(f"{base}/sandboxes", json={"provider": "gravix", "region": "eu-west-1",
                   "template": "python-base-v1", "timeout": 300}).json()
path = f"{base}/sandboxes/{box['sandbox_id']}"
out = [box["status"]]
out.append(session.post(f"{path}/code/run", json={"code": "6*7", "language": "python"})
           .json()["results"]["result"]["data"]["text/plain"])
out.append(session.post(f"{path}/commands/run", json={"command": "echo hi"}).json()["stdout"])
out.append(session.get(f"{base}/sandboxes", params={"limit": 100, "offset": 0}).json()["total"])
out += [session.delete(path).status_code, session.delete(path).status_code]
print(json.dumps(out))
'''

    def test_base_urls(self):
        origin = f"http://127.0.0.1:{self.server.port}"
        for n, base in enumerate((origin, f"{origin}/v1/agents"), 1):
            with self.subTest(base=base):
                result = subprocess.run(["/usr/bin/python3", "-c", self.PROGRAM, base, self.api.key],
                                        text=True, capture_output=True, timeout=patience(120),
                                        env={"PATH": os.environ["PATH"]})
                self.assertEqual(result.returncode, 0, result.stderr)
                self.assertEqual(json.loads(result.stdout), ["running", "42", "hi\n", n, 200, 400])

