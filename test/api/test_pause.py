# SPDX-License-Identifier: Apache-2.0
"""Pause and resume: what a sandbox keeps, what wakes it up, and what a crash leaves of it."""
import concurrent.futures
import http.client
import json
import threading
import time
import unittest

from corraltest import (HOST, ISOLATION, PREFIX, ApiTest, SandboxTest, parse_time, patience,
                        processes_with, time_out, wait_until)
from restarts import RestartTest

LIFE_KEYS = {"sandbox_id", "template", "state", "on_timeout", "auto_resume", "idle_timeout"}
PAUSED_KEYS = LIFE_KEYS | {"paused_at", "expires_at", "disk_bytes"}
STORED = unittest.skipUnless(ISOLATION == "kvm", "a container has no files when it is paused")
# Long enough for what has to happen before, and no longer than a test can wait.
EXPIRY, IDLE = (4, 2) if patience(1) == 1 else (60, 20)
COUNTER = "n=0; while true; do n=$((n+1)); echo $n > /tmp/counter; sleep 0.05; done"


class Paused(SandboxTest):
    fields = {"template": "python-base-v1"}

    def setUp(self):
        self.box = self.create(timeout=1800)

    def pause(self):
        answer = self.assert_json(self.post("pause", None), 200)
        self.assert_keys(answer, PAUSED_KEYS)
        self.assertEqual(answer["state"], "paused")
        return answer

    def resume(self, body=None):
        answer = self.assert_json(self.post("resume", body), 200)
        self.assert_keys(answer, LIFE_KEYS)
        self.assertEqual(answer["state"], "running")

    def test_state_and_processes_stay(self):
        self.api.code(self.box, "kept = list(range(7))")
        self.run_command(f"({COUNTER}) > /dev/null 2>&1 &", background=True)
        wait_until(lambda: self.run_command("cat /tmp/counter")["stdout"].strip(), 10, "it counts")
        before = time.time()
        life = self.pause()
        self.assert_time(life["paused_at"], before, 30)
        self.assertGreater(parse_time(life["expires_at"]), before + 86400)
        self.assertEqual(self.status_of(self.box), "stopped")
        self.resume()
        self.assertEqual(self.status_of(self.box), "running")
        self.assertEqual(self.api.code(self.box, "sum(kept)")["results"]["result"]["data"]["text/plain"],
                         "21")
        first = int(self.run_command("cat /tmp/counter")["stdout"] or 0)
        wait_until(lambda: int(self.run_command("cat /tmp/counter")["stdout"] or 0) > first, 10,
                   "it counts on")

    def test_time_and_time_out_after_it(self):
        self.pause()
        self.resume({"timeout": 77})
        got = self.api.get(f"/sandboxes/{self.box}").json
        now = time.time()
        self.assertAlmostEqual(parse_time(got["timeout_at"]), now + 77, delta=patience(20))
        clock = float(self.run_command("date +%s")["stdout"])
        self.assertAlmostEqual(clock, time.time(), delta=patience(5))
        self.assertEqual(self.post("timeout", {"timeout": 900}).status, 200)

    def test_variables_of_the_create_stay(self):
        box = self.create(env_vars={"COLOUR": "blue"})
        for action in ("pause", "resume"):
            self.assertEqual(self.api.post(f"/sandboxes/{box}/{action}").status, 200)
        self.assertEqual(self.api.run(box, "echo $COLOUR")["stdout"], "blue\n")

    def test_requests_to_it_are_refused(self):
        self.pause()
        for method, action, body in (("POST", "commands/run", {"command": "true"}),
                                     ("POST", "code/run", {"code": "1"}),
                                     ("POST", "files/read", {"path": "/etc/passwd"}),
                                     ("POST", "timeout", {"timeout": 60}),
                                     ("GET", "metrics", None), ("GET", "processes", None),
                                     ("POST", "pause", None)):
            with self.subTest(action):
                answer = self.api.request(method, f"/sandboxes/{self.box}/{action}", body)
                self.assert_error(answer, 409, "sandbox_paused")
        self.assertEqual(self.api.get(f"/sandboxes/{self.box}/host/80").status, 200)
        self.assertEqual(self.status_of(self.box), "stopped")

    def test_a_running_one_cannot_be_resumed(self):
        self.assert_error(self.post("resume", None), 409, "conflict")
        self.assert_error(self.post("resume", {"timeout": "soon"}), 400, "invalid_argument")

    def test_it_is_listed_with_its_disk_use(self):
        self.run_command("head -c 3000000 /dev/urandom > data; sync")
        self.pause()
        listed = self.assert_json(self.api.get("/sandboxes/paused"), 200)
        mine = [s for s in listed["sandboxes"] if s["sandbox_id"] == self.box]
        self.assertEqual(len(mine), 1)
        self.assert_keys(mine[0], PAUSED_KEYS)
        self.assertGreaterEqual(mine[0]["disk_bytes"], 3000000)
        self.assertGreaterEqual(listed["disk_bytes"], mine[0]["disk_bytes"])
        self.assertEqual(self.assert_json(self.api.get(f"/sandboxes/{self.box}/lifecycle"), 200),
                         mine[0])
        self.resume()
        listed = self.api.get("/sandboxes/paused").json["sandboxes"]
        self.assertNotIn(self.box, [s["sandbox_id"] for s in listed])

    def test_it_can_be_killed(self):
        self.pause()
        self.assertEqual(self.api.delete(f"/sandboxes/{self.box}").status, 200)
        self.assertEqual(self.status_of(self.box), "terminated")
        self.assert_error(self.post("resume", None), 409, "conflict")

    def test_open_operations_end_with_a_clear_error(self):
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            run = pool.submit(self.post, "commands/run",
                              {"command": "touch started; sleep 500", "timeout": 600000})
            wait_until(lambda: self.run_command("ls")["stdout"].count("started"), 20, "it has begun")
            self.pause()
            self.assert_error(run.result(), 409, "sandbox_paused")

    def test_it_uses_no_processor_time(self):
        self.run_command(f"({COUNTER}) > /dev/null 2>&1 &", background=True)
        self.pause()
        self.assertEqual(bool(self.running_processes()), ISOLATION == "oci")
        used = self.processor_time()
        time.sleep(1)
        self.assertEqual(self.processor_time(), used)

    def running_processes(self):
        return [pid for pid, text in processes_with([self.box])
                if "oci" in text or "corral" in text]

    def processor_time(self):
        total = 0
        for pid in self.running_processes():
            fields = HOST.read(f"/proc/{pid}/stat").decode().rpartition(")")[2].split()
            total += int(fields[11]) + int(fields[12])
        return total

    def test_many_at_once_and_again(self):
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(lambda _: self.post("pause", None).status, range(4)))
            self.assertEqual(sorted(answers), [200, 409, 409, 409])
            answers = list(pool.map(lambda _: self.post("resume", None).status, range(4)))
            self.assertIn(200, answers)
            self.assertLessEqual(set(answers), {200, 409})
        for _ in range(3):
            self.pause()
            self.resume()
        self.assertEqual(self.run_command("echo on")["stdout"], "on\n")


@STORED
class Stored(ApiTest):
    """What a microVM becomes is files in its directory, and nothing else."""

    def setUp(self):
        self.box = self.create(timeout=1800)
        self.folder = f"{self.server.state}/sandboxes/{self.box}"

    def pause(self):
        self.assertEqual(self.api.post(f"/sandboxes/{self.box}/pause").status, 200)

    def on_host(self, command):
        self.assertEqual(HOST.run(["sh", "-c", command]).returncode, 0, command)

    def test_nothing_else_is_left(self):
        self.pause()
        self.assertEqual(HOST.list(self.folder), ["stored"])
        self.assertLessEqual({"state", "memory", "overlay", "disk"},
                             set(HOST.list(f"{self.folder}/stored")))
        self.assertEqual([path for path in HOST.cgroups() if self.box in path], [])
        self.assertEqual(self.api.post(f"/sandboxes/{self.box}/resume").status, 200)
        self.assertNotIn("stored", HOST.list(self.folder))
        self.pause()
        self.assertEqual(self.api.delete(f"/sandboxes/{self.box}").status, 200)
        self.assertEqual(HOST.list(self.folder), [])

    def test_what_it_shows_of_itself_stays(self):
        seen = "cat /etc/machine-id /proc/sys/kernel/random/boot_id; hostname"
        before = self.api.run(self.box, seen)["stdout"]
        self.api.code(self.box, "import random; random.seed(7); first = random.random()")
        self.pause()
        self.assertEqual(self.api.post(f"/sandboxes/{self.box}/resume").status, 200)
        self.assertEqual(self.api.run(self.box, seen)["stdout"], before)
        got = self.api.code(self.box, "b = random.random(); random.seed(7);"
                                      "(random.random(), random.random()) == (first, b)")
        self.assertEqual(got["results"]["result"]["data"]["text/plain"], "True")

    def test_a_damaged_file_is_refused_and_it_stays_paused(self):
        self.api.code(self.box, "kept = 'as it was'")
        self.pause()
        for name in ("state", "memory"):
            path = f"{self.folder}/stored/{name}"
            for damage in (f"head -c 1000 {path}.good > {path}",
                           f"printf x | dd of={path} bs=1 seek=60 conv=notrunc"):
                self.on_host(f"cp -p {path} {path}.good && {damage}")
                answer = self.api.post(f"/sandboxes/{self.box}/resume")
                self.assert_error(answer, 500, "snapshot_unusable")
                self.assertEqual(self.status_of(self.box), "stopped")
                self.on_host(f"mv {path}.good {path}")
        self.assertEqual(HOST.list(self.folder), ["stored"])
        self.assertEqual(self.api.post(f"/sandboxes/{self.box}/resume").status, 200)
        got = self.api.code(self.box, "kept")["results"]["result"]["data"]["text/plain"]
        self.assertEqual(got, "'as it was'")


class Woken(ApiTest):
    """With auto_resume any request that needs the sandbox wakes it up."""

    def setUp(self):
        self.box = self.create(auto_resume=True, timeout=1800)

    def pause(self):
        self.assertEqual(self.api.post(f"/sandboxes/{self.box}/pause").status, 200)

    def test_by_a_command_by_code_by_a_file(self):
        self.api.code(self.box, "kept = 5")
        self.pause()
        self.assertEqual(self.api.run(self.box, "echo here")["stdout"], "here\n")
        self.pause()
        self.assertEqual(self.api.code(self.box, "kept")["results"]["result"]["data"]["text/plain"],
                         "5")
        self.pause()
        body = b"--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\n" + \
            b"x" * 300000 + b"\r\n--b--\r\n"
        answer = self.api.post(f"/sandboxes/{self.box}/upload?path=/tmp/a", body,
                               headers={"Content-Type": "multipart/form-data; boundary=b"})
        self.assertEqual(answer.status, 200, answer)
        self.assertEqual(self.api.run(self.box, "stat -c %s /tmp/a")["stdout"], "300000\n")

    def test_by_its_port(self):
        self.api.run(self.box, "cd /tmp && echo hello > index.html && "
                               "(python3 -m http.server 8765 > /dev/null 2>&1 &)", background=True)

        def get():
            connection = http.client.HTTPConnection("127.0.0.1", self.server.port,
                                                    timeout=patience(60))
            connection.request("GET", "/index.html",
                               headers={"Host": f"{self.box}-8765.localhost:{self.server.port}"})
            answer = connection.getresponse()
            return answer.status, answer.read()
        wait_until(lambda: get()[0] == 200, 20, "the server in the sandbox answers")
        self.pause()
        self.assertEqual(get(), (200, b"hello\n"))
        self.assertEqual(self.status_of(self.box), "running")

    def test_by_ten_at_once(self):
        """Connected one after the other: the port forwarding of an emulated host resets some of many
        connections that are made together."""
        self.pause()
        connections = [self.api.connect(patience(60)) for _ in range(10)]
        for connection in connections:
            self.addCleanup(connection.close)
            connection.request("GET", "/health")
            self.assertEqual(connection.getresponse().read()[:1], b"{")

        def run(n):
            connections[n].request("POST", f"{PREFIX}/sandboxes/{self.box}/commands/run",
                                   json.dumps({"command": f"echo {n}", **time_out(30, 1000)}),
                                   {"Authorization": f"Bearer {self.server.key}",
                                    "Content-Type": "application/json"})
            return json.load(connections[n].getresponse())["stdout"]
        with concurrent.futures.ThreadPoolExecutor(10) as pool:
            runs = list(pool.map(run, range(10)))
        self.assertEqual(runs, [f"{n}\n" for n in range(10)])

    def test_not_by_a_question_about_it(self):
        self.pause()
        self.assertEqual(self.api.get(f"/sandboxes/{self.box}").status, 200)
        self.assert_error(self.api.get(f"/sandboxes/{self.box}/metrics"), 409, "sandbox_paused")
        self.assertEqual(self.status_of(self.box), "stopped")

    def test_while_it_pauses(self):
        """A request that comes in the midst of a pause waits for both, or it is paused with it."""
        for _ in range(3):
            thread = threading.Thread(target=self.pause)
            thread.start()
            answer = self.api.post(f"/sandboxes/{self.box}/commands/run", {"command": "echo x"})
            if answer.status != 200:
                self.assert_error(answer, 409, "sandbox_paused")
            thread.join()
            self.api.run(self.box, "true")


class InTime(ApiTest):
    options = ("--on-timeout", "pause", "--auto-resume", "--pause-expiry", f"{EXPIRY}s")

    def paused(self, box):
        wait_until(lambda: self.status_of(box) == "stopped", 20, "it is paused")

    def test_the_time_out_pauses(self):
        box = self.create(timeout=2)
        life = self.api.get(f"/sandboxes/{box}/lifecycle").json
        self.assertEqual((life["on_timeout"], life["auto_resume"]), ("pause", True))
        self.paused(box)
        self.assertEqual(self.api.run(box, "echo again")["stdout"], "again\n")

    def test_a_create_may_say_otherwise(self):
        box = self.create(timeout=2, on_timeout="kill")
        wait_until(lambda: self.status_of(box) == "timed_out", 20, "it has ended")
        for fields in ({"on_timeout": "sleep"}, {"auto_resume": "yes"}, {"idle_timeout": -1}):
            answer = self.api.post("/sandboxes", {"provider": "a", "region": "b", **fields})
            self.assert_error(answer, 400, "invalid_argument")

    def test_without_traffic_it_pauses(self):
        box = self.create(timeout=600, idle_timeout=IDLE)
        self.api.run(box, f"sleep {IDLE + 1}; echo busy")
        self.assertEqual(self.status_of(box), "running")
        self.paused(box)
        self.assertEqual(self.api.run(box, "echo again")["stdout"], "again\n")

    def test_paused_for_too_long_it_ends(self):
        box = self.create(timeout=600, auto_resume=False)
        self.assertEqual(self.api.post(f"/sandboxes/{box}/pause").status, 200)
        wait_until(lambda: self.status_of(box) == "timed_out", 20, "it has ended")
        self.assert_error(self.api.post(f"/sandboxes/{box}/resume"), 409, "conflict")


class Quotas(ApiTest):
    options = ("--max-paused", "1", "--max-account", "2", "--pool-size", "0")

    def test_of_paused_ones_and_of_those_awake(self):
        first, second = self.create(), self.create()
        self.assertEqual(self.api.post(f"/sandboxes/{first}/pause").status, 200)
        self.assert_error(self.api.post(f"/sandboxes/{second}/pause"), 429, "quota_exceeded")
        third = self.create()
        self.assert_error(self.api.post(f"/sandboxes/{first}/resume"), 429, "quota_exceeded")
        self.assertEqual(self.status_of(first), "stopped")
        self.api.delete(f"/sandboxes/{third}")
        self.assertEqual(self.api.post(f"/sandboxes/{first}/resume").status, 200)


class Room(ApiTest):
    options = ("--pause-on-pressure", "--auto-resume", "--max-sandboxes", "2", "--pool-size", "0")

    @unittest.skipUnless(ISOLATION == "kvm", "a container that is paused keeps its memory")
    def test_idle_ones_make_room(self):
        first, second = self.create(), self.create()
        self.api.code(first, "kept = 'as it was'")
        wanted = {"provider": "a", "region": "b"}
        self.assert_error(self.api.post("/sandboxes", wanted), 429, "quota_exceeded")
        wait_until(lambda: self.api.post("/sandboxes", wanted).status == 201, 60,
                   "one of them makes room")
        self.assertIn("stopped", (self.status_of(first), self.status_of(second)))
        wait_until(lambda: self.api.post(f"/sandboxes/{first}/code/run",
                                         {"code": "kept"}).status == 200, 60, "there is room for it")
        got = self.api.code(first, "kept")["results"]["result"]["data"]["text/plain"]
        self.assertEqual(got, "'as it was'")


# What the host says of itself changes for the server alone: the machine has started anew.
REBOOTED = ["unshare", "-m", "sh", "-c", "own=$(mktemp) && cat /proc/sys/kernel/random/uuid >$own && "
            "mount -o bind $own /proc/sys/kernel/random/boot_id && rm $own && exec \"$@\"", "sh"]


class Killed(RestartTest):
    def make(self, **fields):
        box = self.api.create(timeout=900, **fields)["sandbox_id"]
        self.api.code(box, "kept = 'as it was'")
        return box

    def answers(self, box):
        got = self.api.code(box, "kept")["results"]["result"]["data"]["text/plain"]
        self.assertEqual(got, "'as it was'")

    def test_paused_before_the_server_died(self):
        box = self.make(auto_resume=True)
        other = self.make()
        for one in (box, other):
            self.assertEqual(self.api.post(f"/sandboxes/{one}/pause").status, 200)
        life = self.api.get(f"/sandboxes/{box}/lifecycle").json
        for _ in range(2):
            self.server.kill()
            self.server.start()
            self.assertEqual(self.status(box), "stopped")
            self.assertEqual(self.api.get(f"/sandboxes/{box}/lifecycle").json, life)
        self.answers(box)
        self.server.kill()
        self.server.start()
        self.answers(box)
        self.assertEqual(self.api.post(f"/sandboxes/{other}/resume").status, 200)
        self.answers(other)

    @unittest.skipUnless(ISOLATION == "kvm", "a paused container is a process, which a restart of the host ends")
    def test_paused_before_the_host_restarted(self):
        box = self.make(auto_resume=True)
        self.api.run(box, "echo of before >/tmp/file && sync")
        self.assertEqual(self.api.post(f"/sandboxes/{box}/pause").status, 200)
        self.server.kill()
        self.server.wrapper = REBOOTED
        self.server.start()
        self.assertEqual(self.status(box), "stopped")
        self.answers(box)
        self.assertEqual(self.api.run(box, "cat /tmp/file")["stdout"], "of before\n")

    def test_in_the_midst(self):
        """Whatever step it was: the next server finds it running or paused, and whole."""
        box = self.make(auto_resume=True)
        for action in ("pause", "resume", "pause", "resume"):
            thread = threading.Thread(target=self.ask, args=(box, action))
            thread.start()
            self.server.kill()
            thread.join()
            self.server.start()
            self.assertIn(self.status(box), ("running", "stopped"))
            self.answers(box)
            if action == "pause":
                self.api.post(f"/sandboxes/{box}/pause")

    def ask(self, box, action):
        try:
            self.api.post(f"/sandboxes/{box}/{action}")
        except (OSError, http.client.HTTPException):  # the server dies under it
            pass

    def test_a_stop_that_keeps_sandboxes_keeps_them_paused(self):
        box = self.make()
        self.assertEqual(self.api.post(f"/sandboxes/{box}/pause").status, 200)
        self.assertEqual(self.server.stop(), 0)
        self.server.start()
        self.assertEqual(self.api.post(f"/sandboxes/{box}/resume").status, 200)
        self.answers(box)


if __name__ == "__main__":
    unittest.main()
