# SPDX-License-Identifier: Apache-2.0
"""What is denied, and that nothing gets around it."""
import socket
import time

import egress
import internet
import suite

INNER = ("10.1.2.3", "127.0.0.1", "169.254.169.254", "100.100.100.200", "168.63.129.16",
         internet.HOST)


class Floor(suite.Case):
    def test_by_address(self):
        for address in INNER + ("0.0.0.0", "192.168.1.1", "172.16.0.1", "224.0.0.1",
                                "255.255.255.255", "203.0.113.7"):
            self.assertEqual(self.refusal(address), egress.R_DENIED, address)
            self.assertIn(egress.BY_FLOOR, self.reasons(address))

    def test_by_other_spellings_of_addresses(self):
        for text in ("0x7f.1", "2130706433", "0x7f000001", "017700000001", "127.1", "0"):
            self.assertEqual(self.refusal(text), egress.R_DENIED, text)

    def test_by_name(self):
        for address in INNER:
            self.net.names.zone["inner.example"] = [address]
            self.egress.sandbox()
            self.assertEqual(self.refusal(f"inner.example"), egress.R_DENIED, address)
            with self.egress.flow() as flow:
                self.assertEqual(flow.ask("inner.example"), egress.V_DENIED)
            time.sleep(1.01)  # the shortest time that an answer is kept

    def test_in_every_disguise(self):
        forms = ["::1", "::", "fc00::1", "fd00:ec2::254", "fe80::1", "fec0::1", "ff02::1",
                 "2001::1", "2001:db8::1", "100::1", "64:ff9b:1::7f00:1", "2606:2800::2"]
        for address in ("127.0.0.1", "10.1.2.3", "169.254.169.254", "168.63.129.16",
                        "100.100.100.200"):
            first, second = socket.inet_aton(address)[:2].hex(), socket.inet_aton(address)[2:].hex()
            forms += [f"::ffff:{address}", f"::{address}", f"::ffff:0:{address}",
                      f"64:ff9b::{address}", f"2002:{first}:{second}::1",
                      f"2a00::5efe:{first}:{second}"]
        for number, form in enumerate(forms):
            self.net.names.zone[f"form{number}.example"] = [form]
            self.assertEqual(self.refusal(f"form{number}.example"), egress.R_DENIED, form)
            self.assertEqual(self.reasons(f"form{number}.example"), [egress.BY_FLOOR], form)

    def test_only_the_allowed_address_of_several(self):
        before = self.net.servers[7].accepted
        self.net.names.zone["mixed.example"] = ["10.1.2.3", internet.WEB, "127.0.0.1"]
        flow = self.opened("mixed.example")
        flow.write(b"x")
        self.assertEqual(flow.frame(), (egress.DATA, b"x"))
        self.assertEqual(self.net.servers[7].accepted, before + 1)

    def test_rebinding(self):
        """Each question gets another answer, inner ones as well; none is ever reached."""
        inner = [self.net.serve(address, 81, internet.echo) for address in ("10.1.2.3",
                                                                         "169.254.169.254")]
        outer = self.net.serve(internet.WEB, 81, internet.echo)
        answers = ([internet.WEB], ["10.1.2.3"], ["169.254.169.254"], [internet.WEB, "10.1.2.3"],
                   ["127.0.0.1"])
        opened = 0
        for number in range(1000):
            self.net.names.zone[f"r{number}.example"] = lambda n: answers[n % len(answers)]
        self.egress.policy(names=10000)
        for number in range(1000):
            for _ in range(2):
                opened += self.refusal(f"r{number}.example", 81) == 0
            if number % 100 == 0:
                time.sleep(1.01)
        self.assertEqual([server.accepted for server in inner], [0, 0])
        self.assertGreaterEqual(outer.accepted, opened)
        for server in (*inner, outer):
            server.sock.close()

    def test_a_tenant_cannot_lift_it(self):
        self.egress.policy(allow=["169.254.0.0/16", "169.254.169.254:80", "*", "10.1.2.3:80"])
        for address in INNER:
            self.assertEqual(self.refusal(address), egress.R_DENIED)

    def test_port_25_and_port_0(self):
        self.assertEqual(self.refusal(internet.WEB, 25), egress.R_DENIED)
        self.assertIn(egress.BY_PORT, self.reasons(internet.WEB))
        self.assertEqual(self.refusal(internet.WEB, 0), egress.R_DENIED)
        self.egress.policy(allow=[f"{internet.WEB}:25"])
        self.assertEqual(self.refusal(internet.WEB, 25), 0)

    def test_names_that_are_none(self):
        for name in ("a..b", "-", "", "a b", "web.example\0.evil", "x" * 64 + ".example", "[::1]",
                     "::1", "web.example/", "web.example:80", "\xff"):
            self.assertEqual(self.refusal(name.encode("latin1")),
                             egress.R_NAME if name == "-" else egress.R_DENIED, name)


class Operator(suite.Case):
    allow = ("203.0.113.0/24", "lifted.example:7", "127.0.0.0/8", f"{internet.HOST}:5001")
    deny = ("denied.example", "93.184.217.77")

    def test_lifts_a_network(self):
        server = self.net.serve("203.0.113.7", 7, internet.echo)
        self.opened("203.0.113.7")
        server.sock.close()

    def test_lifts_a_name_on_its_port(self):
        server = self.net.serve("10.1.2.3", 7, internet.echo)
        self.net.names.zone["lifted.example"] = ["10.1.2.3"]
        self.opened("lifted.example")
        self.assertEqual(self.refusal("lifted.example", 80), egress.R_DENIED)
        server.sock.close()

    def test_loopback_and_own_only_exactly(self):
        self.assertEqual(self.refusal("127.0.0.1", 5001), egress.R_DENIED)
        self.assertEqual(self.refusal(internet.HOST, 5002), egress.R_DENIED)
        self.assertEqual(self.refusal(internet.HOST, 5001), egress.R_REFUSED)

    def test_denies_before_all(self):
        self.egress.policy(allow=["*"])
        self.assertEqual(self.refusal("denied.example"), egress.R_DENIED)
        self.assertEqual(self.refusal("93.184.217.77"), egress.R_DENIED)
        self.assertEqual(self.net.names.count("denied.example"), 0)


class Tenant(suite.Case):
    def test_without_a_policy_nothing_is_allowed(self):
        self.egress.sandbox("bare", policy=False)
        self.assertEqual(self.refusal("web.example", name="bare"), egress.R_DENIED)
        with self.egress.flow("bare") as flow:
            self.assertEqual(flow.ask("web.example"), egress.V_DENIED)

    def test_an_allow_list(self):
        self.egress.policy(default=egress.DENY, allow=["*.web.example", "six.example:443"])
        self.opened("www.web.example")
        self.opened("WWW.Web.Example.")
        for host in ("web.example", "evilweb.example", internet.WEB, "six.example",
                     "www.web.example\0", "a" * 64 + ".web.example"):
            self.assertEqual(self.refusal(host), egress.R_DENIED, host)

    def test_a_denied_name_never_leaves_the_host(self):
        self.egress.policy(default=egress.DENY, allow=["web.example", "93.184.217.0/24"])
        with self.egress.flow() as flow:
            self.assertEqual(flow.ask("secret.leak.example"), egress.V_DENIED)
        self.assertEqual(self.refusal("secret.leak.example"), egress.R_DENIED)
        self.egress.policy(default=egress.DENY)
        self.assertEqual(self.refusal("secret.leak.example"), egress.R_DENIED)
        self.assertEqual(self.net.names.count("secret.leak.example"), 0)
        self.assertEqual(self.reasons("secret.leak.example"), [egress.BY_DEFAULT] * 3)

    def test_a_deny_list_and_what_beats_it(self):
        self.egress.policy(deny=["*.web.example", "93.184.217.0/24:80"], allow=["www.web.example"])
        self.opened("www.web.example")
        self.net.names.zone["x.web.example"] = [internet.WEB]
        self.assertEqual(self.refusal("x.web.example", 7), egress.R_DENIED)
        self.assertEqual(self.refusal("web.example", 80), egress.R_DENIED)
        self.opened("web.example", 7)

    def test_a_live_deny_cuts_and_a_live_allow_opens(self):
        flow, other = self.opened(), self.opened("www.web.example")
        begun = time.monotonic()
        self.egress.policy(deny=["web.example"])
        self.assertEqual(flow.frame(), (egress.RST, b""))
        self.assertLess(time.monotonic() - begun, 1)
        self.assertEqual(self.refusal("web.example"), egress.R_DENIED)
        other.write(b"still")
        self.assertEqual(other.frame(), (egress.DATA, b"still"))
        self.egress.policy()
        self.opened()

    def test_a_live_deny_of_an_address(self):
        flow = self.opened()
        self.egress.policy(deny=["93.184.217.0/24"])
        self.assertEqual(flow.frame(), (egress.RST, b""))

    def test_a_list_that_cannot_be_read_denies_everything(self):
        self.egress.policy(allow=["not a host"])
        self.assertEqual(self.refusal("web.example"), egress.R_DENIED)

    def test_what_is_told(self):
        self.egress.sandbox("log", log=egress.LOG_ALL)
        self.egress.sandbox("quiet", log=egress.LOG_NONE)
        self.opened(name="log")
        self.refusal("10.1.2.3", name="log")
        self.refusal("10.1.2.3", name="quiet")
        self.egress.listen(1.5)
        told = [event for event in self.egress.events if event[0] in ("log", "quiet")]
        self.assertEqual(told, [
            ("log", egress.FLOW_OPENED, "web.example", internet.WEB, 7, egress.OK),
            ("log", egress.FLOW_DENIED, "10.1.2.3", "10.1.2.3", 80, egress.BY_FLOOR)])
        self.assertGreaterEqual(self.egress.stats[4][egress.BY_FLOOR], 2)
