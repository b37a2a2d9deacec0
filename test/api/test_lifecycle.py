# SPDX-License-Identifier: Apache-2.0
"""Create, list, get, kill, time-out and templates: keys, types, states and refusals."""
import threading
import time
import uuid

from corraltest import HOST, TEMPLATE, ApiTest, Client, parse_time, patience, wait_until


class Create(ApiTest):
    def test_all_fields(self):
        metadata = {"project": "x", "n": 1, "f": 1.5, "b": True, "z": None, "l": [1, {"a": []}],
                    "ü": "é\n\u0001"}
        answer = self.api.post("/sandboxes", {
            "provider": "gravix", "region": "eu-west-1", "template": TEMPLATE, "timeout": 600,
            "env_vars": {"DEBUG": "true", "EMPTY": ""}, "metadata": metadata})
        sandbox = self.assert_json(answer, 201)
        self.addCleanup(self.api.delete, f"/sandboxes/{sandbox['sandbox_id']}")
        self.assert_sandbox(sandbox)
        self.assertEqual(sandbox["template"], TEMPLATE)
        self.assertEqual(sandbox["metadata"], metadata)
        self.assertEqual((sandbox["cpu_count"], sandbox["memory_mb"]), (2, 2048))
        self.assert_time(sandbox["started_at"], near=time.time(), within=60)
        self.assertAlmostEqual(parse_time(sandbox["timeout_at"]) - parse_time(sandbox["started_at"]),
                               600, delta=1)
        out = self.api.run(sandbox["sandbox_id"], 'echo "$DEBUG:$EMPTY:${UNSET-no}"')["stdout"]
        self.assertEqual(out, "true::no\n")

    def test_defaults(self):
        sandbox = self.assert_json(
            self.api.post("/sandboxes", {"provider": "no such cloud", "region": "a b/ü"}), 201)
        self.addCleanup(self.api.delete, f"/sandboxes/{sandbox['sandbox_id']}")
        self.assert_sandbox(sandbox)
        self.assertEqual(sandbox["template"], TEMPLATE)
        self.assertEqual(sandbox["metadata"], {})
        self.assertAlmostEqual(parse_time(sandbox["timeout_at"]) - parse_time(sandbox["started_at"]),
                               300, delta=1)

    def test_null_fields_are_defaults(self):
        sandbox = self.api.create(template=None, timeout=None, env_vars=None, metadata=None)
        self.addCleanup(self.api.delete, f"/sandboxes/{sandbox['sandbox_id']}")
        self.assert_sandbox(sandbox)
        self.assertEqual(sandbox["template"], TEMPLATE)

    def test_unknown_fields_are_ignored(self):
        self.create(cloud="x", internet_access=True)

    def test_template_by_id(self):
        templates = self.api.get("/templates").json["templates"]
        wanted = next(t for t in templates if t["name"] == TEMPLATE)
        sandbox = self.api.create(template=wanted["id"])
        self.addCleanup(self.api.delete, f"/sandboxes/{sandbox['sandbox_id']}")
        self.assertEqual((sandbox["template"], sandbox["template_id"]), (TEMPLATE, wanted["id"]))

    def test_unknown_template(self):
        for name in ("no-such-template", str(uuid.uuid4()), "", "../../etc", "x" * 5000):
            with self.subTest(name=name[:40]):
                body = {"provider": "a", "region": "b", "template": name}
                self.assert_error(self.api.post("/sandboxes", body), 404, "template_not_found")

    def test_bad_fields(self):
        cases = [("provider", None), ("provider", 1), ("region", None), ("region", ["x"]),
                 ("template", 5), ("timeout", -1), ("timeout", 3601), ("timeout", 10 ** 30),
                 ("timeout", 1.5), ("timeout", "300"), ("timeout", True), ("env_vars", "A=b"),
                 ("env_vars", ["A"]), ("env_vars", {"A": ["b"]}), ("env_vars", {"A=B": "c"}),
                 ("env_vars", {"": "c"}), ("metadata", "x"), ("metadata", [1])]
        for field, value in cases:
            with self.subTest(field=field, value=value):
                body = {"provider": "a", "region": "b", field: value}
                message = self.assert_error(self.api.post("/sandboxes", body), 400,
                                            "invalid_argument")
                self.assertIn(field, message)
        for field in ("provider", "region"):
            with self.subTest(missing=field):
                body = {"provider": "a", "region": "b"}
                del body[field]
                self.assertIn(field, self.assert_error(self.api.post("/sandboxes", body), 400,
                                                       "invalid_argument"))

    def test_bodies_that_are_no_object(self):
        for body in (b"", b"{", b"[]", b'"x"', b"null", b"\xff\xfe", b'{"provider":"a",}',
                     b"[" * 100000, b'{"provider":"a","region":"b"} x'):
            with self.subTest(body=body[:30]):
                answer = self.api.post("/sandboxes", body,
                                       headers={"Content-Type": "application/json"})
                self.assertEqual(answer.status, 400, answer)
                self.assertIn(answer.json["error"]["code"], ("invalid_json", "invalid_argument"))


class Life(ApiTest):
    def test_get(self):
        sandbox = self.api.create(metadata={"a": "b"})
        self.addCleanup(self.api.delete, f"/sandboxes/{sandbox['sandbox_id']}")
        got = self.assert_json(self.api.get(f"/sandboxes/{sandbox['sandbox_id']}"), 200)
        self.assertEqual(got, sandbox)

    def test_kill(self):
        sandbox = self.create()
        killed = self.assert_json(self.api.delete(f"/sandboxes/{sandbox}"), 200)
        self.assertEqual(killed, {"message": "Sandbox terminated successfully",
                                  "sandbox_id": sandbox})
        got = self.api.get(f"/sandboxes/{sandbox}").json
        self.assert_sandbox(got, "terminated")
        self.assert_time(got["ended_at"], near=time.time(), within=30)
        self.assert_error(self.api.delete(f"/sandboxes/{sandbox}"), 400, "invalid_state")

    def test_nothing_works_in_an_ended_sandbox(self):
        sandbox = self.create()
        self.api.delete(f"/sandboxes/{sandbox}")
        for action, body in (("timeout", {"timeout": 60}), ("commands/run", {"command": "true"}),
                             ("code/run", {"code": "1"}), ("code/contexts", {})):
            with self.subTest(action=action):
                answer = self.api.post(f"/sandboxes/{sandbox}/{action}", body)
                self.assert_error(answer, 400, "invalid_state")

    def test_kill_ends_a_command_that_runs(self):
        sandbox = self.create()
        answers = []
        thread = threading.Thread(target=lambda: answers.append(self.api.post(
            f"/sandboxes/{sandbox}/commands/run",
            {"command": "touch /tmp/begun; sleep 1000", "timeout": 1000000})))
        thread.start()
        wait_until(lambda: self.api.run(sandbox, "test -e /tmp/begun")["exit_code"] == 0, 10,
                   "the command runs")
        self.api.delete(f"/sandboxes/{sandbox}")
        thread.join(patience(15))
        self.assertFalse(thread.is_alive(), "the run is still waiting")
        self.assertNotIn(answers[0].status, (502, 503, 504), answers[0])

    def test_set_timeout_counts_from_now(self):
        sandbox = self.create(timeout=60)
        time.sleep(1.2)
        before = HOST.clock()
        answer = self.api.post(f"/sandboxes/{sandbox}/timeout", {"timeout": 1800})
        after = HOST.clock()
        body = self.assert_json(answer, 200)
        self.assert_keys(body, {"message", "timeout", "timeout_at"})
        self.assertEqual((body["message"], body["timeout"]), ("Timeout updated successfully", 1800))
        self.assert_time(body["timeout_at"])
        self.assertTrue(before - 1 <= parse_time(body["timeout_at"]) - 1800 <= after + 1, body)
        self.assertEqual(self.api.get(f"/sandboxes/{sandbox}").json["timeout_at"],
                         body["timeout_at"])

    def test_set_timeout_refuses(self):
        sandbox = self.create()
        for value in (-1, 3601, 10 ** 20, "60", None, 1.5):
            with self.subTest(value=value):
                answer = self.api.post(f"/sandboxes/{sandbox}/timeout", {"timeout": value})
                self.assert_error(answer, 400, "invalid_argument")
        self.assert_error(self.api.post(f"/sandboxes/{sandbox}/timeout", {}), 400,
                          "invalid_argument")

    def test_expiry(self):
        sandbox = self.create(timeout=2)
        wait_until(lambda: self.status_of(sandbox) != "running", 10, "the sandbox has ended")
        got = self.api.get(f"/sandboxes/{sandbox}").json
        self.assert_sandbox(got, "timed_out")
        self.assertAlmostEqual(parse_time(got["ended_at"]), parse_time(got["timeout_at"]), delta=2)
        self.assert_error(self.api.delete(f"/sandboxes/{sandbox}"), 400, "invalid_state")

    def test_a_longer_timeout_postpones_the_expiry(self):
        short = int(min(patience(2), 20))
        sandbox = self.create(timeout=short)
        self.api.post(f"/sandboxes/{sandbox}/timeout", {"timeout": 3600})
        time.sleep(short + 1)
        self.assertEqual(self.status_of(sandbox), "running")

    def test_ids(self):
        for value, status, code in ((str(uuid.uuid4()), 404, "sandbox_not_found"),
                                    ("x", 400, "invalid_id"), ("1" * 36, 400, "invalid_id"),
                                    ("%00" * 36, 400, None), ("..%2f..%2fetc", 400, None)):
            for method, action in (("GET", ""), ("DELETE", ""), ("POST", "/timeout"),
                                   ("POST", "/commands/run"), ("POST", "/code/run")):
                with self.subTest(id=value, action=action or method):
                    body = {"timeout": 5, "command": "true", "code": "1"}
                    answer = self.api.request(method, f"/sandboxes/{value}{action}",
                                              body if method == "POST" else None)
                    self.assertEqual(answer.status, status, answer)
                    if code:
                        self.assert_error(answer, status, code)


class List(ApiTest):
    @classmethod
    def prepare(cls):
        cls.ids = [cls.api.create(metadata={"n": n})["sandbox_id"] for n in range(3)]
        cls.api.delete(f"/sandboxes/{cls.ids[0]}")

    def names(self, query):
        body = self.assert_json(self.api.get(f"/sandboxes{query}"), 200)
        self.assert_keys(body, {"sandboxes", "total"})
        return [s["sandbox_id"] for s in body["sandboxes"]], body["total"]

    def test_newest_first_with_ended_ones(self):
        body = self.api.get("/sandboxes").json
        self.assertEqual([s["sandbox_id"] for s in body["sandboxes"]], self.ids[::-1])
        for item, status in zip(body["sandboxes"], ("running", "running", "terminated")):
            self.assert_sandbox(item, status)

    def test_pages(self):
        newest = self.ids[::-1]
        self.assertEqual(self.names("?limit=2&offset=0"), (newest[:2], 3))
        self.assertEqual(self.names("?limit=2&offset=2"), (newest[2:], 3))
        self.assertEqual(self.names("?offset=3"), ([], 3))
        self.assertEqual(self.names("?offset=1"), (newest[1:], 3))

    def test_unreadable_numbers_are_defaults(self):
        for query in ("?limit=NaN", "?limit=NaN&offset=NaN", "?limit=&offset=", "?limit=undefined",
                      "?limit=1.5x", "?unknown=1"):
            with self.subTest(query=query):
                self.assertEqual(self.names(query), (self.ids[::-1], 3))

    def test_numbers_out_of_range_do_no_harm(self):
        for query in ("?limit=0", "?limit=-1", "?limit=1001", "?limit=99999999999999999999",
                      "?offset=-1", "?offset=99999999999999999999"):
            with self.subTest(query=query):
                self.assertIn(self.api.get(f"/sandboxes{query}").status, (200, 400))


class Templates(ApiTest):
    KEYS = {"id", "name", "description", "vcpu_count", "memory_mb", "disk_size_mb", "visibility",
            "created_at", "updated_at"}

    def test_list(self):
        body = self.assert_json(self.api.get("/templates?limit=10&offset=0"), 200)
        self.assert_keys(body, {"templates", "limit", "offset"})
        self.assertEqual((body["limit"], body["offset"]), (10, 0))
        self.assertIn(TEMPLATE, [t["name"] for t in body["templates"]])
        for template in body["templates"]:
            self.assert_keys(template, self.KEYS)
            self.assert_time(template["created_at"])
            self.assert_time(template["updated_at"])
            self.assertEqual(template["visibility"], "public")
            for key in ("vcpu_count", "memory_mb", "disk_size_mb"):
                self.assertGreater(template[key], 0)

    def test_defaults_and_pages(self):
        body = self.api.get("/templates").json
        self.assertEqual((body["limit"], body["offset"]), (100, 0))
        body = self.api.get("/templates?limit=NaN&offset=1000").json
        self.assertEqual((body["limit"], body["offset"], body["templates"]), (100, 1000, []))


class Routes(ApiTest):
    def test_create_and_kill_at_the_bare_origin(self):
        answer = self.api.post("/sandboxes", {"provider": "a", "region": "b"}, prefix="")
        sandbox = self.assert_json(answer, 201)["sandbox_id"]
        self.assertEqual(self.api.delete(f"/sandboxes/{sandbox}", prefix="").status, 200)

    def test_bare_origin_reaches_the_same_sandboxes(self):
        sandbox = self.create()
        answer = self.api.get(f"/sandboxes/{sandbox}", prefix="")
        self.assertEqual(answer.json, self.api.get(f"/sandboxes/{sandbox}").json)
        run = self.api.post(f"/sandboxes/{sandbox}/commands/run", {"command": "echo hi"}, prefix="")
        self.assertEqual(run.json["stdout"], "hi\n")
        self.assertEqual(self.api.get("/templates", prefix="").json,
                         self.api.get("/templates").json)

    def test_content_type_without_a_body(self):
        headers = {"Content-Type": "application/json"}
        sandbox = self.create()
        for extra in ({}, {"Content-Length": "0"}):
            answer = self.api.get(f"/sandboxes/{sandbox}", headers={**headers, **extra})
            self.assertEqual(answer.status, 200)
        self.assertEqual(self.api.delete(f"/sandboxes/{sandbox}", headers=headers).status, 200)

    def test_health_needs_no_key(self):
        body = self.assert_json(Client(self.server.port, None).get("/health", prefix=""), 200)
        self.assert_keys(body, {"status", "version", "isolation", "sandboxes"})
        self.assertEqual(body["status"], "ok")
        self.assertIn(body["isolation"], ("oci", "kvm"))
        self.assertIs(type(body["sandboxes"]), int)

