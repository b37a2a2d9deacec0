# SPDX-License-Identifier: Apache-2.0
"""The user ids of containers: each has its own, and what the kernel counts for a user is its own."""
import os
import unittest

from corraltest import HOST, ISOLATION, ApiTest, not_emulated, wait_until
from streams import Stream

# Takes inotify instances until there are no more, and holds them. A process holds as many as it may
# have descriptors, which can be fewer than its user may have instances: children take the rest.
GREEDY = """python3 -c '
import ctypes, os, time
libc = ctypes.CDLL(None)
mine, told = os.pipe()
taken = True
while taken:
    if os.fork() == 0:
        count = 0
        while libc.inotify_init1(0) >= 0:
            count += 1
        os.write(told, b"y" if count else b"n")
        time.sleep(1000)
    taken = os.read(mine, 1) == b"y"
print("taken", flush=True)
time.sleep(1000)'"""
MOST = 65536  # what the test takes at most: each instance costs the host's kernel memory
ONE = "python3 -c 'import ctypes; print(ctypes.CDLL(None).inotify_init1(0) >= 0)'"


@not_emulated("a microVM has a kernel of its own")
@unittest.skipUnless(ISOLATION == "oci", "a microVM has a kernel of its own")
class Users(ApiTest):
    options = ("--pool-size", "0")

    @classmethod
    def prepare(cls):
        if "containers have no user ids of their own" in cls.server.log():
            raise unittest.SkipTest("containers have no user ids of their own here")

    def ids(self, sandbox):
        """User ids, as the host sees them, of the processes in a sandbox."""
        found = set()
        for pid, text in HOST.processes():
            if f"corral-{sandbox}" in text:
                for line in HOST.read(f"/proc/{pid}/status").decode().splitlines():
                    if line.startswith("Uid:"):
                        found.add(int(line.split()[1]))
        return found

    def as_root(self, sandbox, command):
        """What a command of the sandbox's root prints, and its exit code."""
        process = self.assert_json(self.api.post(f"/sandboxes/{sandbox}/processes",
                                                 {"command": command, "user": "root"}), 201)
        events = Stream(self.api, "GET",
                        f"/sandboxes/{sandbox}/processes/{process['pid']}/stream").all()
        return ("".join(e["data"] for e in events if e["type"] == "stdout"),
                events[-1]["exit_code"])

    def busy(self):
        sandbox = self.create()
        self.api.post(f"/sandboxes/{sandbox}/processes", {"command": "sleep 1000"})
        wait_until(lambda: len(self.ids(sandbox)) > 1, 30, "its user has a process")
        return sandbox

    def test_ids_outside_are_not_those_inside(self):
        boxes = [self.busy(), self.busy()]
        self.assertEqual(self.api.run(boxes[0], "id -u")["stdout"], "1000\n")
        seen = [self.ids(box) for box in boxes]
        for ids in seen:
            self.assertGreaterEqual(min(ids), 1900000000)
            self.assertEqual({i % 65536 for i in ids}, {0, 1000})
        self.assertFalse({i // 65536 for i in seen[0]} & {i // 65536 for i in seen[1]})

    def test_an_adopted_sandbox_keeps_its_ids(self):
        kept = self.busy()
        before = self.ids(kept)
        self.server.kill()
        self.server.start()
        self.assertEqual(self.ids(kept), before)
        others = [self.busy() for _ in range(3)]
        for other in others:
            self.assertFalse(self.ids(other) & before)
        self.assertEqual(self.as_root(kept, "id -u"), ("0\n", 0))

    def test_one_cannot_take_anothers_inotify(self):
        share = int(HOST.read("/proc/sys/fs/inotify/max_user_instances"))
        if share > MOST:
            self.skipTest(f"a user may have {share} inotify instances here")
        greedy, other = self.create(), self.create()
        process = self.assert_json(self.api.post(f"/sandboxes/{greedy}/processes",
                                                 {"command": GREEDY}), 201)
        stream = Stream(self.api, "GET", f"/sandboxes/{greedy}/processes/{process['pid']}/stream")
        first = next(d for _, _, d in stream.events() if d["type"] in ("stdout", "stderr", "exited"))
        self.assertEqual(first.get("data"), "taken\n", first)
        self.assertEqual(self.api.run(greedy, ONE)["stdout"], "False\n")
        self.assertEqual(self.api.run(other, ONE)["stdout"], "True\n")

    def test_root_is_root_of_its_own_files_only(self):
        box = self.create()
        text, code = self.as_root(box, "touch /etc/mine && chown 1234:1234 /etc/mine && "
                                       "stat -c %u:%g /etc/mine /etc/passwd")
        self.assertEqual((text, code), ("1234:1234\n0:0\n", 0))
        for command in ("chown 70000 /etc/mine", "touch /opt/corral/mine", "mount -t tmpfs x /mnt",
                        "echo 1 >/proc/sys/kernel/panic", "chmod 777 /opt/corral-net/egress.sock",
                        "unshare -U true"):
            with self.subTest(command=command):
                self.assertNotEqual(self.as_root(box, command)[1], 0)
        self.assertEqual(self.api.run(box, "touch /etc/other")["exit_code"], 1)

    def test_files_of_both_users(self):
        box = self.create()
        for action, body in (("write", {"path": "/tmp/up", "content": "text"}),
                             ("read", {"path": "/tmp/up"})):
            answer = self.api.post(f"/sandboxes/{box}/files/{action}", body)
            self.assertEqual(answer.status, 200, answer)
        self.assertEqual(self.api.run(box, "stat -c %U /tmp/up")["stdout"], "user\n")
        image = f"{self.server.state}/sandboxes/{box}/disk.img"
        if os.path.exists(image):
            self.assertEqual(os.stat(image).st_uid, 0)
