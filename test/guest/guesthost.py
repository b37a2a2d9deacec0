# SPDX-License-Identifier: Apache-2.0
"""The real bridge with real kernels: in the root file system of a built template, with a private
overlay, as the ordinary user, in namespaces that end with it.

Environment: CORRAL_TEST_TEMPLATES (a directory of built templates).
"""
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "test", "lib"))

import wire  # noqa: E402

TEMPLATES = os.environ.get("CORRAL_TEST_TEMPLATES", "/var/cache/corral-test/templates")

# The last line keeps the shell in the namespace: it dies with its parent, and the namespace with
# it. A process that has dropped its privileges would outlive the parent.
ENTER = r"""
set -e
mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/up,workdir=$2/work" "$2/root"
mount -t proc proc "$2/root/proc"
mount --rbind /dev "$2/root/dev"
mkdir -p "$2/root/opt/corral" "$2/root/mnt/test"
mount --bind "$3" "$2/root/opt/corral"
mount --bind "$2/shared" "$2/root/mnt/test"
chmod 1777 "$2/root/tmp"
chroot --userspec=1000:1000 --groups=1000 "$2/root" /usr/bin/env -i HOME=/home/user USER=user \
    PATH=/usr/local/bin:/usr/bin:/bin LC_ALL=C.UTF-8 PYTHONDONTWRITEBYTECODE=1 $4 \
    python3 /opt/corral/bridge/bridge.py --socket /mnt/test/socket --warmup /mnt/test/warmup.json
exit $?
"""


class GuestHost:
    """A running bridge. `socket` is its path on this side, `shared` a folder it sees as /mnt/test,
    which prepare(shared) fills before the start; it returns more variables for the bridge."""

    def __init__(self, template="python-base-v1", warmup=None, prepare=lambda shared: ()):
        rootfs = os.path.join(TEMPLATES, template, "rootfs")
        if os.geteuid() != 0:
            raise unittest.SkipTest("chroot and mount need root")
        if not os.path.isdir(rootfs):
            raise unittest.SkipTest(f"there is no template {template} in {TEMPLATES}")
        self.folder = tempfile.mkdtemp(prefix="corral-guest-")
        for name in ("up", "work", "root", "shared"):
            os.mkdir(f"{self.folder}/{name}")
        os.chmod(f"{self.folder}/shared", 0o777)
        self.shared = f"{self.folder}/shared"
        self.socket = f"{self.shared}/socket"
        with open(f"{self.shared}/warmup.json", "w", encoding="utf-8") as file:
            json.dump(warmup or {}, file)
        self.process = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child",
             "bash", "-c", ENTER, "enter", rootfs, self.folder, os.path.join(TOP, "guest"),
             " ".join(prepare(self.shared))],
            stdin=subprocess.DEVNULL)
        self._wait_for_socket()

    def stop(self):
        self.process.kill()
        self.process.wait()
        for _ in range(50):
            shutil.rmtree(self.folder, ignore_errors=True)
            if not os.path.exists(self.folder):
                return
            time.sleep(0.1)

    def terminate(self):
        """Sends SIGTERM to the bridge. Returns its exit status."""
        (shell,) = children(self.process.pid)
        (bridge,) = children(shell)
        os.kill(bridge, signal.SIGTERM)
        return self.process.wait(timeout=20)

    def bridge_pid(self):
        (shell,) = children(self.process.pid)
        return children(shell)[0]

    def _wait_for_socket(self):
        for _ in range(300):
            if os.path.exists(self.socket):
                return
            if self.process.poll() is not None:
                break
            time.sleep(0.1)
        self.stop()
        raise AssertionError("the bridge did not start")


def fresh_seed():
    """The same one again would do nothing."""
    return os.urandom(32).hex()


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        return [int(child) for child in file.read().split()]


class GuestTest(unittest.TestCase):
    """One bridge for the class."""

    template = "python-base-v1"
    warmup = None

    @classmethod
    def setUpClass(cls):
        cls.host = GuestHost(cls.template, cls.warmup)
        cls.addClassCleanup(cls.host.stop)
        cls.socket = cls.host.socket

    def run_code(self, code, **options):
        return wire.run(self.socket, code, **options)

    def value(self, code, **options):
        """Runs code that must succeed. Returns the text of its result."""
        outcome = self.run_code(code, **options)
        self.assertEqual(outcome.status, wire.DONE_OK, (outcome.errors, outcome.refusal))
        return outcome.text

    def output(self, code, **options):
        """Runs bash code that must succeed. Returns its output."""
        outcome = self.run_code(code, language="bash", **options)
        self.assertEqual(outcome.status, wire.DONE_OK, (outcome.errors, outcome.refusal))
        return outcome.stdout

    def ask(self, *request):
        return wire.ask(self.socket, *request)

    def create_context(self, context, language="python", cwd="", lifetime=600):
        return self.ask(wire.CONTEXT_CREATE, wire.string(context), wire.string(language),
                        wire.string(cwd), wire.u32(lifetime))

    def get_context(self, context):
        return self.ask(wire.CONTEXT_GET, wire.string(context))

    def delete_context(self, context):
        return self.ask(wire.CONTEXT_DELETE, wire.string(context))

    def set_environment(self, pairs, seed=""):
        """It leads on a connection, where an operation may follow."""
        lead = wire.frame(wire.CODE_ENV, wire.strings(pairs), wire.string(seed))
        with wire.Connection(self.socket, lead) as connection:
            self.assertEqual(connection.next(), (wire.OK, []))

    def assert_refused(self, reply, code):
        kind, fields = reply
        self.assertEqual((kind, fields[0]), (wire.ERROR, code), fields)
        self.assertTrue(fields[1])
