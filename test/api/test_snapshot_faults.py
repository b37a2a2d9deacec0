# SPDX-License-Identifier: Apache-2.0
"""Snapshots and forks that cannot be completed: nothing half-made stays, and the sandbox runs on."""
import unittest

from corraltest import HOST, ISOLATION, wait_until
from restarts import RestartTest


class Faults(RestartTest):
    def setUp(self):
        super().setUp()
        self.box = self.api.create(timeout=900)["sandbox_id"]
        self.place = f"{self.server.state}/snapshots"

    def on_host(self, script):
        done = HOST.run(["sh", "-c", script])
        self.assertEqual(done.returncode, 0, done)
        return done.stdout

    def runs_on(self):
        self.assertEqual(self.api.run(self.box, "echo on")["stdout"], "on\n")

    def snapshots(self):
        return self.api.get("/snapshots", prefix="").json["total"]


class FullDisk(Faults):
    """The disk fills up while the copy is made: the reserve of before has let it begin."""

    def setUp(self):
        super().setUp()
        self.assertEqual(self.server.stop(), 0)
        self.on_host(f"mkdir -p {self.place} && mount -t tmpfs -o size=3m none {self.place}")
        self.addCleanup(self.on_host, f"umount -l {self.place} 2>/dev/null; true")
        self.server.start()

    def test_nothing_half_made_stays(self):
        self.api.run(self.box, "head -c 8000000 /dev/urandom > large; sync")
        for action in ("snapshots", "fork"):
            answer = self.api.post(f"/sandboxes/{self.box}/{action}", {})
            self.assertEqual((answer.status, answer.json["error"]["code"]), (500, "no_space"), answer)
            wait_until(lambda: not HOST.list(self.place), 10, "the half copy goes")
            self.assertEqual(self.snapshots(), 0)
            self.runs_on()
        self.on_host(f"mount -o remount,size=1g {self.place}")
        answer = self.api.post(f"/sandboxes/{self.box}/snapshots", {})
        self.assertEqual(answer.status, 201, answer)
        child = self.api.create(template=answer.json["snapshot_id"], timeout=900)["sandbox_id"]
        self.assertEqual(self.api.run(child, "stat -c %s large")["stdout"], "8000000\n")
        self.assertEqual(self.server.process.poll(), None)


@unittest.skipIf(ISOLATION == "kvm", "a microVM stands still by itself")
class Frozen(Faults):
    """Its programs are frozen while its disk is copied. Who froze them is killed, and does not come to
    thaw them; the next server does."""

    FREEZERS = (("freezer.state", "FROZEN", "THAWED"), ("cgroup.freeze", "1", "0"))

    def freezer(self):
        """(file, the word that freezes, the word that it has when it does not). Version 2 may be there
        beside version 1, for nothing."""
        for name, frozen, thawed in self.FREEZERS:
            for folder in HOST.cgroups():
                if self.box in folder and HOST.read(f"{folder}/{name}"):
                    return f"{folder}/{name}", frozen, thawed
        self.fail("its control group has no freezer")

    def test_the_next_server_thaws_it(self):
        path, frozen, thawed = self.freezer()
        self.server.kill()
        self.on_host(f"echo {frozen} > {path}")
        wait_until(lambda: HOST.read(path).decode().strip() == frozen, 10, "it is frozen")
        self.server.start()
        self.runs_on()
        self.assertEqual(HOST.read(path).decode().strip(), thawed)


if __name__ == "__main__":
    unittest.main()
