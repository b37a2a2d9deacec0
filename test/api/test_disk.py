# SPDX-License-Identifier: Apache-2.0
"""The disk of a sandbox: how large it is, what becomes of it, and a host whose disk is full."""
import os
import shutil
import signal
import subprocess
import tempfile
import unittest

from corraltest import (HOST, ISOLATION, ApiTest, Server, loops_with, not_emulated, wait_until)

DISK_MB = 10240
OWN = ISOLATION == "oci" and os.path.exists("/dev/loop-control")
NEEDS_LOOP = unittest.skipUnless(OWN, "containers have no disks of their own here")


def fields(text):
    """The last line of df."""
    return text.split("\n")[-2].split()


@not_emulated("a microVM's disk is an image of the same size, with tests of its own")
@NEEDS_LOOP
class OwnDisk(ApiTest):
    options = ("--pool-size", "0", "--disk-bps", "1500M", "--disk-iops", "100000")

    def command(self, sandbox, command):
        return self.api.run(sandbox, command)

    def test_it_is_as_large_as_the_template_says(self):
        sandbox = self.create()
        size = int(fields(self.api.run(sandbox, "df -m /")["stdout"])[1])
        self.assertLessEqual(size, DISK_MB)
        self.assertGreater(size, DISK_MB * 0.95)
        inodes = int(fields(self.api.run(sandbox, "df -i /")["stdout"])[1])
        self.assertLessEqual(inodes, DISK_MB * 1024 // 16)

    def test_more_than_it_has_is_refused(self):
        sandbox = self.create()
        other = self.create()
        answer = self.command(sandbox, f"fallocate -l {DISK_MB}M /tmp/big; echo $?; rm -f /tmp/big")
        self.assertIn("No space left", answer["stderr"])
        filled = self.command(sandbox, "fallocate -l 9900M /tmp/most && df -m / | tail -1")
        self.assertEqual(filled["exit_code"], 0, filled)
        self.assertLess(int(fields(filled["stdout"])[3]), 500)
        left = int(fields(self.api.run(other, "df -m /")["stdout"])[3])
        self.assertGreater(left, DISK_MB * 0.95)
        answer = self.api.post(f"/sandboxes/{other}/files/write",
                               {"path": "/tmp/mine", "content": "kept"})
        self.assertEqual(answer.status, 200, answer)

    def test_the_host_gets_back_what_is_removed(self):
        sandbox = self.create()
        image = f"{self.server.state}/sandboxes/{sandbox}/disk.img"
        before = os.stat(image).st_blocks
        self.command(sandbox, "head -c 64M /dev/urandom >/tmp/data && sync -f /tmp/data; sync")

        def held():
            fd = os.open(image, os.O_RDONLY)
            os.fsync(fd)  # blocks are counted once they are written
            os.close(fd)
            return os.stat(image).st_blocks - before >= 64 * 2048

        def written():
            self.command(sandbox, "cat /tmp/data >/tmp/more; rm /tmp/more")
            return held()
        wait_until(written, 60, "the data is in the image")
        self.command(sandbox, "rm /tmp/data")
        wait_until(lambda: not held(), 60, "the image is small again")

    def test_its_limits_are_the_kernels(self):
        sandbox = self.create()
        found = [line for folder in HOST.cgroups() if os.path.basename(folder) == f"corral-{sandbox}"
                 for name in ("blkio.throttle.write_bps_device", "io.max")
                 for line in HOST.read(f"{folder}/{name}").decode().splitlines()]
        self.assertTrue(any(line.startswith("7:") and str(1500 << 20) in line for line in found),
                        found)

    def test_a_device_goes_with_its_sandbox(self):
        sandbox = self.create()
        self.assertEqual(len(loops_with(sandbox)), 1)
        self.assertEqual(self.api.delete(f"/sandboxes/{sandbox}").status, 200)
        wait_until(lambda: not loops_with(sandbox), 20, "the device is free")

    def test_nothing_is_left_after_a_crash(self):
        kept, other = self.create(), self.create()
        self.command(kept, "echo kept >/tmp/file")
        pid = self.command(other, "echo 1")["stdout"]
        self.assertEqual(pid, "1\n")
        self.server.kill()
        self.server.start()
        self.assertEqual(self.command(kept, "cat /tmp/file")["stdout"], "kept\n")
        self.assertEqual(self.api.delete(f"/sandboxes/{other}").status, 200)
        self.server.stop(signal.SIGINT)
        wait_until(lambda: not self.server.left(), 20, "nothing is left")
        self.server.start()


class SmallServer(Server):
    """Its state directory is on a file system of 96 MiB."""

    def __init__(self, options=(), build=None):
        super().__init__(options, build)
        self.mount = tempfile.mkdtemp(prefix="corral-small-")
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=96m", "corral-test", self.mount],
                       check=True)
        self.state = HOST.state(self.mount)
        self.filler = f"{self.mount}/filler"

    def fill(self, leave):
        """Takes all space but some MiB."""
        fs = os.statvfs(self.mount)
        with open(self.filler, "ab") as f:
            f.write(bytes(max(fs.f_bavail * fs.f_frsize - (leave << 20), 0)))
        if leave == 0:
            with open(self.filler, "ab", buffering=0) as f:
                try:
                    while f.write(bytes(4096)):
                        pass
                except OSError:
                    pass

    def make_room(self):
        if os.path.exists(self.filler):
            os.unlink(self.filler)

    def close(self):  # called again before the next class
        self.make_room()
        faults = super().close()
        if os.path.ismount(self.mount):
            subprocess.run(["umount", "-l", self.mount], check=True)
        shutil.rmtree(self.mount, ignore_errors=True)
        return faults


@not_emulated("it mounts a small file system where the tests are")
class FullDisk(ApiTest):
    kind = SmallServer
    options = ("--pool-size", "0", "--disk-reserve", "16MiB")

    def tearDown(self):
        self.server.make_room()
        super().tearDown()

    def health(self):
        answer = self.api.get("/health", prefix="")
        self.assert_keys(self.assert_json(answer, 200), {"status", "version", "isolation",
                                                         "sandboxes"})
        return answer.json["status"]

    def status(self, sandbox):
        return self.api.get(f"/sandboxes/{sandbox}").json["status"]

    def test_no_sandbox_is_made_from_the_reserve(self):
        sandbox = self.create()
        self.assertEqual(self.health(), "ok")
        self.server.fill(leave=8)
        self.assertEqual(self.health(), "degraded")
        answer = self.api.post("/sandboxes", {"provider": "test", "region": "here"})
        message = self.assert_error(answer, 503, "host_full")
        self.assertRegex(message, r"\b[0-9] MiB")
        self.assertTrue(answer.headers["Retry-After"])
        self.assertEqual(self.api.run(sandbox, "echo here")["stdout"], "here\n")
        self.server.make_room()
        self.assertEqual(self.health(), "ok")
        self.create()

    def test_ends_are_recorded_on_a_full_disk(self):
        killed = self.create()
        expired = self.create(timeout=6)
        other = self.create()
        self.server.fill(leave=0)
        answer = self.api.delete(f"/sandboxes/{killed}")
        self.assertEqual(answer.status, 200, answer)
        wait_until(lambda: self.status(expired) != "running", 30, "its time is over")
        answer = self.api.post(f"/sandboxes/{other}/timeout", {"timeout": 900})
        self.assertEqual(answer.status, 200, answer)
        self.server.kill()
        self.server.start()
        self.assertEqual(self.status(killed), "terminated")
        self.assertEqual(self.status(expired), "timed_out")
        self.assertEqual(self.status(other), "running")
        self.assertEqual(self.api.run(other, "echo here")["stdout"], "here\n")


class DatabaseElsewhere(ApiTest):
    def test_it_moves_and_is_not_forgotten(self):
        place = os.path.join(os.path.dirname(self.server.state), "elsewhere")
        sandbox = self.create()
        self.server.stop()
        self.server.options = ["--db-dir", place]
        refused = self.server.run("--db-dir", place, "key", "list")
        self.assertNotEqual(refused.returncode, 0)
        self.assertIn("move its files", refused.stderr)
        HOST.run(["mv", f"{self.server.state}/db", place])
        self.server.start()
        self.assertEqual(self.api.run(sandbox, "echo here")["stdout"], "here\n")
        self.assertEqual(HOST.list(f"{self.server.state}/db"), [])
