# SPDX-License-Identifier: Apache-2.0
"""What the operating system has killed because memory ran out."""

OWN_GROUP = "/sys/fs/cgroup/memory.events"  # in a container of a host with cgroup v2
OWN_MACHINE = "/sys/fs/cgroup/cgroup.controllers"  # only the root of a hierarchy lacks the former
VMSTAT = "/proc/vmstat"  # counts for the whole machine, so only in a microVM for this sandbox


def kills():
    """How many processes of this sandbox so far; 0 where only the host knows."""
    text = _read(OWN_GROUP)
    if not text and _read(OWN_MACHINE):
        text = _read(VMSTAT)
    for line in text.splitlines():
        name, _, count = line.partition(" ")
        if name == "oom_kill" and count.isdigit():
            return int(count)
    return 0


def _read(path):
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.read()
    except OSError:
        return ""
