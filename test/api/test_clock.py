# SPDX-License-Identifier: Apache-2.0
"""Somebody sets the host's clock: sandboxes live as long as they were told."""
import os
import struct
import subprocess
import time
import unittest.mock

from corraltest import ApiTest, Server, not_emulated, wait_until

DAY = 86400


@not_emulated("the library is preloaded into a server on this host")
class Clock(ApiTest):
    build = "release"
    options = ("--pool-size", "0")

    @classmethod
    def setUpClass(cls):
        plain = Server.command
        source = os.path.join(os.path.dirname(__file__), "../guest/wallclock.c")

        def moved(server, *arguments):
            library, cls.offset = f"{server.dir}/wallclock.so", f"{server.dir}/wallclock"
            if not os.path.exists(library):
                subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-o", library, source], check=True)
                with open(cls.offset, "wb") as file:
                    file.truncate(8 + 4 * 65536)
            return ["env", f"LD_PRELOAD={library}", f"CORRAL_WALLCLOCK={cls.offset}",
                    *plain(server, *arguments)]

        patch = unittest.mock.patch.object(Server, "command", moved)
        patch.start()
        cls.addClassCleanup(patch.stop)
        super().setUpClass()

    def move(self, seconds):
        with open(self.offset, "r+b") as file:
            file.write(struct.pack("<q", seconds * 10 ** 9))

    def tearDown(self):
        self.move(0)
        super().tearDown()

    def status(self, box):
        return self.api.get(f"/sandboxes/{box}").json["status"]

    def test_a_day_ahead_ends_nothing(self):
        box = self.create(timeout=600)
        for again in (False, True):
            self.move(DAY)
            self.assertEqual(self.status(box), "running")
            self.assertEqual(self.api.run(box, "echo a")["stdout"], "a\n")
            if not again:
                self.server.kill()
                self.server.start()
        print("note a day ahead, and a restart there: the sandbox lives")

    def test_a_day_back_keeps_nothing(self):
        box, other = self.create(timeout=4), self.create(timeout=8)
        begun = time.monotonic()
        self.move(-DAY)
        wait_until(lambda: self.status(box) == "timed_out", 8, "the sandbox has ended")
        print(f"note a day back: a time-out of 4 s came after {time.monotonic() - begun:.1f} s")
        self.server.kill()
        self.server.start()
        wait_until(lambda: self.status(other) == "timed_out", 12, "the other one has ended")
