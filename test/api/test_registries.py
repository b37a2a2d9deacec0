# SPDX-License-Identifier: Apache-2.0
"""pip, npm and apt in a sandbox, through the registries that this machine uses. A registry that the
machine itself does not reach is left out, with a line that says so."""
import glob
import os
import subprocess
import tempfile
import unittest

import corraltest

CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"


def output(*command):
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


def pip_index():
    """As this machine's pip has it; its own default otherwise."""
    return output("python3", "-m", "pip", "config", "get", "global.index-url") or output(
        "python3", "-c", "from pip._internal.models.index import PyPI; print(PyPI.simple_url)")


@corraltest.not_emulated("the emulated host reaches no network")
class Registries(corraltest.ApiTest):
    # Registries of build machines can resolve into special ranges.
    options = ("--egress-allow", "*")

    def run_in(self, sandbox, script, **env):
        return self.api.run(sandbox, "sh", args=["-c", script], timeout=240_000, environment=env)

    def certificates(self, sandbox):
        """A machine may have authorities of its own."""
        with open(CERTIFICATES, encoding="utf-8") as f:
            answer = self.api.post(f"/sandboxes/{sandbox}/files/write",
                                   {"path": "/tmp/ca.crt", "content": f.read()})
        self.assertEqual(answer.status, 200, answer)

    def assert_good(self, answer):
        self.assertEqual(answer["exit_code"], 0, answer["stdout"][-1500:] + answer["stderr"][-1500:])

    def test_pip(self):
        index = pip_index()
        with tempfile.TemporaryDirectory() as folder:
            command = ["python3", "-m", "pip", "download", "--no-deps", "--no-cache-dir", "--dest",
                       folder, "--index-url", index, "six"]
            if not index or not output(*command):
                raise unittest.SkipTest("this machine reaches no index of Python packages")
        sandbox = self.create()
        self.certificates(sandbox)
        self.assert_good(self.run_in(
            sandbox, "python3 -m pip install --break-system-packages --user --no-cache-dir "
            f"--index-url {index} six && python3 -c 'import six; print(six.__version__)'",
            PIP_CERT="/tmp/ca.crt"))

    def test_npm(self):
        registry = output("npm", "config", "get", "registry")
        if not registry or not output("npm", "view", "left-pad", "version"):
            raise unittest.SkipTest("this machine reaches no registry of npm packages")
        if "javascript-base-v1" not in corraltest.HOST.templates():
            raise unittest.SkipTest("the template javascript-base-v1 is not built")
        sandbox = self.create(template="javascript-base-v1")
        self.certificates(sandbox)
        self.assert_good(self.run_in(
            sandbox, f"cd /tmp && npm install --registry {registry} left-pad && "
            "node -e \"console.log(require('left-pad')(1, 3))\"",
            NODE_EXTRA_CA_CERTS="/tmp/ca.crt", HOME="/tmp"))

    def test_apt(self):
        sources = {os.path.basename(p): open(p, encoding="utf-8").read() for p in glob.glob(
            "/etc/apt/sources.list.d/debian.sources") + glob.glob("/etc/apt/sources.list")}
        if not any("deb" in text for text in sources.values()):
            raise unittest.SkipTest("this machine has no archive of Debian packages")
        sandbox = self.create()
        self.certificates(sandbox)
        for name, text in sources.items():
            self.api.post(f"/sandboxes/{sandbox}/files/write",
                          {"path": f"/tmp/apt/etc/{name}", "content": text})
        answer = self.run_in(
            sandbox, "mkdir -p /tmp/apt/etc /tmp/apt/state/lists/partial /tmp/apt/cache/archives/partial"
            " && touch /tmp/apt/etc/sources.list && apt-get update -o Dir::State=/tmp/apt/state"
            " -o Dir::Cache=/tmp/apt/cache -o Dir::Etc::sourcelist=/tmp/apt/etc/sources.list"
            " -o Dir::Etc::sourceparts=/tmp/apt/etc -o Dir::State::status=/var/lib/dpkg/status"
            " -o Acquire::https::CAInfo=/tmp/ca.crt -o APT::Update::Error-Mode=any")
        self.assert_good(answer)
        self.assertIn("Fetched", answer["stdout"])
