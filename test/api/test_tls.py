# SPDX-License-Identifier: Apache-2.0
"""HTTPS: handshakes of real clients, peers that are none, certificates that change, and large bodies.

Python's ssl is OpenSSL; curl and `openssl s_client` are run where they are installed."""
import hashlib
import http.client
import json
import shutil
import signal
import socket
import ssl
import subprocess
import time
import unittest

from corraltest import (HOST, PREFIX, ApiTest, Client, SandboxTest, Server, not_emulated,
                        wait_until)

SIZE = 64 << 20
OPENSSL = shutil.which("openssl")
CURL = shutil.which("curl")


def make_certificate(folder, name, key=("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256")):
    """NAME.crt and NAME.key for this machine; returns their paths."""
    paths = f"{folder}/{name}.crt", f"{folder}/{name}.key"
    subprocess.run([OPENSSL, "req", "-x509", *key, "-nodes", "-days", "2", "-out", paths[0],
                    "-keyout", paths[1], "-subj", f"/CN={name}", "-addext",
                    "subjectAltName=DNS:localhost,IP:127.0.0.1"], check=True, capture_output=True)
    return paths


def make_expired(folder):
    """A certificate whose time is over, which `openssl req` refuses to make."""
    certificate, key = make_certificate(folder, "expired")
    for name, text in (("index.txt", ""), ("serial", "01\n"), ("ca.cnf", f"""
[ca]
default_ca = here
[here]
database = {folder}/index.txt
serial = {folder}/serial
new_certs_dir = {folder}
default_md = sha256
policy = any
[any]
commonName = supplied
""")):
        with open(f"{folder}/{name}", "w", encoding="ascii") as f:
            f.write(text)
    subprocess.run([OPENSSL, "req", "-new", "-key", key, "-subj", "/CN=expired", "-out",
                    f"{folder}/expired.csr"], check=True, capture_output=True)
    subprocess.run([OPENSSL, "ca", "-batch", "-config", f"{folder}/ca.cnf", "-selfsign", "-keyfile",
                    key, "-in", f"{folder}/expired.csr", "-out", certificate, "-notext",
                    "-startdate", "20200101000000Z", "-enddate", "20210101000000Z"],
                   check=True, capture_output=True)
    return certificate, key


class TlsClient(Client):
    def __init__(self, port, key, context):
        super().__init__(port, key)
        self.context = context

    def connect(self, timeout):
        return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=timeout,
                                           context=self.context)


class TlsServer(Server):
    """Speaks HTTPS with the files `self.pair`, which tests may replace."""

    def __init__(self, options=(), build=None):
        if OPENSSL is None:
            raise unittest.SkipTest("openssl is not installed")
        super().__init__(options, build)
        self.pair = make_certificate(self.dir, "first")
        self.context = ssl.create_default_context(cafile=self.pair[0])
        self.options += ["--tls-cert", HOST.place(self.pair[0]),
                         "--tls-key", HOST.place(self.pair[1])]

    def connect(self, key):
        return TlsClient(self.port, key, self.context)

    def socket(self, context=None):
        plain = socket.create_connection(("127.0.0.1", self.port), timeout=30)
        return (context or self.context).wrap_socket(plain, server_hostname="localhost")

    def subject(self):
        with self.socket(ssl._create_unverified_context()) as s:
            der = s.getpeercert(binary_form=True)
        return next(n for n in ("first", "second", "third") if n.encode() in der)

    def use(self, pair):
        """Puts other files in place and tells the server."""
        for source, target in zip(pair, self.pair):
            shutil.copy(source, target)
        before = self.log().count("certificate")
        self.process.send_signal(signal.SIGHUP)
        wait_until(lambda: self.log().count("certificate") > before, 10, "the files are read again")


REQUEST = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"


def read_answer(s):
    """The status and JSON body of one answer."""
    response = http.client.HTTPResponse(s)
    response.begin()
    return response.status, json.loads(response.read())


@not_emulated("TLS ends before any sandbox, and ciphers are slow there")
class HandshakeTest(ApiTest):
    kind = TlsServer
    options = ("--pool-size", "0")  # a sandbox that starts has descriptors, too

    def alive(self):
        self.assertEqual(self.api.get("/health", prefix="").status, 200)

    def test_versions_and_ciphers(self):
        with self.server.socket() as s:
            name, version, bits = s.cipher()
            self.assertIn(s.version(), ("TLSv1.2", "TLSv1.3"))
            self.assertGreaterEqual(bits, 128)
            self.assertRegex(name, "GCM|CHACHA20")
        for version, ciphers in ((ssl.TLSVersion.TLSv1, "ALL:@SECLEVEL=0"),
                                 (ssl.TLSVersion.TLSv1_1, "ALL:@SECLEVEL=0"),
                                 (ssl.TLSVersion.TLSv1_2, "AES128-SHA:ECDHE-ECDSA-AES128-SHA256")):
            old = ssl._create_unverified_context()
            old.minimum_version = ssl.TLSVersion.TLSv1
            old.maximum_version = version
            old.set_ciphers(ciphers)
            with self.subTest(version=version), self.assertRaises((ssl.SSLError, OSError)):
                self.server.socket(old).close()
        self.alive()

    def test_alpn(self):
        for offer, chosen in ((["http/1.1"], "http/1.1"), (["h2", "http/1.1"], "http/1.1"),
                              (None, None)):
            context = ssl._create_unverified_context()
            if offer:
                context.set_alpn_protocols(offer)
            with self.server.socket(context) as s:
                self.assertEqual(s.selected_alpn_protocol(), chosen)
                s.sendall(REQUEST)
                self.assertEqual(read_answer(s)[0], 200)

    def test_keep_alive_and_pieces(self):
        with self.server.socket() as s:
            for piece in (len(REQUEST), 1, 7):
                for at in range(0, len(REQUEST), piece):
                    s.sendall(REQUEST[at:at + piece])
                self.assertEqual(read_answer(s)[0], 200)
            s.sendall(REQUEST * 20)
            got = b""
            while got.count(b"HTTP/1.1 200 OK") < 20 or not got.endswith(b"}"):
                got += s.recv(65536)

    def test_client_closes_its_side(self):
        with self.server.socket() as s:
            s.sendall(REQUEST)
            self.assertEqual(read_answer(s)[0], 200)
            s.unwrap()  # close_notify both ways, or it raises

    def test_client_that_vanishes(self):
        wait_until(lambda: "corral-egress is ready" in self.server.log(), 20, "the server is up")
        before = self.server.descriptors()
        for cut in (0, 1, 5, 100):
            with socket.create_connection(("127.0.0.1", self.server.port)) as s:
                s.sendall((b"\x16\x03\x01\x02\x00\x01" + b"x" * 100)[:cut])
        wait_until(lambda: self.server.descriptors() <= before, 10, "the connections are closed")
        self.alive()

    def test_plain_http_gets_an_answer(self):
        with socket.create_connection(("127.0.0.1", self.server.port), timeout=10) as s:
            s.sendall(REQUEST)
            status, body = read_answer(s)
        self.assertEqual(status, 400)
        self.assertEqual(body["error"]["code"], "invalid_request")
        self.assertIn("https://", body["error"]["message"])

    def test_garbage(self):
        for junk in (b"\0" * 100, b"\xff" * 70000, b"\x16\x03\x01\xff\xff" + b"x" * 70000,
                     b"\x16\x03\x01\x00\x04\x01\xff\xff\xff", b"hello\r\n", b"\x15\x03\x03\0\2\2\0",
                     bytes(range(256)) * 100):
            with socket.create_connection(("127.0.0.1", self.server.port), timeout=10) as s:
                try:
                    s.sendall(junk)
                    while s.recv(4096):
                        pass
                except (ConnectionResetError, BrokenPipeError):
                    pass
        self.alive()

    def test_slow_handshake_is_cut_off(self):
        hello = ssl.MemoryBIO(), ssl.MemoryBIO()
        try:
            self.server.context.wrap_bio(*hello, server_hostname="localhost").do_handshake()
        except ssl.SSLWantReadError:
            pass
        with socket.create_connection(("127.0.0.1", self.server.port), timeout=30) as s:
            started = time.monotonic()
            for byte in hello[1].read()[:-1]:
                try:
                    s.sendall(bytes([byte]))
                except OSError:
                    break
                if time.monotonic() - started > 25:
                    self.fail("the server still waits")
                time.sleep(0.1)
            try:
                self.assertEqual(s.recv(1), b"")
            except ConnectionResetError:
                pass
            waited = time.monotonic() - started
        self.assertTrue(14 < waited < 20, waited)
        self.alive()

    def test_many_handshakes_at_once(self):
        sockets = []
        for _ in range(100):
            s = self.server.socket()
            s.sendall(REQUEST)
            sockets.append(s)
        for s in sockets:
            self.assertEqual(read_answer(s)[0], 200)
            s.close()

    @unittest.skipUnless(CURL, "curl is not installed")
    def test_curl(self):
        done = subprocess.run([CURL, "-sS", "--cacert", self.server.pair[0], "-w", "%{http_code}",
                               f"https://localhost:{self.server.port}/health"], text=True,
                              capture_output=True, timeout=30, check=True)
        self.assertTrue(done.stdout.endswith("}200"), done)

    def test_s_client(self):
        done = subprocess.run([OPENSSL, "s_client", "-connect", f"127.0.0.1:{self.server.port}",
                               "-CAfile", self.server.pair[0], "-verify_return_error", "-quiet"],
                              input=REQUEST.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"),
                              capture_output=True, timeout=30, check=False)
        self.assertIn(b'"status":"ok"', done.stdout)


@not_emulated("TLS ends before any sandbox, and ciphers are slow there")
class ReloadTest(ApiTest):
    kind = TlsServer

    def test_new_certificate_and_broken_ones(self):
        folder, server = self.server.dir, self.server
        second = make_certificate(folder, "second", ("-newkey", "rsa:2048"))
        third = make_certificate(folder, "third")
        first = [shutil.copy(p, f"{p}.kept") for p in server.pair]
        self.assertEqual(server.subject(), "first")
        with server.socket() as old:
            server.use(second)
            self.assertEqual(server.subject(), "second")
            for pair in ((third[0], second[1]), (second[0], third[1]), ("/dev/null", third[1])):
                server.use(pair)
                self.assertEqual(server.subject(), "second")
            self.assertIn("the old one stays", server.log())
            self.assertIn("is not the key of", server.log())
            server.use(third)
            self.assertEqual(server.subject(), "third")
            old.sendall(REQUEST)  # opened under the first certificate
            self.assertEqual(read_answer(old)[0], 200)
            server.use(first)
        self.assertEqual(server.subject(), "first")


@unittest.skipUnless(OPENSSL, "openssl is not installed")
@not_emulated("TLS ends before any sandbox, and ciphers are slow there")
class StartTest(unittest.TestCase):
    def failure(self, server, *options):
        done = subprocess.run(server.command("--listen", "127.0.0.1:0", *options), text=True,
                              capture_output=True, timeout=30, check=False)
        self.assertEqual(done.returncode, 1)
        return done.stderr

    def test_files_that_cannot_be_used(self):
        server = Server()
        self.addCleanup(shutil.rmtree, server.dir)
        (a, a_key), (b, b_key) = [make_certificate(server.dir, n) for n in ("a", "b")]
        for cert, key, words in ((a, b_key, "is not the key of"), (b, a_key, "is not the key of"),
                                 ("/nowhere", a_key, "No such file"), (a, "/nowhere", "No such file"),
                                 (a_key, a_key, "not a PEM certificate"),
                                 (a, a, "not a PEM private key"), (a, "", "go together")):
            with self.subTest(cert=cert, key=key):
                said = self.failure(server, "--isolation", "oci", "--tls-cert", cert, "--tls-key", key)
                self.assertIn(words, said)

    def test_expired_certificate_is_said(self):
        server = TlsServer()
        self.addCleanup(server.close)
        for made, used in zip(make_expired(server.dir), server.pair):
            shutil.copy(made, used)
        server.context = ssl._create_unverified_context()
        server.start()
        self.assertIn("the certificate has expired", server.log())


class SandboxOverTlsTest(SandboxTest):
    kind = TlsServer
    build = "release"

    def test_port_urls_are_https(self):
        url = self.api.get(f"/sandboxes/{self.box}/host/8080").json["url"]
        self.assertEqual(url, f"https://{self.box}-8080.localhost:{self.server.port}")

    def test_forwarded_proto(self):
        self.run_command("mkdir -p srv; cat > srv/s.py <<'END'\nimport http.server\n"
                         "class H(http.server.BaseHTTPRequestHandler):\n"
                         "    def do_GET(self):\n"
                         "        body = str(self.headers['X-Forwarded-Proto']).encode()\n"
                         "        self.send_response(200)\n"
                         "        self.send_header('Content-Length', str(len(body)))\n"
                         "        self.end_headers()\n"
                         "        self.wfile.write(body)\n"
                         "http.server.HTTPServer(('127.0.0.1', 8081), H).serve_forever()\nEND\n"
                         "setsid python3 srv/s.py >/dev/null 2>&1 &")
        host = f"{self.box}-8081.localhost:{self.server.port}"
        answer = wait_until(
            lambda: (lambda a: a if a.status == 200 else None)(
                self.api.request("GET", "/", headers={"Host": host}, prefix="")), 20, "it answers")
        self.assertEqual(answer.body, b"https")

    @not_emulated("64 MiB through an interpreted cipher")
    def test_large_bodies(self):
        block = hashlib.sha256(b"seed").digest() * 32768  # 1 MiB
        digest = hashlib.sha256(block * (SIZE >> 20)).hexdigest()
        head = (b"--edge\r\nContent-Disposition: form-data; name=\"file\"; filename=\"big\"\r\n\r\n",
                b"\r\n--edge--\r\n")

        def body():
            yield head[0]
            for _ in range(SIZE >> 20):
                yield block
            yield head[1]

        self.api.get("/templates")
        before = self.server.resident_kib()
        connection = self.api.connect(120)
        headers = {"Authorization": f"Bearer {self.api.key}",
                   "Content-Type": "multipart/form-data; boundary=edge",
                   "Content-Length": str(SIZE + len(head[0]) + len(head[1]))}
        started = time.monotonic()
        connection.request("POST", f"{PREFIX}/sandboxes/{self.box}/upload", body(), headers)
        answer = connection.getresponse()
        self.assertEqual((answer.status, bool(answer.read())), (200, True))
        up = time.monotonic() - started
        self.assertEqual(self.run_command("sha256sum big")["stdout"].split()[0], digest)

        started = time.monotonic()
        connection.request("GET", f"{PREFIX}/sandboxes/{self.box}/download?path=big",
                           headers={"Authorization": f"Bearer {self.api.key}"})
        answer = connection.getresponse()
        self.assertEqual(answer.status, 200)
        got = hashlib.sha256()
        grown = 0
        for piece in iter(lambda: answer.read(1 << 20), b""):
            got.update(piece)
            grown = max(grown, self.server.resident_kib() - before)
        down = time.monotonic() - started
        connection.close()
        self.assertEqual(got.hexdigest(), digest)
        print(f"note 64 MiB over TLS: up {64 / up:.0f} MiB/s, down {64 / down:.0f} MiB/s, "
              f"{grown} KiB more resident")
        self.assertLess(grown, 16384)

    @not_emulated("64 MiB through an interpreted cipher")
    def test_slow_reader_holds_the_download_back(self):
        self.run_command(f"head -c {SIZE} /dev/zero > zeros")
        before = self.server.resident_kib()
        with self.server.socket() as s:
            s.sendall(f"GET {PREFIX}/sandboxes/{self.box}/download?path=zeros HTTP/1.1\r\nHost: x\r\n"
                      f"Authorization: Bearer {self.api.key}\r\n\r\n".encode())
            time.sleep(2)
            self.assertLess(self.server.resident_kib() - before, 16384)
            got = 0
            while got < SIZE:
                piece = s.recv(1 << 20)
                self.assertTrue(piece, got)
                got += len(piece)
