# SPDX-License-Identifier: Apache-2.0
"""What only microVMs have: processes that outlive the server, and that can die alone."""
import os
import unittest

from corraltest import HOST, parse_time, patience, processes_with, wait_until
from restarts import RestartTest

KVM = os.environ.get("CORRAL_TEST_ISOLATION") == "kvm"


@unittest.skipUnless(KVM, "the sandboxes are containers")
class MicroVMs(RestartTest):
    def get(self, sandbox):
        return self.api.get(f"/sandboxes/{sandbox}").json

    def value(self, sandbox, code):
        return self.api.code(sandbox, code)["results"]["result"]["data"]["text/plain"]

    def vmm(self, sandbox):
        """The pid of its VMM. The process that started it has left."""
        [(pid, _)] = [(pid, text) for pid, text in processes_with([sandbox]) if "--dir" in text]
        return int(pid)

    def test_five_outlive_the_server_and_one_dies_alone(self):
        made = [self.api.create(timeout=1800)["sandbox_id"] for _ in range(5)]
        for n, sandbox in enumerate(made):
            self.api.code(sandbox, f"variable = {n} * 11")
        before = {sandbox: self.vmm(sandbox) for sandbox in made}
        self.server.kill()
        self.server.start()
        self.assertEqual({sandbox: self.vmm(sandbox) for sandbox in made}, before)
        for n, sandbox in enumerate(made):
            self.assertEqual(self.value(sandbox, "variable"), str(n * 11))

        dead = made.pop(2)
        killed = HOST.clock()
        HOST.kill(before[dead])
        wait_until(lambda: self.get(dead)["status"] == "failed", 10, "the VMM's death is not seen")
        ended = self.get(dead)["ended_at"]
        self.assertLess(parse_time(ended) + float(f"0.{ended[20:23]}") - killed, patience(1))
        self.assertIn("the VMM was killed", self.server.log())
        for sandbox in made:
            self.assertEqual(self.get(sandbox)["status"], "running")
            self.assertEqual(self.api.run(sandbox, "echo hi")["stdout"], "hi\n")
        wait_until(lambda: not processes_with([dead]), 10, "something of it is left")


if __name__ == "__main__":
    unittest.main()
