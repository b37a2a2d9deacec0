# SPDX-License-Identifier: Apache-2.0
"""Every curl example of the API reference, in its order, run by curl: status, keys and types."""
import json
import os
import subprocess
import tempfile

from corraltest import SANDBOX_KEYS, UUID, ApiTest, patience

JSON = ["-H", "Content-Type: application/json"]

CREATE = """{
    "provider": "gravix",
    "region": "eu-west-1",
    "template": "python-base-v1",
    "timeout": 600,
    "env_vars": {
      "DEBUG": "true",
      "API_VERSION": "v1"
    },
    "metadata": {
      "project": "ml-training",
      "environment": "staging"
    }
  }"""
COMMAND = """{
    "command": "python",
    "args": ["-c", "print(\\"Hello from Python\\")"],
    "working_dir": "/home/user",
    "environment": {
      "PYTHONPATH": "/home/user/libs"
    },
    "timeout": 10000
  }"""
CODE = """{
    "code": "import numpy as np\\nresult = np.array([1, 2, 3]).mean()\\nprint(f\\"Mean: {result}\\")\\nresult",
    "language": "python",
    "timeout": 30
  }"""


class CurlExamples(ApiTest):
    def curl(self, method, path, *arguments):
        """Status and body of `curl -X METHOD URL -H Authorization... ARGUMENTS`."""
        done = subprocess.run(
            ["curl", "-sS", "-X", method, f"http://127.0.0.1:{self.server.port}/v1/agents{path}",
             "-H", f"Authorization: Bearer {self.server.key}", *arguments,
             "-w", "\n%{http_code}"], stdout=subprocess.PIPE, check=True, timeout=patience(120))
        body, status = done.stdout.rsplit(b"\n", 1)
        return int(status), body

    def call(self, method, path, status, keys, *arguments):
        got, body = self.curl(method, path, *arguments)
        self.assertEqual(got, status, body)
        value = json.loads(body)
        self.assert_keys(value, keys, optional={"ended_at"})
        return value

    def post(self, path, status, keys, body):
        return self.call("POST", path, status, keys, *JSON, "-d", body)

    def test_in_order(self):
        made = self.post("/sandboxes", 201, SANDBOX_KEYS, CREATE)
        self.assert_sandbox(made)
        self.assertEqual(made["metadata"], {"project": "ml-training", "environment": "staging"})
        self.addCleanup(self.api.delete, f"/sandboxes/{made['sandbox_id']}")
        box = f"/sandboxes/{made['sandbox_id']}"
        listed = self.call("GET", "/sandboxes?limit=50&offset=0", 200, {"sandboxes", "total"})
        self.assertEqual([s["sandbox_id"] for s in listed["sandboxes"]], [made["sandbox_id"]])
        self.assertEqual(listed["total"], 1)
        self.assertEqual(self.call("GET", box, 200, SANDBOX_KEYS), made)
        self.files_and_settings(box)
        self.uploads(box)
        self.execution(box)
        templates = self.call("GET", "/templates?limit=10&offset=0", 200,
                              {"templates", "limit", "offset"})
        self.assertEqual((templates["limit"], templates["offset"]), (10, 0))
        for t in templates["templates"]:
            self.assert_keys(t, {"id", "name", "description", "vcpu_count", "memory_mb",
                                 "disk_size_mb", "visibility", "created_at", "updated_at"})
            self.assertRegex(t["id"], f"^{UUID.pattern}$")
            for key in ("vcpu_count", "memory_mb", "disk_size_mb"):
                self.assertIs(type(t[key]), int)
        gone = self.call("DELETE", box, 200, {"message", "sandbox_id"})
        self.assertEqual(gone, {"message": "Sandbox terminated successfully",
                                "sandbox_id": made["sandbox_id"]})

    def files_and_settings(self, box):
        got = self.post(f"{box}/timeout", 200, {"message", "timeout", "timeout_at"},
                        '{"timeout": 1800}')
        self.assertEqual((got["message"], got["timeout"]), ("Timeout updated successfully", 1800))
        metrics = self.call("GET", f"{box}/metrics", 200, {
            "timestamp", "cpu_usage", "memory_usage", "memory_total", "disk_read", "disk_write",
            "network_rx", "network_tx"})
        for key in ("disk_read", "disk_write", "network_rx", "network_tx"):
            self.assertIs(type(metrics[key]), int)
        self.call("GET", f"{box}/host/8000", 200, {"url"})
        self.post(f"{box}/files/write", 200, {"message", "path", "bytes_written"},
                  '{"path": "/home/user/data.json", "content": "{}"}')
        self.post(f"{box}/files/read", 200, {"content", "path", "size"},
                  '{"path": "/home/user/data.json"}')
        got = self.post(f"{box}/files/write", 200, {"message", "path", "bytes_written"},
                        '{"path": "/home/user/output.txt", "content": "Hello, World!"}')
        self.assertEqual(got["bytes_written"], 13)
        files = self.post(f"{box}/files/list", 200, {"files"}, '{"path": "/home/user"}')["files"]
        self.assertIn("output.txt", [f["name"] for f in files])
        self.api.post(f"{box}/files/write", {"path": "/home/user/temp.txt", "content": ""})
        self.post(f"{box}/files/delete", 200, {"message", "path"},
                  '{"path": "/home/user/temp.txt"}')
        self.post(f"{box}/files/mkdir", 200, {"message", "path"},
                  '{"path": "/home/user/new_directory"}')

    def uploads(self, box):
        with tempfile.TemporaryDirectory() as folder:
            with open(f"{folder}/document.pdf", "wb") as f:
                f.write(os.urandom(1 << 20))
            got = self.call("POST", f"{box}/upload", 200, {"message", "path", "size"},
                            "-F", f"file=@{folder}/document.pdf",
                            "-F", "path=/home/user/documents/document.pdf")
            self.assertEqual((got["path"], got["size"]),
                             ("/home/user/documents/document.pdf", 1 << 20))
            status, _ = self.curl("GET", f"{box}/download?path=/home/user/documents/document.pdf",
                                  "-o", f"{folder}/back")
            self.assertEqual(status, 200)
            with open(f"{folder}/document.pdf", "rb") as a, open(f"{folder}/back", "rb") as b:
                self.assertEqual(a.read(), b.read())

    def execution(self, box):
        got = self.post(f"{box}/commands/run", 200,
                        {"stdout", "stderr", "exit_code", "duration_ms", "success"}, COMMAND)
        self.assertEqual((got["stdout"], got["exit_code"]), ("Hello from Python\n", 0))
        got = self.post(f"{box}/code/run", 200, {"execution_id", "results", "error", "logs"}, CODE)
        self.assertEqual(got["logs"], {"stdout": ["Mean: 2.0"], "stderr": []})
        self.assertEqual(got["results"]["result"]["data"], {"text/plain": "2.0"})
        self.assertIsNone(got["error"])
        made = self.post(f"{box}/code/contexts", 201,
                         {"context_id", "language", "cwd", "created_at", "expires_at"},
                         '{"language": "python", "cwd": "/home/user/project"}')
        self.assertEqual(made["cwd"], "/home/user/project")
        path = f"{box}/code/contexts/{made['context_id']}"
        self.call("GET", path, 200, {"context_id", "language", "cwd", "status", "created_at",
                                     "expires_at", "last_used"})
        got = self.call("DELETE", path, 200, {"message", "context_id"})
        self.assertEqual(got["message"], "Context deleted successfully")
