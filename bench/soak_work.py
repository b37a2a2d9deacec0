# SPDX-License-Identifier: Apache-2.0
"""What the clients of a soak do, and what they expect of each answer."""
import http.client
import json
import random
import socket
import threading
import time

from corraltest import ISOLATION, Client, patience
from sockets import BINARY, WebSocket
from soak_ledger import Box
from streams import Stream, joined

FLOWS = "/api/v1/orchestrator/workflows"
UNSEEN_SECONDS = 15  # that a sandbox lives whose client has gone away
GONE = (OSError, http.client.HTTPException, EOFError, IndexError)  # the last of an empty status line


class Unexpected(Exception):
    """An answer that was not promised to be like this."""


class Refused(Unexpected):
    """Nothing listens there yet: neither a promise nor a fault."""


class Broken(Exception):
    """An answer that contradicts what was promised."""


def expect(answer, *statuses):
    if answer.status not in statuses:
        raise Unexpected(f"{answer.status} {answer.body[:200]!r}")
    return answer


class Worker(threading.Thread):
    def __init__(self, number, seed, server, ledger, stop, most):
        super().__init__(daemon=True)
        self.random = random.Random(f"{seed}/{number}")
        self.number, self.server, self.ledger, self.stop = number, server, ledger, stop
        self.most = most  # sandboxes at a time
        self.boxes = []
        self.unseen_until = 0.0  # when a sandbox is over whose create nobody waited for
        self.api = Client(server.port, server.key)

    def run(self):
        try:
            self.work()
        except Exception as e:  # pylint: disable=broad-except
            self.ledger.break_promise(f"client {self.number} ended: {type(e).__name__} {e}")

    def work(self):
        weights = dict(WORK)
        if ISOLATION == "kvm":
            weights.pop(Worker.pause)
        while not self.stop.is_set():
            if not self.boxes or (len(self.boxes) < self.most and self.random.random() < 0.1):
                self.guarded("create", None, self.create)
                continue
            box = self.random.choice(self.boxes)
            act = self.random.choices(list(weights), list(weights.values()))[0]
            self.guarded(act.__name__, box, lambda act=act, box=box: act(self, box))
            self.boxes = [b for b in self.boxes if b.state == "alive" and not b.doomed]

    def guarded(self, name, box, act):
        """One operation. Whatever goes wrong must have a reason that this soak knows of."""
        kills, restarting = self.ledger.kills, self.ledger.restarting()
        calm = box is None or box.is_calm()
        try:
            if box is not None and box.asleep:
                self.wake(box)
            act()
            self.ledger.count(name)
            return
        except Broken as e:
            if calm and (box is None or not box.doomed):
                self.ledger.break_promise(f"{name}: {e}")
            outcome, fault = "broken", None
        except Refused:
            self.ledger.count(name, "refused")
            return
        except Unexpected as e:
            outcome, fault = "refused", e
        except (*GONE, ValueError, KeyError, AssertionError) as e:
            outcome, fault = "cut off", e
        excused = (self.ledger.kills != kills or restarting or self.ledger.restarting() or
                   not calm or (box is not None and not box.is_calm()) or
                   self.ledger.helpers_shaken())
        if fault is not None and not excused:
            self.ledger.break_promise(f"{name} in {box and box.name}: {type(fault).__name__} {fault}")
        self.ledger.count(name, outcome)
        if outcome == "cut off":
            time.sleep(0.05)

    # --- operations; each returns when its promise was checked ---

    def create(self):
        tag = f"{self.number}-{self.random.getrandbits(48):x}"
        metadata, box = {"soak": tag}, None
        self.ledger.expect_box(tag)
        try:
            answer = expect(self.api.post("/sandboxes", {
                "provider": "soak", "region": "here", "timeout": 3600, "metadata": metadata}), 201)
            box = Box(answer.json["sandbox_id"], metadata)
            self.ledger.add(box)
            self.boxes.append(box)
        finally:
            if box is None:
                self.ledger.lose(tag)

    def delete(self, box):
        box.state = "ending"
        try:
            expect(self.api.delete(f"/sandboxes/{box.name}"), 200)
            box.state = "ended"
        finally:
            if box.state != "ended":
                box.state = "lost"
                self.ledger.lose(box.metadata["soak"])

    def post(self, box, action, body, *statuses):
        return expect(self.api.post(f"/sandboxes/{box.name}/{action}", body), *(statuses or (200,)))

    def run_command(self, box):
        size = self.random.choice((1, 100, 50000))
        text = self.post(box, "commands/run", {
            "command": f"yes {self.number} | head -n {size}", "timeout": 60000}).json["stdout"]
        if text != f"{self.number}\n" * size:
            raise Broken(f"{size} lines came as {len(text)} bytes")

    def run_code(self, box):
        a, b = self.random.randrange(10 ** 9), self.random.randrange(10 ** 9)
        answer = self.post(box, "code/run", {"code": f"{a} * {b}", "timeout": 60}).json
        if answer.get("error"):
            raise Unexpected(str(answer["error"])[:200])
        got = answer["results"]["result"]["data"]["text/plain"]
        if got != str(a * b):
            raise Broken(f"{a} * {b} is {got}")

    def write(self, box):
        path, content = f"/tmp/soak-{self.random.randrange(8)}", f"{self.random.getrandbits(64):x}\n"
        content *= self.random.choice((1, 1000))
        box.files.pop(path, None)  # until the answer, either content may be there
        self.post(box, "files/write", {"path": path, "content": content})
        box.files[path] = content

    def read(self, box):
        if not box.files:
            return
        path = self.random.choice(sorted(box.files))
        got = self.post(box, "files/read", {"path": path}).json["content"]
        if got != box.files[path]:
            raise Broken(f"{path} of {box.name} holds {got[:50]!r}, not {box.files[path][:50]!r}")

    def transfer(self, box):
        data = self.random.randbytes(self.random.choice((1, 70000, 2 << 20)))
        edge = f"soak{self.random.getrandbits(40):x}"
        field = f"--{edge}\r\nContent-Disposition: form-data; name="
        body = (f'{field}"path"\r\n\r\n/tmp/soak-up\r\n{field}"file"; filename="up"\r\n\r\n'
                ).encode() + data + f"\r\n--{edge}--\r\n".encode()
        path = f"/sandboxes/{box.name}"
        expect(self.api.post(f"{path}/upload", body, headers={
            "Content-Type": f"multipart/form-data; boundary={edge}"}), 200)
        if expect(self.api.get(f"{path}/download?path=/tmp/soak-up"), 200).body != data:
            raise Broken(f"{len(data)} bytes came back as others")

    def job(self, box):
        """A process that outlives its request and the server, read to its end later."""
        lines = self.random.choice((3, 30, 300))
        made = self.post(box, "processes", {"command": (
            f"for i in $(seq {lines}); do echo line $i; sleep 0.0$((RANDOM % 3)); done"),
            "keep_bytes": 65536}, 201).json
        box.jobs[made["pid"]] = lines

    def read_job(self, box):
        if not box.jobs:
            return
        pid = self.random.choice(sorted(box.jobs))
        path = f"/sandboxes/{box.name}/processes/{pid}"
        stream = Stream(self.api, "GET", f"{path}/stream")
        try:
            if stream.status != 200:
                raise Unexpected(f"{stream.status} of the stream")
            events = stream.all()
        finally:
            stream.close()
        if not events or "exit_code" not in events[-1]:
            raise Unexpected("the stream has no end")
        want = "".join(f"line {i}\n" for i in range(1, box.jobs[pid] + 1))
        if joined(events, "stdout") != want:
            raise Broken(f"process {pid} of {box.name}: {len(joined(events, 'stdout'))} of "
                         f"{len(want)} bytes")
        del box.jobs[pid]
        expect(self.api.delete(path), 200)

    def stream(self, box):
        stream = Stream(self.api, "POST", f"/sandboxes/{box.name}/commands/run?stream=true",
                        {"command": "seq 2000", "timeout": 60000})
        try:
            if stream.status != 200:
                raise Unexpected(f"{stream.status} of the stream")
            events = stream.all()
        finally:
            stream.close()
        if not stream.ended or "exit_code" not in events[-1]:
            raise Unexpected("the stream has no end")
        if joined(events, "stdout") != "".join(f"{i}\n" for i in range(1, 2001)):
            raise Broken("2000 lines came as others")

    def terminal(self, box):
        pid = self.post(box, "pty", {"cwd": "/tmp"}, 201).json["pid"]
        ws = WebSocket(self.api, f"/sandboxes/{box.name}/pty/{pid}/ws")
        try:
            if ws.status != 101:
                raise Unexpected(f"{ws.status} of the terminal's socket")
            ws.send(BINARY, "echo so''ak\r")
            ws.until("soak")
        finally:
            ws.close()
        expect(self.api.delete(f"/sandboxes/{box.name}/pty/{pid}"), 200, 404)

    def port(self, box):
        if not box.served:
            self.post(box, "processes", {"command": "python3 -m http.server 8123 -d /etc"}, 201)
            box.served = True
        path = f"/sandboxes/{box.name}/ports/8123/passwd"
        answer = expect(self.api.get(path), 200, 502)  # not yet, or no more
        if answer.status == 502:
            box.served = self.random.random() < 0.7
            raise Refused
        if not answer.body:
            raise Broken("the port's file is empty")

    def pause(self, box):
        box.asleep = True
        self.post(box, "pause", None)
        self.wake(box)

    def wake(self, box):
        """Also where nobody knows whether the pause came through."""
        self.post(box, "resume", None, 200, 409)
        box.asleep = False

    def flow(self, _box):
        """A workflow of two steps, to its end."""
        steps = [{"name": "a", "type": "command", "config": {"command": "echo a"}},
                 {"name": "b", "type": "command", "config": {"command": "echo b"},
                  "depends_on": ["a"]}]
        made = expect(self.api.post(FLOWS, {"name": "soak", "steps": steps}, prefix=""), 201)
        name = made.json["workflow_id"]
        with self.ledger.lock:
            self.ledger.flows[name] = None
        run = expect(self.api.post(f"{FLOWS}/{name}/start", prefix=""), 200).json["run_id"]
        with self.ledger.lock:
            self.ledger.flows[name] = run

    def list_all(self, _box):
        expect(self.ledger.sweep(self.api), 200)
        for path in ("/templates", "/sandboxes/paused"):
            expect(self.api.get(path), 200)

    def vanish(self, box):
        """A client that goes away in the midst of a request."""
        path, body = self.random.choice((
            (f"/sandboxes/{box.name}/commands/run", {"command": "sleep 3; seq 100000"}),
            (f"/sandboxes/{box.name}/code/run", {"code": "import time; time.sleep(3)"}),
            (f"/sandboxes/{box.name}/files/write", {"path": "/tmp/v", "content": "x" * 200000}),
            ("/sandboxes", {"provider": "soak", "region": "here", "timeout": UNSEEN_SECONDS})))
        if path == "/sandboxes":
            if time.monotonic() < self.unseen_until:
                return
            self.unseen_until = time.monotonic() + 2 * UNSEEN_SECONDS
        data = json.dumps(body).encode()
        head = (f"POST /v1/agents{path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "
                f"{self.api.key}\r\nContent-Length: {len(data)}\r\n\r\n").encode()
        sent = (head + data)[:self.random.choice((len(head) // 2, len(head) + 1, 1 << 30))]
        with socket.create_connection(("127.0.0.1", self.api.port), patience(10)) as s:
            s.sendall(sent)
            self.stop.wait(self.random.choice((0, 0.01, 0.3)))

    def read_slowly(self, box):
        """A client that takes little of much, and leaves."""
        stream = Stream(self.api, "POST", f"/sandboxes/{box.name}/commands/run?stream=true",
                        {"command": "yes | head -c 20000000", "timeout": 60000})
        try:
            if stream.status != 200:
                raise Unexpected(f"{stream.status} of the stream")
            for _ in range(20):
                stream.socket.recv(512)
                self.stop.wait(0.02)
        finally:
            stream.close()


WORK = {Worker.run_command: 10, Worker.run_code: 6, Worker.write: 10, Worker.read: 10,
        Worker.transfer: 4, Worker.job: 5, Worker.read_job: 5, Worker.stream: 4, Worker.terminal: 3,
        Worker.port: 4, Worker.pause: 3, Worker.flow: 1, Worker.list_all: 3, Worker.vanish: 4,
        Worker.read_slowly: 2, Worker.delete: 4}
