# SPDX-License-Identifier: Apache-2.0
"""What bench/egress and bench/egress_sandbox share: the far ends, the processor time of a process, and
passt's pasta as the peer.

The peer is Debian trixie's: bookworm's resets a connection whose far end answers after a half-close.
It runs with the loader and the libraries of its own release. Environment: CORRAL_RIG_DIR keeps it.
"""
import contextlib
import os
import signal
import statistics
import subprocess
import sys
import tempfile

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(TOP, "test", "egress"))

import internet  # noqa: E402

GIB = 1 << 30
UP, DOWN = 2001, 2002
ROUNDS = int(os.environ.get("CORRAL_BENCH_ROUNDS", "3"))
LEG_SECONDS = 120  # that one transfer may take
PEER = os.path.join(os.environ.get("CORRAL_RIG_DIR", "/var/tmp/corral-rig"), "trixie", "passt")


def sink(conn):
    room, total = bytearray(1 << 20), 0
    while count := conn.recv_into(room):
        total += count
    conn.sendall(str(total).encode())


def source(conn):
    piece = b"x" * (1 << 20)
    for _ in range(GIB >> 20):
        conn.sendall(piece)


def cpu(*pids):
    """Seconds of processor time that these processes have taken so far."""
    total = 0
    for pid in pids:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as f:
            fields = f.read().rsplit(")", 1)[1].split()
        total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")


def fetch_peer():
    """While there is a network, and outside what is measured."""
    subprocess.run([os.path.join(TOP, "test", "rig", "host", "fetch-passt"), PEER], check=True)


def peer_program():
    """pasta chooses its program for AVX2 by its own file's name, which the loader's hides."""
    with open("/proc/cpuinfo", encoding="utf-8") as f:
        return "passt.avx2" if " avx2 " in f.read() else "passt"


@contextlib.contextmanager
def pasta(host, *options):
    """Yields a namespace whose network is pasta, which runs in the namespace `host`, and its pid."""
    name = f"corral-pasta-{os.getpid()}"
    internet.ip("netns", "add", name)
    pid = None
    try:
        with tempfile.TemporaryDirectory() as folder:
            # It is in the background when its namespace is ready.
            subprocess.run(["ip", "netns", "exec", host, f"{PEER}/ld-linux-x86-64.so.2", "--argv0", "pasta",
                            "--library-path", PEER, f"{PEER}/{peer_program()}", "--runas", "0",
                            "--netns", f"/run/netns/{name}", "-P", f"{folder}/pid", *options],
                           check=True, timeout=30, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            with open(f"{folder}/pid", encoding="ascii") as f:
                pid = int(f.read())
        # Its taps lose what a full socket does not take. BBR, which some hosts have by default, then
        # stands still for ever longer: the retransmissions' timer backs off.
        internet.ip("netns", "exec", name, "sysctl", "-qw", "net.ipv4.tcp_congestion_control=reno")
        yield name, pid
    finally:
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        internet.ip("netns", "del", name)


def leg(measure, *arguments):
    """(CPU seconds, seconds) of one transfer, or (None, why it failed)."""
    try:
        return measure(*arguments)
    except (AssertionError, OSError, ValueError, subprocess.SubprocessError) as error:
        return None, str(error).strip().rpartition("\n")[2] or type(error).__name__


def row(what, results, unit="/GiB"):
    good = [r for r in results if r[0] is not None]
    runs = f"{len(good)} of {len(results)} runs"
    if good:
        cost, wall = (statistics.median(r[i] for r in good) for i in (0, 1))
        print(f"{what:42} {cost:6.2f} CPU s{unit} {wall:6.2f} s, {runs}", flush=True)
    for why in sorted({r[1] for r in results if r[0] is None}):
        print(f"{what:42} failed: {why}", flush=True)
