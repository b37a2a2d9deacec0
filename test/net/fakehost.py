# SPDX-License-Identifier: Apache-2.0
"""fakehost.py - corral-egress for tests: speaks include/flow.h on a unix socket and plays the
internet itself, so that each name and port behaves as a test wants.

A name's first label and a port choose what happens; see Host.resolve and Host.open.
"""
import hashlib
import os
import socket
import struct
import threading
import time

OPEN, RESOLVE, OPENED, REFUSED, RESOLVED = 0x01, 0x02, 0x81, 0x82, 0x83
DATA, FIN, RST = 0x90, 0x91, 0x92
R_REFUSED, R_HOST, R_NET, R_TIMED_OUT, R_DENIED, R_NAME, R_LIMIT, R_UNAVAILABLE = range(1, 9)
EXISTS, NXDOMAIN, EMPTY, DENIED, FAILED, LIMIT = range(1, 7)
CHUNK = 65536

REFUSALS = {7001: R_REFUSED, 7002: R_HOST, 7003: R_NET, 7004: R_TIMED_OUT, 7005: R_DENIED,
            7006: R_NAME, 7007: R_LIMIT, 7008: R_UNAVAILABLE}
VERDICTS = {"gone": NXDOMAIN, "empty": EMPTY, "denied": DENIED, "failed": FAILED, "limit": LIMIT}


def frame(kind, payload=b""):
    return struct.pack("<IHH", len(payload), kind, 0) + payload


class Flow:
    """The host's end of one connection of the agent."""

    def __init__(self, sock):
        self.sock = sock
        self.file = sock.makefile("rb", buffering=1 << 18)

    def read(self):
        """(kind, payload), or (None, b"") at the end."""
        try:
            head = self.file.read(8)
            if len(head) < 8:
                return None, b""
            length, kind, zero = struct.unpack("<IHH", head)
            assert zero == 0 and length <= CHUNK
            return kind, self.file.read(length)
        except OSError:
            return None, b""

    def send(self, kind, payload=b""):
        self.sock.sendall(frame(kind, payload))

    def read_all(self):
        """Everything up to FIN; whether it came."""
        parts = []
        while True:
            kind, payload = self.read()
            if kind != DATA:
                return b"".join(parts), kind
            parts.append(payload)


class Host:
    def __init__(self, path):
        self.path = path
        self.events = []     # (what, ...) as they happen
        self.resolved = []
        self.flows = 0       # under way
        self.silent = False  # resolver answers nothing
        self.start()

    def start(self):
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen(4096)
        self.connections = set()
        threading.Thread(target=self.accept, args=(self.listener,), daemon=True).start()

    def stop(self):
        """As if the process were killed."""
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        os.unlink(self.path)
        for sock in list(self.connections):
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def accept(self, listener):
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(sock,), daemon=True).start()

    def serve(self, sock):
        self.connections.add(sock)
        flow = Flow(sock)
        try:
            kind, payload = flow.read()
            if kind == RESOLVE:
                self.resolver(flow, payload)
            elif kind == OPEN:
                length = struct.unpack_from("<I", payload)[0]
                name = payload[4:4 + length].decode()
                port, = struct.unpack("<H", payload[4 + length:])
                self.flows += 1
                try:
                    self.open(flow, name, port)
                finally:
                    self.flows -= 1
        except (OSError, AssertionError):
            pass
        finally:
            self.connections.discard(sock)
            flow.file.close()
            sock.close()

    def resolver(self, flow, payload):
        """Nothing is answered late: with more under way than is allowed, the connection ends."""
        unanswered = 0
        while payload:
            number, length = struct.unpack_from("<II", payload)
            name = payload[8:8 + length].decode()
            self.resolved.append(name)
            unanswered += self.silent
            assert unanswered <= 64
            if not self.silent:
                verdict = VERDICTS.get(name.split(".")[0], EXISTS)
                flow.send(RESOLVED, struct.pack("<III", number, verdict, 60))
            _, payload = flow.read()

    def open(self, flow, name, port):
        self.events.append(("open", name, port))
        if port in REFUSALS:
            flow.send(REFUSED, struct.pack("<I", REFUSALS[port]))
            return
        if port == 7010:  # never answers
            self.events.append(("slow ended", flow.read()[0]))
            return
        handler = getattr(self, f"port_{port}", None)
        if handler is None:
            flow.send(REFUSED, struct.pack("<I", R_REFUSED))
            return
        flow.send(OPENED)
        handler(flow, name)

    def port_7(self, flow, name):
        """Echo."""
        while True:
            kind, payload = flow.read()
            if kind != DATA:
                break
            flow.send(DATA, payload)
        self.events.append(("echo ended", kind))
        if kind == FIN:
            flow.send(FIN)

    def port_80(self, flow, name):
        request = b""
        while b"\r\n\r\n" not in request:
            kind, payload = flow.read()
            if kind != DATA:
                return
            request += payload
        body = f"hello from {name}\n".encode()
        flow.send(DATA, b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" %
                  len(body) + body)
        flow.send(FIN)
        flow.read()

    def port_9(self, flow, name):
        """Takes all, then tells its hash: the program ends its half first."""
        digest, size = hashlib.sha256(), 0
        while True:
            kind, payload = flow.read()
            if kind != DATA:
                break
            digest.update(payload)
            size += len(payload)
        if kind == FIN:
            flow.send(DATA, f"{size} {digest.hexdigest()}".encode())
            flow.send(FIN)

    def port_19(self, flow, name):
        """Ends its half after 64 MiB and still listens: the program's last word is an event."""
        block = bytes(range(256)) * (CHUNK // 256)
        for _ in range(1024):
            flow.send(DATA, block)
        flow.send(FIN)
        self.events.append(("last word",) + flow.read_all())

    def port_20(self, flow, name):
        """Data, then RST."""
        flow.send(DATA, b"x" * 60000)
        flow.send(RST)
        flow.read()

    def port_21(self, flow, name):
        """Data, then the connection breaks."""
        flow.send(DATA, b"y" * 1000)

    def port_22(self, flow, name):
        """Never reads."""
        time.sleep(3600)

    def port_23(self, flow, name):
        """Sends without end."""
        while True:
            flow.send(DATA, b"z" * CHUNK)

    def port_24(self, flow, name):
        """A frame that may not be."""
        flow.sock.sendall(struct.pack("<IHH", 70000, DATA, 0))
        flow.read()
        self.events.append(("lie ended",))
