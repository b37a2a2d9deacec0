# SPDX-License-Identifier: Apache-2.0
"""corral-egress as its server and its sandboxes see it: control packets and flows."""
import os
import select
import signal
import socket
import struct
import subprocess
import tempfile
import time

import internet

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("CORRAL_BUILD", f"{TOP}/build")
# A program with sanitizers does not live behind walls: "--no-walls".
OPTIONS = os.environ.get("CORRAL_TEST_EGRESS_OPTIONS", "").split()

SETUP, SANDBOX, POLICY, DROP = 1, 2, 3, 4
READY, EVENT, METER, STATS = 0x81, 0x82, 0x83, 0x84
PUBLIC, DENY = 1, 2
LOG_DENIED, LOG_ALL, LOG_NONE = 1, 2, 3
FLOW_OPENED, FLOW_DENIED, NAME_DENIED = 1, 2, 3
(OK, BY_SYNTAX, BY_OPERATOR, BY_FLOOR, BY_RULE, BY_DEFAULT, BY_PORT, BY_FLOW_LIMIT,
 BY_NAME_LIMIT, BY_INTERCEPTION) = range(10)

OPEN, RESOLVE, OPENED, REFUSED, RESOLVED, DATA, FIN, RST = 1, 2, 0x81, 0x82, 0x83, 0x90, 0x91, 0x92
(R_REFUSED, R_HOST, R_NET, R_TIMED_OUT, R_DENIED, R_NAME, R_LIMIT, R_UNAVAILABLE) = range(1, 9)
V_EXISTS, V_NXDOMAIN, V_EMPTY, V_DENIED, V_FAILED, V_LIMIT = range(1, 7)


def frame(kind, payload=b""):
    return struct.pack("<IHH", len(payload), kind, 0) + payload


def string(text):
    data = text if isinstance(text, bytes) else text.encode()
    return struct.pack("<I", len(data)) + data


def strings(texts):
    return struct.pack("<I", len(texts)) + b"".join(string(t) for t in texts)


class Fields:
    def __init__(self, data):
        self.data, self.at = data, 0

    def number(self, code):
        value = struct.unpack_from("<" + code, self.data, self.at)[0]
        self.at += struct.calcsize("<" + code)
        return value

    def string(self):
        length = self.number("I")
        self.at += length
        return self.data[self.at - length:self.at].decode()


class Flow:
    """A connection of the sandbox."""

    def __init__(self, path, timeout=20):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(timeout)
        self.sock.connect(path)
        self.had = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.sock.close()

    def send(self, kind, payload=b""):
        self.sock.sendall(frame(kind, payload))

    def write(self, data):
        for at in range(0, len(data), 65536):
            self.send(DATA, data[at:at + 65536])

    def exactly(self, count):
        while len(self.had) < count:
            data = self.sock.recv(1 << 20)
            if not data:
                raise EOFError
            self.had += data
        data, self.had = self.had[:count], self.had[count:]
        return data

    def frame(self):
        """(type, payload); (None, b"") at the end of the connection."""
        try:
            length, kind, _ = struct.unpack("<IHH", self.exactly(8))
            return kind, self.exactly(length)
        except (EOFError, ConnectionResetError, BrokenPipeError):
            return None, b""

    def open(self, host, port):
        """0 when it is open, or the refusal."""
        self.send(OPEN, string(host) + struct.pack("<H", port))
        kind, payload = self.frame()
        if kind == REFUSED:
            return struct.unpack("<I", payload)[0]
        return 0 if kind == OPENED else None

    def read(self):
        """Everything up to FIN, RST or the end, and which it was."""
        data = []
        while True:
            kind, payload = self.frame()
            if kind != DATA:
                return b"".join(data), kind
            data.append(payload)

    def ask(self, name, number=1):
        self.send(RESOLVE, struct.pack("<I", number) + string(name))
        kind, payload = self.frame()
        if kind != RESOLVED:
            return None
        got, verdict, _ = struct.unpack("<III", payload)
        assert got == number
        return verdict


class Egress:
    """The program in the host's namespace, and the server's end of its control socket."""

    def __init__(self, net, *options, allow=(), deny=(), resolver=True, ca=("", "")):
        self.net, self.events, self.meters, self.stats = net, [], {}, None
        self.dir = tempfile.TemporaryDirectory()
        self.ctl, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        program = f"{BUILD}/src/egress/corral-egress"
        identity = ["--uid", "65534", "--gid", "65534"] if os.geteuid() == 0 else []

        asks = ["--resolver", f"{internet.NAMES}:53"] if resolver else []
        there = theirs.fileno()
        move = f'exec "$0" "$@" 3<&{there} {there}<&-' if there != 3 else 'exec "$0" "$@"'
        self.process = subprocess.Popen(
            ["ip", "netns", "exec", net.host, "bash", "-c", move, program, *asks, *identity, *OPTIONS, *options], pass_fds=(there,), stderr=subprocess.PIPE)
        theirs.close()
        self.ctl.settimeout(10)
        self.ctl.send(frame(SETUP, struct.pack("<I", PUBLIC) + strings(allow) + strings(deny)
                            + string(ca[0]) + string(ca[1])))
        kind, fields = self.packet()
        assert kind == READY and fields.number("I") == self.process.pid

    def packet(self):
        data = self.ctl.recv(1 << 17)
        if not data:
            return None, None
        length, kind, _ = struct.unpack_from("<IHH", data)
        assert length == len(data) - 8
        return kind, Fields(data[8:])

    def sandbox(self, name="one", policy=True, **changes):
        path = f"{self.dir.name}/{name}"
        if os.path.exists(path):
            os.unlink(path)
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path)
            listener.listen(4096)
            socket.send_fds(self.ctl, [frame(SANDBOX, string(name))], [listener.fileno()])
        if policy:
            self.policy(name, **changes)
        return path

    def policy(self, name="one", default=PUBLIC, allow=(), deny=(), log=LOG_DENIED, flows=512,
               names=600, rate=0, transforms=()):
        self.ctl.send(frame(POLICY, string(name) + struct.pack("<I", default) + strings(allow)
                            + strings(deny) + struct.pack("<IIIQI", log, flows, names, rate,
                                                    len(transforms))
                            + b"".join(string(host) + strings(methods) + strings(paths)
                                       + strings(headers)
                                       for host, methods, paths, headers in transforms)))

    def drop(self, name="one"):
        self.ctl.send(frame(DROP, string(name)))

    def listen(self, seconds=0.0, until=None):
        """Takes what the program tells, for a while or until `until()`."""
        end = time.monotonic() + seconds
        while until is None or not until():
            left = end - time.monotonic()
            if not select.select([self.ctl], [], [], max(left, 0))[0]:
                return
            kind, f = self.packet()
            if kind is None:
                return
            if kind == EVENT:
                self.events.append((f.string(), f.number("I"), f.string(), f.string(),
                                    f.number("H"), f.number("I")))
            elif kind == METER:
                name = f.string()
                self.meters[name] = (f.number("Q"), f.number("Q"), f.number("I"))
            elif kind == STATS:
                self.stats = [f.number("Q"), f.number("I"), f.number("Q"), f.number("Q")]
                self.stats.append([f.number("Q") for _ in range(f.number("I"))])

    def flow(self, name="one", timeout=20):
        return Flow(f"{self.dir.name}/{name}", timeout)

    def resident(self):
        with open(f"/proc/{self.process.pid}/statm") as f:
            return int(f.read().split()[1]) * 4096

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def cpu(self):
        with open(f"/proc/{self.process.pid}/stat") as f:
            fields = f.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def end(self):
        """The program's status after the server has gone."""
        self.ctl.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
        self.said = self.process.stderr.read().decode()
        self.process.stderr.close()
        self.dir.cleanup()
        return self.process.returncode
