# SPDX-License-Identifier: Apache-2.0
"""Network policies and providers of clients of gravixlayer 0.1: what they do to connections and
runs, who may see them, and what a restart keeps."""
import unittest

from corraltest import files_with
from internet_host import internet
from restarts import RestartTest
from test_network import NetworkTest

POLICIES, PROVIDERS = "/v1/network-policies", "/v1/identity/providers"


def made(answer):
    assert answer.status == 201, answer
    return next(iter(answer.json.values()))


class TestPolicies(NetworkTest):
    def call(self, method, path, body=None):
        return self.api.request(method, path, body, prefix="")

    def test_flows_obey_and_follow_a_change(self):
        policy = made(self.call("POST", POLICIES, {"name": "web", "egress_mode": "allowlist"}))
        path = f"{POLICIES}/{policy['id']}"
        sandbox = self.create()
        self.assertEqual(self.connect("web.example", 7, sandbox), "open")
        attached = self.call("POST", f"{path}/attach", {"runtime_id": sandbox})
        self.assertEqual(attached.json, {"success": True})
        self.assertNotEqual(self.connect("web.example", 7, sandbox), "open")
        rule = made(self.call("POST", f"{path}/rules", {"destination": "web.example", "port": 7}))
        self.assertEqual(self.connect("web.example", 7, sandbox), "open")
        self.assertNotEqual(self.connect("web.example", 9, sandbox), "open")
        self.call("PATCH", f"{path}/rules/{rule['id']}", {"destination": internet.WEB, "port": 9})
        self.assertEqual(self.connect(internet.WEB, 9, sandbox), "open")
        self.assertNotEqual(self.connect("web.example", 7, sandbox), "open")
        self.assertEqual(self.call("DELETE", f"{path}/attach/{sandbox}").status, 200)
        self.assertEqual(self.connect("web.example", 7, sandbox), "open")


class TestRestart(RestartTest):
    def call(self, method, path, body=None):
        return self.api.request(method, path, body, prefix="")

    def test_objects_and_ties_are_kept(self):
        policy = made(self.call("POST", POLICIES, {"name": "p", "egress_mode": "allowlist"}))
        rules = f"{POLICIES}/{policy['id']}/rules"
        made(self.call("POST", rules, {"destination": "a.example", "port": 443}))
        provider = made(self.call("POST", PROVIDERS, {
            "name": "keys", "secrets": [{"key": "KEY", "value": "the value"}]}))
        box = self.api.post("/runtime", {"network_policy_ids": [policy["id"]],
                                         "providers": [provider["id"]]}).json["runtime_id"]
        before = [self.call("GET", path).json for path in (
            POLICIES, PROVIDERS, rules, f"{POLICIES}/runtimes/{box}",
            f"/v1/identity/runtimes/{box}/providers")]
        self.server.kill()
        self.assertEqual(files_with(f"{self.server.state}/db", "the value"), [])
        self.server.start()
        after = [self.call("GET", path).json for path in (
            POLICIES, PROVIDERS, rules, f"{POLICIES}/runtimes/{box}",
            f"/v1/identity/runtimes/{box}/providers")]
        self.assertEqual(after, before)
        self.assertEqual(self.api.get(f"/sandboxes/{box}/network").json["allow"], ["a.example:443"])
        self.assertEqual(self.api.run(box, 'printf "$KEY"')["stdout"], "the value")
        made(self.call("POST", rules, {"destination": "b.example"}))
        self.assertEqual(self.api.get(f"/sandboxes/{box}/network").json["allow"],
                         ["a.example:443", "b.example"])
        self.assertEqual(self.call("DELETE", f"{PROVIDERS}/{provider['id']}").status, 200)
        self.assertEqual(self.api.run(box, 'printf "$KEY"')["stdout"], "")

    def test_limits_and_other_accounts(self):
        ids = [made(self.call("POST", POLICIES, {"name": f"p{i}"}))["id"] for i in range(64)]
        self.assertEqual(self.call("POST", POLICIES, {"name": "p"}).status, 429)
        page = self.call("GET", f"{POLICIES}?limit=2&offset=1").json
        self.assertEqual(([p["name"] for p in page["policies"]], page["total"]), (["p62", "p61"], 64))
        path = f"{POLICIES}/{ids[0]}/rules"
        for i in range(64):
            made(self.call("POST", path, {"destination": f"h{i}.example"}))
        self.assertEqual(self.call("POST", path, {"destination": "h.example"}).status, 429)
        self.assertEqual(self.call("POST", PROVIDERS, {}).status, 400)
        for body in ({"name": ""}, {"name": "x" * 129}, {"name": "a\nb"}, {"name": 1},
                     {"name": "a", "egress_mode": "all"}, {"name": "a", "is_default": "yes"}):
            self.assertEqual(self.call("PATCH", f"{POLICIES}/{ids[1]}", body).status, 400, body)
        for body in ({}, {"destination": "a.example", "port": 65536},
                     {"destination": "a.example", "protocol": "icmp"}):
            self.assertEqual(self.call("POST", f"{POLICIES}/{ids[1]}/rules", body).status, 400, body)
        key = self.api.post("/v1/admin/keys", {"account": "stranger", "role": "developer"},
                            prefix="").json["key"]
        stranger = self.server.connect(key)
        box = self.api.post("/runtime", {}).json["runtime_id"]
        for method, where, body in (
                ("GET", f"{POLICIES}/{ids[0]}", None), ("GET", path, None),
                ("DELETE", f"{POLICIES}/{ids[0]}", None),
                ("POST", f"{POLICIES}/{ids[0]}/attach", {"runtime_id": box}),
                ("GET", f"{POLICIES}/runtimes/{box}", None)):
            self.assertEqual(stranger.request(method, where, body, prefix="").status, 404, where)
        self.assertEqual(stranger.request("GET", POLICIES, prefix="").json["total"], 0)


if __name__ == "__main__":
    unittest.main()
