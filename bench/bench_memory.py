# SPDX-License-Identifier: Apache-2.0
"""Resident memory of an idle server, and the proportional set size of idle sandboxes."""
import os
import re
import time

from benchlib import Row, Samples, Session, corrald

SANDBOXES = 5


def pss_kib(sandbox):
    """Of all processes in the sandbox's cgroup, by name."""
    found = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cgroup", encoding="utf-8") as file:
                if sandbox not in file.read():
                    continue
            with open(f"/proc/{pid}/smaps_rollup", encoding="utf-8") as file:
                size = int(re.search(r"^Pss:\s+(\d+)", file.read(), re.M).group(1))
            with open(f"/proc/{pid}/cmdline", encoding="utf-8") as file:
                words = file.read().split("\0")
        except OSError:
            continue
        name = next((w for w in words if "corral" in w), words[0])
        name = os.path.basename(name)
        found[name] = found.get(name, 0) + size
    return found


def measure():
    with corrald("--pool-size", "0") as server:
        time.sleep(1)
        idle = Samples([server.resident_kib() / 1024])
        session = Session(server)
        boxes = [session.create() for _ in range(SANDBOXES)]
        for box in boxes:
            session.run_code(box)
        time.sleep(1)
        parts = [pss_kib(box) for box in boxes]
    rows = [Row("corrald, idle", "MiB RSS", idle, budget="< 10 MiB", met=idle.middle < 10),
            Row("sandbox, idle", "MiB PSS", Samples([sum(p.values()) / 1024 for p in parts]))]
    for name in sorted({name for part in parts for name in part}):
        rows.append(Row(f"  {name}", "MiB PSS", Samples([p.get(name, 0) / 1024 for p in parts])))
    return rows
