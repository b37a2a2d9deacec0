# SPDX-License-Identifier: Apache-2.0
"""A server whose corral-egress lives in a namespace of the suite's own internet (test/egress)."""
import os
import sys

import corraltest
from hosts import HOST, RIG, TOP

sys.path.insert(0, f"{TOP}/test/egress")

import internet
from wan import Wan

# The emulated host joins the internet: busybox's own `ip`.
JOIN = f"""
ip link set eth1 down
echo 0 >/proc/sys/net/ipv6/conf/eth1/accept_dad
ip link set eth1 up
ip addr flush dev eth1
ip addr add {internet.HOST}/24 dev eth1
ip addr add 2606:2800::2/64 dev eth1
ip route replace default via {internet.GATEWAY} dev eth1
ip -6 route replace default via 2606:2800::1 dev eth1
"""


def attach(net):
    """Makes the emulated host the one that is on the internet `net`."""
    wan = Wan(HOST.machine, internet.inside(net.net), "eth0")
    net.endings.append(wan.close)
    HOST.machine.check(JOIN)


class NetServer(corraltest.Server):
    """`net` is the internet. The program given to the server runs the real one, on this machine in
    the host's namespace: always the release build, because a sanitizer does not live behind its
    walls."""

    def __init__(self, options=(), build=None):
        self.net = internet.Internet(attach if RIG else None)
        self.net.names.zone.update({
            "web.example": [internet.WEB], "www.web.example": [internet.WEB],
            "dead.example": [internet.DEAD], "private.example": ["10.1.2.3"],
            "meta.example": ["169.254.169.254"], "empty.example": []})
        super().__init__(options, build)
        program, enter = f"{self.dir}/egress", f"ip netns exec {self.net.host} "
        with open(program, "w", encoding="utf-8") as f:
            f.write(f"#!/bin/sh\nexec {'' if RIG else enter}{HOST.egress} "
                    f"--resolver {internet.NAMES}:53 \"$@\"\n")
        os.chmod(program, 0o755)
        self.options += ["--egress-program", HOST.place(program)]

    def egress(self):
        """The pid of the server's corral-egress; None when there is none."""
        for pid in self.proc(f"task/{self.process.pid}/children").split():
            if b"corral-egress" in HOST.read(f"/proc/{pid}/cmdline"):
                return int(pid)
        return None

    def close(self):
        faults = super().close()
        if self.net is not None:
            self.net.close()
        self.net = None
        return faults
