# SPDX-License-Identifier: Apache-2.0
"""The official Node packages of E2B, and their command-line client, against a server.

CORRAL_TEST_SDK is the environment that the suite has made; its node_modules has the packages."""
import os
import subprocess
import unittest

from sdktest import Sandbox, SdkTest

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

    def test_list_and_kill(self):
        sandbox = self.make()
        listed = self.client("sandbox", "list", "--format", "json")
        self.assertIn(sandbox.sandbox_id, listed.stdout, listed.stderr)
        killed = self.client("sandbox", "kill", sandbox.sandbox_id)
        self.assertEqual(killed.returncode, 0, killed.stdout + killed.stderr)
        self.assertFalse(Sandbox.kill(sandbox.sandbox_id))
