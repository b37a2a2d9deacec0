# SPDX-License-Identifier: Apache-2.0
"""An attack from inside: calls, files, sockets and links that lead out of a sandbox, or into its agent.

In a container each of them must be refused, whoever tries. A microVM has a kernel of its own, and it
is Linux as anyone has it: root may do there what root does, and a user has the calls in OWN_KERNEL,
which reach that kernel alone. Everything else must be refused, and nothing of it is felt outside."""
import base64
import json
import os
import textwrap
import uuid

from corraltest import HOST, ISOLATION, SandboxTest
from streams import Stream

# What a container refuses because its kernel is the host's. A user of a microVM has it of a kernel that
# is nobody else's, and programs want it: browsers and bwrap the namespace, libuv the ring, Kerberos and
# systemd the keys, fanotify and overlay tools the handles (which open nothing: open_by_handle_at is refused).
OWN_KERNEL = {"unshare a user namespace", "io_uring_setup", "keyctl", "add_key", "name_to_handle_at"}

# Each attack prints nothing; it returns None when it was refused, else what it got.
PROGRAM = textwrap.dedent(r'''
    import ctypes, errno, json, os, socket, struct, sys
    libc = ctypes.CDLL(None, use_errno=True)

    def call(number, *arguments):
        rv = libc.syscall(number, *[a if isinstance(a, bytes) else ctypes.c_long(a) for a in arguments])
        return None if rv < 0 else f"returned {rv}"

    def write(path, text):
        try:
            with open(path, "w") as f:
                f.write(text)
        except OSError:
            return None
        return f"wrote {path}"

    def read(path, count=64):
        try:
            with open(path, "rb") as f:
                data = f.read(count)
        except OSError:
            return None
        return f"read {len(data)} bytes of {path}" if data else None

    def family(number, kind=socket.SOCK_RAW, protocol=0):
        try:
            socket.socket(number, kind, protocol).close()
        except OSError:
            return None
        return f"a socket of family {number}"

    def ptrace(pid):
        if libc.ptrace(16, pid, 0, 0) < 0:  # PTRACE_ATTACH
            return None
        # Whoever exits at once may leave even PID 1 stopped for good, which ends the own sandbox.
        os.waitpid(pid, 0x40000000)
        libc.ptrace(17, pid, 0, 0)
        return f"attached to {pid}"

    def readv(pid):
        buffer = ctypes.create_string_buffer(8)
        mine = struct.pack("<QQ", ctypes.addressof(buffer), 8)
        # Nothing is mapped at 8: whoever may read learns that, others learn that they may not.
        rv = libc.syscall(310, pid, mine, ctypes.c_long(1), struct.pack("<QQ", 8, 8), ctypes.c_long(1),
                          ctypes.c_long(0))
        return "may read" if rv >= 0 or ctypes.get_errno() == errno.EFAULT else None

    def device(kind, major, minor):
        path = f"/tmp/attack-node-{major}-{minor}"
        try:
            os.mknod(path, kind | 0o666, os.makedev(major, minor))
            return read(path) or f"made device {major}:{minor}"
        except OSError:
            return None
        finally:
            if os.path.lexists(path):
                os.unlink(path)

    S_IFBLK, S_IFCHR = 0o060000, 0o020000
    ATTACKS = {
        "control": lambda: write(f"/tmp/attack-control-{os.getuid()}", "x"),
        "mount tmpfs": lambda: call(165, b"none", b"/mnt", b"tmpfs", 0, 0),
        "mount proc": lambda: call(165, b"proc", b"/mnt", b"proc", 0, 0),
        "bind the root": lambda: call(165, b"/", b"/mnt", b"", 4096, 0),
        "remount the root": lambda: call(165, b"none", b"/", b"", 32, 0),
        "umount /proc": lambda: call(166, b"/proc", 2),
        "fsopen": lambda: call(430, b"tmpfs", 0),
        "open_tree": lambda: call(428, -100, b"/", 1),
        "pivot_root": lambda: call(155, b"/mnt", b"/mnt"),
        "unshare a user namespace": lambda: call(272, 0x10000000),
        "unshare mounts": lambda: call(272, 0x20000),
        "setns": lambda: call(308, os.open("/proc/self/ns/net", os.O_RDONLY), 0),
        "bpf": lambda: call(321, 5, b"\0" * 128, 128),
        "perf_event_open": lambda: call(298, struct.pack("<IIQ", 1, 128, 0) + b"\0" * 112, 0, -1, -1, 0),
        "userfaultfd": lambda: call(323, 0),
        "io_uring_setup": lambda: call(425, 8, b"\0" * 120),
        "keyctl": lambda: call(250, 0, -3, 1),
        "add_key": lambda: call(248, b"user", b"attack", b"x", 1, -3),
        "open_by_handle_at": lambda: call(304, -100, struct.pack("<Ii", 8, 1) + b"\0" * 8, 0),
        "name_to_handle_at": lambda: call(303, -100, b"/", struct.pack("<Ii", 128, 0) + b"\0" * 128,
                                          b"\0" * 8, 0),
        "process_vm_readv": lambda: readv(1),
        "kcmp": lambda: call(312, 1, 1, 0, 0, 0),
        "pidfd_getfd": lambda: call(438, os.pidfd_open(1), 3, 0),
        "init_module": lambda: call(175, b"x", 1, b""),
        "kexec_load": lambda: call(246, 0, 0, 0, 0),
        "reboot": lambda: call(169, 0xfee1dead - (1 << 32), 672274793, 0x89abcdef - (1 << 32), 0),
        "swapon": lambda: call(167, b"/tmp", 0),
        "settimeofday": lambda: call(164, struct.pack("<qq", 1, 0), 0),
        "clock_settime": lambda: call(227, 0, struct.pack("<qq", 1, 0)),
        "sethostname": lambda: call(170, b"attacked", 8),
        "iopl": lambda: call(172, 3),
        "syslog": lambda: call(103, 3, b"\0" * 64, 64),
        "acct": lambda: call(163, b"/tmp/acct"),
        "chroot": lambda: call(161, b"/tmp"),
        "ptrace of the agent": lambda: ptrace(1),
        "memory of the agent": lambda: read("/proc/1/mem"),
        "environment of the agent": lambda: read("/proc/1/environ"),
        # Linux drops what reaches PID 1 from inside, yet says nothing to root.
        "kill the agent": lambda: call(62, 1, 9) and os.getuid() != 0 or None,
        "a disk of the host": lambda: device(S_IFBLK, 8, 0) or device(S_IFBLK, 254, 0),
        "a loop device": lambda: device(S_IFBLK, 7, 0),
        "kernel memory": lambda: device(S_IFCHR, 1, 1) or device(S_IFCHR, 1, 2),
        "kmsg": lambda: device(S_IFCHR, 1, 11),
        "/dev/kvm": lambda: device(S_IFCHR, 10, 232),
        "/dev/fuse": lambda: device(S_IFCHR, 10, 229),
        "kcore": lambda: read("/proc/kcore"),
        "core_pattern": lambda: write("/proc/sys/kernel/core_pattern", "|/tmp/attack"),
        "modprobe": lambda: write("/proc/sys/kernel/modprobe", "/tmp/attack"),
        "hostname by sysctl": lambda: write("/proc/sys/kernel/hostname", "attacked"),
        "sysrq": lambda: write("/proc/sysrq-trigger", "h"),
        "drop_caches": lambda: write("/proc/sys/vm/drop_caches", "1"),
        "uevent_helper": lambda: write("/sys/kernel/uevent_helper", "/tmp/attack"),
        "the limits of its control group": lambda: (
            write("/sys/fs/cgroup/memory.max", "max") or write("/sys/fs/cgroup/cgroup.procs", "1") or
            write("/sys/fs/cgroup/memory/memory.limit_in_bytes", "-1")),
        "release_agent": lambda: write("/sys/fs/cgroup/release_agent", "/tmp/attack") or
                         write("/sys/fs/cgroup/memory/release_agent", "/tmp/attack"),
        "the agent's program": lambda: write("/opt/corral/corral-agent", "x") or
                               write("/opt/corral/bridge/bridge.py", "x"),
        "AF_PACKET": lambda: family(17),
        "AF_ALG": lambda: family(38, socket.SOCK_SEQPACKET),
        "AF_XDP": lambda: family(44),
        "AF_KEY": lambda: family(15, socket.SOCK_RAW, 2),
        "AF_BLUETOOTH": lambda: family(31, socket.SOCK_RAW, 1),
        "AF_CAN": lambda: family(29),
        "AF_TIPC": lambda: family(30, socket.SOCK_SEQPACKET),
        "AF_RDS": lambda: family(21, socket.SOCK_SEQPACKET),
        "a raw IP socket": lambda: family(2, socket.SOCK_RAW, 255),
        "netlink: nftables": lambda: netlink(12, 0xa00),
        "netlink: a new interface": lambda: netlink(0, 16),
        "lower the OOM score": lambda: write("/proc/self/oom_score_adj", "-1000"),
        "a real-time priority": lambda: call(144, 0, 1, struct.pack("<i", 50)),
        "a higher priority": lambda: call(141, 0, 0, -10),
    }

    def netlink(family, kind):
        """Whether a request that changes something is taken: an error answer is a refusal."""
        try:
            s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, family)
        except OSError:
            return None
        s.settimeout(2)
        body = struct.pack("<BxHiII", 0, 0, 0, 0, 0) if family == 0 else struct.pack("<BBH", 2, 0, 0)
        try:
            s.send(struct.pack("<IHHII", 16 + len(body), kind, 0x405, 1, 0) + body)
            answer = s.recv(4096)
        except OSError:
            return None
        kind, = struct.unpack_from("<H", answer, 4)
        error, = struct.unpack_from("<i", answer, 16)
        return None if kind == 2 and error < 0 else f"answer of kind {kind}, error {error}"

    got = {}
    for name in ATTACKS if len(sys.argv) < 2 else sys.argv[1:]:
        mine, theirs = os.pipe()
        pid = os.fork()  # an attack that works must not change the next one
        if pid == 0:
            if libc.unshare(0x20000) == 0:  # root of a microVM may change mounts: its own, then
                libc.mount(b"none", b"/", b"none", 0x44000, 0)
            os.write(theirs, str(ATTACKS[name]() or "").encode())
            os._exit(0)
        os.close(theirs)
        with open(mine, encoding="utf-8") as f:
            result = f.read()
        _, status = os.waitpid(pid, 0)
        if status != 0:
            result = f"ended with status {status}"
        if result:
            got[name] = result
    print(json.dumps(got))
''')


class Attack(SandboxTest):
    def attack(self, user):
        """What succeeded, but for the control, which must."""
        self.api.post(f"/sandboxes/{self.box}/files/write",
                      {"path": "/tmp/attack.py", "content": PROGRAM})
        process = self.assert_json(self.api.post(f"/sandboxes/{self.box}/processes", {
            "command": "python3 /tmp/attack.py", "user": user}), 201)
        events = Stream(self.api, "GET",
                        f"/sandboxes/{self.box}/processes/{process['pid']}/stream").all()
        said = {kind: "".join(e["data"] for e in events if e["type"] == kind)
                for kind in ("stdout", "stderr")}
        self.assertEqual((events[-1]["exit_code"], said["stderr"]), (0, ""))
        got = json.loads(said["stdout"])
        self.assertIn("wrote /tmp/attack-control", got.pop("control"))
        return got

    def assert_untouched(self):
        self.assertEqual(self.api.get("/health", prefix="").status, 200)
        self.assertEqual(self.run_command("echo alive")["stdout"], "alive\n")
        self.assertNotIn("attack", HOST.read("/proc/sys/kernel/core_pattern").decode())
        self.assertNotIn("attack", HOST.read("/proc/sys/kernel/hostname").decode())

    def test_as_the_user(self):
        got = self.attack("user")
        if ISOLATION == "kvm":
            got = {name: what for name, what in got.items() if name not in OWN_KERNEL}
        self.assertEqual(got, {})
        self.assert_untouched()

    def test_as_root(self):
        got = self.attack("root")
        if ISOLATION != "kvm":
            self.assertEqual(got, {})
        self.assert_untouched()

    def test_one_run_does_not_see_into_another(self):
        """Runs of one sandbox share a user, and still none reads another's memory by accident."""
        victim = self.api.post(f"/sandboxes/{self.box}/processes", {"command": "sleep 1000"}).json
        answer = self.run_command(
            f"python3 -c 'import ctypes; print(ctypes.CDLL(None).ptrace(16, {victim['pid']}, 0, 0))'")
        if ISOLATION != "kvm":
            self.assertEqual(answer["stdout"], "-1\n")
        self.api.delete(f"/sandboxes/{self.box}/processes/{victim['pid']}")


class Links(SandboxTest):
    """Links against each call for files: they lead somewhere in the sandbox, never out of it."""

    def setUp(self):
        self.name = f"/tmp/corral-attack-{uuid.uuid4().hex}"

    def file(self, action, body):
        return self.api.post(f"/sandboxes/{self.box}/files/{action}", body)

    def test_absolute_and_climbing_links(self):
        climbing = "../" * 40
        for target in (self.name, climbing + self.name[1:], f"/proc/1/root{self.name}",
                       f"/proc/self/root{self.name}", f"/proc/1/cwd/{climbing}{self.name[1:]}"):
            with self.subTest(target=target):
                self.run_command(f"rm -f /tmp/link {self.name}; ln -s '{target}' /tmp/link")
                self.file("write", {"path": "/tmp/link", "content": "through"})
                self.file("read", {"path": "/tmp/link"})
                self.api.post(f"/sandboxes/{self.box}/upload?path=/tmp/link", b"up",
                              headers={"Content-Type": "application/octet-stream"})
                self.api.get(f"/sandboxes/{self.box}/download?path=/tmp/link")
                for action in ("list", "mkdir", "stat", "delete"):
                    self.file(action, {"path": "/tmp/link"})
                self.assertFalse(os.path.lexists(self.name), "the link leads to the host")

    def test_a_folder_that_turns_into_a_link(self):
        """Writes go on while a folder of the path is swapped with a link to the root's /etc."""
        self.run_command("mkdir -p /tmp/swap/real; ln -sfn /etc /tmp/swap/link")
        swapper = self.api.post(f"/sandboxes/{self.box}/processes", {"command": (
            "cd /tmp/swap; while :; do mv -T real dir; mv -T dir real; mv -T link dir; "
            "mv -T dir link; done")}).json
        secret = base64.b64encode(self.name.encode()).decode()
        for n in range(40):
            self.file("write", {"path": f"/tmp/swap/dir/corral-attack-{n}", "content": secret})
        self.api.delete(f"/sandboxes/{self.box}/processes/{swapper['pid']}")
        self.assertEqual([n for n in os.listdir("/etc") if n.startswith("corral-attack-")], [])

    def test_pipes_and_devices_do_not_hang(self):
        self.run_command("rm -f /tmp/pipe; mkfifo /tmp/pipe")
        for action, extra in (("read", {}), ("write", {"content": "x"})):
            answer = self.file(action, {"path": "/tmp/pipe", **extra})
            self.assertNotEqual(answer.status, 500, answer)
        answer = self.file("read", {"path": "/dev/zero"})
        self.assertGreaterEqual(answer.status, 400, answer)
