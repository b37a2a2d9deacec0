# SPDX-License-Identifier: Apache-2.0
"""Snapshots as objects, sandboxes that begin with one, and forks."""
import concurrent.futures
import http.client
import threading
import unittest
import uuid

from corraltest import HOST, ISOLATION, ApiTest, Client, SandboxTest, wait_until
from restarts import RestartTest

KEYS = {"snapshot_id", "name", "description", "kind", "sandbox_id", "template_id", "template",
        "driver", "cpu_count", "memory_mb", "disk_mb", "disk_bytes", "children", "active",
        "created_at"}
KIND = "disk" if ISOLATION == "oci" else "memory"
MEMORY = KIND == "memory"
COUNTER = "n=0; while true; do n=$((n+1)); echo $n > /tmp/counter; sleep 0.05; done"


class Api:
    """Snapshots have no prefix."""

    def snapshot(self, box, **fields):
        answer = self.api.post(f"/sandboxes/{box}/snapshots", fields)
        return self.assert_json(answer, 201)

    def ask(self, method, name="", query=""):
        path = f"/snapshots/{name}" if name else f"/snapshots{query}"
        return self.api.request(method, path, prefix="")

    def fork(self, box, **fields):
        return self.assert_json(self.api.post(f"/sandboxes/{box}/fork", fields), 201)


class Rollback(Api, SandboxTest):
    def test_a_microvm_is_what_it_was(self):
        if not MEMORY:
            self.skipTest("processes of a container cannot be kept")
        self.api.code(self.box, "x = 1; import random")
        self.run_command("echo before > file")
        made = self.snapshot(self.box)["snapshot_id"]
        self.api.code(self.box, "x = 2")
        self.run_command("echo after > file; touch late")
        self.api.run(self.box, "sleep 1000 >/dev/null 2>&1 &")
        answer = self.api.post(f"/sandboxes/{self.box}/rollback", {"snapshot": made})
        self.assertEqual(self.assert_json(answer, 200)["state"], "running")
        self.assertEqual(self.run_command("cat file; ls late; pgrep -c sleep")["stdout"],
                         "before\n0\n")
        drawn = []
        for _ in range(2):  # and again: what was drawn since is not drawn once more
            said = self.api.code(self.box, "print(x, random.random()); x += 1")["logs"]["stdout"]
            drawn.append(said[0].split())
            self.assert_json(self.api.post(f"/sandboxes/{self.box}/rollback", {"snapshot": made}), 200)
        self.assertEqual([x for x, _ in drawn], ["1", "1"])
        self.assertNotEqual(drawn[0][1], drawn[1][1])
        self.assert_json(self.api.post(f"/sandboxes/{self.box}/pause"), 200)
        self.assert_json(self.api.post(f"/sandboxes/{self.box}/rollback", {"snapshot": made}), 200)
        self.assertEqual(self.run_command("cat file")["stdout"], "before\n")

    def test_bad_requests(self):
        other = self.create()
        theirs = self.snapshot(other)["snapshot_id"]
        for fields, status, code in (({}, 400, "invalid_argument"),
                                     ({"snapshot": "nothing"}, 404, "snapshot_not_found"),
                                     ({"snapshot": theirs}, 409, "conflict")):
            answer = self.api.post(f"/sandboxes/{self.box}/rollback", fields)
            self.assert_error(answer, status, code)
        if not MEMORY:
            answer = self.api.post(f"/sandboxes/{other}/rollback", {"snapshot": theirs})
            self.assert_error(answer, 501, "unsupported")
        self.assertEqual(self.run_command("echo alive")["stdout"], "alive\n")


class Objects(Api, SandboxTest):
    def test_made_found_used_and_removed(self):
        self.run_command("mkdir -p kept && echo of-the-parent > kept/file && chmod 640 kept/file"
                         " && ln kept/file kept/other && ln -s file kept/link")
        name = f"first-{uuid.uuid4().hex[:8]}"
        made = self.snapshot(self.box, name=name, description="The first, é")
        self.assert_keys(made, KEYS)
        self.assertEqual((made["description"], made["active"]), ("The first, é", True))
        self.assert_time(made["created_at"])
        self.assertEqual((made["kind"], made["name"], made["sandbox_id"], made["driver"]),
                         (KIND, name, self.box, ISOLATION))
        self.assertGreater(made["disk_bytes"], 0)
        self.assertEqual(made["children"], 0)
        listed = self.assert_json(self.ask("GET"), 200)
        self.assertEqual([s for s in listed["snapshots"] if s["name"] == name], [made])
        self.run_command("echo changed > kept/file; echo late > late")
        for which in (name, made["snapshot_id"]):
            box = self.create(template=which)
            self.assertEqual(self.api.run(box, "cat kept/file kept/other kept/link; stat -c %a:%h:%U"
                                               " kept/file; ls -d late")["stdout"],
                             "of-the-parent\n" * 3 + "640:2:user\n")
        self.assertEqual(self.assert_json(self.ask("GET", name), 200)["children"], 2)
        self.assertEqual(self.assert_json(self.ask("DELETE", name), 200)["snapshot_id"],
                         made["snapshot_id"])
        self.assert_error(self.ask("GET", made["snapshot_id"]), 404, "snapshot_not_found")
        self.assert_error(self.ask("DELETE", name), 404, "snapshot_not_found")
        place = f"{self.server.state}/snapshots"
        wait_until(lambda: made["snapshot_id"] not in HOST.list(place), 10, "its files have gone")
        self.assert_error(self.api.post("/sandboxes", {"provider": "a", "region": "b",
                                                       "template": name}),
                          404, "template_not_found")
        self.assertEqual(self.api.run(box, "cat kept/file")["stdout"], "of-the-parent\n")

    def test_what_a_sandbox_deletes_of_its_template_stays_deleted(self):
        self.assertEqual(self.run_command("ls .profile && rm .profile && mv .bashrc .moved")
                         ["exit_code"], 0)
        was = self.run_command("ls -la --time-style=full-iso")["stdout"]
        made = self.snapshot(self.box)
        box = self.create(template=made["snapshot_id"])
        self.assertEqual(self.api.run(box, "ls -la --time-style=full-iso")["stdout"], was)
        self.assertEqual(self.ask("DELETE", made["snapshot_id"]).status, 200)

    def test_of_one_that_began_with_one(self):
        """Each has user ids of its own on the host, and the files of all belong to the same users."""
        box, ids = self.box, []
        for generation in range(3):
            self.api.run(box, f"echo {generation} >> generations; sync")
            made = self.snapshot(box)
            ids.append(made["snapshot_id"])
            box = self.create(template=made["snapshot_id"])
            self.assertEqual(self.api.run(box, "cat generations; stat -c %U:%G generations /etc")
                             ["stdout"],
                             "".join(f"{n}\n" for n in range(generation + 1)) +
                             "user:user\nroot:root\n")
        for one in ids:
            self.assertEqual(self.ask("DELETE", one).status, 200)

    @unittest.skipIf(MEMORY, "the processes of a microVM are part of its snapshot")
    def test_processes_stay_with_the_parent(self):
        box = self.create()
        self.api.run(box, f"({COUNTER}) > /dev/null 2>&1 &", background=True)
        wait_until(lambda: self.api.run(box, "cat /tmp/counter")["stdout"].strip(), 10, "it counts")
        made = self.snapshot(box)
        first = int(self.api.run(box, "cat /tmp/counter")["stdout"] or 0)
        wait_until(lambda: int(self.api.run(box, "cat /tmp/counter")["stdout"] or 0) > first, 10,
                   "it counts on")
        child = self.create(template=made["snapshot_id"])
        self.assertEqual(self.api.run(child, "pgrep -fc 'sleep 0.0[5]'; pgrep -fc '[/]tmp/counter'")
                         ["stdout"], "0\n0\n")
        self.assertEqual(self.ask("DELETE", made["snapshot_id"]).status, 200)

    def test_files_alone(self):
        """Of both drivers: nothing that ran is there, and nobody misses it."""
        box = self.create(env_vars={"NAME": "parent"})
        self.api.code(box, "x = 1")
        started = self.api.post(f"/sandboxes/{box}/processes",
                                {"command": "exec sleep 1000", "tag": "of-the-parent"})
        self.assert_json(started, 201)
        self.api.run(box, "setsid sleep 1000 > /dev/null 2>&1 & echo late > file")
        made = self.snapshot(box, kind="disk")
        self.assertEqual(made["kind"], "disk")
        child = self.create(template=made["snapshot_id"])
        got = self.api.run(child, "cat file; pgrep -c sleep; echo ${NAME-none}")["stdout"]
        self.assertEqual(got, "late\n0\nnone\n")
        listed = self.assert_json(self.api.get(f"/sandboxes/{child}/processes"), 200)
        self.assertEqual(listed["processes"], [])
        said = self.api.code(child, "print(globals().get('x'))")["logs"]["stdout"]
        self.assertEqual("".join(said).strip(), "None")
        self.assertEqual(self.api.run(box, "pgrep -c sleep")["stdout"], "2\n")
        if MEMORY:
            answer = self.api.post(f"/sandboxes/{box}/rollback", {"snapshot": made["snapshot_id"]})
            self.assert_error(answer, 501, "unsupported")
        self.assertEqual(self.ask("DELETE", made["snapshot_id"]).status, 200)

    def test_what_it_has_not_can_be_chosen(self):
        made = self.snapshot(self.box)
        create = {"provider": "a", "region": "b", "template": made["snapshot_id"]}
        other = self.api.post("/sandboxes", {**create, "disk_mb": made["disk_mb"] + 1024})
        self.assert_error(other, 400, "invalid_argument")
        if MEMORY:
            other = self.api.post("/sandboxes", {**create, "memory_mb": made["memory_mb"] // 2})
            self.assert_error(other, 400, "invalid_argument")
        else:
            box = self.create(template=made["snapshot_id"], memory_mb=made["memory_mb"] // 2,
                              env_vars={"COLOUR": "blue"}, metadata={"is": "child"})
            got = self.assert_json(self.api.get(f"/sandboxes/{box}"), 200)
            self.assertEqual((got["memory_mb"], got["metadata"]),
                             (made["memory_mb"] // 2, {"is": "child"}))
            self.assertEqual(self.api.run(box, "echo $COLOUR")["stdout"], "blue\n")
        self.assertEqual(self.ask("DELETE", made["snapshot_id"]).status, 200)

    def test_bad_requests(self):
        for fields in ({"name": ""}, {"name": "a/b"}, {"name": ".."}, {"name": "x" * 129},
                       {"name": self.box}, {"name": 7}, {"kind": "hot"}, {"description": 1},
                       {"description": "x" * 1025}):
            with self.subTest(fields):
                self.assert_error(self.post("snapshots", fields), 400, "invalid_argument")
        if not MEMORY:
            self.assert_error(self.post("snapshots", {"kind": "memory"}), 501, "unsupported")
        self.assert_error(self.post("snapshots", {"name": "python-base-v1"}), 409, "conflict")
        made = self.snapshot(self.box, name="taken", kind=KIND)
        self.assert_error(self.post("snapshots", {"name": "taken"}), 409, "conflict")
        self.assertEqual(self.ask("DELETE", "taken").status, 200)
        made = self.snapshot(self.box, name="taken")
        self.assertEqual(self.ask("DELETE", made["snapshot_id"]).status, 200)
        self.assert_error(self.ask("GET", str(uuid.uuid4())), 404, "snapshot_not_found")
        ended = self.create()
        self.api.delete(f"/sandboxes/{ended}")
        self.assertEqual(self.api.post(f"/sandboxes/{ended}/snapshots", {}).status, 400)
        self.assert_error(self.api.post(f"/sandboxes/{uuid.uuid4()}/snapshots", {}), 404,
                          "sandbox_not_found")

    def test_many_at_once(self):
        """One is made at a time; the others are told so."""
        with concurrent.futures.ThreadPoolExecutor(6) as pool:
            answers = list(pool.map(lambda _: self.post("snapshots", {}), range(6)))
        made = [a.json["snapshot_id"] for a in answers if a.status == 201]
        self.assertTrue(made)
        for answer in answers:
            if answer.status != 201:
                self.assert_error(answer, 409, "conflict")
        for one in made:
            self.assertEqual(self.ask("DELETE", one).status, 200)
        self.assertEqual(self.run_command("echo on")["stdout"], "on\n")

    def test_another_account_has_none_of_it(self):
        made = self.snapshot(self.box, name="mine")
        key = self.assert_json(self.api.request("POST", "/v1/admin/keys",
                                                {"name": "k", "account": "theirs"}, prefix=""), 201)
        theirs = Client(self.api.port, key["key"])
        for which in ("mine", made["snapshot_id"]):
            for method in ("GET", "DELETE"):
                self.assert_error(theirs.request(method, f"/snapshots/{which}", prefix=""), 404,
                                  "snapshot_not_found")
            self.assert_error(theirs.post("/sandboxes", {"provider": "a", "region": "b",
                                                         "template": which}),
                              404, "template_not_found")
        self.assertEqual(theirs.request("GET", "/snapshots", prefix="").json["total"], 0)
        self.assertEqual(self.ask("DELETE", "mine").status, 200)

    def test_pages(self):
        made = [self.snapshot(self.box)["snapshot_id"] for _ in range(3)]
        query = f"?sandbox_id={self.box}"
        first = self.assert_json(self.ask("GET", query=query + "&limit=2"), 200)
        rest = self.assert_json(self.ask("GET", query=query + "&limit=2&offset=2"), 200)
        self.assertEqual([s["snapshot_id"] for s in first["snapshots"] + rest["snapshots"]][:3],
                         made[::-1])
        self.assertEqual(len(first["snapshots"]), 2)
        self.assertEqual(first["total"], rest["total"])
        self.assertEqual(self.assert_json(self.ask("GET", query=f"?sandbox_id={uuid.uuid4()}"), 200)
                         ["total"], 0)
        for one in made:
            self.assertEqual(self.ask("DELETE", one).status, 200)


class Restarts(Api, RestartTest):
    def assert_json(self, answer, status):
        self.assertEqual(answer.status, status, answer)
        return answer.json


class Templates(Restarts):
    """Snapshots that become templates."""

    def promote(self, status=201, **fields):
        answer = self.api.post("/templates", fields)
        self.assertEqual(answer.status, status, answer)
        return answer.json

    def names(self):
        return [t["name"] for t in self.api.get("/templates?limit=1000").json["templates"]]

    def key(self, **fields):
        answer = self.api.request("POST", "/v1/admin/keys", {"name": "k", **fields}, prefix="")
        return Client(self.api.port, answer.json["key"])

    def test_it_outlives_the_snapshot_and_the_server(self):
        box = self.api.create(timeout=900)["sandbox_id"]
        self.api.run(box, "mkdir -p deep/er && echo kept > deep/er/file && rm .profile &&"
                          " ln deep/er/file other && ln -s other link")
        made = self.snapshot(box, name="first", description="With a file")
        template = self.promote(name="prepared", snapshot="first")
        self.assertEqual(template, self.api.get("/templates/prepared").json)
        self.assertEqual((template["description"], template["status"], template["visibility"]),
                         ("With a file", "ready", "public"))
        self.assertEqual(set(template["source"]), {"snapshot_id", "sandbox_id", "template", "kind",
                                                   "driver", "disk_bytes", "children"})
        self.assertEqual((template["source"]["snapshot_id"], template["source"]["sandbox_id"],
                          template["source"]["template"], template["source"]["kind"]),
                         (made["snapshot_id"], box, "python-base-v1", KIND))
        listed = [t for t in self.api.get("/templates?limit=1000").json["templates"]
                  if t["name"] == "prepared"]
        self.assertEqual(listed, [{k: v for k, v in template.items()
                                   if k not in ("status", "phase", "build_log", "source")}])
        self.assertEqual(self.ask("GET").json["total"], 1)
        self.assertEqual(self.ask("DELETE", "first").status, 200)
        self.api.delete(f"/sandboxes/{box}")
        theirs = self.key(account="theirs")
        child = theirs.create(template="prepared", timeout=600)["sandbox_id"]
        look = "cat deep/er/file other link; ls .profile; stat -c %h:%U deep/er/file"
        want = "kept\n" * 3 + "2:user\n"
        self.assertEqual(theirs.run(child, look)["stdout"], want)
        self.server.kill()
        self.server.start()
        self.assertEqual(self.api.get("/templates/prepared").json["source"]["children"], 1)
        for name in ("prepared", template["id"]):
            again = self.api.create(template=name, timeout=600)["sandbox_id"]
            self.assertEqual(self.api.run(again, look)["stdout"], want)
        answer = theirs.post("/runtime", {"template": "prepared"})
        self.assertEqual(answer.status, 201, answer)
        theirs.delete(f"/runtime/{answer.json['runtime_id']}")
        self.assertEqual(theirs.get("/template/prepared").json["name"], "prepared")
        self.assertEqual(self.api.delete("/templates/prepared").json["template"], "prepared")
        self.assertNotIn("prepared", self.names())
        wait_until(lambda: not HOST.list(f"{self.server.state}/snapshots"), 10, "its files go")
        self.assertEqual(self.api.run(again, look)["stdout"], want)
        for one in (child, again):
            theirs.delete(f"/sandboxes/{one}")
            self.api.delete(f"/sandboxes/{one}")

    def test_bad_requests(self):
        box = self.api.create(timeout=900)["sandbox_id"]
        self.snapshot(box, name="mine")
        good = {"name": "taken", "snapshot": "mine"}
        self.promote(**good)
        for change, status, code in (
                ({}, 409, "conflict"), ({"name": "python-base-v1"}, 409, "conflict"),
                ({"name": None}, 400, "invalid_argument"), ({"name": "a/b"}, 400, "invalid_argument"),
                ({"name": "..", }, 400, "invalid_argument"),
                ({"name": box}, 400, "invalid_argument"),
                ({"snapshot": None}, 400, "invalid_argument"),
                ({"name": "new", "snapshot": "none"}, 404, "snapshot_not_found"),
                ({"name": "new", "snapshot": "taken"}, 404, "snapshot_not_found"),
                ({"name": "new", "description": "x" * 1025}, 400, "invalid_argument")):
            with self.subTest(change):
                answer = self.promote(status, **{**good, **change})
                self.assertEqual(answer["error"]["code"], code)
        taken = self.api.post(f"/sandboxes/{box}/snapshots", {"name": "taken"})
        self.assertEqual((taken.status, taken.json["error"]["code"]), (409, "conflict"))
        for name, status, code in (("python-base-v1", 501, "unsupported"),
                                   ("none", 404, "template_not_found"),
                                   ("mine", 404, "template_not_found")):
            answer = self.api.delete(f"/templates/{name}")
            self.assertEqual((answer.status, answer.json["error"]["code"]), (status, code))
        developer = self.key(scopes=["read", "run"])
        for answer in (developer.post("/templates", good), developer.delete("/templates/taken")):
            self.assertEqual((answer.status, answer.json["error"]["code"]), (403, "forbidden"))
        self.assertEqual(self.api.delete("/templates/taken").status, 200)
        self.assertEqual(self.ask("DELETE", "mine").status, 200)
        self.api.delete(f"/sandboxes/{box}")

    def test_a_server_that_is_killed_leaves_all_or_nothing(self):
        box = self.api.create(timeout=900)["sandbox_id"]
        self.snapshot(box, name="of-killed")
        place = f"{self.server.state}/snapshots"

        def promote_until_it_dies():
            try:
                for i in range(1000):
                    self.api.post("/templates", {"name": f"killed-{i}", "snapshot": "of-killed"})
            except (OSError, http.client.HTTPException):
                pass
        thread = threading.Thread(target=promote_until_it_dies)
        thread.start()
        wait_until(lambda: len(HOST.list(place)) > 2, 20, "some are made")
        self.server.kill()
        thread.join()
        self.server.start()
        made = [name for name in self.names() if name.startswith("killed-")]
        self.assertTrue(made)
        self.assertEqual(len(HOST.list(place)), len(made) + 1)
        child = self.api.create(template=made[-1], timeout=600)["sandbox_id"]
        self.assertEqual(self.api.run(child, "echo on")["stdout"], "on\n")
        for name in made:
            self.assertEqual(self.api.delete(f"/templates/{name}").status, 200)
        self.assertEqual(self.ask("DELETE", "of-killed").status, 200)
        for one in (box, child):
            self.api.delete(f"/sandboxes/{one}")


class OfE2b(Api, SandboxTest):
    """The routes that clients of E2B call."""

    def e2b(self, method, path, body=None):
        return self.api.request(method, path, body, {"X-API-Key": self.api.key}, prefix="")

    def test_snapshots(self):
        self.run_command("echo kept > file")
        made = self.assert_json(self.e2b("POST", f"/sandboxes/{self.box}/snapshots",
                                         {"name": "of-e2b"}), 201)
        self.assertEqual(made["names"], ["of-e2b"])
        second = self.assert_json(self.e2b("POST", f"/sandboxes/{self.box}/snapshots", {}), 201)
        first = self.e2b("GET", f"/snapshots?sandboxID={self.box}&limit=1")
        self.assertEqual(first.json, [second])
        rest = self.e2b("GET", f"/snapshots?sandboxID={self.box}&nextToken="
                        + first.headers["X-Next-Token"])
        self.assertEqual((rest.json, rest.headers["X-Next-Token"]), ([made], None))
        box = self.assert_json(self.e2b("POST", "/v2/sandboxes", {"templateID": "of-e2b"}), 201)
        self.addCleanup(self.api.delete, f"/sandboxes/{box['sandboxID']}")
        self.assertEqual(self.api.run(box["sandboxID"], "cat file")["stdout"], "kept\n")
        for one in (made, second):
            self.assertEqual(self.e2b("DELETE", f"/templates/{one['snapshotID']}").status, 204)
        self.assertEqual(self.e2b("DELETE", "/templates/of-e2b").status, 404)
        other = self.e2b("POST", f"/sandboxes/{self.box}/snapshots", {"memory": not MEMORY})
        self.assertEqual(other.status, 201 if MEMORY else 501)  # a microVM has both kinds
        if MEMORY:
            self.e2b("DELETE", f"/templates/{other.json['snapshotID']}")

    def test_fork(self):
        answer = self.e2b("POST", f"/sandboxes/{self.box}/fork", {"count": 2, "timeout": 90})
        children = [child["sandbox"] for child in self.assert_json(answer, 201)]
        self.assertEqual(len({child["sandboxID"] for child in children}), 2)
        for child in children:
            self.assertIn("envdAccessToken", child)
            self.api.delete(f"/sandboxes/{child['sandboxID']}")


class Limits(Api, ApiTest):
    options = ("--max-snapshots", "1", "--max-account", "4", "--pool-size", "0")

    def test_of_an_account(self):
        box = self.create()
        made = self.snapshot(box)
        self.assert_error(self.api.post(f"/sandboxes/{box}/snapshots", {}), 429, "quota_exceeded")
        answer = self.fork(box, count=6)  # its snapshot is no part of the share
        self.assertEqual(["sandbox" in c for c in answer["children"]], [True] * 3 + [False] * 3)
        for child in answer["children"][3:]:
            self.assert_keys(child["error"], {"code", "message"})
            self.assertEqual(child["error"]["code"], "quota_exceeded")
        self.assertEqual(self.ask("DELETE", made["snapshot_id"]).status, 200)
        self.snapshot(box)


class Bytes(Api, ApiTest):
    options = ("--max-kept-disk", "256KiB", "--pool-size", "0")

    def kept(self):
        return sum(self.assert_json(self.api.request("GET", path, prefix=""), 200)["disk_bytes"]
                   for path in ("/snapshots", "/v1/agents/sandboxes/paused"))

    def test_of_an_account(self):
        box, other = self.create(), self.create()
        self.api.run(box, "head -c 500000 /dev/urandom > large; sync")
        self.assertEqual(self.kept(), 0)
        made = self.snapshot(box)
        self.assertGreater(self.kept(), 256 << 10)
        for path in (f"/sandboxes/{other}/snapshots", f"/sandboxes/{other}/pause"):
            self.assert_error(self.api.post(path, {}), 429, "quota_exceeded")
        child, = self.fork(other)["children"]  # what it makes does not stay
        self.assert_json(self.api.delete(f"/sandboxes/{child['sandbox']['sandbox_id']}"), 200)
        self.assertEqual(self.ask("DELETE", made["snapshot_id"]).status, 200)
        self.assert_json(self.api.post(f"/sandboxes/{box}/pause"), 200)
        self.assertGreater(self.kept(), 256 << 10)
        self.assert_error(self.api.post(f"/sandboxes/{other}/snapshots", {}), 429, "quota_exceeded")
        self.assert_json(self.api.post(f"/sandboxes/{box}/resume"), 200)
        self.snapshot(other)


class Crashes(Restarts):
    def try_to(self, box, action):
        try:
            self.api.post(f"/sandboxes/{box}/{action}", {})
        except (OSError, http.client.HTTPException):  # the server dies under it
            pass

    def test_kept_ones_stay_and_half_made_ones_go(self):
        box = self.api.create(timeout=900)["sandbox_id"]
        self.api.run(box, "echo kept > file; head -c 4000000 /dev/zero > large")
        kept = [self.snapshot(box, name="kept")["snapshot_id"]]
        place = f"{self.server.state}/snapshots"
        for action in ("snapshots", "fork"):
            tries = []

            def one_is_made():
                """What a fork makes goes with it, so it is tried until it is seen."""
                if not tries or not tries[-1].is_alive():
                    tries.append(threading.Thread(target=self.try_to, args=(box, action)))
                    tries[-1].start()
                return set(HOST.list(place)) - set(kept)

            wait_until(one_is_made, 20, "one is made")
            self.server.kill()
            for thread in tries:
                thread.join()
            HOST.run(["mkdir", "-p", f"{place}/{uuid.uuid4()}.new",
                      f"{place}/{uuid.uuid4()}/upper"])
            self.server.start()
            listed = [s["snapshot_id"] for s in self.ask("GET").json["snapshots"]]
            self.assertEqual(set(HOST.list(place)), set(listed))
            self.assertIn(kept[0], listed)
            kept = listed
            self.assertEqual(self.api.run(box, "cat file")["stdout"], "kept\n")
        child = self.api.create(template="kept")["sandbox_id"]
        self.assertEqual(self.api.run(child, "cat file; stat -c %s large")["stdout"],
                         "kept\n4000000\n")
        self.assertEqual(self.ask("GET", "kept").json["children"], 1)

    def test_a_disk_that_is_full(self):
        box = self.api.create(timeout=900)["sandbox_id"]
        self.assertEqual(self.server.stop(), 0)
        self.server.options += ["--disk-reserve", "1000GiB"]
        self.server.start()
        for action in ("snapshots", "fork"):
            answer = self.api.post(f"/sandboxes/{box}/{action}", {})
            self.assertEqual((answer.status, answer.json["error"]["code"]), (503, "host_full"))
        self.assertEqual(HOST.list(f"{self.server.state}/snapshots"), [])
        self.assertEqual(self.api.run(box, "echo on")["stdout"], "on\n")


if __name__ == "__main__":
    unittest.main()
