# SPDX-License-Identifier: Apache-2.0
"""What the network costs where it is not used, and what a neighbour's flood costs: create to the first
code/run with and without a network, how often somebody wakes up for an idle sandbox, and the time of a
new connection before and during a flood of names and connections of another sandbox.

In an emulated host (CORRAL_TEST_RIG, CORRAL_TEST_ISOLATION=kvm) the first is in milliseconds of processor
time of the whole machine."""
import json
import re
import sys
import time

from benchlib import HOST, RIG, TOP, Row, Samples, Session, corraltest, taken

sys.path.insert(0, f"{TOP}/test/egress")

from internet_host import NetServer  # noqa: E402

COUNT = 5 if RIG else 10
IDLE_SECONDS = 10
CONNECTIONS = 100  # of so many, the 99th percentile is the slowest

CONNECT = f"""
import json, socket, time
def one():
    began = time.perf_counter()
    s = socket.create_connection(("web.example", 7), 60); s.sendall(b"x"); s.recv(1); s.close()
    return (time.perf_counter() - began) * 1000
one()
print(json.dumps([one() for _ in range({CONNECTIONS})]))
"""

# New names as fast as the resolver is asked, and new connections as fast as they are refused, or as long
# as they wait. To servers that are not the other's: those would be what it waits for.
FLOOD = """
import itertools, socket, struct, threading
def names():
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    for n in itertools.count():
        label = b"n%d" % n
        s.sendto(struct.pack(">HHHHHH", n & 65535, 0x100, 1, 0, 0, 0) + bytes([len(label)]) + label +
                 b"\\7example\\0" + struct.pack(">HH", 1, 1), ("198.18.0.53", 53))
def flows():
    held = []
    for to in itertools.cycle([("93.184.217.10", 81), ("93.184.217.99", 80)]):
        s = socket.socket(); s.setblocking(False)
        s.connect_ex(to); held.append(s)
        if len(held) == 1000:
            for s in held[:500]: s.close()
            held = held[500:]
for run in (names, flows): threading.Thread(target=run).start()
open("/tmp/flood", "w").close()
"""


def create(server):
    session = Session(server)
    cost, duration, box = taken(lambda: first(session))
    session.delete(f"/sandboxes/{box}")
    return cost, duration


def first(session):
    box = session.create()
    session.run_code(box)
    return box


def creates(server, without):
    ours, theirs = [], []
    for values in (ours, theirs):
        create(server if values is ours else without)  # once for the page cache
    for _ in range(COUNT):
        ours.append(create(server))
        theirs.append(create(without))
    rows = [Row("create to first code/run, with the network", "ms CPU" if RIG else "ms",
                Samples([cost for cost, _ in ours]), Samples([cost for cost, _ in theirs]),
                "--egress off", "<= 1.1")]
    rows[0].met = rows[0].ratio <= 1.1
    if RIG:
        rows.append(Row("  by the clock", "ms", Samples([ms for _, ms in ours]),
                        Samples([ms for _, ms in theirs]), "--egress off"))
    return rows


def switches(pid):
    """How often its threads have gone to sleep. Those that are a guest's processors do not count: the
    guest's kernel and programs have timers of their own."""
    texts = [HOST.read(f"/proc/{pid}/task/{task}/status").decode()
             for task in HOST.list(f"/proc/{pid}/task")]
    return sum(int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)", text, re.M)[1])
               for text in texts if not text.startswith("Name:\tvcpu"))


def idle(server, box):
    word = "corral-vmm" if corraltest.ISOLATION == "kvm" else "corral-agent"
    holder = next(pid for pid, text in HOST.processes() if box in text and word in text.split(" ")[0])
    pids = {word: holder, "corral-egress": server.egress()}
    before = None
    for _ in range(6):  # what follows a create is over at some time
        last, before = before, {name: switches(pid) for name, pid in pids.items()}
        if last == before:
            break
        time.sleep(IDLE_SECONDS)
    time.sleep(IDLE_SECONDS)
    return [Row(f"idle {IDLE_SECONDS} s, {name}", "wake-ups", Samples([switches(pid) - before[name]]))
            for name, pid in pids.items()]


def latencies(server, box):
    answer = server.client.post(f"/sandboxes/{box}/commands/run",
                                {"command": "python3", "args": ["-c", CONNECT], "timeout": 250_000},
                                timeout=300)
    return Samples(json.loads(answer.json["stdout"]))


def flood(server, box):
    noisy = server.client.create(timeout=3600)["sandbox_id"]
    latencies(server, box)
    before = latencies(server, box)
    began = server.client.post(f"/sandboxes/{noisy}/processes",
                               {"command": "python3", "args": ["-c", FLOOD]})
    assert began.status == 201, began
    server.client.run(noisy, "sh", args=["-c", "while [ ! -e /tmp/flood ]; do sleep 0.05; done"])
    during = latencies(server, box)
    server.client.delete(f"/sandboxes/{noisy}")
    after = latencies(server, box)
    return [Row("new connection, a neighbour floods", "ms", during, before, "quiet before"),
            Row("new connection, afterwards", "ms", after, before, "quiet before")]


def measure():
    server, without = NetServer(("--pool-size", "0"), "release"), None
    try:
        server.start()
        without = corraltest.Server(("--pool-size", "0", "--egress", "off"), "release").start()
        rows = creates(server, without)
        box = server.client.create(timeout=3600)["sandbox_id"]
        return rows + idle(server, box) + flood(server, box)
    finally:
        for one in (server, without):
            for fault in one.close() if one else ():
                print(f"  left behind: {fault}", file=sys.stderr)
