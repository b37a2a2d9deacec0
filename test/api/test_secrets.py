# SPDX-License-Identifier: Apache-2.0
"""Secrets: names come out, values never do, accounts do not see each other."""
from accounts import AccountTest
from corraltest import HOST, files_with

VALUE = "tok-5b1f9c7a-very-secret"


class Secrets(AccountTest):
    def put(self, name, value, person=None):
        return (person or self.ours).request("PUT", f"/v1/agents/secrets/{name}", {"value": value})

    def names(self, person=None):
        listed = (person or self.ours).get("/v1/agents/secrets").json["secrets"]
        for entry in listed:
            self.assertEqual(set(entry), {"name", "updated_at"})
        return [entry["name"] for entry in listed]

    @classmethod
    def prepare(cls):
        super().prepare()
        cls.ours = cls.theirs = None

    def setUp(self):
        super().setUp()
        if self.ours is None:
            cls = type(self)
            cls.ours, cls.theirs = self.person("ours"), self.person("theirs", account="rivals")

    def test_set_list_and_remove(self):
        answer = self.put("API_KEY", VALUE)
        self.assertEqual((answer.status, answer.json), (200, {"name": "API_KEY"}))
        self.assertEqual(self.put("API_KEY", VALUE + "2").status, 200)
        self.assertEqual(self.put("b", "x").status, 200)
        self.assertEqual(self.names(), ["API_KEY", "b"])
        self.assertEqual(self.names(self.theirs), [])
        self.assert_error(self.theirs.request("DELETE", "/v1/agents/secrets/b"), 404,
                          "secret_not_found")
        for name in ("API_KEY", "b"):
            self.assertEqual(self.ours.request("DELETE", f"/v1/agents/secrets/{name}").status, 200)
        self.assertEqual(self.names(), [])
        self.assert_error(self.ours.request("DELETE", "/v1/agents/secrets/b"), 404,
                          "secret_not_found")

    def test_bad_names_and_values(self):
        for name, value in (("a b", "x"), ("a" * 65, "x"), ("a", ""), ("a", "x" * 4097),
                            ("a", "x\r\ny"), ("a", "x\ty"), ("a", 5), ("a", None)):
            self.assertEqual(self.put(name.replace(" ", "%20"), value).status, 400, (name, value))
        self.assertEqual(self.names(), [])

    def test_a_viewer_may_not(self):
        viewer = self.person("looker", "viewer")
        self.assert_error(viewer.get("/v1/agents/secrets"), 403, "forbidden")
        self.assert_error(self.put("x", "y", viewer), 403, "forbidden")

    def test_the_value_is_nowhere_in_the_state(self):
        self.assertEqual(self.put("HIDDEN", VALUE).status, 200)
        state = self.server.state
        self.assertEqual(files_with(state, VALUE), [])
        key = f"{state}/secret.key"
        self.assertEqual((HOST.mode(key), len(HOST.read(key))), (0o600, 32))
        self.assertEqual(self.ours.request("DELETE", "/v1/agents/secrets/HIDDEN").status, 200)
