# SPDX-License-Identifier: Apache-2.0
"""Network policies and identity providers, as the official package of gravixlayer 0.1 uses them."""
import asyncio

from gravixlayer import AsyncGravixLayer
from gravixlayer.types import exceptions

from test_gravix_python import SdkTest

BAD = exceptions.GravixLayerBadRequestError


class TestPolicies(SdkTest):
    def policy(self, name, mode="allowlist", rules=None, **fields):
        made = self.sdk.network_policies.create(name, mode, rules=rules, **fields)
        self.addCleanup(self.drop, made.id)
        return made

    def drop(self, policy):
        try:
            self.sdk.network_policies.delete(policy)
        except BAD:
            pass  # the test has done so

    def network(self, runtime):
        answer = self.server.client.get(f"/sandboxes/{runtime.runtime_id}/network").json
        return answer["default"], answer["allow"], answer["deny"]

    def test_create_get_update_delete(self):
        policies = self.sdk.network_policies
        made = self.policy("one", description="é", rules=[
            {"destination": "api.example.com", "port": 443},
            {"destination": "203.0.113.0/24", "protocol": "any", "description": "all"}])
        self.assertEqual((made.name, made.egress_mode, made.rule_count), ("one", "allowlist", 2))
        found = policies.get(made.id, include_rules=True)
        self.assertEqual([(r.destination, r.port, r.protocol) for r in found.rules],
                         [("api.example.com", 443, "tcp"), ("203.0.113.0/24", 0, "any")])
        self.assertEqual((found.description, found.is_active, found.is_default), ("é", True, False))
        self.assertIn(made.id, [p.id for p in policies.list(search="ON").policies])
        self.assertEqual(policies.list(search="nothing like it").total, 0)
        changed = policies.update(made.id, name="two", egress_mode="denylist", is_active=False)
        self.assertEqual((changed.name, changed.egress_mode, changed.is_active, changed.description),
                         ("two", "denylist", False, "é"))
        rule = policies.update_rule(made.id, found.rules[0].id, port=80, description="web")
        self.assertEqual((rule.port, rule.destination, rule.description),
                         (80, "api.example.com", "web"))
        self.assertTrue(policies.delete_rule(made.id, rule.id).success)
        self.assertEqual(len(policies.list_rules(made.id).rules), 1)
        self.assertTrue(policies.delete(made.id).success)
        error = self.refused(BAD, policies.get, made.id)
        self.assertEqual((error.status, error.code), (404, "not_found"))

    def test_a_create_with_policies(self):
        first = self.policy("first", rules=[{"destination": "a.example", "port": 443}])
        second = self.policy("second", rules=[{"destination": "b.example"},
                                              {"destination": "c.example", "protocol": "udp"}])
        weaker = self.policy("weaker", "denylist", [{"destination": "d.example"}])
        box = self.make(network_policy_ids=[first.id, second.id, weaker.id])
        self.assertEqual(self.network(box), ("deny", ["a.example:443", "b.example"], []))
        listed = self.sdk.network_policies.list_for_runtime(box.runtime_id)
        self.assertEqual({p.name for p in listed.policies}, {"first", "second", "weaker"})
        self.sdk.network_policies.add_rule(second.id, "e.example", 8443)
        self.assertEqual(self.network(box)[1], ["a.example:443", "b.example", "e.example:8443"])
        self.sdk.network_policies.update(second.id, is_active=False)
        self.assertEqual(self.network(box)[1], ["a.example:443"])
        self.sdk.network_policies.delete(first.id)
        self.assertEqual(self.network(box), ("public", [], ["d.example"]))
        error = self.refused(BAD, self.sdk.runtime.create, network_policy_ids=[first.id])
        self.assertEqual((error.status, error.code), (404, "not_found"))

    def test_attach_and_detach(self):
        policies = self.sdk.network_policies
        box = self.make(internet_access=True)
        nothing = self.policy("nothing", "deny_all", [{"destination": "a.example"}])
        self.assertTrue(policies.attach(nothing.id, box.runtime_id).success)
        self.assertTrue(policies.attach(nothing.id, box.runtime_id).success)
        self.assertEqual(self.network(box), ("deny", [], []))
        refused = self.server.client.request("PUT", f"/sandboxes/{box.runtime_id}/network", {})
        self.assertEqual((refused.status, refused.json["error"]["code"]), (409, "conflict"))
        self.assertTrue(policies.detach(nothing.id, box.runtime_id).success)
        self.assertEqual(self.network(box), ("public", [], []))
        self.assertEqual(policies.list_for_runtime(box.runtime_id).total, 0)
        shut = self.make(internet_access=False)
        policies.attach(self.policy("all", "allow_all").id, shut.runtime_id)
        self.assertEqual(self.network(shut), ("deny", [], []))
        self.refused(BAD, policies.attach, nothing.id, "11111111-2222-3333-4444-555555555555")

    def test_the_default_one(self):
        first = self.policy("d1", is_default=True, rules=[{"destination": "d1.example"}])
        second = self.policy("d2", is_default=True, rules=[{"destination": "d2.example"}])
        self.assertFalse(self.sdk.network_policies.get(first.id).is_default)
        self.assertEqual(self.network(self.make())[1], ["d2.example"])
        self.assertEqual(self.network(self.make(network_policy_ids=[first.id]))[1], ["d1.example"])
        self.sdk.network_policies.delete(second.id)
        self.assertEqual(self.network(self.make())[0], "public")

    def test_what_no_rule_can_be(self):
        policy = self.policy("rules")
        for destination in ("", "http://a.example/", "10.0.0.0/33", "a b", "x" * 300):
            error = self.refused(BAD, self.sdk.network_policies.add_rule, policy.id, destination)
            self.assertEqual(error.code, "invalid_argument", destination)
        with self.assertRaises(RuntimeError):  # and the package takes the policy back
            self.sdk.network_policies.create("half", rules=[{"destination": "a b"}])
        self.assertNotIn("half", [p.name for p in self.sdk.network_policies.list().policies])


class TestProviders(SdkTest):
    def provider(self, name, **secrets):
        made = self.sdk.identity.providers.create(
            name, secrets=[{"key": k, "value": v} for k, v in secrets.items()])
        self.addCleanup(self.drop, made.id)
        return made

    def drop(self, provider):
        try:
            self.sdk.identity.providers.delete(provider)
        except BAD:
            pass

    def test_create_get_update_delete(self):
        providers = self.sdk.identity.providers
        made = self.provider("keys", A_KEY="first value")
        self.assertEqual((made.name, made.provider_type, made.secret_count), ("keys", "api_key", 1))
        secret = providers.add_secret(made.id, "B_KEY", "two\nlines")
        self.assertEqual((secret.key, secret.value_set), ("B_KEY", True))
        again = providers.add_secret(made.id, "A_KEY", "another")
        self.assertEqual(again.id, made.secrets[0].id)
        renamed = providers.update_secret(made.id, secret.id, key="C_KEY")
        self.assertEqual((renamed.id, renamed.key), (secret.id, "C_KEY"))
        self.assertEqual([s.key for s in providers.list_secrets(made.id).secrets],
                         ["A_KEY", "C_KEY"])
        self.assertNotIn("another", str(providers.get(made.id)))
        self.assertTrue(providers.delete_secret(made.id, again.id).success)
        self.assertEqual(providers.update(made.id, name="more").name, "more")
        self.assertEqual([p.secret_count for p in providers.list(search="more").providers], [1])
        self.assertTrue(providers.delete(made.id).success)
        self.refused(BAD, providers.get, made.id)
        for key in ("", "1A", "A-B", "A=B"):
            self.refused(BAD, self.provider, "bad", **{key: "x"})
        self.assertNotIn("bad", [p.name for p in providers.list().providers])

    def test_variables_of_runs(self):
        providers = self.sdk.identity.providers
        first = self.provider("first", WHO="one", ONLY="é\n")
        box = self.make(providers=[first.id])
        show = 'printf "%s|%s|%s" "$WHO" "$ONLY" "$TWO"'
        self.assertEqual(box.run_cmd(show).stdout, "one|é\n|")
        said = box.run_cmd(show, environment={"WHO": "mine"})
        self.assertEqual(said.stdout, "mine|é\n|")
        second = self.provider("second", WHO="two", TWO="2")
        providers.attach(second.id, box.runtime_id)
        self.assertEqual(box.run_cmd(show).stdout, "two|é\n|2")
        self.assertEqual(box.run_code("import os; print(os.environ['WHO'])").text, "two")
        pty = self.sdk.runtime.pty
        session = pty.create(box.runtime_id, shell="/bin/sh", args=["-c", "echo =$TWO="])
        seen = list(pty.stream(box.runtime_id, session.session_id))
        self.assertIn(b"=2=", b"".join(e["data"] for e in seen if e["type"] == "data"))
        listed = providers.list_for_runtime(box.runtime_id)
        self.assertEqual({p.name for p in listed.providers}, {"first", "second"})
        providers.update(second.id, is_active=False)
        self.assertEqual(box.run_cmd(show).stdout, "one|é\n|")
        providers.detach(first.id, box.runtime_id)
        self.assertEqual(box.run_cmd(show).stdout, "||")

    def test_asynchronous_client(self):
        async def flow():
            async with AsyncGravixLayer() as client:
                made = await client.identity.providers.create("async")
                await client.identity.providers.add_secret(made.id, "K", "v")
                policy = await client.network_policies.create("async", "allow_all")
                names = [p.name for p in (await client.network_policies.list()).policies]
                await client.network_policies.delete(policy.id)
                await client.identity.providers.delete(made.id)
                return names
        self.assertEqual(asyncio.run(flow()), ["async"])
