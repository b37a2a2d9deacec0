# SPDX-License-Identifier: Apache-2.0
"""vmm_io.py - disk and vsock of a microVM beside QEMU's microvm machine: the same kernel, initramfs and
load. Run by bench/vmm.

Environment: ROUNDS, and that of vmm_host.py.
"""
import os
import sys
import time

import vmm_host as host
from benchlib import Row, Samples
from hosts import RIG
from vmm_table import table

ROUNDS = int(os.environ.get("ROUNDS", "5"))
SETTLE_SECONDS = 2  # after the boot of a guest, for what it begins in the background
MS = 1000 if RIG else 3000  # of a load
MIB = 32 if RIG else 1024  # through vsock
PEER = "QEMU microvm"
CPU = " CPU" if RIG else ""
# The first fills the place, so that all later ones find it written.
LOADS = (("128k sequential write, first", "ws 131072 1 0"),
         ("128k sequential write", f"ws 131072 1 {MS}"),
         ("128k sequential read", f"rs 131072 1 {MS}"),
         ("4k random read, depth 1", f"rr 4096 1 {MS}"),
         ("4k random read, depth 32", f"rr 4096 32 {MS}"),
         ("4k random write, depth 1", f"wr 4096 1 {MS}"),
         ("4k random write, depth 32", f"wr 4096 32 {MS}"))
SMALL = "4k"  # how the jobs begin whose unit is an operation; that of the others is a MiB
STREAMS = (("vsock, guest to host", "flood"), ("vsock, host to guest", "send"))


def step(name, argument=""):
    """(cost, duration, output); a guest that says an error ends the run."""
    cost, duration, text = host.taken(lambda: host.shell(f"{host.STEP} {name} '{argument}'"))
    if "error" in text or (argument and not text.strip()):
        raise RuntimeError(f"{name} {argument}: {text!r}")
    return cost, duration, text


class Side:
    """One of the two: of each job the cost of a unit in microseconds, and units in a second."""

    def __init__(self, name):
        self.name, self.costs, self.rates = name, {}, {}

    def add(self, job, cost, duration, units):
        self.costs.setdefault(job, []).append(max(cost, 0) * 1000 / units)
        self.rates.setdefault(job, []).append(units * 1000 / duration)

    def round(self):
        """What asking takes is taken off a cost; it is next to nothing of a duration."""
        step(f"io-{self.name}")
        time.sleep(SETTLE_SECONDS)
        asked = Samples([step(f"ask-{self.name}", "ping")[0] for _ in range(3)]).middle if RIG else 0
        for job, load in LOADS:
            cost, _, text = step(f"ask-{self.name}", f"blk {load}")
            operations, size, microseconds = map(int, text.split())
            duration = microseconds / 1000
            self.add(job, cost - asked if RIG else duration, duration,
                     operations if job.startswith(SMALL) else size / 2**20)
        for job, verb in STREAMS:
            cost, duration, text = step(f"{verb}-{self.name}", str(MIB))
            if int(text) < MIB << 20:
                raise RuntimeError(f"{verb}: {text.strip()} bytes of {MIB} MiB")
            self.add(job, cost - asked, duration, MIB)
        step("end")


def rows(ours, peer):
    found = []
    for job, _ in LOADS + STREAMS:
        unit = "op" if job.startswith(SMALL) else "MiB"
        for name, sides, what in ((job, (ours.costs, peer.costs), f"us{CPU}/{unit}"),
                                  ("  by the clock", (ours.rates, peer.rates), f"{unit}/s")):
            mine, other = (Samples(side[job]) if job in side else None for side in sides)
            found.append(Row(name, what, mine, other, PEER if other else "no peer"))
    return found


def main():
    able = "yes" in host.shell(f"{host.STEP} io-able || true")
    if not able:
        print("# no peer for disk and vsock: QEMU's guest is asked through vhost-vsock, which this kernel lacks")
    ours, peer = Side("ours"), Side("peer")
    for _ in range(ROUNDS):
        ours.round()
        if able:
            peer.round()
    table(rows(ours, peer))
    return 0


if __name__ == "__main__":
    sys.exit(main())
