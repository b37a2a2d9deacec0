# SPDX-License-Identifier: Apache-2.0
"""vmm_api.py - sandboxes of a real `corrald --isolation kvm` beside QEMU's microvm machine: create
to the first answer of pandas, exits, memory of clones, many creates at once. Run by bench/vmm.

Environment: ROUNDS, CLONES (0: no many at once), and that of vmm_host.py.
"""
import concurrent.futures
import os
import re
import sys
import time

import vmm_host as host
from benchlib import Row, Samples, Session, corrald
from corraltest import patience, wait_until
from hosts import RIG
from vmm_table import COST, PEER, table, within

ROUNDS = int(os.environ.get("ROUNDS", "5"))
MANY = 50  # creates at once
ALIVE = 5  # clones whose memory is measured
SIDE_BY_SIDE = 4  # requests, where the number is not what is measured
PANDAS = "import pandas as pd\nprint(pd.Series([1,2]).sum())"
NUMPY = "import numpy\nprint(numpy.arange(10000).sum())"


def run(session, box, code, wanted):
    answer = session.run_code(box, code)
    if answer["error"] or "".join(answer["logs"]["stdout"]).strip() != wanted:
        raise RuntimeError(f"{code!r}: {answer}")


def pool_ready(server):
    text = server.client.get("/metrics", prefix="").body.decode()
    return int(re.search(r"^corral_pool_ready (\d+)", text, re.M).group(1))


class First:
    """Create to the first answer: cost of either and of both, duration of both, exits."""

    def __init__(self, server):
        self.server, self.session = server, Session(server)
        self.create, self.both, self.duration, self.exits = [], [], [], []

    def measure(self):
        host.settle()
        create, waited, box = host.taken(self.session.create)
        code, ran, _ = host.taken(lambda: run(self.session, box, PANDAS, "3"))
        self.create.append(create)
        self.both.append(create + code)
        self.duration.append(waited + ran)
        return box

    def done(self, box):
        host.monitors([box])
        self.exits.append(host.exits(self.server, box))
        self.session.delete(f"/sandboxes/{box}")

    def rows(self, name, peer, peer_duration):
        rows = [within(Row(f"create to pandas, {name}", COST, Samples(self.both), peer, PEER), 0.2),
                Row("  of that: create", COST, Samples(self.create))]
        if RIG:
            rows.append(Row("  by the clock", "ms", Samples(self.duration), peer_duration, PEER))
        return rows


def refill(server, gate):
    """What the pool does once it may: (cost, duration)."""
    def job():
        gate.open()
        wait_until(lambda: pool_ready(server) == 1, 60, "the pool is full")
    return host.taken(job)[:2]


def first_answers():
    """Rounds of: nothing and QEMU, no pool, pool. Rows, and the cost of QEMU's boot."""
    nothing, microvm, boots, refills = [], [], [], []
    with host.gate() as gate, corrald("--pool-size", "0") as plain, \
            corrald("--pool-size", "1", "--vmm", gate.program) as pooled:
        wait_until(lambda: pool_ready(pooled) == 1, 60, "the pool is full")
        cold, warm = First(plain), First(pooled)
        cold.done(cold.measure())  # once for the page cache
        cold = First(plain)
        for _ in range(ROUNDS):
            host.settle()
            nothing.append(host.step("nothing")[0])
            cost, duration = host.step("microvm")
            microvm.append(cost)
            boots.append(duration)
            cold.done(cold.measure())
            gate.shut()
            box = warm.measure()
            refills.append(refill(pooled, gate))
            warm.done(box)
    none = Samples(nothing).middle
    peer, clock = Samples([cost - none for cost in microvm]), Samples(boots)
    rows = cold.rows("no pool", peer, clock) + warm.rows("pool, its refill waits", peer, clock)
    rows.append(Row("  the refill afterwards", COST, Samples([cost for cost, _ in refills])))
    rows.append(Row("  exits to the first answer, no pool", "", Samples(cold.exits)))
    rows.append(Row("  exits to the first answer, pool", "", Samples(warm.exits)))
    return rows, peer


def clone_memory():
    """Of a few clones that are alive at once; prints a table of its own. Rows with budgets."""
    stages = {}
    with corrald("--pool-size", "0") as server:
        session = Session(server)
        boxes = [session.create() for _ in range(ALIVE)]
        for stage, code, wanted in (("after create", None, None), ("after pandas", PANDAS, "3"),
                                    ("after numpy", NUMPY, "49995000")):
            for box in boxes if code else ():
                run(session, box, code, wanted)
            host.settle()
            stages[stage] = host.memory(boxes)
    print(f"{f'MiB, mean of {ALIVE} clones':32}" + "".join(f"{kind:>10}" for kind in host.KINDS))
    for stage, parts in stages.items():
        for part in ("all", "guest", "outside"):
            print(f"  {f'{stage}, {part}':30}"
                  + "".join(f"{parts[part][kind]:10.2f}" for kind in host.KINDS))
    idle = stages["after create"]
    return [Row("idle clone", "MiB PSS", Samples([idle["all"]["PSS"]]), budget="< 5 MiB",
                met=idle["all"]["PSS"] < 5),
            Row("  VMM without its guest", "MiB private", Samples([idle["outside"]["private"]]),
                budget="< 1 MiB", met=idle["outside"]["private"] < 1)]


def connected(server):
    """A session whose connection is there: a port that is forwarded refuses many at the same time."""
    session = Session(server)
    session.connection.timeout = patience(300)
    session.request("GET", "/sandboxes?limit=1", None, 200)
    return session


def create(session):
    """(sandbox or None, milliseconds by the clock)"""
    started, box = time.perf_counter(), None
    try:
        box = session.create()
    except (OSError, RuntimeError) as error:
        print(f"  refused: {error}", file=sys.stderr)
    return box, (time.perf_counter() - started) * 1000


def many(peer):
    """Creates that come at once, then what is left after their deletes."""
    with corrald("--pool-size", "0") as server, \
            concurrent.futures.ThreadPoolExecutor(MANY) as threads:
        sessions = [connected(server) for _ in range(MANY)]
        host.settle()
        cost, duration, answers = host.taken(lambda: list(threads.map(create, sessions)))
        boxes = [box for box, _ in answers if box]
        host.settle()
        sizes = host.memory(boxes)
        with concurrent.futures.ThreadPoolExecutor(SIDE_BY_SIDE) as few:
            list(few.map(lambda box: server.client.delete(f"/sandboxes/{box}"), boxes))
        end = time.monotonic() + patience(10)
        while (rest := host.left(server, boxes)) and time.monotonic() < end:
            time.sleep(1)
        for line in rest[:5]:
            print(f"  left: {line}")
    return [Row(f"{MANY} creates at once: 201", "", Samples([len(boxes)]), budget="all",
                met=len(boxes) == MANY),
            Row("  each, of the sum", COST, Samples([cost / MANY]), peer, PEER),
            Row("  all, by the clock", "ms", Samples([duration])),
            Row("  answer of each, by the clock", "ms", Samples([ms for _, ms in answers])),
            Row("  a clone", "MiB PSS", Samples([sizes["all"]["PSS"]])),
            Row("  left after the deletes", "", Samples([len(rest)]), budget="nothing",
                met=not rest)]


def main():
    rows, peer = first_answers()
    table(rows)
    table(clone_memory())
    if os.environ.get("CLONES") != "0":
        table(many(peer))
    return 0


if __name__ == "__main__":
    sys.exit(main())
