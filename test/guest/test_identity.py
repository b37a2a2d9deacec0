# SPDX-License-Identifier: Apache-2.0
"""The agent as process 1 of a machine: CONFIGURE gives the machine an identity. Namespaces stand in
for the machine: name, mounts and processes are its own. The clock is not, so it is left alone."""
import os
import re
import shutil
import subprocess
import tempfile
import time
import unittest

from guesthost import TEMPLATES, TOP, children, wire

BUILD = os.environ.get("CORRAL_BUILD", f"{TOP}/build")
CONFIGURE, CLOCK, CONFIGURED = 0x02, 0x03, 0x89
UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
HELLO = b"CONNECT 1024\n"

# The last line keeps the shell outside: it dies with its parent, and so does its child.
ENTER = r"""
set -e
mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/up,workdir=$2/work" "$2/root"
mkdir -p "$2/root/opt/corral" "$2/root/mnt/test"
cp "$3" "$2/root/opt/corral/corral-agent"
mount --bind "$2/shared" "$2/root/mnt/test"
exec chroot "$2/root" /opt/corral/corral-agent --listen unix:/mnt/test/agent
"""


class Identity(unittest.TestCase):
    def setUp(self):
        rootfs = f"{TEMPLATES}/python-base-v1/rootfs"
        agent = f"{BUILD}/guest/corral-agent"
        if os.geteuid() != 0 or not os.path.isdir(rootfs) or not os.path.exists(agent):
            self.skipTest("needs root, the template python-base-v1 and a build")
        self.folder = tempfile.mkdtemp(prefix="corral-identity-")
        for name in ("up", "work", "root", "shared"):
            os.mkdir(f"{self.folder}/{name}")
        self.socket = f"{self.folder}/shared/agent"
        self.process = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", "--uts", "--net", "--pid", "--fork",
             "--kill-child", "bash", "-c", ENTER, "enter", rootfs, self.folder, agent],
            stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(self.stop)
        for _ in range(300):
            if os.path.exists(self.socket):
                break
            time.sleep(0.1)
        (self.agent,) = children(self.process.pid)

    def stop(self):
        self.process.kill()
        self.process.wait()
        for _ in range(50):
            shutil.rmtree(self.folder, ignore_errors=True)
            if not os.path.exists(self.folder):
                return
            time.sleep(0.1)

    def ask(self, *request):
        with wire.Connection(self.socket, HELLO + wire.frame(*request)) as connection:
            greeting = connection.socket.recv(64, 0)
            self.assertRegex(greeting, rb"^OK \d+\n")
            rest = greeting.partition(b"\n")[2]
            while len(rest) < 8:
                rest += connection.socket.recv(64)
            return int.from_bytes(rest[4:6], "little")

    def configure(self, hostname, entropy):
        return self.ask(CONFIGURE, bytes(8), wire.string(entropy), wire.string(hostname),
                        wire.strings([]), bytes(4))

    def look(self):
        """(host name, machine id, boot id) as the processes of the machine see them."""
        root = f"/proc/{self.agent}/root"
        with open(f"{root}/etc/machine-id", encoding="ascii") as file:
            machine = file.read()
        with open(f"{root}/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            boot = file.read()
        name = subprocess.run(["nsenter", "--target", str(self.agent), "--uts", "uname", "-n"],
                              capture_output=True, text=True, check=True).stdout
        return name, machine, boot

    def test_each_configuration_is_a_new_identity(self):
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            host = file.read()
        seen = [self.look()]
        for name in ("first", "second", "third"):
            self.assertEqual(self.configure(name, os.urandom(32)), CONFIGURED)
            seen.append(self.look())
            self.assertEqual(seen[-1][0], f"{name}\n")
            self.assertRegex(seen[-1][1], r"^[0-9a-f]{12}4[0-9a-f]{3}[89ab][0-9a-f]{15}\n$")
            self.assertRegex(seen[-1][2], rf"^{UUID}\n$")
        self.assertEqual(len({machine for _, machine, _ in seen}), 4)
        self.assertEqual(len({boot for _, _, boot in seen} | {host}), 4)
        # There is one mount, however often the id was renewed, and nobody can write to it.
        with open(f"/proc/{self.agent}/mountinfo", encoding="utf-8") as file:
            mounts = re.findall(r"^.* /proc/sys/kernel/random/boot_id (\S+) .*$", file.read(), re.M)
        self.assertEqual(len(mounts), 1)
        self.assertEqual(set(mounts[0].split(",")) & {"ro", "nosuid", "nodev", "noexec"},
                         {"ro", "nosuid", "nodev", "noexec"})

    def test_without_entropy_it_stays_who_it_is(self):
        self.configure("name", b"x" * 32)
        before = self.look()
        self.assertEqual(self.configure("", b""), CONFIGURED)
        self.assertEqual(self.look(), before)

    def test_a_clock_of_zero_is_none(self):
        before = time.time()
        self.assertEqual(self.ask(CLOCK, bytes(8)), wire.OK)
        self.assertLess(abs(time.time() - before), 60)


if __name__ == "__main__":
    unittest.main()
