# SPDX-License-Identifier: Apache-2.0
"""Restarts and sudden deaths: what must survive, and what must not stay behind."""
import concurrent.futures
import socket
import threading
import time
import unittest

from corraltest import HOST, parse_time, patience, processes_with, time_out, wait_until
from restarts import RestartTest


class Killed(RestartTest):
    def test_three_sandboxes_answer_with_their_variable(self):
        made = [self.api.create(metadata={"n": n}, timeout=900) for n in range(3)]
        for n, sandbox in enumerate(made):
            self.api.code(sandbox["sandbox_id"], f"variable = {n} * 11")
        self.server.kill()
        self.server.start()
        for n, sandbox in enumerate(made):
            got = self.api.get(f"/sandboxes/{sandbox['sandbox_id']}").json
            self.assertEqual(got, sandbox)
            body = self.api.code(sandbox["sandbox_id"], "variable")
            self.assertEqual(body["results"]["result"]["data"]["text/plain"], str(n * 11))
            self.assertEqual(self.api.run(sandbox["sandbox_id"], "echo hi")["stdout"], "hi\n")
        answer = self.api.delete(f"/sandboxes/{made[0]['sandbox_id']}")
        self.assertEqual(answer.status, 200)
        self.assertEqual(self.status(made[0]["sandbox_id"]), "terminated")

    def test_twice_in_a_row(self):
        sandbox = self.api.create()["sandbox_id"]
        self.api.code(sandbox, "x = 5")
        for _ in range(2):
            self.server.kill()
            self.server.start()
        self.assertEqual(
            self.api.code(sandbox, "x")["results"]["result"]["data"]["text/plain"], "5")

    def test_while_creating(self):
        def try_create(_):
            try:
                return self.api.create()["sandbox_id"]
            except Exception:  # the server dies under it
                return None
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            results = pool.map(try_create, range(4))
            time.sleep(0.3)
            self.server.kill()
            created = {r for r in results if r}
        self.server.start()
        listed = {s["sandbox_id"]: s["status"] for s in self.api.get("/sandboxes").json["sandboxes"]}
        self.assertTrue(created <= set(listed), "an answered create is not listed")
        for sandbox, status in listed.items():
            self.assertIn(status, ("running", "failed", "terminated"))
            if status == "running":
                self.assertEqual(self.api.run(sandbox, "echo ok")["stdout"], "ok\n")

    def test_while_a_command_runs(self):
        sandbox = self.api.create()["sandbox_id"]
        thread = threading.Thread(target=lambda: self._ignore(sandbox))
        thread.start()
        wait_until(lambda: self.api.run(sandbox, "pgrep -x sleep")["exit_code"] == 0, 10,
                   "the command runs")
        self.server.kill()
        thread.join()
        self.server.start()
        wait_until(lambda: self.api.run(sandbox, "pgrep -x sleep")["exit_code"] == 1, 10,
                   "the run of the dead server is gone")

    def _ignore(self, sandbox):
        try:
            self.api.post(f"/sandboxes/{sandbox}/commands/run",
                          {"command": "sleep 600", "timeout": 600000})
        except Exception:  # the server dies under it
            pass

    def test_expiry_while_the_server_was_down(self):
        sandbox = self.api.create(timeout=3)["sandbox_id"]
        self.server.kill()
        time.sleep(4)
        self.server.start()
        wait_until(lambda: self.status(sandbox) == "timed_out", 10, "the sandbox has timed out")
        got = self.api.get(f"/sandboxes/{sandbox}").json
        self.assertGreaterEqual(parse_time(got["ended_at"]) + 1, parse_time(got["timeout_at"]))

    def test_kills_and_their_list_are_durable(self):
        ids = [self.api.create()["sandbox_id"] for _ in range(2)]
        self.api.delete(f"/sandboxes/{ids[0]}")
        before = self.api.get("/sandboxes").json
        self.server.kill()
        self.server.start()
        self.assertEqual(self.api.get("/sandboxes").json, before)
        self.assertEqual(self.api.delete(f"/sandboxes/{ids[0]}").status, 400)

    def test_key_and_template_ids_stay(self):
        key, templates = self.server.key, self.api.get("/templates").json
        self.server.kill()
        self.server.start()
        self.assertEqual(self.server.key, key)
        self.assertEqual(self.api.get("/templates").json, templates)

    def test_a_sandbox_that_died_meanwhile_is_failed(self):
        sandbox = self.api.create()["sandbox_id"]
        self.server.kill()
        kill_sandbox(sandbox)
        self.server.start()
        wait_until(lambda: self.status(sandbox) == "failed", 10, "the sandbox has failed")


class Stopped(RestartTest):
    def test_sigterm_waits_for_the_run_or_ends_it(self):
        sandbox = self.api.create()["sandbox_id"]
        answers = []
        thread = threading.Thread(target=lambda: answers.append(self.api.post(
            f"/sandboxes/{sandbox}/commands/run",
            {"command": "until [ -e /tmp/go ]; do sleep 0.1; done; sleep 1; echo done",
             **time_out(30, 1000)})))
        thread.start()
        wait_until(lambda: self.api.run(sandbox, "pgrep -x sleep")["exit_code"] == 0, 10,
                   "the command runs")
        self.api.run(sandbox, "touch /tmp/go")
        self.assertEqual(self.server.stop(), 0)
        thread.join(patience(10))
        self.assertEqual(answers[0].json["stdout"], "done\n")
        self.server.start()
        self.assertIn(self.status(sandbox), ("running", "terminated", "stopped"))

    def test_sigterm_with_idle_connections(self):
        with socket.create_connection(("127.0.0.1", self.server.port)):
            started = time.monotonic()
            self.assertEqual(self.server.stop(), 0)
            self.assertLess(time.monotonic() - started, patience(15))
        self.server.start()

    def test_admin_key_file(self):
        self.assertEqual(HOST.mode(f"{self.server.state}/admin.key"), 0o600)


class Died(RestartTest):
    def test_a_sandbox_killed_from_outside_is_failed(self):
        sandbox, other = (self.api.create()["sandbox_id"] for _ in range(2))
        kill_sandbox(sandbox)
        wait_until(lambda: self.status(sandbox) == "failed", 5, "the sandbox has failed")
        got = self.api.get(f"/sandboxes/{sandbox}").json
        self.assertTrue(got["ended_at"])
        self.assertEqual(self.api.delete(f"/sandboxes/{sandbox}").status, 400)
        self.assertEqual(self.api.run(other, "echo ok")["stdout"], "ok\n")

    def test_pid_1_ended_from_inside(self):
        sandbox = self.api.create()["sandbox_id"]
        self.api.post(f"/sandboxes/{sandbox}/commands/run", {"command": "kill -9 1; kill 1; true"})
        self.assertIn(self.status(sandbox), ("running", "failed"))
        self.assertEqual(self.api.get("/health", prefix="").status, 200)


def kill_sandbox(sandbox):
    """Kills every process of a sandbox with SIGKILL."""
    found = processes_with([sandbox])
    if not found:
        raise AssertionError("found no process of the sandbox")
    for pid, _ in found:
        HOST.kill(pid)
