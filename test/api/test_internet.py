# SPDX-License-Identifier: Apache-2.0
"""The network of sandboxes with the programs that people use, and against a hostile root in one.
test/egress/suite.py lists what else is shown where.

CORRAL_TEST_HEAVY=1 takes the sizes of the real thing: 1 GiB, ten thousand connections, ten minutes."""
import base64
import http.server
import os
import re
import shutil
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import unittest

import test_network
from corraltest import wait_until
from hosts import HOST, TOP, patience

sys.path.insert(0, f"{TOP}/test/egress")

import internet
from authority import Authority

HEAVY = bool(os.environ.get("CORRAL_TEST_HEAVY"))
SITE = "93.184.217.12"

# The agent's side of the protocol, as root in a sandbox can speak it. `dial` is a new connection.
SPEAK = """
import os, socket, struct, sys, time
PATH = '/opt/corral-net/egress.sock'
def dial():
    if os.path.exists(PATH):
        s = socket.socket(socket.AF_UNIX); s.settimeout(20); s.connect(PATH)
    else:
        s = socket.socket(socket.AF_VSOCK); s.settimeout(20); s.connect((2, 1025))
    return s
def frame(kind, payload=b''): return struct.pack('<IHH', len(payload), kind, 0) + payload
def text(t): return struct.pack('<I', len(t)) + t
def exactly(s, n):
    data = b''
    while len(data) < n:
        piece = s.recv(n - len(data))
        if not piece: raise EOFError
        data += piece
    return data
def answer(s):
    try:
        n, kind, _ = struct.unpack('<IHH', exactly(s, 8)); return kind, exactly(s, n)
    except (EOFError, OSError): return 0, b''
def ask(host, port):
    s = dial(); s.sendall(frame(1, text(host.encode()) + struct.pack('<H', port)))
    return s, answer(s)
"""


class InternetTest(test_network.NetworkTest):
    def place(self, sandbox, name, data, mode="755"):
        """A file in the sandbox; returns its path there."""
        path = f"/home/user/{name}"
        for at in range(0, len(data) or 1, 8 << 20):
            body = {"path": path + f".{at}", "encoding": "base64",
                    "content": base64.b64encode(data[at:at + (8 << 20)]).decode()}
            self.assertEqual(self.api.post(f"/sandboxes/{sandbox}/files/write", body).status, 200)
        self.run_in(sandbox, f"ls -v {path}.* | xargs cat >{path}; rm {path}.*; chmod {mode} {path}")
        return path

    def run_in(self, sandbox, line, seconds=60):
        return self.api.run(sandbox, "sh", args=["-c", line],
                            timeout=int(patience(seconds) * 1000))

    def as_root(self, sandbox, code):
        """What the Python program prints that root runs."""
        answer = self.api.post(f"/sandboxes/{sandbox}/processes", {
            "command": "sh", "user": "root", "args": [
                "-c", 'python3 -c "$1" >/tmp/root.out 2>&1; mv /tmp/root.out /tmp/root.done', "sh",
                SPEAK + code]})
        self.assert_json(answer, 201)
        return self.run_in(sandbox, "while [ ! -e /tmp/root.done ]; do sleep 0.05; done;"
                           "cat /tmp/root.done; rm -f /tmp/root.done", 300)["stdout"].strip()


class Site(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        if self.path == "/to-metadata":
            self.send_response(302)
            self.send_header("Location", "http://169.254.169.254/latest/")
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif self.path.startswith("/api/v1/crates"):
            body = b'{"crates":[{"name":"found-it","max_version":"1.0.0","description":"x"}],"meta":{"total":1}}'
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        else:
            super().do_GET()


class Programs(InternetTest):
    """A site with HTTPS, of a private authority that the programs are told of."""

    @classmethod
    def prepare(cls):
        super().prepare()
        cls.made = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.made.cleanup)
        cls.theirs = Authority(cls.made.name, "theirs")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*cls.theirs.issue("site.example"))
        cls.net.address(cls.net.net, f"{SITE}/32", "lo")
        cls.net.names.zone.update({"site.example": [SITE], "six.example": [internet.WEB6]})
        cls.root = f"{cls.made.name}/www"
        os.mkdir(cls.root)

        def serve(conn):
            conn = context.wrap_socket(conn, server_side=True)
            Site(conn, None, None, directory=cls.root)
        cls.site = cls.net.serve(SITE, 443, serve)
        with open(cls.theirs.cert, "rb") as f:
            cls.authority = f.read()

    @classmethod
    def tearDownClass(cls):
        cls.site.sock.close()
        super().tearDownClass()

    def setUp(self):
        self.ca = self.place(self.shared, "authority.pem", self.authority, "644")

    def test_git(self):
        repo = f"{self.made.name}/repo"
        for line in (["init", "-q", repo], ["-C", repo, "-c", "user.name=a", "-c", "user.email=a@b",
                                            "commit", "-q", "--allow-empty", "-m", "only one"],
                     ["clone", "-q", "--bare", repo, f"{self.root}/r.git"],
                     ["-C", f"{self.root}/r.git", "update-server-info"]):
            subprocess.run(["git", *line], check=True, capture_output=True)
        answer = self.run_in(self.shared, f"export GIT_SSL_CAINFO={self.ca}; cd /tmp && rm -rf r && "
                             "git clone -q https://site.example/r.git r && git -C r log --oneline")
        self.assertIn("only one", answer["stdout"], answer)

    def test_cargo(self):
        found = subprocess.run(["sh", "-c", "rustup which cargo 2>/dev/null || command -v cargo"],
                               capture_output=True, text=True, check=False).stdout.strip()
        if not found:
            self.skipTest("cargo is not on this machine")
        os.makedirs(f"{self.root}/index", exist_ok=True)
        with open(f"{self.root}/index/config.json", "w", encoding="ascii") as f:
            f.write('{"dl":"https://site.example/dl","api":"https://site.example"}')
        with open(found, "rb") as f:
            cargo = self.place(self.shared, "cargo", f.read())
        answer = self.run_in(self.shared, f"CARGO_HTTP_CAINFO={self.ca} {cargo} search --index "
                             "sparse+https://site.example/index/ found")
        self.assertIn("found-it", answer["stdout"], answer)

    def test_go(self):
        go = shutil.which("go", path=os.environ["PATH"] + ":/usr/local/go/bin")
        if not go:
            self.skipTest("go is not on this machine")
        self.static(
            "main.go", 'package main\nimport ("fmt"; "net"; "os")\nfunc main() {\n'
            'for _, to := range os.Args[1:] { c, e := net.Dial("tcp", to)\n'
            'if e != nil { fmt.Println(e); continue }\nb := make([]byte, 1)\n'
            'c.Write([]byte("x")); c.Read(b); fmt.Println(string(b)) } }\n',
            lambda source, to: subprocess.run(
                [go, "build", "-o", to, source], check=True, capture_output=True,
                env={**os.environ, "CGO_ENABLED": "0", "GO111MODULE": "off"}),
            "web.example:7 web.example:81 nowhere.example:7",
            ["x", "connection refused", "no such host"])

    def test_musl(self):
        if not shutil.which("musl-gcc"):
            self.skipTest("musl-gcc is not on this machine")
        self.static(
            "main.c", "#include <netdb.h>\n#include <stdio.h>\n#include <string.h>\n"
            "#include <errno.h>\n#include <sys/socket.h>\n#include <unistd.h>\n"
            "int main(int n, char **v) { for (int i = 1; i + 1 < n; i += 2) { struct addrinfo *a;\n"
            "int rv = getaddrinfo(v[i], v[i + 1], &(struct addrinfo){.ai_socktype = SOCK_STREAM}, &a);\n"
            "if (rv) { puts(gai_strerror(rv)); continue; }\n"
            "int fd = socket(a->ai_family, SOCK_STREAM, 0); char c = 'x';\n"
            "if (connect(fd, a->ai_addr, a->ai_addrlen) < 0) { puts(strerror(errno)); continue; }\n"
            "if (write(fd, &c, 1) == 1 && read(fd, &c, 1) == 1) printf(\"%c\\n\", c); } }\n",
            lambda source, to: subprocess.run(["musl-gcc", "-static", "-o", to, source], check=True,
                                              capture_output=True),
            "web.example 7 web.example 81 nowhere.example 7",
            ["x", "Connection refused", "Name does not resolve"])

    def static(self, name, source, build, arguments, want):
        with tempfile.TemporaryDirectory() as folder:
            with open(f"{folder}/{name}", "w", encoding="ascii") as f:
                f.write(source)
            build(f"{folder}/{name}", f"{folder}/program")
            with open(f"{folder}/program", "rb") as f:
                program = self.place(self.shared, "program", f.read())
        lines = self.run_in(self.shared, f"{program} {arguments} 2>&1")["stdout"].splitlines()
        self.assertEqual(len(lines), len(want), lines)
        for line, part in zip(lines, want):
            self.assertIn(part, line)

    def test_busybox(self):
        path = shutil.which("busybox")
        if not path or b"statically" not in subprocess.run(["file", "-L", path], check=False,
                                                           capture_output=True).stdout:
            self.skipTest("no static busybox is on this machine")
        with open(path, "rb") as f:
            busybox = self.place(self.shared, "busybox", f.read())
        with open(f"{self.root}/hello", "w", encoding="ascii") as f:
            f.write("hello\n")
        answer = self.run_in(self.shared, f"{busybox} nslookup web.example; echo x | {busybox} nc "
                             "-w 5 web.example 7")
        self.assertRegex(answer["stdout"], r"Address.*198\.1[89]\.")
        self.assertTrue(answer["stdout"].endswith("x\n"), answer)

    def test_a_redirect_to_the_metadata_service(self):
        answer = self.run_in(self.shared, f"curl -sSL -m 30 --cacert {self.ca} "
                             "https://site.example/to-metadata 2>&1; echo $?")
        self.assertRegex(answer["stdout"], r"169\.254\.169\.254(.|\n)*\n7\n$")

    def test_a_name_with_only_ipv6(self):
        server = self.net.serve(internet.WEB6, 7, internet.echo)
        self.addCleanup(server.sock.close)
        self.assertEqual(self.connect("six.example", 7), "open")

    def test_questions_over_tcp_and_to_any_name_server(self):
        """A, AAAA, SRV (33), HTTPS (65): an address of the pool, then no error and no data."""
        said = self.python(
            "import struct\n"
            "def question(kind): return (struct.pack('>HHHHHH', 7, 0x100, 1, 0, 0, 0) +"
            " b'\\3web\\7example\\0' + struct.pack('>HH', kind, 1))\n"
            "def show(a): print(struct.unpack_from('>H', a, 2)[0] & 15,"
            " struct.unpack_from('>H', a, 6)[0])\n"
            "for server in ('198.18.0.53', '8.8.8.8'):\n"
            "    for kind in (1, 28, 33, 65):\n"
            "        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(20)\n"
            "        s.sendto(question(kind), (server, 53)); show(s.recv(600))\n"
            "s = socket.create_connection(('198.18.0.53', 53), 20); q = question(1)\n"
            "s.sendall(struct.pack('>H', len(q)) + q); s.recv(2); show(s.recv(600))")
        self.assertEqual(said.splitlines(), ["0 1", "0 0", "0 0", "0 0"] * 2 + ["0 1"])


class Denied(InternetTest):
    def test_every_form_of_an_inner_address(self):
        forms = ["::ffff:169.254.169.254", "64:ff9b::169.254.169.254", "2002:a9fe:a9fe::1",
                 "::169.254.169.254", "fd00:ec2::254", "::1", "fe80::1", "2001::1",
                 "2a00::5efe:a9fe:a9fe"]
        for number, form in enumerate(forms):
            self.net.names.zone[f"form{number}.example"] = [form]
        said = self.python(f"print(*[connect(f'form{{n}}.example', 80) for n in range({len(forms)})],"
                           " *[connect(a, 80) for a in ('0x7f.1', '2852039166', '[::1]',"
                           " '::ffff:169.254.169.254')])").split()
        self.assertEqual(said[:len(forms)], ["NONAME"] * len(forms))
        self.assertNotIn("open", said)

    def test_rebinding(self):
        """Each question gets another answer; the inner server never sees a connection."""
        tries = 1000 if HEAVY else 60
        inner = self.net.serve("10.1.2.3", 81, internet.echo)
        outer = self.net.serve(internet.WEB, 81, internet.echo)
        self.addCleanup(inner.sock.close)
        self.addCleanup(outer.sock.close)
        answers = ([internet.WEB], ["10.1.2.3"], [internet.WEB, "10.1.2.3"], ["127.0.0.1"])
        for number in range(tries):
            self.net.names.zone[f"r{number}.example"] = lambda n: answers[n % len(answers)]
        sandbox = self.create(network={"limits": {"new_names_per_min": 10000}})
        said = self.python(f"print(*[connect(f'r{{n // 2}}.example', 81) for n in range({2 * tries})])",
                           sandbox, timeout=int(patience(300) * 1000)).split()
        self.assertEqual(inner.accepted, 0)
        self.assertLessEqual(set(said), {"open", "NONAME", "EHOSTUNREACH", "ECONNREFUSED"})
        self.assertGreaterEqual(outer.accepted, said.count("open"))

    def test_names_below_and_beside_an_allowed_one(self):
        for name in ("x.example", "a.x.example", "b.a.x.example", "evilx.example"):
            self.net.names.zone[name] = [internet.WEB]
        sandbox = self.create(network={"default": "deny", "allow": ["*.x.example"]})
        said = self.python(
            "for n in ('a.x.example', 'b.a.x.example', 'A.X.EXAMPLE', 'a.x.example.', 'x.example',"
            " 'evilx.example', 'a.x.example.evil', 'y' * 64 + '.x.example'):\n"
            "    try: print(connect(n, 7))\n"
            "    except UnicodeError: print('NONAME')", sandbox).split()
        self.assertEqual(said, ["open"] * 4 + ["NONAME"] * 4)

    def test_addresses_of_the_network_itself(self):
        """The interface, the gateway, the resolver, the listener behind them, port 0: no loop."""
        said = self.python(
            # The kernel may take a connection for the listener before the agent refuses it.
            "def probe(address, port):\n"
            "    try:\n"
            "        s = socket.create_connection((address, port), 10)\n"
            "        return 'data' if s.recv(1) else 'closed'\n"
            "    except socket.timeout: return 'time-out'\n"
            "    except OSError as e: return errno.errorcode.get(e.errno, e.errno)\n"
            "ports = [int(l.split()[1].split(':')[1], 16) for l in open('/proc/net/tcp')\n"
            "         if '010012C6' in l.upper() and l.split()[3] == '0A']\n"
            "print(*[probe(a, p) for a in ('198.18.0.1', '198.18.0.2', '198.18.0.53')\n"
            "        for p in [80, *ports, 0]])").split()
        self.assertEqual(len(said), 9, said)
        for word in said:
            self.assertIn(word, ("ECONNREFUSED", "ECONNRESET", "EHOSTUNREACH", "EADDRNOTAVAIL",
                                 "ENETUNREACH", "EINVAL", "closed"))
        self.assertEqual(self.connect("web.example", 7), "open")

    def test_ping_is_answered_at_once(self):
        """Prohibited, to whoever may ask: root in a container may not."""
        said = self.as_root(self.shared, (
            "import errno\n"
            "try:\n"
            "    s = socket.socket(socket.AF_INET, socket.SOCK_RAW, 1); s.settimeout(20)\n"
            "    s.setsockopt(0, 11, 1)\n"  # errors come with their reason
            "    s.sendto(bytes([8, 0, 0xf7, 0xff, 0, 0, 0, 0]), ('93.184.217.10', 0))\n"
            "    print(s.recv(600)[20])\n"
            "except OSError as e: print(errno.errorcode[e.errno])"))
        self.assertIn(said, ("EPERM", "3", "EHOSTUNREACH", "EACCES"))


class Abuse(InternetTest):
    @classmethod
    def prepare(cls):
        super().prepare()
        cls.other = cls.api.create(timeout=3600)["sandbox_id"]

    def unharmed(self):
        """Another sandbox's flow works meanwhile."""
        self.assertEqual(self.connect("web.example", 7, self.other), "open")

    def test_root_speaks_the_protocol_itself(self):
        sandbox = self.create(network={"default": "deny", "allow": ["web.example"]})
        said = self.as_root(sandbox, (
            "s, a = ask('web.example', 7); print(a[0])\n"
            "s.sendall(frame(0x90, b'hi')); print(answer(s))\n"
            "for host in ('169.254.169.254', '10.1.2.3', 'private.example', '93.184.217.10',"
            " '127.0.0.1', 'other.example'): print(ask(host, 80)[1])\n"
            "for bad in (b'GET / HTTP/1.1\\r\\n\\r\\n', frame(0x90, b'x'), frame(3) * 3,"
            " struct.pack('<IHH', 1 << 31, 1, 0), frame(1, text(b'web.example'))):\n"
            "    s = dial(); s.sendall(bad); print(answer(s)[0])"))
        denied = repr((0x82, (5).to_bytes(4, "little")))
        self.assertEqual(said.splitlines(), ["129", repr((0x90, b"hi"))] + [denied] * 6 + ["0"] * 5,
                         said)
        self.unharmed()

    def test_root_takes_the_interface_down(self):
        """A container's root may not; a microVM's has no network then, and gains none."""
        sandbox = self.create()
        said = self.as_root(sandbox, (
            "import fcntl\n"
            "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
            "try: fcntl.ioctl(s, 0x8914, struct.pack('16sh22x', b'eth0', 0)); print('down')\n"
            "except OSError: print('refused')"))
        got = self.connect(internet.WEB, 7, sandbox)
        self.assertIn((said, got == "open"), (("refused", True), ("down", False)))
        self.unharmed()

    def test_thousands_of_opens(self):
        count = 10000 if HEAVY else 1500
        egress = self.server.egress()
        said = self.as_root(self.shared, (
            "refused = opened = 0; held = []\n"
            f"for n in range({count}):\n"
            "    try:\n"
            "        s = dial(); s.sendall(frame(1, text(b'web.example') + struct.pack('<H', 7)))\n"
            "        held.append(s)\n"
            "    except OSError: refused += 1\n"
            "    if len(held) == 600: held = held[300:]\n"
            "print(len(held) > 0, refused)"))
        self.assertTrue(said.startswith("True"), said)
        self.unharmed()
        self.assertEqual(self.server.egress(), egress)
        wait_until(lambda: self.connect("web.example", 7) == "open", 20, "its own flows work again")

    def test_flows_that_never_read(self):
        """Neither the sandbox nor the server takes what is sent."""
        pid = self.server.egress()
        before = self.resident(pid)
        said = self.python(
            "import select\n"
            "held = []\n"
            "for _ in range(20):\n"
            "    s = socket.create_connection(('web.example', 19), 20)\n"
            "    s.sendall(b'100000000\\n'); held.append(s)\n"
            "    s = socket.create_connection(('web.example', 1003), 20); s.setblocking(False)\n"
            "    held.append(s)\n"
            "sent, quiet = 0, 0\n"
            "while quiet < 3:\n"
            "    ready = select.select([], held[1::2], [], 1)[1]\n"
            "    quiet = 0 if ready else quiet + 1\n"
            "    for s in ready: sent += s.send(bytes(65536))\n"
            "print(sent // 20)")
        self.assertLess(int(said), 12 << 20)
        self.unharmed()
        self.assertLess(self.resident(pid) - before, 24 << 20)

    @staticmethod
    def resident(pid):
        return int(HOST.read(f"/proc/{pid}/statm").split()[1]) * 4096

    def test_bytes_each_way_with_their_digest(self):
        total = 1 << (30 if HEAVY else 26)
        pid = self.server.egress()
        before = self.resident(pid)
        said = self.python(
            "import hashlib\n"
            "s = socket.create_connection(('web.example', 9), 20); s.settimeout(None)\n"
            "d = hashlib.sha256(); piece = os.urandom(1 << 20)\n"
            f"for _ in range({total >> 20}): s.sendall(piece); d.update(piece)\n"
            "s.shutdown(socket.SHUT_WR); a = s.makefile('rb').read().decode()\n"
            f"print(a == f'{total} {{d.hexdigest()}}')\n"
            "s = socket.create_connection(('web.example', 19), 20); s.settimeout(None)\n"
            f"s.sendall(b'{total}\\n'); n, room = 0, bytearray(1 << 20)\n"
            "d = hashlib.sha256(); want = hashlib.sha256()\n"
            "while k := s.recv_into(room): n += k; d.update(memoryview(room)[:k])\n"
            f"for _ in range({total >> 20}): want.update(bytes(range(256)) * 4096)\n"
            f"print(n == {total}, d.digest() == want.digest())", self.other,
            timeout=int(patience(600) * 1000))
        self.assertEqual(said.split(), ["True"] * 3)
        self.assertLess(self.resident(pid) - before, 8 << 20)

    def test_an_idle_flow_stays(self):
        """Meanwhile nobody uses the processor for it."""
        said = self.python(
            "s = socket.create_connection(('web.example', 7), 20); s.sendall(b'a'); s.recv(1)\n"
            f"time.sleep({600 if HEAVY else 3}); s.sendall(b'b'); print(s.recv(1))", self.other,
            timeout=int(patience(900) * 1000))
        self.assertEqual(said, "b'b'")
