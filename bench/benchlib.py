# SPDX-License-Identifier: Apache-2.0
"""What the measurements share: a corrald and its peers that end with their block, samples, rows."""
import contextlib
import http.client
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, f"{TOP}/test/api")

import corraltest  # noqa: E402
from hosts import HOST, RIG  # noqa: E402

SECONDS = float(os.environ.get("CORRAL_BENCH_SECONDS", "3"))
ROUNDS = 3
TEMPLATE = "python-base-v1"
ROOTFS = f"{corraltest.TEMPLATES}/{TEMPLATE}/rootfs"

TICK = 1000 / os.sysconf("SC_CLK_TCK")

free_port = corraltest.free_port


class Row:
    """One line of the table. `ratio` is ours / peer; `met` is None where there is no budget."""

    def __init__(self, name, unit, ours, peer=None, peer_name="", budget="", met=None):
        self.name, self.unit, self.ours, self.peer = name, unit, ours, peer
        self.peer_name, self.budget, self.met = peer_name, budget, met

    @property
    def ratio(self):
        return self.ours.middle / self.peer.middle if self.peer and self.peer.middle else None


class Samples:
    """Numbers of one measurement. A rate is one number: its p50 and p99 are of its rounds."""

    def __init__(self, values):
        self.values = sorted(values)

    def __len__(self):
        return len(self.values)

    @property
    def middle(self):
        return statistics.median(self.values)

    def percentile(self, share):
        return self.values[min(len(self.values) - 1, int(len(self.values) * share))]


def timed(function, count, warm=3):
    """Milliseconds of each of `count` calls, after some that do not count."""
    for _ in range(warm):
        function()
    values = []
    for _ in range(count):
        started = time.perf_counter()
        function()
        values.append((time.perf_counter() - started) * 1000)
    return Samples(values)


def processor():
    """Milliseconds of processor time that the emulated host has taken since its start."""
    with open(f"/proc/{HOST.machine.pid()}/stat", encoding="utf-8") as file:
        fields = file.read().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) * TICK


def taken(job):
    """(cost, duration, result) of job(), in milliseconds: the duration by our clock; the cost is
    processor time in the emulated host, and the duration on a real one."""
    clock, before = time.perf_counter(), processor() if RIG else 0
    result = job()
    after, duration = processor() if RIG else 0, (time.perf_counter() - clock) * 1000
    return after - before if RIG else duration, duration, result


@contextlib.contextmanager
def corrald(*options):
    """A release corrald with a state directory of its own; its sandboxes end with the block."""
    server = corraltest.Server(options, "release")
    try:
        server.start()
        yield server
    finally:
        for fault in server.close():
            print(f"  left behind: {fault}", file=sys.stderr)


class Session:
    """Requests over one kept connection, for as long as the server is sure to keep it, too."""

    KEPT_SECONDS = 30

    def __init__(self, server):
        self.connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=120)
        self.headers = {"Authorization": f"Bearer {server.key}", "Content-Type": "application/json"}
        self.used = time.monotonic()

    def post(self, path, body, status=200):
        return self.request("POST", path, json.dumps(body), status)

    def delete(self, path):
        return self.request("DELETE", path, None, 200)

    def request(self, method, path, body, status):
        if time.monotonic() - self.used > self.KEPT_SECONDS:
            self.connection.close()
        self.connection.request(method, f"/v1/agents{path}", body, self.headers)
        answer = self.connection.getresponse()
        data = answer.read()
        self.used = time.monotonic()
        if answer.status != status:
            raise RuntimeError(f"{method} {path}: {answer.status} {data[:300]!r}")
        return json.loads(data)

    def create(self):
        body = {"provider": "bench", "region": "here", "timeout": 3600}
        return self.post("/sandboxes", body, 201)["sandbox_id"]

    def run_code(self, sandbox, code="1+1"):
        return self.post(f"/sandboxes/{sandbox}/code/run", {"code": code, "language": "python"})

    def run_command(self, sandbox, command):
        answer = self.post(f"/sandboxes/{sandbox}/commands/run",
                           {"command": command, "timeout": 120000})
        if answer["exit_code"] != 0:
            raise RuntimeError(f"{command[:80]}: {answer['stderr'][-1000:]}")
        return answer["stdout"]


@contextlib.contextmanager
def process(arguments, ready, **options):
    """Runs a peer in a process group of its own; `ready()` tells when it serves."""
    peer = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, start_new_session=True, **options)
    try:
        end = time.monotonic() + 30
        while not ready():
            if peer.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"{arguments[0]} does not serve")
            time.sleep(0.05)
        yield peer
    finally:
        os.killpg(peer.pid, signal.SIGTERM)
        peer.wait()


def answers(port):
    def ask():
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
            connection.request("GET", "/")
            connection.getresponse().read()
            return True
        except (OSError, http.client.HTTPException):
            return False
    return ask


NGINX = """
worker_processes 1; daemon off; pid {folder}/pid; error_log {folder}/error.log; user root;
events {{ worker_connections 4096; }}
http {{
  access_log off; sendfile on; tcp_nopush on; keepalive_requests 100000000; default_type text/plain;
  client_max_body_size 0; client_body_temp_path {folder}/body; proxy_temp_path {folder}/p;
  fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  server {{ listen 127.0.0.1:{port} backlog=4096; root {folder}/www;
           location /put/ {{ dav_methods PUT; create_full_put_path on; }} }}
}}
"""


@contextlib.contextmanager
def nginx():
    """nginx with one worker. Yields (port, folder of its files)."""
    folder, port = scratch(), free_port()
    try:
        os.makedirs(f"{folder}/www")
        with open(f"{folder}/conf", "w", encoding="ascii") as file:
            file.write(NGINX.format(folder=folder, port=port))
        with process(["nginx", "-p", folder, "-c", f"{folder}/conf", "-e", f"{folder}/error.log"],
                     answers(port)):
            yield port, f"{folder}/www"
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def scratch():
    return tempfile.mkdtemp(prefix="corral-bench-")


def machine():
    model = "unknown processor"
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        for line in file:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    load = os.getloadavg()[0]
    return (f"{model}, {os.cpu_count()} CPUs, {memory:.0f} GiB, Linux {os.uname().release}, "
            f"load {load:.1f}")


def number(value):
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}" if value < 1 else f"{value:.4g}"


def table(rows):
    head = ("what", "unit", "n", "p50", "p99", "peer", "peer p50", "peer p99", "ratio", "budget",
            "")
    lines = [head]
    for row in rows:
        peer = row.peer
        lines.append((
            row.name, row.unit, str(len(row.ours)), number(row.ours.middle),
            number(row.ours.percentile(0.99)), row.peer_name,
            number(peer.middle) if peer else "-", number(peer.percentile(0.99)) if peer else "-",
            number(row.ratio), row.budget,
            "" if row.met is None else "met" if row.met else "MISSED"))
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    for line in lines:
        print("  ".join(text.ljust(width) for text, width in zip(line, widths)).rstrip())
    sys.stdout.flush()
