# SPDX-License-Identifier: Apache-2.0
"""Keys: refusals, accounts that do not see each other, create, list and revoke."""
import http.client
import re

from corraltest import HOST, ApiTest, Client


class KeyTest(ApiTest):
    def new_key(self, **fields):
        answer = self.api.post("/v1/admin/keys", fields, prefix="")
        return self.assert_json(answer, 201)

    def client(self, **fields):
        return Client(self.server.port, self.new_key(**fields)["key"])


class Refused(KeyTest):
    ROUTES = (("GET", "/sandboxes"), ("POST", "/sandboxes"), ("GET", "/templates"),
              ("GET", "/sandboxes/550e8400-e29b-41d4-a716-446655440000"),
              ("DELETE", "/sandboxes/550e8400-e29b-41d4-a716-446655440000"),
              ("POST", "/sandboxes/nonsense/commands/run"))

    def test_missing_and_wrong_keys(self):
        key = self.api.key
        for header in (None, "", "Bearer", "Bearer ", "Bearer x", f"Bearer {key}x",
                       f"Bearer {key[:-1]}", f"Bearer {key[:-1]}!", f"Basic {key}", key,
                       f"Bearer {key} {key}", "Bearer " + "x" * 9000,
                       f"Bearer crl_{'0' * 12}_{'0' * 32}", f"Bearer e2b_{'0' * 40}"):
            for method, path in self.ROUTES:
                with self.subTest(header=str(header)[:40], path=path):
                    headers = {} if header is None else {"Authorization": header}
                    answer = Client(self.server.port, None).request(
                        method, path, {} if method == "POST" else None, headers=headers)
                    self.assert_error(answer, 401, "unauthorized")

    def test_scheme_is_case_insensitive(self):
        answer = Client(self.server.port, None).get(
            "/sandboxes", headers={"Authorization": f"bearer {self.api.key}"})
        self.assertEqual(answer.status, 200)

    def test_two_headers(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=10)
        connection.putrequest("GET", "/v1/agents/sandboxes")
        connection.putheader("Authorization", "Bearer wrong")
        connection.putheader("Authorization", f"Bearer {self.api.key}")
        connection.endheaders()
        self.assertIn(connection.getresponse().status, (400, 401))
        connection.close()

    def test_unknown_routes_do_not_need_a_key(self):
        self.assertIn(Client(self.server.port, None).get("/nope").status, (401, 404))


class Accounts(KeyTest):
    def test_accounts_do_not_see_each_other(self):
        other = self.client(name="other", account="other", role="developer")
        mine = self.create()
        theirs = other.create()["sandbox_id"]
        self.addCleanup(other.delete, f"/sandboxes/{theirs}")
        self.assertEqual(other.get("/sandboxes").json["total"], 1)
        self.assertNotIn(theirs, [s["sandbox_id"] for s in
                                  self.api.get("/sandboxes").json["sandboxes"]])
        for method, action, body in (
                ("GET", "", None), ("DELETE", "", None), ("POST", "/timeout", {"timeout": 9}),
                ("POST", "/commands/run", {"command": "true"}), ("POST", "/code/run", {"code": "1"}),
                ("POST", "/code/contexts", {}), ("GET", "/code/contexts/x", None),
                ("DELETE", "/code/contexts/x", None)):
            with self.subTest(method=method, action=action):
                answer = other.request(method, f"/sandboxes/{mine}{action}", body)
                self.assert_error(answer, 403, "forbidden")
        self.assertEqual(self.status_of(mine), "running")

    def test_two_keys_of_one_account_share(self):
        one, two = (self.client(name=n, account="team") for n in ("one", "two"))
        sandbox = one.create()["sandbox_id"]
        self.assertEqual(two.get(f"/sandboxes/{sandbox}").status, 200)
        self.assertEqual(two.delete(f"/sandboxes/{sandbox}").status, 200)

    def test_roles(self):
        viewer = self.client(name="v", role="viewer")
        self.assertEqual(viewer.get("/sandboxes").status, 200)
        self.assert_error(viewer.post("/sandboxes", {"provider": "a", "region": "b"}), 403,
                          "forbidden")
        developer = self.client(name="d", role="developer")
        for method, path in (("GET", "/v1/admin/keys"), ("POST", "/v1/admin/keys"),
                             ("DELETE", "/v1/admin/keys/x")):
            answer = developer.request(method, path, {} if method == "POST" else None, prefix="")
            self.assert_error(answer, 403, "forbidden")


class Keys(KeyTest):
    def test_create_list_revoke(self):
        made = self.new_key(name="ci", account="ci", role="developer")
        self.assert_keys(made, {"id", "name", "account", "role", "created_at", "rate_limit", "key"})
        client = Client(self.server.port, made["key"])
        self.assertEqual(client.get("/sandboxes").status, 200)
        listed = self.assert_json(self.api.get("/v1/admin/keys", prefix=""), 200)["keys"]
        found = [k for k in listed if k["id"] == made["id"]]
        self.assertEqual(found, [{k: v for k, v in made.items() if k != "key"}])
        self.assertNotIn(made["key"].encode(), self.api.get("/v1/admin/keys", prefix="").body)
        self.assertEqual(self.api.delete(f"/v1/admin/keys/{made['id']}", prefix="").status, 200)
        self.assert_error(client.get("/sandboxes"), 401, "unauthorized")
        self.assert_error(self.api.delete(f"/v1/admin/keys/{made['id']}", prefix=""), 404,
                          "key_not_found")

    def test_bad_fields(self):
        for body in ({"role": "king"}, {"name": 5}, {"account": ["x"]}, {"name": "x" * 1000},
                     {"name": "line\nbreak"}):
            with self.subTest(body=str(body)[:40]):
                self.assert_error(self.api.post("/v1/admin/keys", body, prefix=""), 400,
                                  "invalid_argument")

    def test_the_secret_is_nowhere_in_the_state(self):
        made = self.new_key(name="secret")
        secret = made["key"].rsplit("_", 1)[-1]
        # An overlay is what a guest wrote; and grep would read its gigabytes of nothing.
        found = HOST.run(["find", self.server.state, "-type", "f", "!", "-name", "overlay", "-exec",
                          "grep", "-Fl", secret, "{}", "+"])
        self.assertEqual(found.stdout, "")


class CommandLine(KeyTest):
    def corrald(self, *arguments):
        return self.server.run("key", *arguments)

    def test_beside_a_server_it_names_the_way(self):
        result = self.corrald("list")
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("corral key", result.stderr)

    def test_create_list_revoke_while_the_server_is_stopped(self):
        self.server.stop()
        try:
            made = self.corrald("create", "--name", "from-cli", "--role", "developer")
            self.assertEqual(made.returncode, 0, made.stderr)
            key = re.search(r"e2b_\w+", made.stdout).group()
            listed = self.corrald("list")
            self.assertIn("from-cli", listed.stdout)
            self.assertNotIn(key, listed.stdout)
        finally:
            self.server.start()
        client = Client(self.server.port, key)
        self.assertEqual(client.get("/sandboxes").status, 200)
        self.server.stop()
        try:
            revoked = self.corrald("revoke", key[4:16])
            self.assertEqual(revoked.returncode, 0, revoked.stderr)
        finally:
            self.server.start()
        self.assertEqual(client.get("/sandboxes").status, 401)
