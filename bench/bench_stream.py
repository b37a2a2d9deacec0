# SPDX-License-Identifier: Apache-2.0
"""Streams: the time from a write in the sandbox to its bytes at the client, and 1 GiB of output. The
peers run the same program: `nsenter` in the same container, as `runc exec` does it, which cannot enter
a user namespace that it has not made; and ssh to this machine where there is an sshd."""
import contextlib
import getpass
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time

from benchlib import Row, Samples, Session, corrald, free_port

COUNT = 500
GIB = 1 << 30
# The host and the container have one monotonic clock.
STAMPS = ("import os, time\n"
          f"for _ in range({COUNT}):\n"
          "    time.sleep(0.004)\n"
          "    os.write(1, b'%d\\n' % time.monotonic_ns())\n")
FLOOD = f"import os\nb = b'x' * 65536\nfor _ in range({GIB // 65536}): os.write(1, b)\n"


def stamps_of(lines):
    """Milliseconds from each stamp to when its line is here."""
    values = []
    for line in lines:
        now = time.monotonic_ns()
        values.append((now - int(line)) / 1e6)
    return Samples(values[COUNT // 10:])


class Answer:
    """A streamed answer over a plain socket."""

    def __init__(self, server, path, body):
        data = json.dumps(body).encode()
        self.socket = socket.create_connection(("127.0.0.1", server.port))
        self.socket.sendall((f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {server.key}\r\n"
                             f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n"
                             "Connection: close\r\n\r\n").encode() + data)

    def lines(self):
        with self.socket.makefile("rb") as file:
            for line in file:
                if line.startswith(b'data: {"type":"stdout"'):
                    yield from json.loads(line[6:])["data"].split()

    def drain(self, each=lambda: None):
        """Bytes of the whole answer."""
        block, total, beat = bytearray(1 << 20), 0, 0
        while True:
            n = self.socket.recv_into(block)
            if n == 0:
                return total
            total += n
            if total >> 26 > beat:
                beat = total >> 26
                each()


def run(server, sandbox, code):
    return Answer(server, f"/v1/agents/sandboxes/{sandbox}/commands/run?stream=true",
                  {"command": "python3", "args": ["-c", code], "timeout": 300000})


def exec_command(server, sandbox, code):
    state = subprocess.run(["runc", "--root", f"{server.state}/oci", "state", sandbox], check=True,
                           capture_output=True).stdout
    return ["nsenter", "-t", str(json.loads(state)["pid"]), "-m", "-p", "-r", "-w", "python3", "-c",
            code]


@contextlib.contextmanager
def peer(command):
    """Its output; it must end well."""
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        yield process.stdout
    if process.returncode != 0:
        raise AssertionError(f"{command[0]} ended with status {process.returncode}")


def peer_stamps(command):
    with peer(command) as lines:
        return stamps_of(lines)


@contextlib.contextmanager
def sshd():
    """The words of a command that reaches an sshd of its own, or None."""
    program = shutil.which("sshd") or "/usr/sbin/sshd"
    if not os.path.exists(program) or shutil.which("ssh") is None:
        yield None
        return
    with tempfile.TemporaryDirectory() as folder:
        for name in ("host", "me"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", f"{folder}/{name}"],
                           check=True)
        os.makedirs("/run/sshd", exist_ok=True)
        port = free_port()
        daemon = subprocess.Popen([program, "-D", "-p", str(port), "-f", "/dev/null", "-h",
                                   f"{folder}/host", "-o", f"AuthorizedKeysFile={folder}/me.pub",
                                   "-o", "StrictModes=no", "-o", "UsePAM=no"])
        try:
            time.sleep(0.5)
            yield ["ssh", "-p", str(port), "-i", f"{folder}/me", "-o", "StrictHostKeyChecking=no", "-o",
                   "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR",
                   f"{getpass.getuser()}@127.0.0.1"]
        finally:
            daemon.terminate()
            daemon.wait()


def latency(server, sandbox):
    ours = stamps_of(run(server, sandbox, STAMPS).lines())
    rows = [Row("write to client", "ms", ours,
                peer_stamps(exec_command(server, sandbox, STAMPS)), "nsenter")]
    with sshd() as ssh:
        if ssh is not None:
            rows.append(Row("write to client", "ms", ours,
                            peer_stamps(ssh + [f"python3 -c \"{STAMPS}\""]), "ssh"))
    return rows


def throughput(server, sandbox):
    resident, rates = [server.resident_kib()], []
    started = time.perf_counter()
    total = run(server, sandbox, FLOOD).drain(lambda: resident.append(server.resident_kib()))
    rates.append(GIB / (1 << 20) / (time.perf_counter() - started))
    if total < GIB:
        raise AssertionError(f"only {total} bytes of 1 GiB came")
    started = time.perf_counter()
    with peer(exec_command(server, sandbox, FLOOD)) as out:
        subprocess.run(["cat"], stdin=out, stdout=subprocess.DEVNULL, check=True)
    theirs = Samples([GIB / (1 << 20) / (time.perf_counter() - started)])
    grown = Samples([(max(resident) - resident[0]) / 1024])
    flat = Row("memory during 1 GiB", "MiB", grown, budget="< 16 MiB", met=grown.middle < 16)
    return [Row("1 GiB of output", "MiB/s", Samples(rates), theirs, "nsenter | cat"), flat]


def measure():
    with corrald("--pool-size", "0") as server:
        session = Session(server)
        sandbox = session.create()
        return latency(server, sandbox) + throughput(server, sandbox)
