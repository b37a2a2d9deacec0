# SPDX-License-Identifier: Apache-2.0
"""The reference's own client examples, unmodified but for base URL and key."""
import os
import shutil
import subprocess
import unittest

from corraltest import HOST, TEMPLATE, UUID, ApiTest, patience

EXAMPLES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "examples")


class Examples(ApiTest):
    def run_example(self, name, program, changes=()):
        with open(f"{EXAMPLES}/{name}", encoding="utf-8") as f:
            text = f.read()
        for old, new in (("your_api_key_here", self.api.key),
                         ("https://api.gravixlayer.com", f"http://127.0.0.1:{self.server.port}"),
                         *changes):
            self.assertEqual(text.count(old), 1, old)
            text = text.replace(old, new)
        path = f"{self.server.dir}/{name}"
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        result = subprocess.run([program, path], text=True, capture_output=True, timeout=patience(120),
                                env={"PATH": os.environ["PATH"], "NO_PROXY": "*"})
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        lines = result.stdout.split("\n")
        self.assertRegex(lines[0], f"^Created sandbox: {UUID.pattern}$")
        self.assertEqual(self.status_of(lines[0].split()[-1]), "terminated")
        return "\n".join(lines[1:])

    def test_python(self):
        out = self.run_example("python_requests.py", "/usr/bin/python3")
        self.assertEqual(out, "Output: ['Hello from Python!']\n")

    @unittest.skipUnless(shutil.which("node"), "node is not installed")
    def test_javascript(self):
        if "javascript-base-v1" in HOST.templates():
            changes, who = (), "Node.js"
        else:
            changes = (("javascript-base-v1", TEMPLATE), ('"node"', '"python"'), ('"-e"', '"-c"'),
                       ("console.log('Hello from Node.js!')", "print('Hello from Python!')"))
            who = "Python"
        out = self.run_example("javascript_fetch.mjs", "node", changes)
        self.assertEqual(out, f"Output: Hello from {who}!\n\n")
