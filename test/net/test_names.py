# SPDX-License-Identifier: Apache-2.0
"""The resolver: C libraries as they are, and bytes of our own."""
import socket
import struct
import subprocess
import time
import unittest

from sandbox import Sandbox, run

A, PTR, MX, TXT, AAAA, SRV, HTTPS = 1, 12, 15, 16, 28, 33, 65
GETADDRINFO = """
#include <netdb.h>
#include <stdio.h>
int main(int argc, char **argv)
{
    struct addrinfo *found = 0, hints = {.ai_socktype = SOCK_STREAM};
    int rv = getaddrinfo(argv[1], "80", &hints, &found);
    printf("%s\\n", rv ? gai_strerror(rv) : "found");
    return rv != 0;
}
"""


def question(name, kind, edns=False, number=7):
    labels = b"".join(bytes((len(x),)) + x.encode() for x in name.split(".") if x) + b"\0"
    opt = b"\0" + struct.pack(">HHIH", 41, 1232, 0, 0) if edns else b""
    return struct.pack(">HHHHHH", number, 0x0100, 1, 0, 0, int(edns)) + labels + \
        struct.pack(">HH", kind, 1) + opt


def ask(message, server="198.18.0.53", timeout=8):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(timeout)
        s.connect((server, 53))
        s.send(message)
        return s.recv(2000)


def rcode(answer):
    return answer[3] & 15


def count(answer):
    return struct.unpack_from(">H", answer, 6)[0]


class Names(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.box = Sandbox()
        cls.addClassCleanup(cls.box.close)
        cls.host = cls.box.host

    def test_equal_names_have_one_address(self):
        first = socket.gethostbyname("one.test")
        self.assertTrue(first.startswith("198.18.1."))
        self.assertEqual(socket.gethostbyname("ONE.test"), first)
        self.assertNotEqual(socket.gethostbyname("two.test"), first)
        self.assertEqual(self.host.resolved.count("one.test"), 1)

    def test_types_without_data(self):
        for kind in (AAAA, SRV, HTTPS, MX, TXT):
            answer = ask(question("types.test", kind))
            self.assertEqual((rcode(answer), count(answer)), (0, 0))

    def test_verdicts(self):
        for name, code in (("gone.test", 3), ("denied.test", 3), ("empty.test", 0),
                           ("failed.test", 2), ("limit.test", 2), ("1.2.3.4", 3), ("0x7f.1", 3),
                           ("a b.test", 3), ("x" * 63 + ".test", 0)):
            for kind in (A, AAAA):
                with self.subTest(name=name, kind=kind):
                    self.assertEqual(rcode(ask(question(name, kind))), code)
        self.assertNotIn("1.2.3.4", self.host.resolved)

    def test_a_denial_says_so(self):
        answer = ask(question("denied.test", A, edns=True))
        self.assertTrue(answer.endswith(struct.pack(">HHHH", 6, 15, 2, 15)))

    def test_libraries_fail_at_once(self):
        started = time.monotonic()
        with self.assertRaises(socket.gaierror) as caught:
            socket.getaddrinfo("denied.test", 80)
        self.assertEqual(caught.exception.errno, socket.EAI_NONAME)
        self.assertNotEqual(run("busybox", "nslookup", "gone.test").returncode, 0)
        self.assertLess(time.monotonic() - started, 2)

    def test_musl(self):
        if run("sh", "-c", "command -v musl-gcc").returncode != 0:
            self.skipTest("musl-gcc is not installed")
        program = f"{self.box.folder}/musl"
        subprocess.run(("musl-gcc", "-static", "-D_GNU_SOURCE", "-x", "c", "-", "-o", program),
                       input=GETADDRINFO, text=True, check=True)
        started = time.monotonic()
        self.assertEqual(run(program, "musl.test").stdout, "found\n")
        self.assertEqual(run(program, "denied.test").returncode, 1)
        self.assertLess(time.monotonic() - started, 1)

    def test_local_names(self):
        self.assertEqual(ask(question("localhost", A))[-4:], bytes((127, 0, 0, 1)))
        self.assertEqual(ask(question("localhost", AAAA))[-16:], b"\0" * 15 + b"\1")
        self.assertEqual(ask(question(socket.gethostname(), A))[-4:], bytes((198, 18, 0, 1)))

    def test_reverse(self):
        address = socket.gethostbyname("back.test")
        self.assertEqual(socket.gethostbyaddr(address)[0], "back.test")
        self.assertEqual(rcode(ask(question("9.9.9.9.in-addr.arpa", PTR))), 3)

    def test_hard_coded_resolver(self):
        self.assertEqual(rcode(ask(question("hard.test", A), "8.8.8.8")), 0)

    def test_over_tcp(self):
        with socket.create_connection(("198.18.0.53", 53), 5) as s:
            for name in ("tcp.test", "gone.test", "tcp2.test"):
                message = question(name, A)
                s.sendall(struct.pack(">H", len(message)) + message)
                size, = struct.unpack(">H", s.recv(2))
                answer = s.recv(size)
                self.assertEqual(rcode(answer), 3 if name == "gone.test" else 0)
            pair = question("p1.test", A) + b"", question("p2.test", A)
            s.sendall(b"".join(struct.pack(">H", len(m)) + m for m in pair))
            s.settimeout(5)
            for _ in pair:
                size, = struct.unpack(">H", s.recv(2, socket.MSG_WAITALL))
                self.assertEqual(rcode(s.recv(size, socket.MSG_WAITALL)), 0)

    def test_malformed(self):
        good = question("cut.test", A)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.settimeout(5)
            s.connect(("198.18.0.53", 53))
            for end in range(12, len(good)):
                s.send(good[:end])
                self.assertEqual(rcode(s.recv(1000)), 1)
            for odd in (good + b"x", good[:12] + b"\xc0\x0c" + good[-4:]):
                s.send(odd)
                self.assertEqual(rcode(s.recv(1000)), 1)
            for end in range(12):
                s.send(good[:end])
            s.send(good)
            self.assertEqual(rcode(s.recv(1000)), 0)

    def test_burst(self):
        """More names than the host is asked about at once: none fails."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.connect(("198.18.0.53", 53))
            s.settimeout(8)
            for number in range(200):
                s.send(question(f"burst{number}.test", A, number=number))
            self.assertEqual({rcode(s.recv(1000)) for _ in range(200)}, {0})

    def test_flood(self):
        """More than may be under way: each is answered, or the program asks again."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.connect(("198.18.0.53", 53))
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
            for number in range(3000):
                s.send(question(f"flood{number}.test", A, number=number))
            time.sleep(2)
            s.settimeout(0.2)
            codes = set()
            try:
                while True:
                    codes.add(rcode(s.recv(1000)))
            except TimeoutError:
                pass
        self.assertLessEqual(codes, {0, 2})
        self.assertEqual(rcode(ask(question("after.test", A))), 0)


class Dead(unittest.TestCase):
    def setUp(self):
        self.box = Sandbox()
        self.addCleanup(self.box.close)

    def test_silent_host(self):
        self.box.host.silent = True
        started = time.monotonic()
        self.assertEqual(rcode(ask(question("slow.test", A))), 2)
        self.assertLess(time.monotonic() - started, 7)
        self.box.host.silent = False
        self.assertEqual(rcode(ask(question("slow.test", A))), 0)

    def test_a_host_that_was_stuck(self):
        self.box.host.silent = True
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.connect(("198.18.0.53", 53))
            s.settimeout(8)
            for number in range(100):
                s.send(question(f"stuck{number}.test", A, number=number))
            self.assertEqual({rcode(s.recv(1000)) for _ in range(100)}, {2})
        self.box.host.silent = False
        self.assertEqual(rcode(ask(question("new.test", A))), 0)

    def test_the_host_is_gone_and_comes_back(self):
        self.assertEqual(rcode(ask(question("known.test", A))), 0)
        self.box.host.stop()
        self.assertEqual(rcode(ask(question("known.test", A))), 0)
        self.assertEqual(rcode(ask(question("new.test", A))), 2)
        self.box.host.start()
        started = time.monotonic()
        self.assertEqual(rcode(ask(question("new.test", A))), 0)
        self.assertLess(time.monotonic() - started, 1)

    def test_the_host_comes_back_in_time(self):
        self.box.host.stop()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.settimeout(8)
            s.connect(("198.18.0.53", 53))
            s.send(question("late.test", A))
            time.sleep(0.5)
            self.box.host.start()
            self.assertEqual(rcode(s.recv(1000)), 0)


