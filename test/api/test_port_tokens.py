# SPDX-License-Identifier: Apache-2.0
"""Port URLs that need a token (--port-auth token): who gets in, and what the sandbox sees of it."""
import http.client
import json
import os
import subprocess

from accounts import AccountTest
from corraltest import HOST, not_emulated, patience, wait_until
from test_ports import SERVER, WebSocket

TOKEN = "Corral-Port-Token"
PAGE = {"Accept": "text/html,*/*"}


class Tokens(AccountTest):
    options = ("--pool-size", "0", "--port-auth", "token")

    @classmethod
    def prepare(cls):
        super().prepare()
        cls.box = cls.api.create(timeout=3600)["sandbox_id"]
        cls.api.post(f"/sandboxes/{cls.box}/files/write", {"path": "server.py", "content": SERVER})
        cls.api.run(cls.box, "python3 server.py 8080 > server.log 2>&1 &")
        cls.signed = cls.api.post(f"/sandboxes/{cls.box}/host/8080/token").json
        cls.token = cls.signed["token"]
        wait_until(lambda: cls.visit(headers={TOKEN: cls.token}).status == 200, 60, "it answers")

    @classmethod
    def host(cls, port=8080):
        return f"{cls.box}-{port}.localhost:{cls.server.port}"

    @classmethod
    def visit(cls, path="/", headers=None, host=None, method="GET"):
        connection = http.client.HTTPConnection("127.0.0.1", cls.server.port, timeout=patience(60))
        connection.request(method, path, None, {"Host": host or cls.host(), **(headers or {})})
        response = connection.getresponse()
        response.data = response.read()
        connection.close()
        return response

    def refused(self, *arguments, **options):
        answer = self.visit(*arguments, **options)
        self.assertEqual(answer.status, 401, answer.data)
        self.assertEqual(json.loads(answer.data)["error"]["code"], "unauthorized")

    def told(self, *arguments, **options):
        """What the sandbox's server got, in which no credential of ours may be."""
        answer = self.visit(*arguments, **options)
        self.assertEqual(answer.status, 200, answer.data)
        self.assertNotIn(self.token, answer.data.decode())
        return json.loads(answer.data)

    def make_key(self, role, account="default"):
        answer = self.api.post("/v1/admin/keys", {"name": "ports", "role": role, "account": account},
                               prefix="")
        return self.assert_json(answer, 201)["key"]

    def test_the_answer(self):
        url = f"http://{self.host()}"
        self.assertEqual(self.signed["url"], url)
        self.assertEqual(self.signed["signed_url"], f"{url}/?corral_token={self.token}")
        self.assertIs(self.signed["token_required"], True)
        answer = self.api.get(f"/sandboxes/{self.box}/host/8080")
        self.assertEqual(self.assert_json(answer, 200), {"url": url, "token_required": True})
        route = f"/sandboxes/{self.box}/host"
        for value in (0, -1, 2592001, "x", 1.5):
            answer = self.api.post(f"{route}/8080/token", {"expires_in": value})
            self.assert_error(answer, 400, "invalid_argument")
        self.assert_error(self.api.post(f"{route}/0/token"), 400, "invalid_argument")

    def test_without_one_nobody_gets_in(self):
        path = f"/v1/agents/sandboxes/{self.box}/ports/8080/"
        ours = f"localhost:{self.server.port}"
        for method in ("GET", "POST", "HEAD", "OPTIONS"):
            self.assertEqual(self.visit(method=method).status, 401)
        self.refused(path, host=ours)
        self.refused("/app.js", host=ours, headers={"Cookie": f"corral_port={self.box}-8080"})
        self.refused(host=f"8080-{self.box}.localhost")
        absent = "550e8400-e29b-41d4-a716-446655440000"
        self.refused(host=f"{absent}-8080.localhost")  # as one that is there
        self.assertEqual(self.visit("/health", host=ours).status, 200)

    def test_a_token_is_for_one_port_until_its_end(self):
        headers = {TOKEN: self.token}
        self.refused(host=self.host(8081), headers=headers)
        end, mac = self.token.split(".")
        for forged in (f"{int(end) + 1}.{mac}", f"1.{mac}", mac, end, "", self.token + "0"):
            self.refused(headers={TOKEN: forged})
            self.refused(f"/?corral_token={forged}")
        other = self.api.post(f"/sandboxes/{self.box}/host/8081/token").json["token"]
        self.assertEqual(self.visit(host=self.host(8081), headers={TOKEN: other}).status, 502)
        short = self.api.post(f"/sandboxes/{self.box}/host/8080/token", {"expires_in": 1}).json
        wait_until(lambda: self.visit(headers={TOKEN: short["token"]}).status == 401, 10, "it ends")

    def test_the_sandbox_does_not_see_it(self):
        self.assertEqual(self.told(headers={TOKEN: self.token})["uri"], "/")
        got = self.told(f"/a%20b?x=1&corral_token={self.token}&y=%2F")
        self.assertEqual(got["uri"], "/a%20b?x=1&y=%2F")
        referer = f"http://{self.host()}/x?corral_token={self.token}"
        cookie = f"a=b; corral_token_{self.box}-8080={self.token}"
        got = self.told(headers={"Cookie": cookie, "Referer": referer})
        self.assertEqual(got["headers"]["Cookie"], "a=b")
        self.assertEqual(self.told("/?corral_token=old&a", headers={TOKEN: self.token})["uri"], "/?a")

    def test_a_browser_gets_a_cookie(self):
        answer = self.visit(f"/page?a=1&corral_token={self.token}", headers=PAGE)
        self.assertEqual((answer.status, answer.headers["Location"]), (302, "/page?a=1"))
        self.assertEqual(answer.headers["Referrer-Policy"], "no-referrer")
        cookie, *attributes = answer.headers["Set-Cookie"].split("; ")
        self.assertIn("HttpOnly", attributes)
        self.assertIn("SameSite=Lax", attributes)
        self.assertTrue(any(a.startswith("Max-Age=3") for a in attributes), attributes)
        for path in ("/page?a=1", "/static/app.js"):
            self.assertEqual(self.told(path, headers={**PAGE, "Cookie": cookie})["uri"], path)
        self.refused(host=self.host(8081), headers={"Cookie": cookie})
        answer = self.visit(f"//elsewhere/?corral_token={self.token}", headers=PAGE)
        self.assertEqual((answer.status, answer.headers["Location"]), (302, "/.//elsewhere/"))

    def test_by_path(self):
        ours = f"localhost:{self.server.port}"
        path = f"/v1/agents/sandboxes/{self.box}/ports/8080"
        self.assertEqual(self.told(f"{path}/x?corral_token={self.token}", host=ours)["uri"], "/x")
        answer = self.visit(f"{path}?corral_token={self.token}", host=ours, headers=PAGE)
        self.assertEqual((answer.status, answer.headers["Location"]), (302, path))
        cookie = answer.headers["Set-Cookie"].split("; ")[0]
        page = self.visit(f"{path}/", host=ours, headers={**PAGE, "Cookie": cookie})
        both = f"{cookie}; {page.headers['Set-Cookie'].split('; ')[0]}"
        got = self.told("/static/app.js", host=ours, headers={"Cookie": both})
        self.assertEqual((got["uri"], got["headers"].get("Cookie")), ("/static/app.js", None))

    def test_websockets(self):
        cookie = f"\r\nCookie: corral_token_{self.box}-8080={self.token}"
        for more, query in (("", f"?corral_token={self.token}"), (f"\r\n{TOKEN}: {self.token}", ""),
                            (cookie, "")):
            ws = WebSocket(self.server.port, self.host() + more, "/ws" + query)
            self.addCleanup(ws.close)
            self.assertTrue(ws.accepted, ws.status)
            ws.send(b"to and fro")
            self.assertEqual(ws.receive(), (2, b"to and fro"))
        ws = WebSocket(self.server.port, self.host(), "/ws")
        self.addCleanup(ws.close)
        self.assertIn("401", ws.status)

    def test_keys_of_the_account_that_may_run(self):
        for name, value in (("Authorization", f"Bearer {self.api.key}"), ("X-API-Key", self.api.key)):
            got = self.told(headers={name: value})
            self.assertNotIn(self.api.key, json.dumps(got))
        viewer, other = self.make_key("viewer"), self.make_key("developer", account="other")
        for key in (viewer, other, "of-the-app"):
            self.refused(headers={"Authorization": f"Bearer {key}"})
        route = f"/sandboxes/{self.box}/host/8080/token"
        self.assert_error(self.server.connect(viewer).post(route), 403, "forbidden")
        self.assert_error(self.server.connect(other).post(route), 403, "forbidden")

    def test_traffic_token_of_e2b(self):
        answer = self.api.request("POST", "/sandboxes", {"templateID": "python-base-v1", "timeout": 300},
                                  prefix="", headers={"X-API-Key": self.api.key})
        made = self.assert_json(answer, 201)
        box, token = made["sandboxID"], made["trafficAccessToken"]
        host = f"8080-{box}.localhost"
        self.assertEqual(self.visit(host=host).status, 401)
        for name in (host, f"{box}-8080.localhost"):
            answer = self.visit(host=name, headers={"E2B-Traffic-Access-Token": token})
            self.assertEqual(answer.status, 502)  # nothing listens there
        self.refused(headers={"E2B-Traffic-Access-Token": token})

    @not_emulated("the client is a program of this machine")
    def test_from_the_command_line(self):
        corral = os.path.join(os.path.dirname(HOST.program("release")), "cli", "corral")
        command = [corral, "--url", f"http://127.0.0.1:{self.server.port}",
                   "--key", self.api.key, "url", self.box, "8080", "--expires", "60"]
        url = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
        self.assertTrue(url.startswith(f"http://{self.host()}/?corral_token="), url)
        self.assertEqual(self.visit(url[url.index("/?"):]).status, 200)

    def test_a_paused_sandbox_does_not_wake_up_for_strangers(self):
        box = self.api.create(timeout=3600, auto_resume=True)["sandbox_id"]
        self.assert_json(self.api.post(f"/sandboxes/{box}/pause"), 200)
        self.refused(host=f"{box}-80.localhost")
        paused = self.api.get("/sandboxes/paused").json["sandboxes"]
        self.assertIn(box, [p["sandbox_id"] for p in paused])
        self.api.delete(f"/sandboxes/{box}")
