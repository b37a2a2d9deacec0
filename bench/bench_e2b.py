# SPDX-License-Identifier: Apache-2.0
"""E2B's own Python packages: create to the first result, and 100 creates at once. The peer of the
first is the same two requests without the packages, so what is more is theirs.

CORRAL_TEST_SDK names an environment with e2b-code-interpreter; ./test/run sdk makes one.
"""
import http.client
import json
import os
import subprocess
import time

from benchlib import TOP, Row, Samples, corrald

COUNT = 10
BURST = 100
PYTHON = f"{os.environ.get('CORRAL_TEST_SDK', f'{TOP}/build.sdk')}/bin/python3"

# Each prints a list of JSON. `pause` is the time that the pool has to fill up again.
FIRST = """
import json, sys, time
from e2b_code_interpreter import Sandbox
count, pause = int(sys.argv[1]), float(sys.argv[2])
values = []
for i in range(count + 1):
    time.sleep(pause)
    started = time.perf_counter()
    sandbox = Sandbox.create()
    assert sandbox.run_code("1+1").text == "2"
    values.append((time.perf_counter() - started) * 1000)
    sandbox.kill()
print(json.dumps(values[1:]))
"""

AT_ONCE = """
import collections, concurrent.futures, json, sys, time
from e2b_code_interpreter import Sandbox
count = int(sys.argv[1])
def create(_):
    started = time.perf_counter()
    try:
        sandbox = Sandbox.create(request_timeout=300)
    except Exception as fault:
        return type(fault).__name__, None, (time.perf_counter() - started) * 1000
    return "created", sandbox, (time.perf_counter() - started) * 1000
with concurrent.futures.ThreadPoolExecutor(count) as pool:
    made = list(pool.map(create, range(count)))
    boxes = [box for _, box, _ in made if box]
    right = sum(pool.map(lambda box: box.run_code("1+1").text == "2", boxes))
    list(pool.map(lambda box: box.kill(), boxes))
print(json.dumps([collections.Counter(how for how, _, _ in made), right,
                  [ms for how, _, ms in made if how == "created"]]))
"""


def ask(server, program, *arguments):
    base = f"http://127.0.0.1:{server.port}"
    done = subprocess.run([PYTHON, "-c", program, *map(str, arguments)], check=True, text=True,
                          stdout=subprocess.PIPE, timeout=900,
                          env={**os.environ, "E2B_API_URL": base, "E2B_SANDBOX_URL": base,
                               "E2B_API_KEY": server.key})
    return json.loads(done.stdout)


def plain(server, pause):
    """The requests of FIRST over one kept connection."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=120)

    def send(method, path, headers, body=None):
        connection.request(method, path, json.dumps(body) if body else None,
                           {"Content-Type": "application/json", **headers})
        answer = connection.getresponse()
        return answer.read()
    key, values = {"X-API-KEY": server.key}, []
    for _ in range(COUNT + 1):
        time.sleep(pause)
        started = time.perf_counter()
        made = json.loads(send("POST", "/v2/sandboxes", key, {"templateID": "code-interpreter-v1"}))
        lines = send("POST", "/execute", {"E2b-Sandbox-Id": made["sandboxID"],
                                          "E2b-Sandbox-Port": "49999",
                                          "X-Access-Token": made["envdAccessToken"]},
                     {"code": "1+1"})
        values.append((time.perf_counter() - started) * 1000)
        if b'"text":"2"' not in lines:
            raise RuntimeError(f"no result in {lines[:300]!r}")
        send("DELETE", f"/sandboxes/{made['sandboxID']}", key)
    return Samples(values[1:])


def measure():
    if not os.path.exists(PYTHON):
        raise RuntimeError(f"{PYTHON} is missing: ./test/run sdk makes its environment")
    rows = []
    for name, size, pause in (("pool", 2, 3), ("no pool", 0, 0)):
        with corrald("--pool-size", str(size)) as server:
            time.sleep(pause)
            rows.append(Row(f"E2B: create to the first result, {name}", "ms",
                            Samples(ask(server, FIRST, COUNT, pause)), plain(server, pause),
                            "without the package"))
    with corrald("--pool-size", "2") as server:
        time.sleep(3)
        how, right, values = ask(server, AT_ONCE, BURST)
    text = ", ".join(f"{count} x {what}" for what, count in sorted(how.items()))
    rows.append(Row(f"E2B: {BURST} creates at once: {text}; {right} ran code", "ms",
                    Samples(values)))
    return rows
