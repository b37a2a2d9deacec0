# SPDX-License-Identifier: Apache-2.0
"""Every route asked by a viewer, a developer and an admin, each with a key and with a token."""
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))

import routes
from accounts import ENVIRONMENTS, AccountTest, Person
from corraltest import HOST

SOME_ID = "550e8400-e29b-41d4-a716-446655440000"


class Roles(AccountTest):
    @classmethod
    def prepare(cls):
        super().prepare()
        cls.table = routes.routes()

    def clients(self):
        admin = Person(self.server.port, self.server.key)
        for role, scopes in routes.roles().items():
            key = admin.post("/v1/admin/keys", {"role": role, "account": "team"}).json["key"]
            yield role, "key", scopes, Person(self.server.port, key)
            yield role, "token", scopes, self.person(f"{role}-person", role)

    def test_the_table_was_read(self):
        self.assertGreater(len(self.table), 40)
        self.assertEqual(set(routes.roles()), {"viewer", "developer", "admin"})
        self.assertEqual({scope for *_, scope in self.table}, {None, "read", "run", "manage"})

    def test_every_route(self):
        for role, kind, scopes, client in self.clients():
            for method, pattern, _, scope in self.table:
                path = re.sub(r":\w+", SOME_ID, pattern)
                with self.subTest(role=role, kind=kind, route=f"{method} {pattern}"):
                    answer = client.request(method, path, b"{" if method == "POST" else None)
                    if scope is None or scope in scopes:
                        self.assertNotIn(answer.status, (401, 403, 405, 500), answer)
                    else:
                        message = self.assert_error(answer, 403, "forbidden")
                        self.assertIn(f"'{scope}'", message)

    def test_without_a_credential(self):
        for method, pattern, _, scope in self.table:
            with self.subTest(route=f"{method} {pattern}"):
                answer = self.nobody.request(method, re.sub(r":\w+", SOME_ID, pattern), b"")
                # The loopback alone may ask for metrics like that.
                if scope is None and (pattern != "/metrics" or HOST.client == "127.0.0.1"):
                    self.assertNotEqual(answer.status, 401)
                else:
                    self.assert_error(answer, 401, "unauthorized")

    def test_accounts_do_not_see_each_other(self):
        ours, theirs = self.person("ours"), self.person("theirs", account="rivals")
        made = ours.post(ENVIRONMENTS, {"name": "mine"}).json["environment_id"]
        self.addCleanup(ours.delete, f"{ENVIRONMENTS}/{made}")
        self.assertEqual(theirs.get(ENVIRONMENTS).json["total"], 0)
        for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/execute")):
            answer = theirs.request(method, f"{ENVIRONMENTS}/{made}{path}", {"code": "1"})
            self.assert_error(answer, 403, "forbidden")
