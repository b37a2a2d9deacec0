# SPDX-License-Identifier: Apache-2.0
"""A server whose corral-egress lives in a namespace of the suite's own internet (test/egress)."""
import os
import sys

import corraltest
from hosts import BUILDS, TOP

sys.path.insert(0, f"{TOP}/test/egress")

import internet


class NetServer(corraltest.Server):
    """`net` is the internet. The program given to the server enters the host's namespace and runs
    the real one: always the release build, because a sanitizer does not live behind its walls."""

    def __init__(self, options=(), build=None):
        self.net = internet.Internet()
        self.net.names.zone.update({
            "web.example": [internet.WEB], "www.web.example": [internet.WEB],
            "dead.example": [internet.DEAD], "private.example": ["10.1.2.3"],
            "meta.example": ["169.254.169.254"], "empty.example": []})
        super().__init__(options, build)
        program = f"{self.dir}/egress"
        with open(program, "w", encoding="utf-8") as f:
            f.write(f"#!/bin/sh\nexec ip netns exec {self.net.host} "
                    f"{BUILDS['release']}/src/egress/corral-egress "
                    f"--resolver {internet.NAMES}:53 \"$@\"\n")
        os.chmod(program, 0o755)
        self.options += ["--egress-program", program]

    def egress(self):
        """The pid of the server's corral-egress; None when there is none."""
        with open(f"/proc/{self.process.pid}/task/{self.process.pid}/children",
                  encoding="ascii") as f:
            for pid in f.read().split():
                with open(f"/proc/{pid}/cmdline", "rb") as line:
                    if b"corral-egress" in line.read():
                        return int(pid)
        return None

    def close(self):
        faults = super().close()
        if self.net is not None:
            self.net.close()
        self.net = None
        return faults
