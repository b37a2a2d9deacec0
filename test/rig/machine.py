# SPDX-License-Identifier: Apache-2.0
"""machine.py - one emulated KVM host: QEMU, its supervisor, and the jobs it does.

A machine lives in a directory: its log, its QEMU's pid, the port of its job server. A supervisor
process is QEMU's parent; it ends QEMU when the owner (the process the machine was started for)
ends, however that happens, and QEMU ends when the supervisor does. So no emulator outlives its use.
"""
import ctypes
import io
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time

READY = b"rig: ready"
READY_SECONDS = 180
JOB_PORT = 9000  # inside the machine
PR_SET_PDEATHSIG = 1
KICK_SECONDS = 2


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Drive:
    """A raw disk image and where it is mounted in the machine. Several machines may share one that
    none of them writes to."""

    def __init__(self, path, mount, writable=False):
        self.path, self.mount, self.writable = path, mount, writable

    @classmethod
    def parse(cls, text):
        """IMAGE:/MOUNT:ro or IMAGE:/MOUNT:rw."""
        path, mount, mode = text.rsplit(":", 2)
        return cls(path, mount, mode == "rw")


class Machine:
    def __init__(self, path):
        self.path = path

    def qemu(self, kernel, initrd, drives, memory, port):
        """The flags of processor, accelerator and number of CPUs are not negotiable, nor is the
        emulator, which is in a folder beside the kernel: see HACKING.md."""
        emulator = f"{os.path.dirname(kernel)}/qemu"
        mounts = ",".join(f"{d.mount}:{'rw' if d.writable else 'ro'}" for d in drives)
        arguments = [
            f"{emulator}/ld-linux-x86-64.so.2", "--library-path", emulator,
            f"{emulator}/qemu-system-x86_64", "-L", emulator, "-accel", "tcg", "-cpu", "EPYC,+svm,+npt,-cx16", "-smp", "1",
            "-m", str(memory), "-nodefaults", "-no-user-config", "-nographic", "-no-reboot",
            "-serial", "stdio", "-qmp", f"unix:{self.path}/qmp,server=on,wait=off",
            "-kernel", kernel, "-initrd", initrd,
            "-append", f"console=ttyS0 panic=-1 mitigations=off rig.mounts={mounts}",
            "-netdev", f"user,id=n,restrict=on,hostfwd=tcp:127.0.0.1:{port}-:{JOB_PORT}",
            "-device", "virtio-net-pci,netdev=n,romfile=",
            # A second network, which Wan connects.
            "-netdev", f"dgram,id=wan,local.type=unix,local.path={self.path}/wan"
                       f",remote.type=unix,remote.path={self.path}/wan.far",
            "-device", "virtio-net-pci,netdev=wan,romfile="]
        for i, drive in enumerate(drives):
            access = "" if drive.writable else ",readonly=on"
            arguments += ["-drive", f"file={drive.path},if=none,id=d{i},format=raw,cache=unsafe"
                                    f",discard=unmap{access}",
                          "-device", f"virtio-blk-pci,drive=d{i}"]
        return arguments

    def start(self, kernel, initrd, drives=(), memory=4096, owner=None):
        """Boots it; `owner` is the pid of the process it is for (default: this one), 0 for none."""
        os.makedirs(self.path, exist_ok=True)
        owner = os.getpid() if owner is None else owner
        port = free_port()
        with open(f"{self.path}/log", "wb") as log:
            supervisor = subprocess.Popen(
                [sys.executable, os.path.abspath(__file__), str(owner), f"{self.path}/pid",
                 *self.qemu(kernel, initrd, drives, memory, port)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        with open(f"{self.path}/port", "w", encoding="ascii") as f:
            f.write(str(port))
        end = time.monotonic() + READY_SECONDS
        while time.monotonic() < end and supervisor.poll() is None:
            if READY in self.log() and self.answers():
                return self
            time.sleep(0.2)
        self.stop()
        raise RuntimeError(f"the emulated host does not come up, see {self.path}/log")

    def answers(self):
        """QEMU resets a connection that comes before the guest's address is known to it."""
        try:
            return self.run("true", io.BytesIO()) == 0
        except ConnectionError:
            return False

    def log(self):
        with open(f"{self.path}/log", "rb") as f:
            return f.read()

    def pid(self):
        """Of the running QEMU, or None."""
        try:
            with open(f"{self.path}/pid", encoding="ascii") as f:
                pid = int(f.read())
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                return pid if b"qemu-system" in f.read() else None
        except (OSError, ValueError):
            return None

    def stop(self):
        pid = self.pid()
        if pid is not None:
            os.kill(pid, signal.SIGKILL)
            while self.pid() == pid:
                time.sleep(0.05)

    def connect(self, timeout=None):
        with open(f"{self.path}/port", encoding="ascii") as f:
            return socket.create_connection(("127.0.0.1", int(f.read())), timeout)

    def run(self, script, out=None):
        """Runs a shell script; its output goes to `out` (default: standard output). Returns its
        exit status."""
        data = script.encode()
        out = out or sys.stdout.buffer
        tail = b""
        with self.connect() as s:
            s.sendall(b"run %d\n" % len(data) + data)
            while chunk := s.recv(65536):
                tail += chunk
                # The status line is "\n=255\n" at most; what cannot be part of it is shown at once.
                at = tail.find(b"\n", max(0, len(tail) - 16))
                at = len(tail) if at < 0 else at
                out.write(tail[:at])
                out.flush()
                tail = tail[at:]
        text, mark, status = tail.rpartition(b"\n=")
        out.write(text if mark else tail)
        out.flush()
        return int(status) if mark else 1

    def capture(self, script):
        """(exit status, output) of a script."""
        out = io.BytesIO()
        status = self.run(script, out)
        return status, out.getvalue()

    def check(self, script):
        """The output of a script that must succeed."""
        status, out = self.capture(script)
        if status != 0:
            raise RuntimeError(f"{script}: status {status}: {out.decode()[-2000:]}")
        return out.decode()

    def put(self, source, target):
        """Copies a file into the machine."""
        status = os.stat(source)
        with self.connect() as s, open(source, "rb") as f:
            s.sendall(b"put %o %d %s\n" % (status.st_mode & 0o777, status.st_size, target.encode()))
            s.sendfile(f)
            if s.recv(16) != b"=0\n":
                raise OSError(f"{target} cannot be written in the emulated host")

    def get(self, source):
        """The bytes of a file in the machine; none when there is no such file."""
        return self.ask(f"get {source}")

    def ask(self, line):
        """The answer to a job that is one line."""
        data = []
        with self.connect() as s:
            s.sendall(line.encode() + b"\n")
            while chunk := s.recv(1 << 16):
                data.append(chunk)
        return b"".join(data)

    def forward(self, port, address="127.0.0.1"):
        """From now on connections to this port come out at the same port in the machine."""
        self._hmp(f"hostfwd_add n tcp:{address}:{port}-:{port}")

    def unforward(self, port, address="127.0.0.1"):
        self._hmp(f"hostfwd_remove n tcp:{address}:{port}")

    def _hmp(self, line):
        answer = qmp(self.path, {"execute": "human-monitor-command",
                                 "arguments": {"command-line": line}})
        text = answer.get("return", answer)
        if text and "host forwarding rule" not in text:
            raise RuntimeError(f"{line}: {text}")


def qmp(path, request):
    """QEMU's answer."""
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(f"{path}/qmp")
        answers = s.makefile("r")
        answers.readline()
        for one in ({"execute": "qmp_capabilities"}, request):
            s.sendall(json.dumps(one).encode())
            answer = json.loads(answers.readline())
            while "event" in answer:
                answer = json.loads(answers.readline())
    return answer


def kick(machine):
    """QEMU 7.2 now and then forgot a timer's interrupt while a guest ran, and the machine stood still
    until the next from elsewhere, for minutes if need be. This is one, of the network.
    (QMP's stop is not for this: it waits, for ever, for a processor that may have lost its kick.)"""
    try:
        machine.connect(1).close()
    except (OSError, ValueError):
        pass  # it comes up, or ends


def supervise(owner, pid_file, arguments):
    """Runs QEMU until it ends or the owner does."""
    def end_with_parent():
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)

    watched = []
    if owner != 0:
        try:
            watched.append(os.pidfd_open(owner))
        except ProcessLookupError:
            return 1
    os.nice(10)
    process = subprocess.Popen(arguments, preexec_fn=end_with_parent)
    with open(pid_file, "w", encoding="ascii") as f:
        f.write(str(process.pid))
    watched.append(os.pidfd_open(process.pid))
    machine = Machine(os.path.dirname(pid_file))
    while not select.select(watched, [], [], KICK_SECONDS)[0]:
        kick(machine)
    process.kill()
    return process.wait()


if __name__ == "__main__":
    sys.exit(supervise(int(sys.argv[1]), sys.argv[2], sys.argv[3:]))
