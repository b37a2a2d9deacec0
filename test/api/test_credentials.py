# SPDX-License-Identifier: Apache-2.0
"""Credentials stay with the server; guessing locks nobody out."""
import http.client
import json
import time

from accounts import AUTH, PASSWORD, AccountTest, post_from
from corraltest import HOST, SandboxTest, not_emulated, wait_until

TELL = """
import http.server, json
class Tell(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        text = json.dumps({"target": self.path, "headers": dict(self.headers.items())}).encode()
        self.send_response(200); self.send_header("Content-Length", str(len(text)))
        self.end_headers(); self.wfile.write(text)
http.server.HTTPServer(("127.0.0.1", 8123), Tell).serve_forever()
"""


class Ports(SandboxTest):
    def tell(self, target, headers):
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=30)
        self.addCleanup(connection.close)
        connection.putrequest("GET", target, skip_host=True)
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders()
        answer = connection.getresponse()
        text = answer.read()
        return json.loads(text) if answer.status == 200 else None

    def test_keys_do_not_reach_the_sandbox(self):
        self.api.post(f"/sandboxes/{self.box}/files/write", {"path": "tell.py", "content": TELL})
        self.api.run(self.box, "setsid python3 tell.py >/dev/null 2>&1 &")
        host = f"{self.box}-8123.localhost"
        wait_until(lambda: self.tell("/", {"Host": host}), 20, "the sandbox's server answers")
        for name, ours, theirs in (("Authorization", f"Bearer {self.api.key}", "Bearer of-its-own"),
                                   ("X-API-KEY", self.api.key, "of-its-own")):
            told = self.tell("/", {"Host": host, name: ours})
            self.assertNotIn(self.api.key, json.dumps(told))
            self.assertEqual(self.tell("/", {"Host": host, name: theirs})["headers"][name], theirs)
        # In absolute form the authority counts, and Host does not.
        told = self.tell(f"http://{host}/a?b=c", {"Host": "elsewhere"})
        self.assertEqual(told["target"], "/a?b=c")
        self.assertEqual(told["headers"]["Host"], host)
        self.assertIsNone(self.tell("http://elsewhere/a", {"Host": host}))


class Metrics(AccountTest):
    options = ("--pool-size", "0")

    def test_a_forwarded_client_needs_a_key(self):
        forwarded = {"X-Forwarded-For": "203.0.113.7"}
        here = HOST.client == "127.0.0.1"  # the loopback alone needs none
        self.assertEqual(self.nobody.get("/metrics").status, 200 if here else 401)
        self.assert_error(self.nobody.get("/metrics", headers=forwarded), 401, "unauthorized")
        self.assertEqual(self.api.get("/metrics", prefix="", headers=forwarded).status, 200)


@not_emulated("addresses of this host")
class Guessing(AccountTest):
    options = ("--pool-size", "0")

    def test_the_owner_is_not_locked_out(self):
        name = self.make_user("owner")

        def attempt(address, password):
            return post_from(address, self.server.port, AUTH + "/token",
                             {"username": name, "password": password})

        self.assertEqual(attempt("127.0.0.9", PASSWORD).status, 200)
        statuses = [attempt(f"127.0.1.{i}", "wrong").status for i in range(1, 21)]
        self.assertEqual(statuses[-1], 429)
        begun = time.monotonic()
        self.assertEqual(attempt("127.0.0.9", PASSWORD).status, 200)
        print(f"note {statuses.count(401)} of 20 guesses were looked at; the owner signed in in "
              f"{time.monotonic() - begun:.2f} s")
        self.assertEqual(attempt("127.0.0.10", PASSWORD).status, 429)  # it is not known
