# SPDX-License-Identifier: Apache-2.0
"""A sandbox that hangs: time-outs hold, and the sandbox says what is wrong."""
import os
import signal
import threading
import time
import unittest

from corraltest import ISOLATION, SandboxTest, not_emulated, wait_until
from streams import Stream


@not_emulated("processes of a container are stopped from this host")
@unittest.skipIf(ISOLATION == "kvm", "a guest's processes are not this host's")
class Hang(SandboxTest):
    options = ("--pool-size", "0")

    def stop(self, box, word):
        """Stops the processes of the sandbox whose command line holds `word`."""
        found = []
        for name in os.listdir("/proc"):
            try:
                with open(f"/proc/{name}/cgroup", encoding="utf-8") as file:
                    ours = box in file.read()
                with open(f"/proc/{name}/cmdline", "rb") as file:
                    ours = ours and word in file.read()
            except (OSError, ValueError):
                continue
            if ours:
                found.append(int(name))
        self.assertTrue(found, word)
        for pid in found:
            os.kill(pid, signal.SIGSTOP)
            self.addCleanup(self.resume, pid)
        return found

    @staticmethod
    def resume(pid):
        try:
            os.kill(pid, signal.SIGCONT)
        except ProcessLookupError:
            pass

    def reason(self, box):
        """What is wrong with the sandbox; None: nothing."""
        return self.api.get(f"/sandboxes/{box}").headers["X-Corral-Reason"]

    def test_a_stopped_bridge(self):
        box = self.create()
        self.assertEqual(self.api.code(box, "1+1", timeout=60)["error"], None)
        self.assertIsNone(self.reason(box))
        self.stop(box, b"bridge.py")
        begun = time.monotonic()
        answer = self.api.post(f"/sandboxes/{box}/code/run", {"code": "1", "timeout": 5})
        taken = time.monotonic() - begun
        self.assert_error(answer, 408, "timeout")
        print(f"note code with a time-out of 5 s on a stopped bridge: {taken:.1f} s")
        self.assertLess(taken, 20)
        self.assertIn("bridge", answer.headers["X-Corral-Reason"])
        self.assertIn("bridge", self.reason(box))
        self.assertEqual(self.api.run(box, "echo a")["stdout"], "a\n")

    def test_output_arrives_whole_from_a_bridge_that_stood_still(self):
        box = self.create()
        for language, loop in (("python", "for i in range(200000): print(i)"),
                               ("bash", "for ((i = 0; i < 200000; i++)); do echo $i; done"),
                               ("javascript", "for (let i = 0; i < 200000; i++) console.log(i)")):
            if self.api.post(f"/sandboxes/{box}/code/run",
                             {"code": "1", "language": language}).status != 200:
                continue  # the template has no such kernel
            said = []
            run = threading.Thread(target=lambda: said.append(self.api.code(
                box, loop, language=language, timeout=120)))
            run.start()
            time.sleep(0.3)
            stopped = self.stop(box, b"bridge.py")
            time.sleep(2)
            for pid in stopped:
                self.resume(pid)
            run.join()
            self.assertIsNone(said[0]["error"], language)
            self.assertEqual(said[0]["logs"]["stderr"], [], language)
            lines = "\n".join(said[0]["logs"]["stdout"]).split()
            self.assertEqual(lines, [str(i) for i in range(200000)], language)

    def test_a_stopped_agent(self):
        box, heard = self.create(), self.create()
        stream = Stream(self.api, "POST", f"/sandboxes/{heard}/commands/run?stream=true",
                        {"command": "echo up; sleep 1000", "timeout": 3600000}, timeout=200)
        events = stream.events()
        self.assertEqual(next(events)[2]["type"], "stdout")
        self.stop(heard, b"corral-agent")
        self.stop(box, b"corral-agent")
        begun = time.monotonic()
        answer = self.api.post(f"/sandboxes/{box}/commands/run", {"command": "true", "timeout": 5000})
        print(f"note a command on a stopped agent: {time.monotonic() - begun:.1f} s")
        self.assertIn(answer.status, (408, 500))
        self.assertLess(time.monotonic() - begun, 30)
        wait_until(lambda: "agent" in (self.reason(box) or ""), 25, "it says what is wrong")
        wait_until(lambda: self.api.get(f"/sandboxes/{box}").json["status"] == "failed", 90,
                   "the sandbox is ended")
        print(f"note a stopped agent is ended after {time.monotonic() - begun:.0f} s")
        self.assertIn("agent", self.reason(box))
        # Who only listens learns of it, too.
        self.assertEqual([e["type"] for _, _, e in events][-1], "error")
        self.assertEqual(self.api.get(f"/sandboxes/{heard}").json["status"], "failed")
