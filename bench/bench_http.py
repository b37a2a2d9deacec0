# SPDX-License-Identifier: Apache-2.0
"""GET of one sandbox, which touches no guest, against nginx serving a file of the same size."""
import os
import re
import subprocess

from benchlib import ROUNDS, SECONDS, Row, Samples, Session, corrald, nginx

UNITS = {"us": 0.001, "ms": 1, "s": 1000, "m": 60000}


def load(url, connections, headers=()):
    """(requests/s, p50 ms, p99 ms) of wrk with one thread."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{SECONDS:g}s", "--latency", "--timeout", "10s"]
    for header in headers:
        command += ["-H", header]
    text = subprocess.run([*command, url], capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in text:
        raise RuntimeError(f"{url}: {text}")
    latency = {}
    for share in (50, 99):
        value, unit = re.search(rf"{share}%\s+([\d.]+)(us|ms|s|m)\b", text).groups()
        latency[share] = float(value) * UNITS[unit]
    return float(re.search(r"Requests/sec:\s+([\d.]+)", text).group(1)), latency[50], latency[99]


def measure():
    rows = []
    with corrald("--pool-size", "0") as server, nginx() as (port, www):
        sandbox = Session(server).create()
        path = f"/v1/agents/sandboxes/{sandbox}"
        body = server.client.get(f"/sandboxes/{sandbox}").body
        with open(os.path.join(www, "sandbox.json"), "wb") as file:
            file.write(body)
        key = f"Authorization: Bearer {server.key}"
        for connections in (1, 64, 1000):
            ours, peer = [], []
            for _ in range(ROUNDS):
                ours.append(load(f"http://127.0.0.1:{server.port}{path}", connections, [key]))
                peer.append(load(f"http://127.0.0.1:{port}/sandbox.json", connections, [key]))
            rows += rows_of(connections, ours, peer)
    return rows


def rows_of(connections, ours, peer):
    name = f"GET sandbox, {connections} conn"

    def pick(values, index):
        return Samples([value[index] for value in values])
    rate = Row(name, "req/s", pick(ours, 0), pick(peer, 0), "nginx", ">= 0.5")
    rate.met = rate.ratio >= 0.5
    middle = Row(f"{name}, p50", "ms", pick(ours, 1), pick(peer, 1), "nginx")
    late = Row(f"{name}, p99", "ms", pick(ours, 2), pick(peer, 2), "nginx")
    if connections == 1000:
        late.budget = "< 2"
        late.met = late.ratio < 2
    return [rate, middle, late]
