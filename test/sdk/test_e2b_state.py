# SPDX-License-Identifier: Apache-2.0
"""Sandboxes that are put away and come back, with the official Python packages of E2B."""
import datetime
import uuid

from test_e2b_python import SdkTest, Sandbox, e2b

from corraltest import ISOLATION, patience, wait_until


class TestPause(SdkTest):
    def test_pause_and_connect(self):
        sandbox = self.make()
        sandbox.run_code("kept = 11")
        sandbox.files.write("kept", "as it was")
        self.assertTrue(sandbox.pause())
        self.assertFalse(sandbox.pause())
        self.assertFalse(sandbox.is_running())
        self.assertEqual(sandbox.get_info().state, e2b.SandboxState.PAUSED)
        with self.assertRaises(e2b.TimeoutException):
            sandbox.commands.run("true")
        listed = Sandbox.list(query=e2b.SandboxQuery(state=[e2b.SandboxState.PAUSED]))
        self.assertIn(sandbox.sandbox_id, [s.sandbox_id for s in listed.next_items()])
        again = Sandbox.connect(sandbox.sandbox_id, timeout=200)
        self.assertTrue(again.is_running())
        self.assertEqual(again.run_code("kept").text, "11")
        self.assertEqual(again.files.read("kept"), "as it was")
        info = again.get_info()
        self.assertEqual(info.state, e2b.SandboxState.RUNNING)
        left = (info.end_at - datetime.datetime.now(datetime.timezone.utc)).total_seconds()
        self.assertAlmostEqual(left, 200, delta=patience(30))

    def test_a_time_out_pauses_and_a_request_wakes(self):
        body = b'{"templateID":"base","timeout":1,"autoPause":true,"autoResume":{"enabled":true}}'
        status, answer = self.raw("POST", "/v2/sandboxes", body,
                                  {"X-API-KEY": self.server.key,
                                   "Content-Type": "application/json"})
        self.assertEqual(status, 201, answer)
        sandbox = answer.decode().split('"sandboxID":"')[1][:36]
        self.addCleanup(Sandbox.kill, sandbox)
        states = [e2b.SandboxState.PAUSED]

        def is_paused():
            listed = Sandbox.list(query=e2b.SandboxQuery(state=states)).next_items()
            return sandbox in [s.sandbox_id for s in listed]
        wait_until(is_paused, 20, "its time-out has paused it")
        token = answer.decode().split('"envdAccessToken":"')[1].split('"')[0]
        status, answer = self.raw("GET", "/files?path=/etc/passwd",
                                  headers={"E2b-Sandbox-Id": sandbox, "E2b-Sandbox-Port": "49983",
                                           "X-Access-Token": token})
        self.assertEqual(status, 200, answer)
        self.assertFalse(is_paused())


class TestSnapshots(SdkTest):
    def test_snapshot_and_fork(self):
        kept = "12" if ISOLATION == "kvm" else None  # processes of a container cannot be kept
        sandbox = self.make()
        sandbox.files.write("kept", "of the parent")
        sandbox.run_code("kept = 12")
        made = sandbox.create_snapshot(name=f"ready-{uuid.uuid4().hex[:8]}")
        self.assertIn(made.snapshot_id,
                      [s.snapshot_id for s in sandbox.list_snapshots().next_items()])
        children = sandbox.fork(count=2, timeout=300)
        for child in children:
            self.addCleanup(child.kill)
        children.append(self.make(template=made.snapshot_id))
        self.assertEqual(len({child.sandbox_id for child in [sandbox, *children]}), 4)
        for child in children:
            self.assertEqual(child.files.read("kept"), "of the parent")
            self.assertEqual(child.run_code("globals().get('kept')").text, kept)
            child.files.write("kept", "its own")
        self.assertEqual(sandbox.files.read("kept"), "of the parent")
        self.assertTrue(Sandbox.delete_snapshot(made.snapshot_id))
        self.assertFalse(Sandbox.delete_snapshot(made.snapshot_id))
