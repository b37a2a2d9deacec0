# SPDX-License-Identifier: Apache-2.0
"""Connections: errors as on a real network, bytes, both ends of both directions."""
import errno
import hashlib
import os
import socket
import threading
import time
import unittest

import fakehost
from sandbox import Sandbox, run

MIB = 1 << 20


class NetTest(unittest.TestCase):
    inherited = False

    @classmethod
    def setUpClass(cls):
        cls.box = Sandbox(cls.inherited)
        cls.addClassCleanup(cls.box.close)
        cls.host = cls.box.host

    def setUp(self):
        self.host.events.clear()

    def connect(self, port, name="host.test", timeout=10):
        return socket.create_connection((name, port), timeout)

    def assert_fails(self, number, port, address="host.test"):
        started = time.monotonic()
        with self.assertRaises(OSError) as caught:
            self.connect(port, address)
        self.assertEqual(errno.errorcode.get(caught.exception.errno), errno.errorcode[number])
        self.assertLess(time.monotonic() - started, 1)

    def still_works(self):
        with self.connect(7) as s:
            s.sendall(b"still here")
            self.assertEqual(s.recv(100), b"still here")


class Errors(NetTest):
    def test_refusals(self):
        for port, number in ((7001, errno.ECONNREFUSED), (7002, errno.EHOSTUNREACH),
                             (7003, errno.ENETUNREACH), (7004, errno.EHOSTUNREACH),
                             (7005, errno.EHOSTUNREACH), (7006, errno.EHOSTUNREACH),
                             (7007, errno.EHOSTUNREACH), (7008, errno.EHOSTUNREACH)):
            with self.subTest(port=port):
                self.assert_fails(number, port)

    def test_non_blocking(self):
        address = (socket.gethostbyname("host.test"), 7001)
        for _ in range(20):
            with socket.socket() as s:
                s.setblocking(False)
                self.assertIn(s.connect_ex(address), (errno.EINPROGRESS,))
                deadline = time.monotonic() + 5
                while (error := s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)) == 0:
                    self.assertLess(time.monotonic(), deadline)
                    time.sleep(0.001)
                self.assertEqual(error, errno.ECONNREFUSED)

    def test_connect_timeout_is_honoured(self):
        started = time.monotonic()
        result = run("curl", "-sS", "--connect-timeout", "2", "http://host.test:7010/")
        self.assertEqual(result.returncode, 28, result.stderr)
        self.assertLess(time.monotonic() - started, 4)

    def test_netcat_knows_closed_ports(self):
        program = ("import socket, sys\n"
                   "sys.exit(socket.socket().connect_ex((sys.argv[1], int(sys.argv[2]))) != 0)")
        for port, status in ((7, 0), (7001, 1)):
            result = run("/usr/bin/python3", "-c", program, "host.test", str(port))
            self.assertEqual(result.returncode, status)
            result = run("busybox", "nc", "-w", "3", "host.test", str(port), input="")
            self.assertEqual(result.returncode, status, result.stderr)

    def test_own_addresses(self):
        own = run("ss", "-Hltn").stdout.split()
        listener = next(int(word.rsplit(":", 1)[1]) for word in own if word.startswith("198.18.0.1"))
        for address in ("198.18.0.1", "198.18.0.2", "198.18.0.53", "198.18.0.77"):
            for port in (1, 80):
                with self.subTest(address=address, port=port):
                    self.assert_fails(errno.ECONNREFUSED, port, address)
        # The kernel shakes hands on its own; the agent knows no such flow.
        with self.assertRaises(ConnectionResetError):
            with socket.create_connection(("198.18.0.1", listener), 5) as s:
                s.recv(1)
        self.assertEqual([e for e in self.host.events if e[0] == "open"], [])

    def test_port_zero(self):
        self.assert_fails(errno.ECONNREFUSED, 0)
        self.assertEqual([e for e in self.host.events if e[0] == "open"], [])

    def test_address_without_a_name(self):
        self.assert_fails(errno.EHOSTUNREACH, 80, "198.19.200.200")

    def test_ipv6_literal(self):
        self.assert_fails(errno.ENETUNREACH, 80, "2001:4860::8888")

    def test_udp_and_ping(self):
        started = time.monotonic()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.settimeout(5)
            s.connect(("203.0.113.9", 123))
            s.send(b"x")
            with self.assertRaises(ConnectionRefusedError):
                s.recv(10)
        self.assertLess(time.monotonic() - started, 1)
        with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as s:
            s.settimeout(5)
            s.sendto(bytes((8, 0, 0xf7, 0xfd, 0, 1, 0, 1)), ("203.0.113.9", 0))
            answer = s.recv(1000)
        self.assertEqual(answer[20:22], bytes((3, 13)))
        self.assertLess(time.monotonic() - started, 1)

    def test_literal_address_is_named_as_it_is(self):
        with self.connect(7, "203.0.113.9"):
            self.box.wait_for(("open", "203.0.113.9", 7))


class Bytes(NetTest):
    def test_http(self):
        result = run("curl", "-sS", "http://www.example.test/")
        self.assertEqual(result.stdout, "hello from www.example.test\n", result.stderr)
        result = run("busybox", "wget", "-qO-", "http://www.example.test/")
        self.assertEqual(result.stdout, "hello from www.example.test\n", result.stderr)

    def test_up_64_mib_then_half_closed(self):
        block, digest = os.urandom(MIB), hashlib.sha256()
        with self.connect(9, timeout=60) as s:
            for _ in range(64):
                s.sendall(block)
                digest.update(block)
            s.shutdown(socket.SHUT_WR)
            answer = s.recv(1000)
            self.assertEqual(answer.decode(), f"{64 * MIB} {digest.hexdigest()}")
            self.assertEqual(s.recv(10), b"")

    def test_down_64_mib_then_half_closed(self):
        digest = hashlib.sha256(bytes(range(256)) * (64 * MIB // 256))
        got = hashlib.sha256()
        with self.connect(19, timeout=60) as s:
            while data := s.recv(MIB):
                got.update(data)
            self.assertEqual(got.hexdigest(), digest.hexdigest())
            s.sendall(b"the last word")
            s.shutdown(socket.SHUT_WR)
            self.assertEqual(self.box.wait_for(("last word",)), ("last word", b"the last word", fakehost.FIN))

    def test_host_resets_after_data(self):
        for port, size in ((20, 60000), (21, 1000)):
            with self.subTest(port=port):
                got = b""
                with self.assertRaises(ConnectionResetError), self.connect(port) as s:
                    time.sleep(0.3)
                    while data := s.recv(100000):
                        got += data
                self.assertEqual(len(got), size)

    def test_program_resets(self):
        s = self.connect(7)
        s.sendall(b"a")
        self.assertEqual(s.recv(1), b"a")
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, bytes((1, 0, 0, 0, 0, 0, 0, 0)))
        s.close()
        self.box.wait_for(("echo ended", fakehost.RST))

    def test_program_gives_up_while_the_host_decides(self):
        s = socket.socket()
        s.setblocking(False)
        s.connect_ex((socket.gethostbyname("host.test"), 7010))
        self.box.wait_for(("open", "host.test", 7010))
        s.close()
        self.still_works()

    def test_lying_frames_reset(self):
        with self.assertRaises(ConnectionResetError), self.connect(24) as s:
            s.recv(10)
        self.box.wait_for(("lie ended",))
        self.still_works()


class Inherited(NetTest):
    """As in a container: no rights, and descriptors made by another."""
    inherited = True

    def test_bytes_and_errors(self):
        self.still_works()
        self.assert_fails(errno.ECONNREFUSED, 7001)
        self.assert_fails(errno.EHOSTUNREACH, 7005)
        block, digest = os.urandom(MIB), hashlib.sha256()
        with self.connect(9, timeout=60) as s:
            for _ in range(16):
                s.sendall(block)
                digest.update(block)
            s.shutdown(socket.SHUT_WR)
            self.assertEqual(s.recv(1000).decode(), f"{16 * MIB} {digest.hexdigest()}")

    def test_descriptors_stay_with_the_agent(self):
        proc, found = f"/proc/{self.box.agent.pid}", 0
        for fd in os.listdir(f"{proc}/fd"):
            if os.readlink(f"{proc}/fd/{fd}") != "/dev/net/tun":
                continue
            with open(f"{proc}/fdinfo/{fd}", encoding="ascii") as f:
                flags = next(int(line.split()[1], 8) for line in f if line.startswith("flags"))
            self.assertEqual(flags & os.O_CLOEXEC, os.O_CLOEXEC)
            self.assertEqual(flags & os.O_NONBLOCK, os.O_NONBLOCK)
            found += 1
        self.assertEqual(found, 1)


class Many(NetTest):
    def test_200_held_open(self):
        flows = [self.connect(7) for _ in range(200)]
        for number, s in enumerate(flows):
            s.sendall(b"%d" % number)
        for number, s in enumerate(flows):
            self.assertEqual(s.recv(10), b"%d" % number)
            s.close()

    def test_2000_in_sequence(self):
        address = (socket.gethostbyname("host.test"), 7)
        for _ in range(2000):
            with socket.create_connection(address, 10) as s:
                s.sendall(b"x")
                self.assertEqual(s.recv(1), b"x")

    def test_stalled_flows_hold_little(self):
        before = self.box.memory_kib()
        flows = [self.connect(port) for port in (22, 23) * 40]
        for s in flows[::2]:
            s.setblocking(False)
            try:
                while True:
                    s.send(b"a" * 65536)
            except BlockingIOError:
                pass
        time.sleep(1)
        grown = self.box.memory_kib() - before
        self.still_works()
        for s in flows:
            s.close()
        # One chunk each, with room for the allocator's and the sanitizer's own.
        self.assertLess(grown, 80 * 400)


class Hoarders(NetTest):
    def test_more_than_the_table_holds(self):
        address = (socket.gethostbyname("host.test"), 7010)
        sockets = []
        try:
            for _ in range(1500):
                s = socket.socket()
                s.setblocking(False)
                s.connect_ex(address)
                sockets.append(s)
            waiting, errors, deadline = sockets, set(), time.monotonic() + 20
            while len(waiting) > 512 and time.monotonic() < deadline:
                time.sleep(0.5)
                found = [s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) for s in waiting]
                errors.update(found)
                waiting = [s for s, error in zip(waiting, found) if error == 0]
            self.assertEqual(errors, {0, errno.EHOSTUNREACH})
            self.assertEqual(len(waiting), 512)
        finally:
            for s in sockets:
                s.close()
        # The host has not answered yet. Who does not ask any more makes room.
        time.sleep(5)
        self.still_works()


class Flood(NetTest):
    def test_10000_opens(self):
        address = (socket.gethostbyname("host.test"), 7001)
        for _ in range(10):
            sockets = [socket.socket() for _ in range(1000)]
            for s in sockets:
                s.setblocking(False)
                s.connect_ex(address)
            for s in sockets:
                s.close()
        deadline = time.monotonic() + 30
        while socket.socket().connect_ex((address[0], 7)) != 0:
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.1)
        self.still_works()
        self.assertLess(self.box.memory_kib(), 200 * 1024)


class Host(NetTest):
    def test_the_host_ends_and_comes_back(self):
        address = socket.gethostbyname("kept.test")
        with self.connect(7, "kept.test") as s:
            s.sendall(b"x")
            self.assertEqual(s.recv(1), b"x")
            started = time.monotonic()
            self.host.stop()
            with self.assertRaises(ConnectionResetError):
                s.recv(1)
            self.assertLess(time.monotonic() - started, 1)
        self.assert_fails(errno.EHOSTUNREACH, 7, address)
        self.host.start()
        with socket.create_connection((address, 7), 5) as s:
            self.box.wait_for(("open", "kept.test", 7))
        self.assertEqual(socket.gethostbyname("kept.test"), address)

    def test_idle_wakes_nobody(self):
        with self.connect(7) as s:
            s.sendall(b"x")
            s.recv(1)
            time.sleep(0.5)
            before = self.box.wakeups()
            time.sleep(3)
            self.assertLessEqual(self.box.wakeups() - before, 1)


class Interface(NetTest):
    def test_it_looks_like_a_machine(self):
        self.assertIn("default via 198.18.0.2 dev eth0", run("ip", "route").stdout)
        self.assertEqual(run("hostname", "-I").stdout.split(), ["198.18.0.1"])
        self.assertIn("UP", run("ip", "link", "show", "lo").stdout)

    def test_nested_namespace(self):
        commands = """
            ip netns add inner
            ip link add v0 type veth peer name v1 netns inner
            ip addr add 172.20.0.1/24 dev v0 && ip link set v0 up
            ip -n inner addr add 172.20.0.2/24 dev v1 && ip -n inner link set v1 up
            ip -n inner link set lo up && ip -n inner route add default via 172.20.0.1
            echo 1 >/proc/sys/net/ipv4/ip_forward
            nft add table ip t
            nft 'add chain ip t post { type nat hook postrouting priority 100; }'
            nft add rule ip t post oifname eth0 masquerade"""
        if run("sh", "-c", "command -v nft").returncode != 0:
            self.skipTest("nft is not installed")
        run("mount", "-t", "tmpfs", "none", "/run/netns")
        os.makedirs("/run/netns", exist_ok=True)
        done = run("sh", "-ec", commands)
        self.assertEqual(done.returncode, 0, done.stderr)
        try:
            result = run("ip", "netns", "exec", "inner", "curl", "-sS", "http://in.test/")
            self.assertEqual(result.stdout, "hello from in.test\n", result.stderr)
            for port, number in ((7001, errno.ECONNREFUSED), (7005, errno.EHOSTUNREACH)):
                result = run("ip", "netns", "exec", "inner", "/usr/bin/python3", "-c",
                             "import socket, sys; sys.exit(socket.socket().connect_ex"
                             f"(('in.test', {port})))")
                self.assertEqual(result.returncode, number, result.stderr)
        finally:
            run("ip", "netns", "delete", "inner")


class Lost(NetTest):
    def test_root_takes_the_interface_away(self):
        s = self.connect(7)
        run("ip", "link", "delete", "eth0")
        time.sleep(0.5)
        self.assertIsNone(self.box.agent.poll())
        self.box.wait_for(("echo ended",))
        s.close()
