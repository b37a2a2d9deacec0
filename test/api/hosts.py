# SPDX-License-Identifier: Apache-2.0
"""Where the server under test runs: on this machine, or in the emulated KVM host of test/rig.

The tests run here in both cases. What they want to know of the server's machine - files, processes,
mounts, cgroups - they ask `HOST`. Environment: CORRAL_TEST_RIG is the directory of a running emulated
host; CORRAL_TEST_SLOW says how many times longer than usual a test waits before it gives up.
"""
import collections
import functools
import os
import random
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
import unittest

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, f"{TOP}/test/rig")

from machine import Machine
from process import Process

RIG = os.environ.get("CORRAL_TEST_RIG")
SLOW = int(os.environ.get("CORRAL_TEST_SLOW", "30" if RIG else "1"))
PORTS = range(16384, 32768)
CLAIMS = []  # a socket each, whose name no other process can have at the same time
LONGEST = 300  # seconds; nothing that still works takes longer, even there
BUILDS = {"release": os.environ.get("CORRAL_BUILD", f"{TOP}/build"),
          "asan": os.environ.get("CORRAL_BUILD_ASAN", f"{TOP}/build-test")}
CORRAL = os.path.abspath(f"{BUILDS['release']}/src/cli/corral")  # the client, which runs here
TEMPLATES = os.environ.get("CORRAL_TEST_TEMPLATES", "/var/cache/corral-test/templates")


def patience(seconds):
    """How long to wait here for what takes at most some seconds on a usual machine."""
    return min(seconds * SLOW, max(seconds, LONGEST))


def time_out(seconds, unit=1):
    """The field of a request that says so, where the server's default of some seconds is too short
    for what must succeed. `unit`: of the field, in a second."""
    return {"timeout": int(patience(seconds) * unit)} if SLOW > 1 else {}


def not_emulated(reason):
    """Leaves a test or a class out where every instruction is interpreted, and says why."""
    return unittest.skipIf(RIG, f"left out in the emulated host: {reason}")


def free_port():
    """A port of this machine, for this process until it ends: no other run of tests gets it, and no
    connection, whose ports are above, while nothing listens between a kill and the next start."""
    for port in random.sample(PORTS, len(PORTS)):
        claim = socket.socket(socket.AF_UNIX)
        try:
            claim.bind(f"\0corral-test-port-{port}")
            with socket.socket() as s:
                s.bind(("127.0.0.1", port))
        except OSError:
            claim.close()
            continue
        CLAIMS.append(claim)
        return port
    raise AssertionError(f"no free port among {PORTS}")


def memory_areas(smaps):
    """Sizes in KiB of mappings without a gap between them, as those of a guest's memory are."""
    found, end = [], None
    for text in re.split(r"^(?=[0-9a-f]+-[0-9a-f]+ )", smaps, flags=re.M)[1:]:
        span, sizes = text.split(" ", 1)
        if span.split("-")[0] != end:
            found.append(collections.Counter())
        end = span.split("-")[1]
        found[-1].update({key: int(size) for key, size in
                          re.findall(r"^(\w+):\s+(\d+) kB$", sizes, re.M)})
    return found


def guest_area(areas):
    """That of the guest's memory, of a VMM's."""
    return max(areas, key=lambda area: area["Size"])


def data_of(path):
    """What a file holds but for its holes, which are most of a sandbox's disk."""
    with open(path, "rb") as file:
        at, size = 0, os.fstat(file.fileno()).st_size
        while at < size:
            try:
                at = os.lseek(file.fileno(), at, os.SEEK_DATA)
            except OSError:
                return
            end = os.lseek(file.fileno(), at, os.SEEK_HOLE)
            yield os.pread(file.fileno(), min(end - at, 1 << 26), at)
            at = min(end, at + (1 << 26))


class LocalHost:
    address = "127.0.0.1"  # for servers to listen on
    options = ()  # of every server
    client = "127.0.0.1"  # where they see the tests' connections come from
    at_once = 1000  # connections that may be made at the same time
    egress = f"{BUILDS['release']}/src/egress/corral-egress"

    def program(self, build):
        return f"{BUILDS['asan' if build == 'stepped' else build]}/src/corrald"

    def has(self, _build):
        return True

    def templates(self):
        """name -> directory."""
        return {n: f"{TEMPLATES}/{n}" for n in os.listdir(TEMPLATES)
                if os.path.exists(f"{TEMPLATES}/{n}/template.json")}

    def state(self, folder):
        """A state directory of the server whose files of tests are in `folder`."""
        os.makedirs(f"{folder}/state/templates", mode=0o700)
        for name, path in self.templates().items():
            os.symlink(path, f"{folder}/state/templates/{name}")
        return f"{folder}/state"

    def open_port(self):
        """A port for a server to listen on, which can be reached at 127.0.0.1."""
        return free_port()

    def close_port(self, port):
        pass

    def start(self, arguments, log):
        with open(log, "ab") as out:
            return subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                    start_new_session=True)

    def run(self, arguments, text="", timeout=120):
        return subprocess.run(arguments, input=text, text=True, capture_output=True,
                              timeout=timeout, check=False)

    def read(self, path):
        """The bytes of a file; none when there is no such file."""
        try:
            with open(path, "rb") as f:
                return f.read()
        except FileNotFoundError:
            return b""

    def place(self, path):
        """The name of a file of this machine on the server's machine, with its present bytes."""
        return path

    def write(self, path, text):
        """A whole file, which nobody finds half written."""
        with open(path + ".new", "w", encoding="utf-8") as f:
            f.write(text)
        os.rename(path + ".new", path)

    def mode(self, path):
        return os.stat(path).st_mode & 0o777

    def list(self, path):
        try:
            return os.listdir(path)
        except FileNotFoundError:
            return []

    def remove_file(self, path):
        os.unlink(path)

    def remove(self, path):
        shutil.rmtree(path, ignore_errors=True)

    def clock(self):
        """The wall clock of the server's machine, in seconds."""
        return time.time()

    def kill(self, pid):
        try:
            os.kill(pid, 9)
        except ProcessLookupError:
            pass

    def processes(self):
        """(pid, command line and cgroups) of every process but this one."""
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                text = (self.read(f"/proc/{pid}/cmdline").replace(b"\0", b" ")
                        + self.read(f"/proc/{pid}/cgroup")).decode(errors="replace")
            except OSError:
                continue
            if int(pid) != os.getpid():
                found.append((int(pid), text))
        return found

    def cgroups(self):
        return [folder for folder, _, _ in os.walk("/sys/fs/cgroup")]

    def files_with(self, folder, text):
        found = []
        for root, _, names in os.walk(folder):
            for path in (os.path.join(root, name) for name in names):
                if os.path.isfile(path) and not os.path.islink(path):
                    if any(text.encode() in data for data in data_of(path)):
                        found.append(path)
        return found


class RigHost:
    """State directories are on the machine's own disk; ports are forwarded one by one. Programs are
    the release build: sanitizers would make slow what is slow already."""

    address = "0.0.0.0"
    options = ("--port-auth", "none")  # as on the loopback: the ports are forwarded from there
    client = "10.0.2.2"
    at_once = 4  # of many more, QEMU's port forwarding resets some
    egress = "/corral/src/egress/corral-egress"

    def __init__(self, path):
        self.machine = Machine(path)

    def program(self, build):
        return "/corral/src/corrald" + (".stepped" if build == "stepped" else "")

    def has(self, build):
        return bool(self.list(self.program(build)))

    @functools.cache
    def templates(self):
        names = self.machine.check("cd /templates && ls -d */kvm || true").split()
        return {n.split("/")[0]: "/templates/" + n.split("/")[0] for n in names}

    def state(self, folder):
        path = f"/state/{os.path.basename(folder)}/state"
        links = " ".join(self.templates().values())
        self.machine.check(f"mkdir -p {path}/templates; chmod 700 {path} {path}/templates; "
                           f"ln -s {links} {path}/templates/")
        return path

    def open_port(self):
        port = free_port()
        self.machine.forward(port)
        return port

    def close_port(self, port):
        self.machine.unforward(port)

    def start(self, arguments, log):
        return Process(self.machine, arguments, log)

    def run(self, arguments, text="", timeout=120):
        command = " ".join(map(shlex.quote, arguments))
        script = (f"printf %s {shlex.quote(text)} | timeout {patience(timeout):.0f} {command} "
                  "2>/tmp/err.$$; s=$?; printf '\\0\\0'; cat /tmp/err.$$; rm /tmp/err.$$; exit $s")
        status, out = self.machine.capture(script)
        stdout, _, stderr = out.decode(errors="replace").partition("\0\0")
        return subprocess.CompletedProcess(arguments, status, stdout, stderr)

    def read(self, path):
        return self.machine.get(path)

    def place(self, path):
        target = f"/state/{os.path.basename(os.path.dirname(path))}/{os.path.basename(path)}"
        self.machine.put(path, target)
        return target

    def write(self, path, text):
        self.machine.check(f"printf %s {shlex.quote(text)} >{path}.new && mv {path}.new {path}")

    def mode(self, path):
        return int(self.machine.check(f"stat -c %a {shlex.quote(path)}"), 8)

    def list(self, path):
        return self.machine.check(f"ls -A {shlex.quote(path)} 2>/dev/null || true").split()

    def remove_file(self, path):
        self.machine.check(f"rm {shlex.quote(path)}")

    def remove(self, path):
        self.machine.check(f"rm -rf {shlex.quote(os.path.dirname(path))}")

    def clock(self):
        fields = dict(re.findall(r"time\.(tv_\w+):\s+(\d+)", self.machine.check("adjtimex")))
        return int(fields["tv_sec"]) + int(fields["tv_usec"]) / 1e6

    def kill(self, pid):
        self.machine.check(f"kill -9 {pid} 2>/dev/null || true")

    def processes(self):
        lines = self.machine.ask("ps").decode(errors="replace").splitlines()
        return [(int(pid), text) for pid, _, text in (line.partition(" ") for line in lines)]

    def cgroups(self):
        return self.machine.check("find /sys/fs/cgroup -type d").splitlines()

    def files_with(self, folder, text):
        """But for disks, whose holes would be read byte by byte."""
        return self.machine.check(f"find {shlex.quote(folder)} -type f -size -262144k -exec "
                                  f"grep -lF -e {shlex.quote(text)} {{}} + || true").splitlines()


HOST = RigHost(RIG) if RIG else LocalHost()
