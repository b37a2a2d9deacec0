# SPDX-License-Identifier: Apache-2.0
"""The surface of gravixlayer 0.1 on the wire: the frames and keys that its clients fall over. The
clients themselves are in test/sdk."""
import base64
import json
import unittest

from corraltest import ApiTest, patience

ROOT = "/v1/agents/runtime"
BREAKS = "a\u2028b\u2029c\u0085d"


class TestGravix(ApiTest):
    options = ("--auto-resume",)

    @classmethod
    def prepare(cls):
        answer = cls.server.client.post("/runtime", {"cloud": "aws", "region": "here"})
        cls.runtime = answer.json
        cls.path = f"/runtime/{answer.json['runtime_id']}"

    def call(self, method, path, body=None, status=200, **options):
        answer = self.server.client.request(method, self.path + path, body, **options)
        self.assertEqual(answer.status, status, answer)
        return answer

    def events(self, method, path, body=None):
        """Each event is one line of ASCII behind "data: ", and an empty line."""
        events = []
        for frame in self.call(method, path, body).body.decode().split("\n\n")[:-1]:
            lines = [line for line in frame.split("\n") if not line.startswith((":", "id: "))]
            self.assertEqual([line[:6] for line in lines], ["data: "] * len(lines))
            self.assertLess(len(lines), 2)
            self.assertEqual(lines, frame.splitlines()[-len(lines):] if lines else [])
            events += [json.loads(line[6:]) for line in lines]
        return events

    def test_a_runtime_has_one_name_of_each_pair(self):
        self.assertEqual(self.runtime["status"], "running")
        self.assertIsNone(self.runtime["timeout_at"])
        self.assertFalse({"id", "sandbox_id", "provider", "tags"} & set(self.runtime))
        self.assertEqual(self.call("GET", "").json, self.runtime)
        listed = self.server.client.get("/runtime?limit=1&offset=0").json
        self.assertEqual(set(listed), {"runtimes", "total"})

    def test_the_internet_only_as_asked_for(self):
        create = self.server.client.post
        for said, want in (({}, "public"), ({"internet_access": None}, "public"),
                           ({"internet_access": True}, "public"),
                           ({"internet_access": False}, "deny")):
            made = create("/runtime", said).json["runtime_id"]
            self.addCleanup(self.server.client.delete, f"/runtime/{made}")
            policy = self.server.client.get(f"/sandboxes/{made}/network").json
            self.assertEqual((policy["default"], policy["allow"]), (want, []), said)
        self.assertEqual(create("/runtime", {"internet_access": "no"}).status, 400)

    def test_what_a_create_cannot_do_is_refused(self):
        for field, value, status, code in (
                ("agent_id", "a", 501, "unsupported"), ("mounts", [{}], 501, "unsupported"),
                ("snapshot", "a", 404, "snapshot_not_found"), ("snapshot", 7, 400, "invalid_argument"),
                ("network_policy_ids", ["a"], 404, "not_found"),
                ("providers", [7], 404, "not_found"),
                ("network_policy_ids", "a", 400, "invalid_argument")):
            answer = self.server.client.post("/runtime", {field: value})
            self.assertEqual((answer.status, answer.json["code"]), (status, code), field)
            self.assertIn(field, answer.json["message"])
        made = self.server.client.post("/runtime", {"network_policy_ids": [], "providers": None})
        self.assertEqual(made.status, 201, made)
        self.server.client.delete(f"/runtime/{made.json['runtime_id']}")

    def test_exact_keys_for_strict_clients(self):
        for method, path, body, keys in (
                ("POST", "/files/write", {"path": "k", "content": ""},
                 {"message", "path", "bytes_written"}),
                ("POST", "/files/delete", {"path": "k"}, {"message", "path"}),
                ("POST", "/timeout", {"timeout": 0}, {"message", "timeout", "timeout_at"})):
            with self.subTest(path):
                self.assertEqual(set(self.call(method, path, body).json), keys)
        context = self.call("POST", "/code/contexts", {"language": "python"}, 201).json
        self.assertEqual(context["cwd"], "/workspace")
        gone = self.call("DELETE", f"/code/contexts/{context['context_id']}").json
        self.assertEqual(set(gone), {"message", "context_id"})

    def test_errors_have_code_and_message_on_top(self):
        for method, path, body, status, code in (
                ("GET", "/commands/99999", None, 404, "process_not_found"),
                ("POST", "/commands/run", {}, 400, "invalid_argument"),
                ("POST", "/fork", {"count": 0}, 400, "invalid_argument"),
                ("GET", "/browser/1/status", None, 501, "unsupported"),
                ("POST", "/services", {"port": 0}, 400, "invalid_argument"),
                ("DELETE", "/services/80", None, 404, "not_found"),
                ("GET", "/nothing", None, 404, "not_found"),
                ("PUT", "/timeout", None, 405, "method_not_allowed")):
            with self.subTest(path):
                error = self.call(method, path, body, status).json
                self.assertEqual((error["code"], error["error"]["code"]), (code, code))
                self.assertEqual(error["message"], error["error"]["message"])
        for path in ("", "/browser/1/status", "/nothing"):
            answer = self.server.connect("e2b_" + "0" * 40).get(self.path + path)
            self.assertEqual((answer.status, answer.json["code"]), (401, "unauthorized"))

    def test_questions_leave_a_paused_one_paused(self):
        """On this server a request wakes it."""
        path = f"/runtime/{self.server.client.post('/runtime', {}).json['runtime_id']}"
        self.addCleanup(self.server.client.delete, path)
        self.assertEqual(self.server.client.post(f"{path}/commands/run",
                                                 {"command": "echo kept >kept"}).status, 200)
        paused = self.server.client.post(f"{path}/pause")
        self.assertEqual((paused.status, paused.json["status"]), (200, "paused"))
        for method, action, body, status in (
                ("GET", "", None, 200), ("POST", "/connect", None, 200),
                ("GET", "/metrics", None, 409), ("GET", "/commands", None, 409),
                ("GET", "/commands/7", None, 409), ("GET", "/pty", None, 409),
                ("POST", "/timeout", {"timeout": 60}, 409), ("POST", "/pause", None, 409)):
            answer = self.server.client.request(method, path + action, body)
            self.assertEqual(answer.status, status, (action, answer))
            if status == 409:
                self.assertEqual(answer.json["code"], "sandbox_paused")
            else:
                self.assertEqual(answer.json["status"], "paused")
        read = self.server.client.post(f"{path}/files/read", {"path": "kept"})
        self.assertEqual((read.status, read.json["content"]), (200, "kept\n"))
        self.assertEqual(self.server.client.get(path).json["status"], "running")
        self.assertEqual(self.server.client.post(f"{path}/resume").status, 409)

    def test_a_time_out_is_a_result(self):
        said = self.call("POST", "/commands/run",
                         {"command": "echo begun; sleep 5432", "args": [],
                          "timeout": patience(1) * 1000}).json
        self.assertEqual((said["stdout"], said["timed_out"], said["success"]),
                         ("begun\n", True, False))
        ended = self.call("POST", "/commands/run", {"command": "true"}).json
        self.assertNotIn("timed_out", ended)

    def test_frames_of_a_command(self):
        events = self.events("POST", "/commands/run?stream=true",
                             {"command": f"printf '%s' '{BREAKS}'; pwd >&2"})
        said = {kind: "".join(e["data"] for e in events if e["type"] == kind)
                for kind in ("stdout", "stderr")}
        self.assertEqual(said, {"stdout": BREAKS, "stderr": "/workspace\n"})
        self.assertEqual((events[-1]["type"], events[-1]["exit_code"]), ("end", 0))
        failed = self.events("POST", "/commands/run?stream=true",
                             {"command": "no-such-program", "args": ["x"]})
        self.assertEqual((failed[-1]["type"], failed[-1]["exit_code"]), ("end", 127))

    def test_frames_of_a_background_command(self):
        pid = self.call("POST", "/commands/run",
                        {"command": "echo out", "background": True}).json["pid"]
        self.assertGreater(pid, 0)
        for _ in range(2):
            events = self.events("GET", f"/commands/{pid}/stream")
            self.assertEqual([e["data"] for e in events if e["type"] == "stdout"], ["out\n"])
            self.assertEqual(events[-1]["type"], "end")
        info = self.call("GET", f"/commands/{pid}").json
        self.assertEqual((info["status"], info["exit_code"]), ("exited", 0))

    def test_frames_of_code(self):
        events = self.events("POST", "/code/run?stream=true",
                             {"code": f"print('a'); print({BREAKS!r}, end='')\n6*7"})
        self.assertEqual([e["text"] for e in events if e["type"] == "stdout"], ["a", BREAKS])
        self.assertEqual([e["result"]["text"] for e in events if e["type"] == "result"], ["42"])
        self.assertEqual(events[-1]["type"], "end")
        raised = self.call("POST", "/code/run", {"code": "1/0"}).json
        self.assertEqual((raised["results"], raised["error"]["name"]), ([], "ZeroDivisionError"))
        self.assertIsInstance(raised["error"]["traceback"], str)

    def test_frames_of_a_terminal(self):
        session = self.call("POST", "/pty", {"shell": "echo", "args": ["hi"], "cols": 90}, 201).json
        self.assertEqual((session["cols"], session["rows"]), (90, 24))
        path = f"/pty/{session['session_id']}"
        events = self.events("GET", f"{path}/stream")
        text = b"".join(base64.b64decode(e["data"]) for e in events if e["type"] == "data")
        self.assertEqual(text, b"hi\r\n")
        self.assertEqual(events[-1], {"type": "exit", "exit_code": 0, "status": "success"})
        self.assertEqual(self.call("DELETE", path).json, {"success": True})

    def test_bytes_beside_the_text(self):
        self.call("POST", "/commands/run", {"command": r"printf 'a\377' >raw; printf text >plain"})
        raw = self.call("POST", "/files/read", {"path": "raw"}).json
        self.assertEqual(base64.b64decode(raw["content_base64"]), b"a\xff")
        plain = self.call("POST", "/files/read", {"path": "plain"}).json
        self.assertEqual((plain["content"], "content_base64" in plain), ("text", False))
        self.assertEqual(self.call("GET", "/download?path=%2Fworkspace%2Fplain").body, b"text")

    def test_git_refuses_what_would_be_an_option(self):
        for call, body in (
                ("clone", {"url": "file:///workspace/x", "path": "y"}),
                ("clone", {"url": "/workspace/x", "path": "y"}),
                ("clone", {"url": "ext::sh -c id", "path": "y"}),
                ("clone", {"url": "--upload-pack=id", "path": "y"}),
                ("clone", {"url": "http://a/x", "path": "y", "branch": "--bare"}),
                ("clone", {"url": "http://a/x", "path": "y", "auth_token": "a\nhost=b"}),
                ("clone", {"path": "y"}), ("status", {}), ("branches", {"scope": "x"}),
                ("checkout", {"ref_name": "-f"}), ("checkout", {}),
                ("fetch", {"remote": "--upload-pack=id"}), ("fetch", {"timeout_seconds": 901}),
                ("push", {"refspec": "--force"}), ("push", {"username": "u"}),
                ("commit", {}), ("branch/create", {"branch_name": "-D"}),
                ("branch/delete", {"branch_name": ""})):
            body = body if call in ("clone", "status") else {"repository_path": "/tmp", **body}
            with self.subTest(call=call, body=body):
                error = self.call("POST", f"/git/{call}", body, 400).json
                self.assertEqual(error["code"], "invalid_argument")
        failed = self.call("POST", "/git/status", {"repository_path": "/tmp"}).json
        self.assertEqual((failed["success"], failed["exit_code"]), (False, 128))
        self.assertIn("not a git repository", failed["stderr"])
