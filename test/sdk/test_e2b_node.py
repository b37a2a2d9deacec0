# SPDX-License-Identifier: Apache-2.0
"""The official Node packages of E2B, and their command-line client, against a server.

CORRAL_TEST_SDK is the environment that the suite has made; its node_modules has the packages."""
import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time
import unittest

from sdktest import Sandbox, SdkTest, patience

HERE = os.path.dirname(os.path.abspath(__file__))
MODULES = f"{os.environ.get('CORRAL_TEST_SDK', '')}/node_modules"


@unittest.skipUnless(os.path.isdir(f"{MODULES}/e2b"), "the Node packages are not installed")
class TestNode(SdkTest):
    def test_cases(self):
        # An import is resolved from where the file stands.
        copy = f"{os.path.dirname(MODULES)}/e2b.mjs"
        with open(f"{HERE}/e2b.mjs", encoding="utf-8") as source, \
                open(copy, "w", encoding="utf-8") as target:
            target.write(source.read())
        done = subprocess.run(["node", copy], capture_output=True, text=True, timeout=300,
                              check=False)
        lines = done.stdout.splitlines()
        self.assertGreater(len(lines), 10, done.stderr[-3000:])
        for line in lines:
            with self.subTest(line.split(":")[0].split()[-1]):
                self.assertTrue(line.startswith("ok "), line)


@unittest.skipUnless(os.path.exists(f"{MODULES}/.bin/e2b"), "the client is not installed")
class TestClient(SdkTest):
    def client(self, *arguments):
        return subprocess.run([f"{MODULES}/.bin/e2b", *arguments], capture_output=True, text=True,
                              timeout=120, check=False)

    def test_connect(self):
        """A terminal in the sandbox: what is typed, what is seen, and its size."""
        sandbox = self.make()
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 111, 0, 0))
        seen = b""
        with subprocess.Popen([f"{MODULES}/.bin/e2b", "sandbox", "connect", sandbox.sandbox_id],
                              stdin=theirs, stdout=theirs, stderr=theirs,
                              start_new_session=True) as client:
            os.close(theirs)
            try:
                for wanted, typed in ((b"user@", b"stty size; id -un; echo $((40 + 2))\n"),
                                      (b"42", b"exit\n"), (None, b"")):
                    seen += self.read_until(ours, wanted)
                    os.write(ours, typed)
                client.wait(timeout=patience(30))
            finally:
                client.kill()
                os.close(ours)
        self.assertIn(b"33 111", seen)
        self.assertIn(b"\nuser\r", seen)
        self.assertTrue(sandbox.is_running())

    def read_until(self, terminal, wanted):
        """What appears, up to `wanted`; None: until nobody holds the other end."""
        seen, end = b"", time.monotonic() + patience(60)
        while wanted is None or wanted not in seen:
            ready, _, _ = select.select([terminal], [], [], max(0, end - time.monotonic()))
            self.assertTrue(ready, seen)
            try:
                piece = os.read(terminal, 4096)
            except OSError:  # EIO: the other end is closed
                break
            seen += piece
        return seen

    def test_logs(self):
        sandbox = self.make()
        sandbox.commands.run("echo hi; exit 0")
        shown = self.client("sandbox", "logs", sandbox.sandbox_id)
        self.assertEqual(shown.returncode, 0, shown.stdout + shown.stderr)
        self.assertIn("echo hi", shown.stdout)

    def test_list_and_kill(self):
        sandbox = self.make()
        listed = self.client("sandbox", "list", "--format", "json")
        self.assertIn(sandbox.sandbox_id, listed.stdout, listed.stderr)
        killed = self.client("sandbox", "kill", sandbox.sandbox_id)
        self.assertEqual(killed.returncode, 0, killed.stdout + killed.stderr)
        self.assertFalse(Sandbox.kill(sandbox.sandbox_id))
