# SPDX-License-Identifier: Apache-2.0
"""One internet for all tests of the suite; each class has a corral-egress of its own."""
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
