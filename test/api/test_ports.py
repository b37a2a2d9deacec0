# SPDX-License-Identifier: Apache-2.0
"""host/:port and the URLs it gives: HTTP and WebSocket to servers inside a sandbox."""
import base64
import concurrent.futures
import hashlib
import http.client
import os
import socket
import struct
import time
import uuid

from corraltest import HOST, SandboxTest, patience, wait_until

# In the sandbox: HTTP/1.1 that tells what it got, streams, and speaks WebSocket (tornado comes with
# jupyter_client).
SERVER = '''
import asyncio, json, sys, time
import tornado.web, tornado.websocket
class Tell(tornado.web.RequestHandler):
    async def get(self, *a):
        self.set_header("X-From", "sandbox")
        self.write({"method": self.request.method, "uri": self.request.uri,
                    "headers": dict(self.request.headers.get_all()),
                    "size": len(self.request.body), "sum": sum(self.request.body)})
    post = put = delete = patch = get
class Slow(tornado.web.RequestHandler):
    go = asyncio.Event()
    async def get(self):
        self.write("first\\n")
        await self.flush()
        await Slow.go.wait()
        self.write("second\\n")
class Go(tornado.web.RequestHandler):
    def get(self): Slow.go.set()
class Big(tornado.web.RequestHandler):
    async def get(self):
        for i in range(int(self.get_argument("mib"))):
            self.write(b"x" * (1 << 20))
            await self.flush()
class Echo(tornado.websocket.WebSocketHandler):
    def check_origin(self, origin): return True
    def on_message(self, message): self.write_message(message, binary=isinstance(message, bytes))
async def main():
    tornado.web.Application([("/slow", Slow), ("/go", Go), ("/big", Big), ("/ws", Echo), ("/(.*)", Tell)]).listen(
        int(sys.argv[1]), "127.0.0.1", max_body_size=1 << 30)
    await asyncio.Event().wait()
asyncio.run(main())
'''


class WebSocket:
    """Enough of RFC 6455 for a client."""

    def __init__(self, port, host, path):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=patience(30))
        key = base64.b64encode(os.urandom(16)).decode()
        self.socket.sendall((f"GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\n"
                             f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n"
                             "Sec-WebSocket-Version: 13\r\n\r\n").encode())
        self.file = self.socket.makefile("rb")
        self.status = self.file.readline().decode()
        headers = {}
        while (line := self.file.readline().decode().strip()):
            name, value = line.split(":", 1)
            headers[name.lower()] = value.strip()
        want = base64.b64encode(hashlib.sha1(
            (key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()).decode()
        self.accepted = headers.get("sec-websocket-accept") == want

    def send(self, data, opcode=2):
        mask = os.urandom(4)
        size = len(data)
        head = bytes([0x80 | opcode])
        head += (bytes([0x80 | size]) if size < 126 else
                 bytes([0x80 | 126]) + struct.pack(">H", size) if size < 65536 else
                 bytes([0x80 | 127]) + struct.pack(">Q", size))
        masked = bytes(b ^ m for b, m in zip(data, mask * (size // 4 + 1)))
        self.socket.sendall(head + mask + masked)

    def receive(self):
        head = self.file.read(2)
        size = head[1] & 127
        if size == 126:
            size = struct.unpack(">H", self.file.read(2))[0]
        elif size == 127:
            size = struct.unpack(">Q", self.file.read(8))[0]
        return head[0] & 15, self.file.read(size)

    def close(self):
        self.file.close()
        self.socket.close()


class Ports(SandboxTest):
    @classmethod
    def prepare(cls):
        super().prepare()
        cls.api.post(f"/sandboxes/{cls.box}/files/write", {"path": "server.py", "content": SERVER})
        cls.api.run(cls.box, "python3 server.py 8080 > server.log 2>&1 &")
        wait_until(lambda: cls.connect("GET", "/").status == 200, 20, "the server answers")

    @classmethod
    def host(cls, port=8080, box=None):
        return f"{box or cls.box}-{port}.localhost:{cls.server.port}"

    @classmethod
    def connect(cls, method, path, body=None, headers=None, host=None, read=True):
        connection = http.client.HTTPConnection("127.0.0.1", cls.server.port,
                                                timeout=patience(60))
        connection.request(method, path, body, {"Host": host or cls.host(), **(headers or {})},
                           encode_chunked=not isinstance(body, (bytes, type(None))))
        response = connection.getresponse()
        if read:
            response.data = response.read()
            connection.close()
        return response

    def tell(self, *arguments, **options):
        import json
        response = self.connect(*arguments, **options)
        self.assertEqual(response.status, 200)
        return json.loads(response.data)

    def test_url(self):
        for port in (1, 8080, 65535):
            answer = self.api.get(f"/sandboxes/{self.box}/host/{port}")
            self.assertEqual(self.assert_json(answer, 200),
                             {"url": f"http://{self.host(port)}"})
        for port in ("0", "65536", "-1", "x", "80x"):
            answer = self.api.get(f"/sandboxes/{self.box}/host/{port}")
            self.assert_error(answer, 400, "invalid_argument")

    def test_methods_paths_and_headers(self):
        got = self.tell("GET", "/a%20b?x=1&y=%2F", headers={"X-Mine": "1", "Cookie": "a=b"})
        self.assertEqual((got["method"], got["uri"]), ("GET", "/a%20b?x=1&y=%2F"))
        headers = got["headers"]
        self.assertEqual((headers["X-Mine"], headers["Cookie"]), ("1", "a=b"))
        self.assertEqual(headers["Host"], self.host())
        self.assertEqual(headers["X-Forwarded-Host"], self.host())
        self.assertEqual(headers["X-Forwarded-For"], HOST.client)
        self.assertEqual(headers["X-Forwarded-Proto"], "http")
        for method in ("POST", "PUT", "PATCH", "DELETE"):
            got = self.tell(method, "/", b"abc")
            self.assertEqual((got["method"], got["size"]), (method, 3))
        got = self.tell("GET", "/", headers={"X-Forwarded-For": "1.2.3.4"})
        self.assertEqual(got["headers"]["X-Forwarded-For"], f"1.2.3.4, {HOST.client}")
        self.assertEqual(self.connect("HEAD", "/big?mib=0").status, 405)  # the server's own answer

    def test_bodies(self):
        data = os.urandom(5_000_000)
        got = self.tell("POST", "/", data)
        self.assertEqual((got["size"], got["sum"]), (len(data), sum(data)))
        got = self.tell("POST", "/", iter([data[:1], data[1:70_000], data[70_000:]]),
                        headers={"Transfer-Encoding": "chunked"})
        self.assertEqual((got["size"], got["sum"]), (len(data), sum(data)))
        response = self.connect("GET", "/big?mib=30")
        self.assertEqual(len(response.data), 30 << 20)

    def test_answers_are_streamed(self):
        response = self.connect("GET", "/slow", read=False)
        self.assertEqual(response.readline(), b"first\n")  # the server has not sent the rest
        self.connect("GET", "/go")
        self.assertEqual(response.read(), b"second\n")

    def test_websocket_both_ways(self):
        ws = WebSocket(self.server.port, self.host(), "/ws")
        self.addCleanup(ws.close)
        self.assertIn("101", ws.status)
        self.assertTrue(ws.accepted)
        ws.send("grüße".encode(), opcode=1)
        self.assertEqual(ws.receive(), (1, "grüße".encode()))
        data = os.urandom(300_000)
        for _ in range(5):
            ws.send(data)
            self.assertEqual(ws.receive(), (2, data))
        time.sleep(1.5)
        ws.send(b"after a pause")
        self.assertEqual(ws.receive(), (2, b"after a pause"))

    def test_first_request_after_a_pause(self):
        for _ in range(3):
            self.tell("GET", "/")
            time.sleep(1)

    def test_many_at_once(self):
        faults = []

        def one(i):
            try:
                if self.tell("POST", f"/{i}", b"x" * i)["uri"] != f"/{i}":
                    faults.append(i)
            except Exception as e:  # noqa: BLE001 - reported below
                faults.append(e)

        with concurrent.futures.ThreadPoolExecutor(min(40, HOST.at_once)) as pool:
            list(pool.map(one, range(40)))
        self.assertEqual(faults, [])

    def test_python_http_server(self):
        self.run_command("mkdir -p www && echo '<h1>Hi</h1>' > www/index.html && "
                         "cd www && (python3 -m http.server 8081 > /dev/null 2>&1 &)")
        host = self.host(8081)
        wait_until(lambda: self.connect("GET", "/", host=host).status == 200, 20, "it answers")
        response = self.connect("GET", "/index.html", host=host)
        self.assertEqual((response.status, response.data), (200, b"<h1>Hi</h1>\n"))

    def path(self, rest, box=None, port=8080, prefix="/v1/agents"):
        return f"{prefix}/sandboxes/{box or self.box}/ports/{port}{rest}"

    def test_both_orders_of_a_label(self):
        for label in (f"{self.box}-8080", f"8080-{self.box}"):
            got = self.tell("GET", "/a", host=f"{label}.localhost:{self.server.port}")
            self.assertEqual(got["uri"], "/a")

    def test_by_path(self):
        host = f"localhost:{self.server.port}"
        for prefix in ("/v1/agents", ""):
            got = self.tell("GET", self.path("/a%20b?x=1&y=%2F", prefix=prefix), host=host,
                            headers={"Cookie": "a=b"})
            self.assertEqual((got["method"], got["uri"]), ("GET", "/a%20b?x=1&y=%2F"))
            headers = got["headers"]
            self.assertEqual(headers["X-Forwarded-Prefix"], self.path("", prefix=prefix))
            self.assertEqual((headers["Host"], headers["Cookie"]), (host, "a=b"))
        got = self.tell("POST", self.path("/"), b"abc", host=host)
        self.assertEqual((got["method"], got["size"], got["uri"]), ("POST", 3, "/"))
        answer = self.connect("GET", self.path("?q=1"), host=host)
        self.assertEqual((answer.status, answer.headers["Location"]), (308, self.path("/?q=1")))
        for rest in ("x/", "0/", "65536/"):
            answer = self.connect("GET", self.path("/", port=rest), host=host)
            self.assertEqual(answer.status, 404)

    def test_by_path_without_credentials_of_ours(self):
        host = f"localhost:{self.server.port}"
        sent = {"Authorization": f"Bearer {self.server.key}", "X-Theirs": "kept"}
        headers = self.tell("GET", self.path("/"), host=host, headers=sent)["headers"]
        self.assertNotIn("Authorization", headers)
        self.assertEqual(headers["X-Theirs"], "kept")
        sent = {"Authorization": "Bearer of-the-app", "Cookie": f"corral_port={self.box}-8080; b=c"}
        headers = self.tell("GET", self.path("/"), host=host, headers=sent)["headers"]
        self.assertEqual((headers["Authorization"], headers["Cookie"]), ("Bearer of-the-app", "b=c"))

    def test_a_page_by_path_may_use_absolute_paths(self):
        host = f"localhost:{self.server.port}"
        page = self.connect("GET", self.path("/"), host=host, headers={"Accept": "text/html,*/*"})
        cookie = page.headers["Set-Cookie"]
        self.assertEqual(cookie, f"corral_port={self.box}-8080; Path=/; HttpOnly; SameSite=Lax")
        self.assertEqual((page.headers["X-From"], page.status), ("sandbox", 200))
        plain = self.connect("GET", self.path("/"), host=host)
        self.assertIsNone(plain.headers["Set-Cookie"])
        with_cookie = {"Cookie": cookie.split(";")[0]}
        with_referer = {"Referer": f"http://{host}{self.path('/page')}"}
        for headers in (with_cookie, with_referer):
            got = self.tell("GET", "/static/app.js?v=1", host=host, headers=headers)
            self.assertEqual(got["uri"], "/static/app.js?v=1")
            self.assertNotIn("Cookie", got["headers"])
        self.assertEqual(self.tell("GET", "/", host=host, headers=with_referer)["uri"], "/")
        for headers in (with_cookie, {}, {"Referer": f"http://elsewhere{self.path('/page')}"}):
            answer = self.connect("GET", "/", host=host, headers=headers)
            self.assertIn(b"corral", answer.data)  # the server's own page
        answer = self.connect("GET", "/static/app.js", host=host,
                              headers={**with_cookie, "Authorization": f"Bearer {self.server.key}"})
        self.assertEqual(answer.status, 404)  # of the API: a program asks
        answer = self.connect("GET", "/sandboxes", host=host, headers=with_cookie)
        self.assertEqual(answer.status, 401)

    def test_by_path_no_service_worker(self):
        host = f"localhost:{self.server.port}"
        answer = self.connect("GET", self.path("/sw.js"), host=host,
                              headers={"Service-Worker": "script"})
        self.assertEqual(answer.status, 403)
        self.tell("GET", "/sw.js", headers={"Service-Worker": "script"})

    def test_websocket_by_path(self):
        host = f"localhost:{self.server.port}"
        ws = WebSocket(self.server.port, host, self.path("/ws"))
        self.addCleanup(ws.close)
        self.assertIn("101", ws.status)
        self.assertTrue(ws.accepted)
        ws.send(b"to and fro")
        self.assertEqual(ws.receive(), (2, b"to and fro"))
        ws = WebSocket(self.server.port, f"{host}\r\nCookie: corral_port={self.box}-8080", "/ws")
        self.addCleanup(ws.close)
        self.assertIn("101", ws.status)

    def test_errors_by_path(self):
        host = f"localhost:{self.server.port}"
        self.assertEqual(self.connect("GET", self.path("/", port=9), host=host).status, 502)
        self.assertEqual(self.connect("GET", self.path("/", box=uuid.uuid4()), host=host).status, 404)

    def test_errors(self):
        def code(response):
            import json
            return response.status, json.loads(response.data)["error"]["code"]

        self.assertEqual(code(self.connect("GET", "/", host=self.host(9))), (502, "bad_gateway"))
        self.assertEqual(code(self.connect("GET", "/", host=self.host(80, uuid.uuid4()))),
                         (404, "sandbox_not_found"))
        ended = self.api.create()["sandbox_id"]
        self.api.delete(f"/sandboxes/{ended}")
        self.assertEqual(code(self.connect("GET", "/", host=self.host(80, ended))),
                         (410, "sandbox_gone"))

    def test_other_hosts_reach_the_api(self):
        for host in ("localhost", f"{self.box}.localhost", f"x-80.localhost:{self.server.port}"):
            self.assertEqual(self.connect("GET", "/health", host=host).status, 200)

    def test_a_client_that_goes_away_ends_the_connection(self):
        before = self.server.descriptors()
        response = self.connect("GET", "/big?mib=2000", read=False)
        response.read(1000)
        response.close()
        del response
        wait_until(lambda: self.server.descriptors() <= before, 10, "descriptors are as before")
