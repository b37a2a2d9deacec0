# SPDX-License-Identifier: Apache-2.0
"""Upload and download of 256 MiB through curl, against nginx (PUT, and a static file)."""
import os
import shutil
import subprocess

from benchlib import Row, Samples, Session, corrald, nginx, scratch

MIB = 256
ROUNDS = 7


def curl(*arguments):
    """MiB/s, from the time curl takes from its connection to the end of the answer."""
    command = ["curl", "-sS", "--fail-with-body", "-o", "/dev/null", "-w", "%{time_total}"]
    text = subprocess.run([*command, *arguments], capture_output=True, text=True, check=False)
    if text.returncode != 0:
        raise RuntimeError(text.stderr + text.stdout)
    return MIB / float(text.stdout)


def measure():
    folder = scratch()
    source = f"{folder}/file"
    rates = {name: [] for name in ("up", "peer up", "down", "peer down")}
    try:
        with open(source, "wb") as file:
            for _ in range(MIB):
                file.write(os.urandom(1 << 20))
        with corrald("--pool-size", "0") as server, nginx() as (port, www):
            shutil.copy(source, f"{www}/file")
            sandbox = Session(server).create()
            ours = f"http://127.0.0.1:{server.port}/v1/agents/sandboxes/{sandbox}"
            peer = f"http://127.0.0.1:{port}"
            key = ("-H", f"Authorization: Bearer {server.key}", "-H", "Expect:")
            before = server.resident_kib()
            for _ in range(ROUNDS):
                rates["up"].append(curl(*key, "-F", "path=/home/user/file", "-F", f"file=@{source}",
                                        f"{ours}/upload"))
                rates["peer up"].append(curl("-H", "Expect:", "-T", source, f"{peer}/put/file"))
                rates["down"].append(curl(*key, f"{ours}/download?path=/home/user/file"))
                rates["peer down"].append(curl(f"{peer}/file"))
            growth = (server.resident_kib() - before) / 1024
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    rows = [Row("upload 256 MiB", "MiB/s", Samples(rates["up"]), Samples(rates["peer up"]),
                "nginx PUT", ">= 0.6"),
            Row("download 256 MiB", "MiB/s", Samples(rates["down"]), Samples(rates["peer down"]),
                "nginx", ">= 0.6"),
            Row("corrald growth in transfers", "MiB", Samples([growth]), budget="< 16 MiB")]
    for row in rows[:2]:
        row.met = row.ratio >= 0.6
    rows[2].met = growth < 16
    return rows
