# SPDX-License-Identifier: Apache-2.0
"""A server of its own for each test, which may kill it."""
import unittest

from corraltest import Server


class RestartTest(unittest.TestCase):
    def setUp(self):
        self.server = Server()
        self.addCleanup(self.close)
        self.server.start()

    def close(self):
        faults = self.server.close()
        if faults:
            self.fail("\n".join(faults))

    @property
    def api(self):
        return self.server.client

    def status(self, sandbox):
        return self.api.get(f"/sandboxes/{sandbox}").json["status"]
