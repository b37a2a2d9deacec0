# SPDX-License-Identifier: Apache-2.0
"""One internet for all tests of the suite; each class has a corral-egress of its own.

What the network of a sandbox must do, and where it is shown. `egress` is this folder, `net` is
test/net (the agent with a host of the test's own), `api` is test/api (a program in a sandbox, to the
internet and back, on both drivers where the server runs on this machine).

allowed
  pip, npm, apt; git, cargo, go     api/test_registries.py; api/test_internet.py test_git, test_cargo
  musl, Go and busybox by name      api/test_internet.py test_musl, test_go, test_busybox
  AAAA, SRV, HTTPS have no data     api/test_internet.py test_questions_over_tcp_and_to_any_name_server
  a name with IPv6 only             api/test_internet.py test_a_name_with_only_ipv6
  DNS over TCP, any name server     as for AAAA; net/test_names.py test_over_tcp
  1 GiB each way, flat memory       api/test_internet.py test_bytes_each_way_with_their_digest
  half-close both ways              net/test_flows.py class Bytes; egress/test_flows.py
  200 held, then 2000               net/test_flows.py class Many; egress/test_flows.py class Flows
  an idle flow                      api/test_internet.py test_an_idle_flow_stays
  a nested namespace                net/test_flows.py test_nested_namespace
  names after a restart             api/test_network.py class Restart; net/test_names.py class Dead
  metered is sent                   api/test_network.py test_bytes_both_ways_and_their_meter
errors
  a closed port                     api/test_network.py test_closed_ports_refuse; net/test_flows.py
  unreachable, time-outs            net/test_flows.py class Errors; egress/test_flows.py class Failures
  NXDOMAIN at once on musl          net/test_names.py test_musl; api/test_internet.py test_musl
  the host is down and heals        net/test_flows.py class Host; api/test_network.py class Restart
  RST both ways, after the data     net/test_flows.py class Bytes; api/test_network.py test_a_reset_travels
  UDP and ping                      net/test_flows.py test_udp_and_ping; api/test_internet.py class Denied
denied
  inner addresses, names, redirects egress/test_policy.py class Floor; api/test_internet.py class Denied,
                                    test_a_redirect_to_the_metadata_service
  rebinding                         egress/test_policy.py test_rebinding; api/test_internet.py
  every form in IPv6                egress/test_policy.py test_in_every_disguise; api/test_internet.py
  raw addresses of allowed hosts    api/test_network.py test_only_what_is_allowed
  *.x: neither x nor evilx          api/test_internet.py test_names_below_and_beside_an_allowed_one
  a live deny, a live allow         api/test_network.py class Policy; egress/test_policy.py class Tenant
  the floor stays                   api/test_network.py test_a_tenant_cannot_lift_the_floor
abuse
  root without the TUN, root itself api/test_internet.py class Abuse; net/test_flows.py class Lost
  frames, opens, never reading      egress/test_abuse.py; api/test_internet.py class Abuse
  floods of names, malformed ones   egress/test_abuse.py; net/test_names.py; test/fuzz/fuzz_net_dns.c
  the network's own addresses       api/test_internet.py test_addresses_of_the_network_itself
transforms
  secrets outside of the sandbox    api/test_transforms.py; egress/test_intercept.py
"""
import atexit
import os
import unittest

import egress
import internet

_NET = None


def net():
    global _NET
    if _NET is None:
        _NET = internet.Internet()
        atexit.register(_NET.close)
    return _NET


class Case(unittest.TestCase):
    """`options` and the operator's lists are the class's; sandboxes are the test's."""
    options, allow, deny, ca = (), (), (), ("", "")

    @classmethod
    def setUpClass(cls):
        if os.geteuid() != 0:
            raise unittest.SkipTest("network namespaces need root")
        cls.net = net()
        cls.net.names.zone.update({
            "web.example": [internet.WEB], "www.web.example": [internet.WEB],
            "six.example": [internet.WEB6], "empty.example": []})
        cls.egress = egress.Egress(cls.net, *cls.options, allow=cls.allow, deny=cls.deny,
                                   ca=cls.ca)

    @classmethod
    def tearDownClass(cls):
        if cls.egress is None:
            return
        program, cls.egress = cls.egress, None
        status = program.end()
        assert status == 0 and "ERROR" not in program.said, (status, program.said)

    def setUp(self):
        self.net.names.deaf, self.net.names.mangle = False, None
        self.egress.sandbox()

    def opened(self, host="web.example", port=7, name="one"):
        flow = self.egress.flow(name)
        self.addCleanup(flow.close)
        self.assertEqual(flow.open(host, port), 0)
        return flow

    def refusal(self, host, port=80, name="one"):
        with self.egress.flow(name) as flow:
            return flow.open(host, port)

    def reasons(self, host):
        """Why flows to `host` and names were denied, as the server was told."""
        self.egress.listen(0.1)
        return [event[5] for event in self.egress.events if event[2] == host]
