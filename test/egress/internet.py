# SPDX-License-Identifier: Apache-2.0
"""An internet of the suite's own: a network namespace with public addresses, a name server and
servers of many kinds. A second namespace is the host that corral-egress runs on.

Sockets belong to the namespace that their thread is in when it makes them, so all servers are
threads of the test.
"""
import contextlib
import ctypes
import hashlib
import os
import socket
import struct
import subprocess
import threading
import time

LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET = 0x40000000
GATEWAY, HOST, NAMES = "93.184.216.1", "93.184.216.2", "93.184.216.53"
WEB, DEAD = "93.184.217.10", "93.184.217.99"
WEB6 = "2606:2800:220::10"
NET = f"93.184.217.0/24"
A, AAAA = 1, 28


def ip(*words):
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


def remove(namespace):
    subprocess.run(["ip", "netns", "del", namespace], check=False)


@contextlib.contextmanager
def inside(name):
    """Sockets made in here belong to the namespace `name`."""
    with open("/proc/thread-self/ns/net") as home, open(f"/run/netns/{name}") as there:
        if LIBC.setns(there.fileno(), CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns")
        try:
            yield
        finally:
            LIBC.setns(home.fileno(), CLONE_NEWNET)


def start(target, *arguments):
    threading.Thread(target=target, args=arguments, daemon=True).start()


class Names:
    """A name server. A zone's value is a list of addresses or a function of the question's number."""

    def __init__(self, sock):
        self.sock, self.zone, self.asked, self.deaf = sock, {}, [], False
        self.mangle = None
        start(self.serve)

    def serve(self):
        while True:
            question, peer = self.sock.recvfrom(4096)
            answer = self.answer(question)
            if answer is not None and not self.deaf:
                self.sock.sendto(answer, peer)

    def answer(self, question):
        at, labels = 12, []
        while question[at]:
            labels.append(question[at + 1:at + 1 + question[at]].decode("latin1"))
            at += 1 + question[at]
        kind = struct.unpack_from(">H", question, at + 1)[0]
        name = ".".join(labels).lower()
        self.asked.append((name, kind))
        if self.mangle is not None:
            return self.mangle(question)
        entry = self.zone.get(name)
        if callable(entry):
            entry = entry(sum(1 for other in self.asked if other == (name, kind)))
        if entry is None:
            return question[:2] + struct.pack(">HHHHH", 0x8183, 1, 0, 0, 0) + question[12:at + 5]
        family = socket.AF_INET if kind == A else socket.AF_INET6
        found = [socket.inet_pton(family, a) for a in entry
                 if kind in (A, AAAA) and (":" in a) == (kind == AAAA)]
        head = question[:2] + struct.pack(">HHHHH", 0x8180, 1, len(found), 0, 0)
        records = [struct.pack(">HHHIH", 0xc00c, kind, 1, 0, len(a)) + a for a in found]
        return head + question[12:at + 5] + b"".join(records)

    def count(self, name):
        return sum(1 for other, _ in self.asked if other == name)


class Server:
    """Accepts on one address and port; `serve(connection)` runs in a thread of its own."""

    def __init__(self, sock, serve):
        self.sock, self.serve, self.accepted = sock, serve, 0
        start(self.run)

    def run(self):
        while True:
            try:
                conn, _ = self.sock.accept()
            except OSError:
                return
            self.accepted += 1
            start(self.one, conn)

    def one(self, conn):
        try:
            self.serve(conn)
        except OSError:
            pass
        finally:
            conn.close()


def reset(conn):
    conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def echo(conn):
    while data := conn.recv(65536):
        conn.sendall(data)


def sink(conn):
    """Reads to the end, answers with length and digest: half-close in one direction."""
    length, digest = 0, hashlib.sha256()
    while data := conn.recv(1 << 20):
        length += len(data)
        digest.update(data)
    conn.sendall(f"{length} {digest.hexdigest()}".encode())


def source(conn):
    """Reads a line with a number and sends that many bytes of a pattern."""
    count = int(conn.makefile("rb").readline())
    piece = bytes(range(256)) * 4096
    while count > 0:
        conn.sendall(piece[:count])
        count -= len(piece)


def talker(conn):
    """Ends its direction at once and goes on reading."""
    conn.sendall(b"hello")
    conn.shutdown(socket.SHUT_WR)
    while conn.recv(65536):
        pass


class Internet:
    """`attach` makes the host that is on this internet, given the namespace `net`, whose device to it
    is then called eth0; the default is a second namespace."""

    def __init__(self, attach=None):
        tag = f"{os.getpid()}"
        self.net, self.host = f"corral-net-{tag}", f"corral-host-{tag}"
        self.endings = []
        ip("netns", "add", self.net)
        (attach or self.second)(self)
        for address in (f"{GATEWAY}/24", f"{NAMES}/24", "2606:2800::1/64"):
            self.address(self.net, address, "eth0")
        for device in ("lo", "eth0"):
            ip("-n", self.net, "link", "set", device, "up")
        for address in (f"{WEB}/32", f"{WEB6}/128", "10.1.2.3/32", "169.254.169.254/32",
                        "100.100.100.200/32", "168.63.129.16/32", "203.0.113.7/32"):
            self.address(self.net, address, "lo")
        self.names = Names(self.bound(NAMES, 53, socket.SOCK_DGRAM))
        self.resets = []
        self.slow = threading.Event()
        ports = {7: echo, 9: sink, 19: source, 80: echo, 443: echo, 25: echo, 13: talker,
                 1001: self.reset_after, 1002: self.wait_for_reset, 1003: self.never_reads}
        self.servers = {port: self.serve(WEB, port, run) for port, run in ports.items()}

    def second(self, _):
        ip("netns", "add", self.host)
        ip("-n", self.net, "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns",
           self.host)
        for address in (f"{HOST}/24", "2606:2800::2/64"):
            self.address(self.host, address, "eth0")
        for device in ("lo", "eth0"):
            ip("-n", self.host, "link", "set", device, "up")
        ip("-n", self.host, "route", "add", "default", "via", GATEWAY)
        ip("-n", self.host, "-6", "route", "add", "default", "via", "2606:2800::1")
        self.endings.append(lambda: remove(self.host))

    def address(self, name, address, device):
        extra = ["nodad"] if ":" in address else []
        ip("-n", name, "addr", "add", address, "dev", device, *extra)

    def bound(self, address, port, kind):
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with inside(self.net):
            sock = socket.socket(family, kind)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((address, port))
        return sock

    def serve(self, address, port, run):
        sock = self.bound(address, port, socket.SOCK_STREAM)
        sock.listen(1024)
        return Server(sock, run)

    def reset_after(self, conn):
        conn.sendall(b"x" * 1000)
        time.sleep(0.2)
        reset(conn)

    def wait_for_reset(self, conn):
        try:
            while conn.recv(65536):
                pass
            self.resets.append("fin")
        except ConnectionResetError:
            self.resets.append("rst")

    def never_reads(self, conn):
        self.slow.wait()

    def close(self):
        self.slow.set()
        for end in self.endings:
            end()
        remove(self.net)
