# SPDX-License-Identifier: Apache-2.0
"""vmm_table.py WORK - the table of bench/vmm's rounds, from its files in WORK, one for each step with a
number a line; wall-STEP holds what the client waited for. Also the table that vmm_api.py and vmm_io.py
print.
"""
import os
import sys

from benchlib import RIG, Row, Samples, number

COST = "ms CPU" if RIG else "ms"
PEER, FIRE = "QEMU microvm cold boot", "Firecracker"
HEAD = ("what", "unit", "n", "median", "min - max", "peer", "n", "median", "min - max", "ratio",
        "budget", "")


def columns(samples):
    """n, median and min - max; of nothing, dashes."""
    if not samples:
        return "-", "-", "-"
    low, high = number(samples.values[0]), number(samples.values[-1])
    return str(len(samples)), number(samples.middle), low if low == high else f"{low} - {high}"


def table(rows):
    lines = [HEAD]
    for row in rows:
        word = "" if row.met is None else "met" if row.met else "MISSED"
        lines.append((row.name, row.unit, *columns(row.ours), row.peer_name or "-",
                      *columns(row.peer), number(row.ratio), row.budget, word))
    widths = [max(len(line[i]) for line in lines) for i in range(len(HEAD))]
    for line in lines:
        print("  ".join(text.ljust(width) for text, width in zip(line, widths)).rstrip())
    sys.stdout.flush()


def within(row, limit):
    """The row with a budget: its ratio, or without a peer its own median, is at most `limit`."""
    row.budget = f"<= {limit}"
    row.met = (row.ratio if row.peer else row.ours.middle) <= limit
    return row


class Rounds:
    """The numbers of a run by step. What is around a job and no VM is taken off their cost."""

    def __init__(self, work):
        self.work = work
        self.around = Samples(self.values("nothing")).middle

    def values(self, step):
        """None where the run did not have the step."""
        path = f"{self.work}/{step}"
        if not os.path.exists(path):
            return None
        with open(path, encoding="ascii") as file:
            return [float(line) for line in file if line.strip()]

    def cost(self, step):
        values = self.values(step)
        return values and Samples([value - self.around for value in values])

    def clock(self, step):
        values = self.values(f"wall-{step}")
        return values and Samples(values)

    def race(self, name, step, peer_step, peer_name, limit):
        """A row, and one by the clock; none of a peer that was not there."""
        if self.cost(peer_step) is None:
            return []
        rows = [within(Row(name, COST, self.cost(step), self.cost(peer_step), peer_name), limit)]
        if RIG:
            rows.append(Row("  by the clock", "ms", self.clock(step), self.clock(peer_step),
                            peer_name))
        return rows

    def figure(self, name, step, limit):
        return within(Row(name, "", Samples(self.values(step))), limit)


def main(work):
    rounds = Rounds(work)
    table(rounds.race("own cold boot to vsock answer", "boot", "microvm", PEER, 0.5)
          + rounds.race("the same, uncompressed kernel", "vmlinux", "microvm", PEER, 0.45)
          + rounds.race("restore to vsock answer", "restore", "microvm", PEER, 0.02)
          + rounds.race("cold boot, uncompressed kernel", "vmlinux", "fire-boot", f"{FIRE} cold boot", 0.7)
          + rounds.race("restore to vsock answer", "restore", "fire-restore", f"{FIRE} restore", 0.5)
          + [rounds.figure("exits to user space, restore to answer", "exits", 60),
             rounds.figure("system calls, exec to answer", "calls", 200)])


if __name__ == "__main__":
    main(sys.argv[1])
