# SPDX-License-Identifier: Apache-2.0
"""sandbox.py - the network of an agent in a network namespace of this process's main thread.

What the test opens and starts from its main thread is in that namespace, with a resolv.conf that
names the agent. The fake host listens on a unix socket, which no namespace separates.
"""
import ctypes
import fcntl
import os
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time

import fakehost

BUILD = os.environ.get("CORRAL_BUILD_ASAN", "build-test")
AGENT = os.environ.get("CORRAL_TEST_AGENT", f"{BUILD}/guest/corral-agent-test")
CLONE_NEWNS, CLONE_NEWNET = 0x20000, 0x40000000
TUNSETIFF, TUNSETOFFLOAD = 0x400454ca, 0x400454d0
IFF_TUN, IFF_NO_PI, IFF_VNET_HDR = 0x1, 0x1000, 0x4000
TUN_F_CSUM, TUN_F_TSO4 = 0x1, 0x2
DEVICE = "eth0"
libc = ctypes.CDLL(None, use_errno=True)


def run(*command, timeout=60, **kwargs):
    return subprocess.run(command, text=True, capture_output=True, timeout=timeout, **kwargs)


def new_namespace(folder):
    if libc.unshare(CLONE_NEWNET | CLONE_NEWNS) < 0:
        raise OSError(ctypes.get_errno(), "unshare")
    subprocess.run(("mount", "--make-rprivate", "/"), check=True)
    with open(f"{folder}/resolv.conf", "w", encoding="ascii") as f:
        f.write("nameserver 198.18.0.53\noptions timeout:5 attempts:2\n")
    subprocess.run(("mount", "--bind", f"{folder}/resolv.conf",
                    os.path.realpath("/etc/resolv.conf")), check=True)


def make_device():
    """What the helper of a container makes: a TUN and a listener, both in blocking mode, as runc
    hands them over."""
    tun = os.open("/dev/net/tun", os.O_RDWR)
    name = struct.pack("16sH22x", DEVICE.encode(), IFF_TUN | IFF_NO_PI | IFF_VNET_HDR)
    fcntl.ioctl(tun, TUNSETIFF, name)
    fcntl.ioctl(tun, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4)
    for command in ("link set lo up", f"addr add 198.18.0.1/24 dev {DEVICE}",
                    f"link set {DEVICE} up", "route add default via 198.18.0.2"):
        subprocess.run(["ip"] + command.split(), check=True)
    listener = socket.create_server(("198.18.0.1", 0))
    return tun, listener.detach()


class Sandbox:
    def __init__(self, inherited=False):
        """`inherited`: the agent is nobody, without rights, and gets descriptors."""
        self.folder = tempfile.mkdtemp(prefix="corral-net-")
        new_namespace(self.folder)
        self.host = fakehost.Host(f"{self.folder}/egress.sock")
        self.log = open(f"{self.folder}/log", "w+", encoding="utf-8")
        descriptors, device, prefix = (), f"tun:{DEVICE}", ()
        if inherited:
            descriptors = make_device()
            device = "fd:%d,%d" % descriptors
            prefix = ("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups",
                      "--no-new-privs", "--bounding-set=-all", "--inh-caps=-all")
            os.chown(self.folder, 65534, 65534)
            os.chown(self.host.path, 65534, 65534)
        self.agent = subprocess.Popen(
            prefix +
            (AGENT, "--listen", f"unix:{self.folder}/agent.sock", "--run-dir", f"{self.folder}/run",
             "--net", device, "--egress", f"unix:{self.host.path}",
             "--bridge", "/bin/sleep", "100000"),
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, pass_fds=descriptors)
        for fd in descriptors:
            os.close(fd)
        deadline = time.monotonic() + 20
        while not os.path.exists(f"{self.folder}/agent.sock") or "default" not in \
                run("ip", "route").stdout:
            assert self.agent.poll() is None and time.monotonic() < deadline, self.read_log()
            time.sleep(0.05)

    def read_log(self):
        with open(f"{self.folder}/log", encoding="utf-8") as f:
            return f.read()

    def close(self):
        """Ends all; what a sanitizer has found is an error."""
        status = None
        if self.agent.poll() is None:
            self.agent.send_signal(signal.SIGTERM)
        try:
            status = self.agent.wait(20)
        finally:
            self.agent.kill()
            log = self.read_log()
            self.host.stop()
            self.log.close()
            subprocess.run(("umount", os.path.realpath("/etc/resolv.conf")), check=True)
            shutil.rmtree(self.folder)
        assert status == 0, (status, log)

    def wait_for(self, what, seconds=10):
        """Until an event of the host's begins with `what`; the event."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for event in list(self.host.events):
                if event[:len(what)] == what:
                    return event
            time.sleep(0.01)
        raise AssertionError(f"no {what} in {self.host.events[-20:]}")

    def memory_kib(self):
        with open(f"/proc/{self.agent.pid}/status", encoding="ascii") as f:
            return next(int(line.split()[1]) for line in f if line.startswith("VmRSS"))

    def wakeups(self):
        """Voluntary context switches of all threads."""
        total = 0
        for thread in os.listdir(f"/proc/{self.agent.pid}/task"):
            with open(f"/proc/{self.agent.pid}/task/{thread}/status", encoding="ascii") as f:
                total += next(int(line.split()[1]) for line in f
                              if line.startswith("voluntary_ctxt"))
        return total
