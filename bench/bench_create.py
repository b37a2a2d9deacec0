# SPDX-License-Identifier: Apache-2.0
"""Create to the first code/run answer, from the pool and without one, against `runc run` of the
same root file system with a kernel that starts cold."""
import json
import os
import shutil
import subprocess
import time
import uuid

from benchlib import ROOTFS, TOP, Row, Samples, Session, corrald, scratch

COUNT = 10
COLD = 5


def fresh(session, pause):
    values = []
    for _ in range(COUNT):
        time.sleep(pause)
        started = time.perf_counter()
        sandbox = session.create()
        session.run_code(sandbox)
        values.append((time.perf_counter() - started) * 1000)
        session.delete(f"/sandboxes/{sandbox}")
    return Samples(values)


def bundle(folder):
    """What `runc spec` makes, on an overlay over the root file system, to run our script."""
    for name in ("up", "work", "rootfs"):
        os.mkdir(f"{folder}/{name}")
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o",
                    f"lowerdir={ROOTFS},upperdir={folder}/up,workdir={folder}/work",
                    f"{folder}/rootfs"], check=True)
    shutil.copy(f"{TOP}/bench/client_peer.py", f"{folder}/up/client_peer.py")
    subprocess.run(["runc", "spec"], cwd=folder, check=True)
    with open(f"{folder}/config.json", encoding="utf-8") as file:
        config = json.load(file)
    config["process"].update(terminal=False, args=["python3", "/client_peer.py", "0"],
                             user={"uid": 1000, "gid": 1000}, cwd="/home/user")
    config["process"]["env"].append("HOME=/home/user")
    config["root"]["readonly"] = False
    with open(f"{folder}/config.json", "w", encoding="utf-8") as file:
        json.dump(config, file)


def cold():
    values = []
    for _ in range(COLD):
        folder = scratch()
        try:
            bundle(folder)
            started = time.perf_counter()
            container = subprocess.Popen(
                ["runc", "run", "--bundle", folder, f"bench-{uuid.uuid4().hex[:12]}"],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
            json.loads(container.stdout.readline())
            values.append((time.perf_counter() - started) * 1000)
            container.communicate()
        finally:
            subprocess.run(["umount", f"{folder}/rootfs"], check=False)
            shutil.rmtree(folder, ignore_errors=True)
    return Samples(values)


def measure():
    with corrald("--pool-size", "2") as server:
        session = Session(server)
        time.sleep(6)
        pooled = fresh(session, 4)  # the pool fills up again between two
    with corrald("--pool-size", "0") as server:
        unpooled = fresh(Session(server), 0)
    peer = cold()
    name, other = "create to first code/run", "runc + cold kernel"
    rows = [Row(f"{name}, pool", "ms", pooled, peer, other, "<= 0.05"),
            Row(f"{name}, no pool", "ms", unpooled, peer, other)]
    rows[0].met = rows[0].ratio <= 0.05
    return rows
