# SPDX-License-Identifier: Apache-2.0
"""Flows to hosts under transforms: TLS ends in corral-egress, requests are written anew."""
import hashlib
import http.client
import os
import socket
import ssl
import subprocess
import tempfile
import threading
import time

import authority
import bridge
import egress
import internet
import suite
from web import Web

SECRET = "Bearer s3cr3t-value-of-the-server"
OTHER = "93.184.217.11"


class Intercepted(suite.Case):
    @classmethod
    def setUpClass(cls):
        cls.made = tempfile.TemporaryDirectory()
        os.chmod(cls.made.name, 0o755)
        cls.ours = authority.Authority(cls.made.name, "ours")
        cls.theirs = authority.Authority(cls.made.name, "theirs")
        cls.options, cls.ca = ("--ca-file", cls.theirs.cert), cls.ours.texts()
        super().setUpClass()
        cls.net.names.zone.update({"api.example": [OTHER], "wrong.example": [OTHER],
                                   "plain.example": [OTHER]})
        if not getattr(cls.net, "has_other", False):
            cls.net.address(cls.net.net, f"{OTHER}/32", "lo")
            cls.net.has_other = True
        cls.web = Web(cls.theirs.issue("api.example"))
        cls.plain = Web()
        cls.listeners = [cls.net.serve(OTHER, 443, cls.web), cls.net.serve(OTHER, 80, cls.plain),
                         cls.net.serve(OTHER, 8443, cls.web), cls.net.serve(OTHER, 7, internet.echo),
                         cls.net.serve(OTHER, 13, internet.talker)]

    @classmethod
    def tearDownClass(cls):
        for listener in cls.listeners:
            listener.sock.shutdown(socket.SHUT_RDWR)
            listener.sock.close()
        super().tearDownClass()
        cls.made.cleanup()

    def setUp(self):
        super().setUp()
        self.web.heads.clear()
        self.plain.heads.clear()
        self.rules()

    def rules(self, methods=("*",), paths=("/*",), headers=("authorization", SECRET), **changes):
        self.egress.policy(log=egress.LOG_ALL, transforms=[
            ("api.example", methods, paths, headers), ("wrong.example", (), (), headers)],
            **changes)

    def bridge(self, host="api.example", port=443):
        made = bridge.Bridge(self.egress, host, port)
        self.addCleanup(made.close)
        return made.port

    def connect(self, host="api.example", port=443, sni=None, protocols=None):
        context = ssl.create_default_context(cafile=self.ours.cert)
        context.check_hostname = sni is None
        if protocols:
            context.set_alpn_protocols(protocols)
        sock = socket.create_connection(("127.0.0.1", self.bridge(host, port)), 20)
        self.addCleanup(sock.close)
        if sni != "":
            return context.wrap_socket(sock, server_hostname=sni or host)
        return context.wrap_socket(sock)

    def talk(self, sock, data):
        """The status of the answer to raw bytes, up to the end of the connection."""
        sock.sendall(data)
        answer = b""
        try:
            while piece := sock.recv(65536):
                answer += piece
        except OSError:
            pass
        return int(answer.split()[1]) if answer else None

    def curl(self, *words, host="api.example", port=443):
        scheme = "http" if port == 80 else "https"
        done = subprocess.run(
            ["curl", "-sS", "--max-time", "60", "--cacert", self.ours.cert, "--connect-to",
             f"{host}:{port}:127.0.0.1:{self.bridge(host, port)}", *words,
             f"{scheme}://{host}:{port}/v1/x?q=1"], capture_output=True, text=True)
        return done.returncode, done.stdout, done.stderr

    def test_curl_gets_a_header_that_it_never_sees(self):
        code, out, err = self.curl("-v", "-H", "Authorization: mine")
        self.assertEqual((code, out[:2]), (0, "0 "), err)
        self.assertIn(f"authorization: {SECRET}", self.web.heads[0])
        self.assertNotIn("mine", self.web.heads[0])
        self.assertTrue(self.web.heads[0].startswith("GET /v1/x?q=1 HTTP/1.1"))
        self.assertNotIn(SECRET, out + err)
        self.assertEqual(self.web.protocol, "http/1.1")

    def test_keep_alive_with_python(self):
        sock = self.connect()
        client = http.client.HTTPSConnection("api.example")
        client.sock = sock
        for method in ("GET", "HEAD", "POST"):
            client.request(method, "/a", body=b"x" * 70000 if method == "POST" else None)
            answer = client.getresponse()
            self.assertEqual((answer.status, answer.will_close), (200, False))
            answer.read()
        self.assertEqual(len(self.web.heads), 3)
        self.assertTrue(all(SECRET in head for head in self.web.heads))

    def test_methods_and_paths_decide(self):
        self.rules(methods=("POST",), paths=("/v1/*",))
        sock = self.connect()
        client = http.client.HTTPSConnection("api.example")
        client.sock = sock
        for method, path, want in (("POST", "/v1/x", True), ("GET", "/v1/x", False),
                                   ("POST", "/v2/x", False), ("POST", "/v1/../v2/x", False),
                                   ("POST", "/v1/%2e%2e/v2", False), ("POST", "/v1//x", False)):
            client.request(method, path)
            client.getresponse().read()
            self.assertEqual(SECRET in self.web.heads[-1], want, path)

    def test_plain_http(self):
        code, out, err = self.curl(port=80)
        self.assertEqual((code, out[:2]), (0, "0 "), err)
        self.assertIn(f"authorization: {SECRET}", self.plain.heads[0])

    def test_tls_on_another_port(self):
        code, out, err = self.curl(port=8443)
        self.assertEqual(code, 0, err)
        self.assertIn(SECRET, self.web.heads[0])

    def test_other_protocols_stay_opaque(self):
        flow = self.opened("api.example", 7)
        flow.write(b"hello")
        self.assertEqual(flow.frame(), (egress.DATA, b"hello"))
        self.assertEqual(self.opened("api.example", 13).read(), (b"hello", egress.FIN))

    def test_other_hosts_stay_opaque(self):
        flow = self.opened("web.example", 443)
        flow.write(b"\x16\3\1hello")
        self.assertEqual(flow.frame(), (egress.DATA, b"\x16\3\1hello"))

    def test_another_name_in_the_hello(self):
        for sni in ("web.example", "x.api.example", ""):
            self.egress.events.clear()
            with self.assertRaises(OSError, msg=sni):
                self.connect(sni=sni)
            self.assertIn(egress.BY_INTERCEPTION, self.reasons("api.example"))
        self.assertEqual(self.web.heads, [])

    def test_another_host_in_the_request(self):
        for host in (b"web.example", b"api.example:80", b"api.example.evil", b""):
            self.egress.events.clear()
            self.assertEqual(self.talk(self.connect(), b"GET / HTTP/1.1\r\nHost: %s\r\n\r\n" % host),
                             421, host)
            self.assertIn(egress.BY_INTERCEPTION, self.reasons("api.example"))
        self.assertEqual(self.web.heads, [])

    def test_smuggling(self):
        head = b"POST / HTTP/1.1\r\nHost: api.example\r\n"
        for bad in (head + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                    head + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
                    head + b"Transfer-Encoding: gzip, chunked\r\n\r\n",
                    head + b"A: b\r\n c\r\n\r\n", head + b"A: b\nC: d\r\n\r\n",
                    head + b"A: b\rC: d\r\n\r\n", head + b"A : b\r\n\r\n", head + b"A\0: b\r\n\r\n",
                    b"GET http://api.example/ HTTP/1.1\r\nHost: api.example\r\n\r\n",
                    head + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"):
            self.assertEqual(self.talk(self.connect(), bad), 400, bad)

    def test_only_h2(self):
        with self.assertRaises(OSError):
            self.connect(protocols=["h2"])
        self.assertEqual(self.connect(protocols=["h2", "http/1.1"]).selected_alpn_protocol(),
                         "http/1.1")

    def test_a_server_with_a_wrong_certificate(self):
        self.egress.events.clear()
        code, out, err = self.curl(host="wrong.example")
        self.assertEqual(code, 0, err)
        self.assertIn("does not prove", out)
        self.assertEqual(self.web.heads, [])
        self.assertIn(egress.BY_INTERCEPTION, self.reasons("wrong.example"))

    def test_a_chunked_upload_is_never_held(self):
        piece, digest = os.urandom(1 << 20), hashlib.sha256()
        for _ in range(64):
            digest.update(piece)
        client = http.client.HTTPSConnection("api.example")
        client.sock = self.connect()
        before = self.egress.resident()
        client.request("PUT", "/up", body=(piece for _ in range(64)), encode_chunked=True,
                       headers={"Transfer-Encoding": "chunked"})
        answer = client.getresponse().read().decode()
        self.assertEqual(answer, f"{64 << 20} {digest.hexdigest()[:16]}")
        if not egress.OPTIONS:
            self.assertLess(self.egress.resident() - before, 4 << 20)

    def test_a_web_socket(self):
        sock = self.connect()
        sock.sendall(b"GET /ws HTTP/1.1\r\nHost: api.example\r\nConnection: keep-alive, Upgrade\r\n"
                     b"Upgrade: websocket\r\n\r\nearly")
        answer = b""
        while not answer.endswith(b"helloEARLY"):
            piece = sock.recv(4096)
            self.assertTrue(piece, answer)
            answer += piece
        sock.sendall(b"frames")
        self.assertEqual(sock.recv(4096), b"FRAMES")
        self.assertIn(SECRET, self.web.heads[0])

    def test_a_new_value_counts_from_the_next_request(self):
        client = http.client.HTTPSConnection("api.example")
        client.sock = self.connect()
        for value in ("first", "second"):
            self.rules(headers=("authorization", value))
            time.sleep(0.1)
            client.request("GET", "/")
            client.getresponse().read()
            self.assertIn(f"authorization: {value}", self.web.heads[-1])

    def test_a_value_that_could_be_two_fields(self):
        self.rules(headers=("x", "a\r\nHost: evil"))
        self.assertEqual(self.refusal("api.example", 443), egress.R_DENIED)

    def test_a_slow_handshake_ends(self):
        flow = self.opened("api.example", 443)
        flow.write(b"\x16\3\1\2\0")
        begun = time.monotonic()
        self.assertEqual(flow.read()[0], b"")
        self.assertTrue(8 < time.monotonic() - begun < 15)

    def test_many_handshakes_leave_others_alone(self):
        self.egress.sandbox("other")
        stop, done = threading.Event(), []

        def shake():
            while not stop.is_set():
                try:
                    self.connect().close()
                    done.append(1)
                except OSError:
                    pass
        threads = [threading.Thread(target=shake) for _ in range(4)]
        for thread in threads:
            thread.start()
        waits = []
        for _ in range(200):
            flow = self.opened(name="other")
            begun = time.monotonic()
            flow.write(b"x")
            flow.frame()
            waits.append(time.monotonic() - begun)
            flow.close()
        stop.set()
        for thread in threads:
            thread.join()
        waits.sort()
        print(f"handshakes={len(done)} p50={waits[100] * 1e3:.2f}ms p99={waits[198] * 1e3:.2f}ms "
              f"max={waits[199] * 1e3:.2f}ms")
        self.assertGreater(len(done), 10)
        self.assertLess(waits[100], 0.1)
