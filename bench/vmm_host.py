# SPDX-License-Identifier: Apache-2.0
"""The machine that bench/vmm_api.py measures on: what a job costs there, steps of vmm_step.sh, a
gate that new VMs wait at, and the memory of VMMs.

Environment: that of test/api/hosts.py; BENCH_STEP is the command that does a step, BENCH_VMCTL
names the program vmctl; both are for a shell on that machine, and for those who use them.
"""
import collections
import contextlib
import os
import time

from benchlib import corraltest, taken
from corraltest import HOST, patience
from hosts import RIG, guest_area, memory_areas

STEP = os.environ.get("BENCH_STEP")
VMCTL = os.environ.get("BENCH_VMCTL")
VMM = HOST.program("release").replace("src/corrald", "vmm/corral-vmm")
QUIET = 0.1  # share of a processor that a machine takes where nothing goes on
SETTLE_SECONDS = 60
KINDS = ("PSS", "anonymous", "private")

GATE = """#!/bin/sh
[ ! -p {folder}/shut ] || read -r _ <{folder}/shut
exec {vmm} "$@"
"""


def shell(script, text=""):
    """The output of a script that must succeed."""
    done = HOST.run(["sh", "-c", script], text, timeout=600)
    if done.returncode != 0:
        raise RuntimeError(f"{script}: status {done.returncode}: {done.stderr[-1000:]}")
    return done.stdout


def step(name):
    """(cost, duration) of a step."""
    cost, duration, text = taken(lambda: shell(f"{STEP} {name}"))
    shell(f"{STEP} end")
    return (cost, duration) if RIG else (float(text or 0),) * 2


def settle():
    """Waits until what was begun in the background is done."""
    end = time.monotonic() + SETTLE_SECONDS
    time.sleep(1)
    while RIG and time.monotonic() < end:
        cost, duration, _ = taken(lambda: time.sleep(1))
        if cost < QUIET * duration:
            return


def exits(server, box):
    """Of the VMM of a sandbox, to user space, since it was started."""
    return int(shell(f"{VMCTL} {server.state}/sandboxes/{box} stats").split()[0])


class Gate:
    """Instead of corral-vmm: it waits while the gate is shut, at most one at a time."""

    def __init__(self):
        self.folder = shell("mktemp -d").strip()
        self.program = f"{self.folder}/vmm"
        shell(f"cat >{self.program}; chmod 755 {self.folder} {self.program}",
              GATE.format(folder=self.folder, vmm=VMM))

    def shut(self):
        shell(f"mkfifo {self.folder}/shut")

    def open(self):
        """Lets the one that waits pass, or the one that comes."""
        shell(f"timeout {patience(10)} sh -c 'echo >{self.folder}/shut'; rm {self.folder}/shut")


@contextlib.contextmanager
def gate():
    made = Gate()
    try:
        yield made
    finally:
        shell(f"rm -rf {made.folder}")


def monitors(boxes):
    """box -> pid of its VMM. One that was not restored from a snapshot is an error."""
    found = {}
    for pid, text in HOST.processes():
        box = next((b for b in boxes if b in text), None)
        if box and text.split(" ")[0].endswith("corral-vmm"):
            if "--restore" not in text:
                raise RuntimeError(f"{box} is not a clone: is the template's snapshot stale?")
            found[box] = pid
    if len(found) != len(boxes):
        raise RuntimeError(f"{len(boxes)} sandboxes, {len(found)} VMMs")
    return found


def memory(boxes):
    """Means over the VMMs of these sandboxes in MiB: {part: {kind: size}}."""
    parts = {"guest": collections.Counter(), "outside": collections.Counter()}
    for pid in monitors(boxes).values():
        found = memory_areas(HOST.read(f"/proc/{pid}/smaps").decode())
        guest = guest_area(found)
        for area in found:
            parts["guest" if area is guest else "outside"].update({
                "PSS": area["Pss"], "anonymous": area["Anonymous"],
                "private": area["Private_Clean"] + area["Private_Dirty"]})
    parts["all"] = parts["guest"] + parts["outside"]
    return {part: {kind: sizes[kind] / 1024 / len(boxes) for kind in KINDS}
            for part, sizes in parts.items()}


def left(server, boxes):
    """What of these sandboxes is still there, one line each."""
    return ([f"process {pid} {text[:100]}" for pid, text in corraltest.processes_with(boxes)]
            + corraltest.mounts_with(boxes) + corraltest.cgroups_with(boxes)
            + [f"directory {name}" for name in server.directories()])
