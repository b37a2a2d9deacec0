# SPDX-License-Identifier: Apache-2.0
"""Secrets that never enter a sandbox: header fields set outside of it in its requests."""
import json
import os
import sys
import unittest

import corraltest
import internet_host
import test_network
from corraltest import HOST, wait_until
from hosts import TOP

sys.path.insert(0, f"{TOP}/test/egress")

from authority import Authority
from web import Web

VALUE = "s3cr3t-9f3c-of-the-account"
API = "93.184.217.11"

# Raw bytes to the host, as a client that believes the system's authorities.
TALK = """
import hashlib, http.client, ssl
def tls(sni, host='api.example', protocols=None):
    context = ssl.create_default_context()
    context.check_hostname = sni is not None
    if protocols: context.set_alpn_protocols(protocols)
    sock = socket.create_connection((host, 443), 20)
    return context.wrap_socket(sock, server_hostname=sni)
def status(data):
    sock, answer = tls('api.example'), b''
    sock.sendall(data)
    try:
        while piece := sock.recv(65536): answer += piece
    except OSError: pass
    return answer.split(b' ')[1].decode() if answer else 'none'
"""


class TransformsServer(internet_host.NetServer):
    """It also believes the authority of the suite's site."""

    def __init__(self, options=(), build=None):
        super().__init__(options, build)
        self.theirs = Authority(self.dir, "theirs")
        self.options += ["--egress-ca", HOST.place(self.theirs.cert)]


class Transforms(test_network.NetworkTest):
    kind = TransformsServer

    @classmethod
    def prepare(cls):
        cls.net = cls.server.net
        cls.net.address(cls.net.net, f"{API}/32", "lo")
        for name in ("api", "wrong", "chunks"):
            cls.net.names.zone[f"{name}.example"] = [API]
        cls.web = Web(cls.server.theirs.issue("api.example"))
        cls.plain = Web()
        cls.listeners = [cls.net.serve(API, 443, cls.web), cls.net.serve(API, 80, cls.plain)]
        cls.secret("KEY", VALUE)
        cls.shared = cls.api.create(timeout=3600, network=cls.policy())["sandbox_id"]

    @classmethod
    def tearDownClass(cls):
        for listener in cls.listeners:
            listener.sock.close()
        super().tearDownClass()

    @classmethod
    def secret(cls, name, value):
        answer = cls.api.request("PUT", f"/secrets/{name}", {"value": value})
        assert answer.status == 200, answer

    @staticmethod
    def policy(value="Bearer ${secret:KEY}", **more):
        return {"transforms": [{"host": "api.example", "headers": {"authorization": value}, **more},
                               {"host": "wrong.example", "headers": {"x": "y"}}]}

    def setUp(self):
        self.web.heads.clear()
        self.plain.heads.clear()

    def talk(self, code, sandbox=None):
        return self.python(TALK + code, sandbox)

    def curl(self, *words, sandbox=None, url="https://api.example/v1"):
        answer = self.api.run(sandbox or self.shared, "curl", args=["-sSv", "-m", "60", *words, url])
        return answer["exit_code"], answer["stdout"], answer["stderr"]

    def test_a_secret_that_the_sandbox_never_sees(self):
        code, out, err = self.curl("-H", "Authorization: mine")
        self.assertEqual((code, out[:2]), (0, "0 "), err)
        self.assertIn(f"authorization: Bearer {VALUE}", self.web.heads[0])
        self.assertNotIn("mine", self.web.heads[0])
        self.assertNotIn(VALUE, out + err)
        policy = self.assert_json(self.api.get(f"/sandboxes/{self.shared}/network"), 200)
        self.assertEqual(policy["transforms"][0], {
            "host": "api.example", "methods": [], "paths": [],
            "headers": {"authorization": "Bearer ${secret:KEY}"}})
        self.assertEqual(corraltest.files_with(self.server.state, VALUE), [])
        self.assertNotIn(VALUE, self.server.log())
        self.assertNotIn(VALUE, json.dumps(self.events(self.shared)))
        inside = self.api.run(self.shared, "sh", args=[
            "-c", f"cat /proc/*/environ /proc/*/cmdline /etc/ssl/certs/*.crt /run/* 2>/dev/null"
            " | tr '\\0' '\\n' | grep -c '[s]3cr3t-9f3c'"])
        self.assertEqual(inside["stdout"].strip(), "0", inside)

    @unittest.skipUnless(corraltest.ISOLATION == "kvm", "the memory of a container is the host's")
    def test_the_memory_of_a_guest_does_not_hold_it(self):
        """Nor one of its halves. What the guest does know is found."""
        sandbox = self.create(timeout=3600, network=self.policy())
        known, half = f"known-{os.urandom(8).hex()}", len(VALUE) // 2
        self.api.code(sandbox, f"known = {known!r}")
        for method in ("GET", "POST"):
            self.web.heads.clear()
            code, _, err = self.curl("-X", method, sandbox=sandbox)
            self.assertEqual(code, 0, err)
            self.assertIn(VALUE, self.web.heads[0])
        self.assert_json(self.api.post(f"/sandboxes/{sandbox}/pause"), 200)
        memory = f"{self.server.state}/sandboxes/{sandbox}/stored/memory"
        # Most of it is zeros, and the rest has no lines.
        search = ("tr -s '\\0' '\\n' <\"$1\" | LC_ALL=C grep -o -F -e \"$2\" -e \"$3\" -e \"$4\""
                  " | sort -u")
        done = HOST.run(["sh", "-c", search, "sh", memory, known, VALUE[:half], VALUE[half:]],
                        timeout=300)
        self.assertEqual(done.stdout.split(), [known], done)

    def test_programs_believe_the_authority(self):
        """Each makes a request with the secret, or fails in its handshake."""
        for line in ("python3 -c \"import urllib.request as r; r.urlopen('https://api.example/')\"",
                     "python3 -c \"import requests as r; r.get('https://api.example/')\"",
                     "wget -qO- https://api.example/",
                     "git ls-remote https://api.example/x.git",
                     "pip download --no-deps --retries 0 -i https://api.example/simple nothing",
                     "printf 'GET / HTTP/1.1\\r\\nHost: api.example\\r\\nConnection: close\\r\\n\\r\\n'"
                     " | openssl s_client -connect api.example:443 -servername api.example"
                     " -verify_return_error -ign_eof"):
            self.web.heads.clear()
            answer = self.api.run(self.shared, "sh", args=["-c", line])
            self.assertTrue(self.web.heads, (line, answer))
            self.assertIn(VALUE, self.web.heads[0], line)
        said = self.api.code(self.shared, "import requests, urllib.request\n"
                             "print(requests.get('https://api.example/').status_code)\n"
                             "print(urllib.request.urlopen('https://api.example/').status)")
        self.assertEqual(said["logs"]["stdout"], ["200", "200"], said)

    def test_node_believes_the_authority(self):
        sandbox = self.create(template="javascript-base-v1", network=self.policy())
        answer = self.api.run(sandbox, "node", args=["-e", (
            "fetch('https://api.example/').then(async r => console.log(r.status, await r.text()),"
            "e => console.log(e.cause))")])
        self.assertEqual(answer["stdout"][:6], "200 0 ", answer)
        self.assertIn(VALUE, self.web.heads[0])

    def test_a_live_sandbox_gets_transforms(self):
        sandbox = self.create()
        code, _, err = self.curl(sandbox=sandbox)
        self.assertEqual(code, 60, err)  # opaque: the server's own authority is not believed
        self.assert_json(self.put(sandbox, **self.policy()), 200)
        code, out, err = self.curl(sandbox=sandbox)
        self.assertEqual((code, out[:2]), (0, "0 "), err)
        self.assertIn(VALUE, self.web.heads[0])
        self.assert_json(self.put(sandbox), 200)
        self.assertEqual(self.curl(sandbox=sandbox)[0], 60)

    def test_a_changed_secret_reaches_live_sandboxes(self):
        self.secret("OTHER", "first-value")
        sandbox = self.create(network=self.policy("${secret:OTHER}"))

        def sent():
            self.web.heads.clear()
            self.assertEqual(self.curl("-H", "Authorization: mine", sandbox=sandbox)[0], 0)
            return [line for line in self.web.heads[0].splitlines()
                    if line.lower().startswith("authorization")]
        self.assertEqual(sent(), ["authorization: first-value"])
        self.secret("OTHER", "second-value")
        wait_until(lambda: sent() == ["authorization: second-value"], 5, "the new value is sent")
        self.assert_json(self.api.delete("/secrets/OTHER"), 200)
        wait_until(lambda: sent() == [], 5, "neither the value nor the sandbox's own is sent")

    def test_rules_of_another_surface_are_transforms(self):
        sandbox = self.create()

        def replace(rules):
            return self.api.request("PUT", f"/sandboxes/{sandbox}/network", {"rules": rules},
                                    {"X-API-Key": self.api.key}, prefix="")
        answer = replace({"api.example": [
            {"transform": {"headers": {"Authorization": "Bearer ${secret:KEY}"}}}]})
        self.assertLess(answer.status, 300, answer)
        self.assertEqual(self.curl(sandbox=sandbox)[0], 0)
        self.assertIn(VALUE, self.web.heads[0])
        for rules in ({"api.example": {}}, {"api.example": [1]}, {"api.example": [
                {"transform": {"headers": {"x": 1}}}]}):
            self.assertEqual(replace(rules).status, 400, rules)

    def test_a_secret_must_be_there(self):
        for answer in (self.put(self.shared, **self.policy("${secret:NONE}")),
                       self.api.post("/sandboxes", {"provider": "t", "region": "h",
                                                    "network": self.policy("${secret:NONE}")})):
            self.assertIn("NONE", self.assert_error(answer, 404, "secret_not_found"))

    def test_faults_name_the_entry(self):
        for entry, word in (({"host": "10.0.0.1", "headers": {"x": "y"}}, "10.0.0.1"),
                            ({"host": "a.b", "headers": {"host": "c.d"}}, "a.b"),
                            ({"host": "a.b", "headers": {"x": "a\nb"}}, "a.b"),
                            ({"host": "a.b", "headers": {"x": 1}}, "a.b"),
                            ({"host": "a.b", "headers": {}, "method": []}, "method"),
                            ({"host": "a.b", "headers": {"x": "y"}, "paths": ["v1"]}, "a.b"),
                            ({"host": "a.b"}, "headers"), ({"headers": {}}, "host")):
            answer = self.put(self.shared, transforms=[entry])
            self.assertIn(word, self.assert_error(answer, 400, "invalid_argument"))
        many = [{"host": f"h{n}.example", "headers": {"x": "${secret:KEY}"}} for n in range(40)]
        self.assert_error(self.put(self.shared, transforms=many), 400, "invalid_argument")

    def test_names_must_agree(self):
        """The name asked for, the one in the handshake, and Host."""
        for sni in ("'web.example'", "None"):
            self.assertEqual(self.talk(f"try: tls({sni}); print('open')\n"
                                       "except OSError: print('refused')"), "refused", sni)
        self.assertEqual(self.talk(
            "print(*[status(b'GET / HTTP/1.1\\r\\nHost: %s\\r\\n\\r\\n' % h)"
            " for h in (b'web.example', b'api.example:80', b'')])"), "421 421 421")
        self.assertEqual(self.web.heads, [])
        self.assertIn("interception", {e["reason"] for e in self.events(self.shared)})

    def test_only_http_1(self):
        self.assertEqual(self.talk("print(tls('api.example', protocols=['h2', 'http/1.1'])"
                                   ".selected_alpn_protocol())"), "http/1.1")

    def test_the_server_must_prove_itself(self):
        code, out, err = self.curl(url="https://wrong.example/")
        self.assertEqual(code, 0, err)
        self.assertIn("does not prove", out)
        self.assertEqual(self.web.heads, [])

    def test_other_hosts_are_opaque(self):
        """web.example echoes bytes that are no TLS at all."""
        self.assertEqual(self.talk("s = socket.create_connection(('web.example', 443), 20)\n"
                                   "s.sendall(b'\\x16\\3\\1hello'); print(s.recv(100))"),
                         repr(b"\x16\3\1hello"))

    def test_plain_http_is_changed_too(self):
        code, out, err = self.curl(url="http://api.example/v1")
        self.assertEqual((code, out[:2]), (0, "0 "), err)
        self.assertIn(VALUE, self.plain.heads[0])

    def test_methods_and_paths_decide(self):
        sandbox = self.create(network=self.policy(methods=["POST"], paths=["/v1/*"]))
        self.talk("c = http.client.HTTPSConnection('api.example')\n"
                  "for m, p in (('POST', '/v1/x'), ('GET', '/v1/x'), ('POST', '/v1/../v2')):\n"
                  "    c.request(m, p); c.getresponse().read()", sandbox)
        self.assertEqual([VALUE in head for head in self.web.heads], [True, False, False])

    def test_keep_alive_chunks_and_a_large_body(self):
        self.assertEqual(self.talk(
            "c = http.client.HTTPSConnection('api.example'); piece = bytes(range(256)) * 4096\n"
            "d = hashlib.sha256()\n"
            "for _ in range(8): d.update(piece)\n"
            "want = f'{8 << 20} {d.hexdigest()[:16]}'\n"
            "c.connect(); port = c.sock.getsockname()[1]\n"
            "c.request('PUT', '/', (piece for _ in range(8)), {'Transfer-Encoding': 'chunked'},"
            " encode_chunked=True)\n"
            "print(c.getresponse().read().decode() == want)\n"
            "c.request('PUT', '/', piece * 8)\n"
            "print(c.getresponse().read().decode() == want, c.sock.getsockname()[1] == port)"),
            "True\nTrue True")
        self.assertEqual([VALUE in head for head in self.web.heads], [True, True])

    def test_100_continue(self):
        self.api.run(self.shared, "sh", args=["-c", "head -c 100000 /dev/zero >/tmp/body"])
        code, out, err = self.curl("-H", "Expect: 100-continue", "-T", "/tmp/body")
        self.assertEqual((code, out.split()[0]), (0, "100000"), err)
        self.assertIn("expect: 100-continue", self.web.heads[0].lower())

    def test_smuggling(self):
        self.assertEqual(self.talk(
            "head = b'POST / HTTP/1.1\\r\\nHost: api.example\\r\\n'\n"
            "print(*[status(head + more) for more in (\n"
            "    b'Content-Length: 3\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n0\\r\\n\\r\\n',\n"
            "    b'Content-Length: 3\\r\\nContent-Length: 3\\r\\n\\r\\nabc',\n"
            "    b'Transfer-Encoding: gzip, chunked\\r\\n\\r\\n', b'A: b\\r\\n c\\r\\n\\r\\n',\n"
            "    b'A: b\\nC: d\\r\\n\\r\\n', b'A : b\\r\\n\\r\\n', b'A\\0: b\\r\\n\\r\\n')])"),
            " ".join(["400"] * 7))
        self.assertEqual(self.web.heads, [])

    def test_a_new_server_sets_it_again(self):
        self.assertEqual(self.server.stop(), 0)
        self.server.start()
        type(self).api = self.server.client
        wait_until(lambda: self.curl()[0] == 0 and VALUE in self.web.heads[-1], 20,
                   "the next server sets the header")
