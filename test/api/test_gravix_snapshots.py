# SPDX-License-Identifier: Apache-2.0
"""Snapshots and forks as clients of gravixlayer 0.1 ask for them, on the wire."""
import unittest
import uuid

from corraltest import ISOLATION, Client, SandboxTest
from restarts import RestartTest

KIND, OTHER = ("cold", "hot") if ISOLATION == "oci" else ("hot", "cold")
KEYS = {"id", "name", "description", "kind", "state", "is_active", "cloud", "region", "vcpu_count",
        "memory_mb", "disk_size_mb", "visibility", "source", "source_template_id",
        "source_runtime_id", "distribution_status", "size_bytes", "created_at", "updated_at",
        "last_used_at"}


class Api:
    def ask(self, method, path="", body=None, status=200, code=None):
        answer = self.api.request(method, f"/snapshots{path}", body)
        self.assertEqual(answer.status, status, answer)
        if code is not None:
            self.assertEqual((answer.json["code"], answer.json["error"]["code"]), (code, code))
            self.assertTrue(answer.json["message"])
        return answer.json

    def snapshot(self, box, name, **fields):
        return self.ask("POST", "", {"runtime_id": box, "name": name, "kind": KIND, **fields}, 201)

    def names(self, query=""):
        return [s["name"] for s in self.ask("GET", query)["snapshots"]]


class TestSnapshots(Api, SandboxTest):
    fields = {"metadata": {"of": "parent", "deep": {"a": 1}}, "timeout": 1800}

    def runtime(self, status=201, **fields):
        answer = self.api.post("/runtime", fields)
        self.assertEqual(answer.status, status, answer)
        if status == 201:
            self.addCleanup(self.api.delete, f"/runtime/{answer.json['runtime_id']}")
        return answer.json

    def children(self, answer):
        self.assertEqual(set(answer), {"children", "snapshot_id", "snapshot_persisted",
                                       "parent_runtime_id"})
        for child in answer["children"]:
            self.assertEqual(set(child), {"runtime"}, child)
            self.addCleanup(self.api.delete, f"/runtime/{child['runtime']['runtime_id']}")
        return [child["runtime"] for child in answer["children"]]

    def test_life_of_one(self):
        self.run_command("echo kept > file")
        made = self.snapshot(self.box, "ready", description="With a file")
        self.assertEqual(set(made), KEYS)
        self.assertEqual((made["kind"], made["state"], made["is_active"], made["source"],
                          made["description"], made["source_runtime_id"], made["last_used_at"]),
                         (KIND, "active", True, "runtime", "With a file", self.box, None))
        self.assertGreater(made["size_bytes"], 0)
        self.assertEqual(self.ask("GET", f"/{made['id']}"), made)
        runtime = self.runtime(snapshot="ready")
        self.assertEqual(self.api.run(runtime["runtime_id"], "cat file")["stdout"], "kept\n")
        self.assert_time(self.ask("GET", "/ready")["last_used_at"])
        off = self.ask("POST", "/ready/deactivate")
        self.assertEqual((off["state"], off["is_active"]), ("inactive", False))
        self.assertEqual(self.runtime(409, snapshot="ready")["code"], "conflict")
        self.ask("POST", "/ready/fork", {"count": 1}, 409, "conflict")
        self.assertFalse(self.api.request("GET", "/snapshots/ready", prefix="").json["active"])
        self.assertEqual((self.names("?state=inactive"), self.names("?state=active")),
                         (["ready"], []))
        self.assertEqual(self.ask("POST", "/ready/activate")["state"], "active")
        self.runtime(snapshot=made["id"])
        self.ask("DELETE", "/ready")
        self.ask("GET", "/ready", None, 404, "snapshot_not_found")
        self.assertEqual(self.runtime(404, snapshot="ready")["code"], "snapshot_not_found")

    def test_list(self):
        for i in range(3):
            self.snapshot(self.box, f"list-{i}")
        page = self.ask("GET", f"?limit=2&offset=1&runtime_id={self.box}")
        self.assertEqual([s["name"] for s in page["snapshots"]], ["list-1", "list-0"])
        self.assertEqual((page["limit"], page["offset"], page["total"]), (2, 1, 3))
        self.assertEqual(self.ask("GET")["limit"], 20)
        self.assertEqual(self.names(f"?kind={KIND}&source=runtime"), ["list-2", "list-1", "list-0"])
        for query in (f"?kind={OTHER}", "?source=fork", f"?runtime_id={uuid.uuid4()}"):
            self.assertEqual(self.names(query), [])
        for i in range(3):
            self.ask("DELETE", f"/list-{i}")

    def test_a_fork_of_a_snapshot_needs_no_parent(self):
        parent = self.runtime(cloud="here", region="there")["runtime_id"]
        self.api.run(parent, "echo kept > file")
        made = self.snapshot(parent, "orphan")
        self.api.delete(f"/runtime/{parent}")
        answer = self.ask("POST", "/orphan/fork", {"count": 2, "env_vars": {"WHO": "c"},
                                                   "metadata": {"is": "child"}}, 201)
        self.assertEqual((answer["snapshot_id"], answer["snapshot_persisted"],
                          answer["parent_runtime_id"]), (made["id"], True, None))
        for child in self.children(answer):
            self.assertEqual((child["metadata"], child["timeout_at"], child["cloud"],
                              child["region"]), ({"is": "child"}, None, "here", "there"))
            self.assertEqual(self.api.run(child["runtime_id"], "cat file; echo $WHO")["stdout"],
                             "kept\nc\n")
        self.ask("DELETE", "/orphan")

    def test_a_fork_of_a_runtime(self):
        self.run_command("echo kept > file")
        path = f"/runtime/{self.box}/fork"
        answer = self.api.post(path, {"count": 2, "timeout_seconds": 600, "metadata": {"deep": 2}})
        self.assertEqual(answer.status, 201, answer)
        self.assertEqual((answer.json["snapshot_id"], answer.json["snapshot_persisted"],
                          answer.json["parent_runtime_id"]), ("", False, self.box))
        for child in self.children(answer.json):
            self.assertEqual(child["metadata"], {"of": "parent", "deep": 2})
            self.assertEqual(self.api.run(child["runtime_id"], "cat file")["stdout"], "kept\n")
        answer = self.api.post(path, {"persist_snapshot": True, "name": "of-fork"})
        self.assertEqual(answer.status, 201, answer)
        child, = self.children(answer.json)
        self.assertEqual(child["metadata"], self.fields["metadata"])
        kept = self.ask("GET", "/of-fork")
        self.assertEqual((kept["id"], kept["source"]), (answer.json["snapshot_id"], "fork"))
        self.assertTrue(answer.json["snapshot_persisted"])
        self.assertEqual((self.names(), self.names("?source=fork")), ([], ["of-fork"]))
        taken = self.api.post(path, {"persist_snapshot": True, "name": "of-fork"})
        self.assertEqual((taken.status, taken.json["code"]), (409, "conflict"))
        self.ask("DELETE", "/of-fork")

    def test_bad_requests(self):
        good = {"runtime_id": self.box, "name": "bad", "kind": KIND}
        for change, status, code in (
                ({"runtime_id": None}, 400, "invalid_argument"),
                ({"runtime_id": "x"}, 404, "sandbox_not_found"),
                ({"runtime_id": str(uuid.uuid4())}, 404, "sandbox_not_found"),
                ({"name": None}, 400, "invalid_argument"),
                ({"name": "a/b"}, 400, "invalid_argument"),
                ({"name": "python-base-v1"}, 409, "conflict"),
                ({"kind": "warm"}, 400, "invalid_argument"),
                ({"description": "x" * 1025}, 400, "invalid_argument")):
            with self.subTest(change):
                self.ask("POST", "", {**good, **change}, status, code)
        if ISOLATION == "oci":
            self.ask("POST", "", {**good, "kind": "hot"}, 501, "unsupported")
        for method, path in (("GET", "/none"), ("DELETE", "/none"), ("POST", "/none/activate"),
                             ("POST", "/none/deactivate"), ("POST", "/none/fork")):
            with self.subTest(path):
                self.ask(method, path, None, 404, "snapshot_not_found")
        self.ask("GET", "/a/b/c", None, 404, "not_found")
        for fields in ({"count": 101}, {"timeout_seconds": -1}, {"metadata": []},
                       {"persist_snapshot": "yes"}, {"persist_snapshot": True, "name": "a/b"}):
            with self.subTest(fields):
                answer = self.api.post(f"/runtime/{self.box}/fork", fields)
                self.assertEqual((answer.status, answer.json["code"]), (400, "invalid_argument"))
        self.assertEqual(self.names(), [])

    def test_another_account_has_none_of_it(self):
        self.snapshot(self.box, "mine")
        key = self.assert_json(self.api.request("POST", "/v1/admin/keys",
                                                {"name": "k", "account": "theirs"}, prefix=""), 201)
        theirs = Client(self.api.port, key["key"])
        for method, path in (("GET", "/mine"), ("DELETE", "/mine"), ("POST", "/mine/deactivate"),
                             ("POST", "/mine/fork")):
            self.assertEqual(theirs.request(method, f"/snapshots{path}").status, 404)
        answer = theirs.post("/snapshots", {"runtime_id": self.box, "name": "theirs", "kind": KIND})
        self.assertEqual((answer.status, answer.json["code"]), (404, "sandbox_not_found"))
        self.assertEqual(theirs.get("/snapshots").json["total"], 0)
        self.ask("DELETE", "/mine")


class TestRestart(Api, RestartTest):
    def test_what_is_said_of_one_stays(self):
        box = self.api.create(timeout=900)["sandbox_id"]
        self.snapshot(box, "kept", description="é")
        self.api.create(template="kept")
        was = self.ask("POST", "/kept/deactivate")
        self.server.kill()
        self.server.start()
        self.assertEqual(self.ask("GET", "/kept"), was)
        self.assertIsNotNone(was["last_used_at"])


if __name__ == "__main__":
    unittest.main()
