# SPDX-License-Identifier: Apache-2.0
"""Services of gravixlayer 0.1, and what its clients do to requests that are on their way: uploads in
pieces, a client that leaves, a long silence."""
import http.client
import os
import time
import unittest

import httpx

from corraltest import patience, wait_until
from test_gravix_python import OneRuntime

LONG = unittest.skipUnless(os.environ.get("CORRAL_TEST_LONG"), "takes a minute: CORRAL_TEST_LONG=1")
TOKEN = "X-Gravix-Web-Service-Token"

# Answers with what it got: a request's line and head, and the length of its body.
ECHO = """
import http.server, sys
class Echo(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        text = f"{self.requestline}\\n{self.headers}{len(body)}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)
    do_POST = do_PUT = do_GET
print("ready", flush=True)
http.server.ThreadingHTTPServer(("0.0.0.0", int(sys.argv[1])), Echo).serve_forever()
"""


class TestServices(OneRuntime):
    @classmethod
    def prepare(cls):
        super().prepare()
        cls.box.file.write("echo.py", ECHO)
        cls.box.run_cmd("python3 echo.py 8080", background=True)
        with cls.box.service(8080, is_public=True) as open_to_all:
            wait_until(lambda: open_to_all.get("/").status_code == 200, patience(30), "it answers")
        cls.sdk.runtime.service.revoke(cls.box_id, 8080)

    def refused_by(self, url, token=None, **options):
        answer = httpx.get(url, headers={TOKEN: token} if token else {}, **options)
        self.assertEqual((answer.status_code, answer.json()["error"]["code"]),
                         (401, "unauthorized"))

    def test_a_token_opens_it_and_stays_outside(self):
        with self.box.service(8080) as service:
            self.assertTrue(service.url.startswith(f"http://127.0.0.1:{self.server.port}/"))
            said = service.get("/a/b?c=d&e").text
            self.assertTrue(said.startswith("GET /a/b?c=d&e HTTP/1.1\n"), said)
            self.assertIn("X-Forwarded-Prefix", said)
            self.assertNotIn(service.token, said)
            self.assertNotIn("gravix", said.lower())
            self.assertTrue(service.post("x", content=b"12345").text.endswith("\n5"))
            for token in (None, "", service.token + "0", "1" + service.token, "1.2"):
                self.refused_by(service.service_url, token)
            other = service.service_url.replace("/8080/", "/8081/")
            self.refused_by(other, service.token)
            again = self.box.service(8080)
            self.assertEqual(httpx.get(service.service_url, headers={TOKEN: service.token})
                             .status_code, 200)
            self.assertEqual(again.get("/").status_code, 200)
            again.close()

    def test_a_browser_gets_a_cookie(self):
        with self.box.service(8080) as service, httpx.Client(
                headers={"Accept": "text/html"}, follow_redirects=True) as browser:
            page = browser.get(service.browser_url)
            self.assertEqual(page.status_code, 200)
            self.assertNotIn(service.token, str(page.url) + page.text)
            self.assertEqual(browser.get(service.service_url + "more").status_code, 200)
            self.assertIn("GET /absolute HTTP/1.1", browser.get(
                f"http://127.0.0.1:{self.server.port}/absolute",
                headers={"Referer": service.service_url}).text)
            self.assertEqual(httpx.get(service.browser_url).text.split("\n")[0], "GET / HTTP/1.1")

    def test_rotate_public_list_and_revoke(self):
        services = self.sdk.runtime.service
        first = services.web_url(self.box_id, 8080, expires_in_seconds=600)
        second = services.web_url(self.box_id, 8080, rotate_token=True)
        self.refused_by(first.service_url, first.token)
        self.assertEqual(httpx.get(second.url, headers={TOKEN: second.token}).status_code, 200)
        public = services.web_url(self.box_id, 8080, is_public=True)
        self.assertEqual((public.is_public, public.token), (True, None))
        self.assertEqual(httpx.get(public.url).status_code, 200)
        private = services.web_url(self.box_id, 8080)
        self.refused_by(private.url)
        services.web_url(self.box_id, 8081)
        self.assertEqual(sorted(s.port for s in services.list(self.box_id)), [8080, 8081])
        for port in (8080, 8081):
            services.revoke(self.box_id, port)
        self.assertEqual(services.list(self.box_id), [])
        self.refused_by(private.url, private.token)
        self.refused_by(services.web_url(self.box_id, 8080).url, private.token)

    def test_it_ends(self):
        service = self.sdk.runtime.service.web_url(self.box_id, 8080, expires_in_seconds=2)
        wait_until(lambda: httpx.get(service.url, headers={TOKEN: service.token}).status_code == 401,
                   patience(20), "the service has ended")
        self.assertNotIn(8080, [s.port for s in self.sdk.runtime.service.list(self.box_id)])

    def test_by_name(self):
        service = self.sdk.runtime.service.web_url(self.box_id, 8080)

        def status(host, **headers):
            connection = http.client.HTTPConnection("127.0.0.1", self.server.port,
                                                    timeout=patience(60))
            connection.request("GET", "/", headers={"Host": host, **headers})
            answer = connection.getresponse().status
            connection.close()
            return answer
        host = f"service-{self.box_id}-8080.localhost:{self.server.port}"
        self.assertEqual(status(host), 401)
        self.assertEqual(status(host, **{TOKEN: service.token}), 200)

    def test_no_more_than_32(self):
        services = self.sdk.runtime.service
        ports = range(20000, 20000 + 32 - len(services.list(self.box_id)))
        for port in ports:
            services.web_url(self.box_id, port)
        answer = self.server.client.post(f"/runtime/{self.box_id}/services", {"port": 30000})
        self.assertEqual((answer.status, answer.json["code"]), (429, "quota_exceeded"))
        for port in ports:
            services.revoke(self.box_id, port)

    def test_one_that_is_killed_has_none(self):
        runtime = self.make()
        service = runtime.service(8080)
        runtime.kill()
        self.refused_by(service.service_url, service.token)


class TestRequests(OneRuntime):
    def test_an_upload_in_pieces(self):
        def pieces():
            boundary = b"--xyz\r\nContent-Disposition: form-data; name="
            yield boundary + b'"path"\r\n\r\n/workspace/pieces.bin\r\n'
            yield boundary + b'"file"; filename="upload"\r\n\r\n'
            for i in range(64):
                yield bytes([i]) * 32768
            yield b"\r\n--xyz--\r\n"
        answer = httpx.post(f"http://127.0.0.1:{self.server.port}/v1/agents/runtime/{self.box_id}"
                            "/upload", content=pieces(), timeout=patience(60), headers={
                                "Authorization": f"Bearer {self.server.key}",
                                "Content-Type": "multipart/form-data; boundary=xyz"})
        self.assertEqual(answer.status_code, 200, answer.text)
        self.assertLessEqual(set(answer.json()), {"message", "path", "size"})
        self.assertEqual(answer.json()["path"], "/workspace/pieces.bin")
        content = self.sdk.runtime.file.download_file(self.box_id, "pieces.bin")
        self.assertEqual(content, b"".join(bytes([i]) * 32768 for i in range(64)))

    def alive(self, mark):
        return self.box.run_cmd(f"pgrep -f '[s]leep {mark}'").exit_code == 0

    def test_a_client_that_leaves(self):
        stream = iter(self.sdk.runtime.stream_cmd(self.box_id, "echo up; sleep 31415; true"))
        next(stream)
        background = self.box.run_cmd("sleep 27182; true", background=True)
        self.assertTrue(self.alive(31415))
        stream.close()
        wait_until(lambda: not self.alive(31415), patience(20), "the foreground ends")
        self.assertTrue(self.alive(27182))
        self.sdk.runtime.command.kill(self.box_id, background.pid)
        wait_until(lambda: not self.alive(27182), patience(20), "the background is killed")

    @LONG
    def test_50_seconds_of_silence(self):
        begun = time.monotonic()
        done = self.box.run_cmd("sleep 50; echo late", timeout=120, on_stdout=lambda text: None)
        self.assertEqual((done.exit_code, done.stdout), (0, "late\n"))
        self.assertGreaterEqual(time.monotonic() - begun, 50)
