# SPDX-License-Identifier: Apache-2.0
"""The fixture of the API tests: a real corrald on a free port with a state directory of its own, a
client that hides nothing of HTTP, and the checks that several files share.

Environment: CORRAL_BUILD and CORRAL_BUILD_ASAN (build directories), CORRAL_TEST_SERVER=release|asan
(which corrald, default asan), CORRAL_TEST_TEMPLATES (a directory of built templates),
CORRAL_TEST_ISOLATION=oci|kvm (default oci), CORRAL_TEST_KEEP=1 (keeps state directories and logs),
CORRAL_TEST_RIG and CORRAL_TEST_SLOW (see hosts.py).
"""
import datetime
import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

from hosts import (HOST, SLOW, TEMPLATES, free_port, not_emulated,  # noqa: F401 - for tests
                   patience, time_out)

ISOLATION = os.environ.get("CORRAL_TEST_ISOLATION", "oci")
TEMPLATE = "python-base-v1"
PREFIX = "/v1/agents"

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z")
SANDBOX_KEYS = {"sandbox_id", "template_id", "template", "status", "started_at", "timeout_at",
                "metadata", "cpu_count", "memory_mb"}
SANITIZER = re.compile(r"ERROR: \w+Sanitizer|runtime error:|LeakSanitizer")


def parse_time(text):
    base = datetime.datetime.strptime(text[:19], "%Y-%m-%dT%H:%M:%S")
    return base.replace(tzinfo=datetime.timezone.utc).timestamp()


def wait_until(condition, seconds, what):
    """The first true value of condition(); fails the test after some seconds, more on a slow host."""
    seconds = patience(seconds)
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"after {seconds} s still not: {what}")
        time.sleep(0.1)


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"<{self.status} {self.body[:300]!r}>"


class Client:
    """One request, one connection; paths without a leading /v1 get the prefix."""

    def __init__(self, port, key):
        self.port, self.key = port, key

    def connect(self, timeout):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)

    def request(self, method, path, body=None, headers=None, timeout=60, prefix=PREFIX):
        sent = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
            sent["Content-Type"] = "application/json"
        sent.update(headers or {})
        connection = self.connect(patience(timeout))
        try:
            connection.request(method, prefix + path, body, sent)
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())
        finally:
            connection.close()

    def get(self, path, **options):
        return self.request("GET", path, **options)

    def post(self, path, body=None, **options):
        return self.request("POST", path, body, **options)

    def delete(self, path, **options):
        return self.request("DELETE", path, **options)

    def create(self, **fields):
        answer = self.post("/sandboxes", {"provider": "test", "region": "here", **fields})
        if answer.status != 201:
            raise AssertionError(f"create: {answer}")
        return answer.json

    def run(self, sandbox, command, **fields):
        """The answer of a command that the server must have run."""
        answer = self.post(f"/sandboxes/{sandbox}/commands/run",
                           {"command": command, **time_out(30, 1000), **fields})
        if answer.status != 200:
            raise AssertionError(f"{command!r}: {answer}")
        return answer.json

    def code(self, sandbox, code, **fields):
        answer = self.post(f"/sandboxes/{sandbox}/code/run",
                           {"code": code, **time_out(30), **fields})
        if answer.status != 200:
            raise AssertionError(f"{code!r}: {answer}")
        return answer.json


class Server:
    """A corrald of the build under test. The state directory outlives stops and kills. `dir` is a
    folder here for files of tests, `state` and `log_path` are on the server's machine."""

    def __init__(self, options=(), build=None):
        self.program = HOST.program(build or os.environ.get("CORRAL_TEST_SERVER", "asan"))
        self.options = list(options)
        self.wrapper = []  # a command that runs it
        self.dir = tempfile.mkdtemp(prefix="corral-api-")
        self.state = HOST.state(self.dir)
        self.log_path = f"{os.path.dirname(self.state)}/log"
        self.port = HOST.open_port()
        self.process = None
        self.ready = False  # it has been started and was not told to end
        self.ids = set()  # of every sandbox directory seen

    def command(self, *arguments):
        return [self.program, "--state-dir", self.state, *arguments]

    def run(self, *arguments, text="", timeout=120):
        """Runs a sub command of corrald on this server's state; a subprocess.CompletedProcess."""
        return HOST.run(self.command(*arguments), text, timeout)

    def start(self):
        arguments = self.command("--listen", f"{HOST.address}:{self.port}", "--isolation",
                                 ISOLATION, "--rate-limit", "off", *HOST.options, *self.options)
        self.process = HOST.start([*self.wrapper, *arguments], self.log_path)
        wait_until(self._answers, 60, "corrald answers /health")
        self.ready = True
        self.key = HOST.read(f"{self.state}/admin.key").decode().strip()
        self.client = self.connect(self.key)
        return self

    def again(self):
        """Starts it, whatever state a test has left it in."""
        if self.process.poll() is None:
            self.kill()
        return self.start()

    def connect(self, key):
        return Client(self.port, key)

    def _answers(self):
        if self.process.poll() is not None:
            raise AssertionError(f"corrald ended with status {self.process.returncode}:\n"
                                 + self.log()[-4000:])
        try:
            return self.connect(None).get("/health", prefix="", timeout=5).status == 200
        except OSError:
            return False

    def log(self):
        return HOST.read(self.log_path).decode(errors="replace")

    def note_ids(self):
        """Remembers the sandboxes of the state directory, so that left() knows what to look for."""
        self.ids |= set(self.directories())
        return self.ids

    def directories(self):
        return [n for n in HOST.list(f"{self.state}/sandboxes") if UUID.fullmatch(n)]

    def end_sandboxes(self):
        self.note_ids()
        answer = self.client.get("/sandboxes?limit=1000")
        if answer.status == 429:
            return  # a test of limits has used them up; SIGINT ends them all the same
        for sandbox in answer.json["sandboxes"]:
            self.ids.add(sandbox["sandbox_id"])
            if sandbox["status"] in ("running", "creating"):
                self.client.delete(f"/sandboxes/{sandbox['sandbox_id']}")

    def stop(self, number=signal.SIGTERM):
        """SIGTERM keeps sandboxes for the next start, SIGINT ends them; returns the exit status."""
        self.note_ids()
        self.ready = False
        self.process.send_signal(number)
        try:
            return self.process.wait(patience(30))
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError("corrald did not stop within 30 s of a signal") from None

    def kill(self):
        self.note_ids()
        self.ready = False
        self.process.kill()
        self.process.wait()

    def proc(self, name):
        """The text of a file of the server's process below /proc."""
        return HOST.read(f"/proc/{self.process.pid}/{name}").decode()

    def resident_kib(self):
        return int(re.search(r"VmRSS:\s+(\d+)", self.proc("status")).group(1))

    def descriptors(self):
        return len(HOST.list(f"/proc/{self.process.pid}/fd"))

    def left(self):
        """What of this server's sandboxes is still on the machine, one line each."""
        words = [self.state] + sorted(self.note_ids())
        found = [f"process {pid} {text[:120]!r}" for pid, text in processes_with(words)]
        found += mounts_with(words) + cgroups_with(sorted(self.ids)) + loops_with(self.state)
        return found + [f"file {self.state}/sandboxes/{n}"
                        for n in HOST.list(f"{self.state}/sandboxes")]

    def close(self):
        """Ends everything; returns what a clean end would not have shown."""
        faults = []
        if self.process and self.process.poll() is None:
            self.end_sandboxes()
            status = self.stop(signal.SIGINT)
            if status != 0:
                faults.append(f"corrald ended with status {status}")
        try:
            wait_until(lambda: not self.left(), 10, "nothing is left")
        except AssertionError:
            faults += [f"left over: {line}" for line in self.left()]
        log = self.log()
        if SANITIZER.search(log):
            faults.append("sanitizer report:\n" + log[SANITIZER.search(log).start() - 200:][:4000])
        HOST.close_port(self.port)
        if not os.environ.get("CORRAL_TEST_KEEP") and not faults:
            HOST.remove(self.state)
            shutil.rmtree(self.dir, ignore_errors=True)
        elif faults:
            faults.append(f"state and log are kept in {os.path.dirname(self.state)}; the log's end:\n"
                          + log[-2000:])
        return faults


def files_with(folder, text):
    """The regular files below a folder of the server's machine in which the text occurs."""
    return HOST.files_with(folder, text)


def processes_with(words):
    """(pid, command line and cgroups) of processes in which one of the words occurs."""
    return [(pid, text) for pid, text in HOST.processes() if any(w in text for w in words)]


def mounts_with(words):
    lines = HOST.read("/proc/self/mountinfo").decode().splitlines()
    return [f"mount {line[:200]}" for line in lines if any(w in line for w in words)]


def loops_with(word):
    """Loop devices whose file has the word in its name."""
    named = [(n, HOST.read(f"/sys/block/{n}/loop/backing_file").decode(errors="replace").strip())
             for n in HOST.list("/sys/block") if n.startswith("loop")]
    return [f"loop device {n} of {file}" for n, file in named if word in file]


def cgroups_with(words):
    if not words:
        return []
    return [f"cgroup {folder}" for folder in HOST.cgroups()
            if any(w in os.path.basename(folder) for w in words)]


class ApiTest(unittest.TestCase):
    """One server per class. Class attributes choose its options and its build."""

    options = ()
    build = None
    kind = Server
    maxDiff = 4000

    @classmethod
    def setUpClass(cls):
        cls.server = cls.kind(cls.options, cls.build)
        try:
            cls.server.start()
            cls.api = cls.server.client
            cls.prepare()
        except BaseException:
            cls.tearDownClass()
            raise

    @classmethod
    def prepare(cls):
        """For subclasses: what all tests of the class share."""

    @classmethod
    def tearDownClass(cls):
        faults = cls.server.close()
        if faults:
            raise AssertionError("\n".join(faults))

    def tearDown(self):
        """A test that was cut off while the server was down is one failure, and so is one in which
        the server died: the next test has a server."""
        status = self.server.process.poll()
        if status is None and self.server.ready:
            return
        died = self.server.ready
        self.server.again()
        if died:
            self.fail(f"corrald ended with status {status}")

    def create(self, **fields):
        """A sandbox for this test alone; returns its id."""
        sandbox = self.api.create(**fields)["sandbox_id"]
        self.addCleanup(self.api.delete, f"/sandboxes/{sandbox}")
        return sandbox

    def assert_keys(self, value, keys, optional=()):
        self.assertIsInstance(value, dict)
        self.assertEqual(set(value) - set(optional), set(keys))

    def assert_json(self, answer, status):
        self.assertEqual(answer.status, status, answer)
        self.assertEqual(answer.headers.get_content_type(), "application/json")
        return answer.json

    def assert_error(self, answer, status, code):
        error = self.assert_json(answer, status)["error"]
        self.assertEqual(error["code"], code, answer)
        self.assert_keys(error, {"code", "message", "details"})
        self.assertTrue(error["message"])
        return error["message"]

    def assert_within(self, seconds, started, now=None):
        """What began at `started` (time.monotonic()) did not hang; no measurement."""
        self.assertLess((now or time.monotonic()) - started, patience(seconds))

    def assert_time(self, text, near=None, within=5):
        self.assertRegex(text, f"^{TIME.pattern}$")
        if near is not None:
            self.assertAlmostEqual(parse_time(text), near, delta=within)

    def assert_sandbox(self, value, status="running"):
        """Exactly the documented keys and types."""
        self.assert_keys(value, SANDBOX_KEYS, optional={"ended_at"})
        self.assertRegex(value["sandbox_id"], f"^{UUID.pattern}$")
        self.assertRegex(value["template_id"], f"^{UUID.pattern}$")
        self.assertEqual(value["status"], status)
        self.assert_time(value["started_at"])
        self.assert_time(value["timeout_at"])
        self.assertIsInstance(value["metadata"], dict)
        self.assertIs(type(value["cpu_count"]), int)
        self.assertIs(type(value["memory_mb"]), int)
        if status in ("running", "creating"):
            self.assertIsNone(value.get("ended_at"))
        else:
            self.assert_time(value["ended_at"])

    def status_of(self, sandbox):
        return self.api.get(f"/sandboxes/{sandbox}").json["status"]


class SandboxTest(ApiTest):
    """As ApiTest, with one sandbox `self.box` for all tests of the class."""

    fields = {}

    @classmethod
    def prepare(cls):
        cls.box = cls.api.create(**{"timeout": 3600, **cls.fields})["sandbox_id"]

    def run_command(self, command, **fields):
        return self.api.run(self.box, command, **fields)

    def post(self, action, body, **options):
        return self.api.post(f"/sandboxes/{self.box}/{action}", body, **options)
