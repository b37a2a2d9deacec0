# SPDX-License-Identifier: Apache-2.0
"""sandbox.py - the network of an agent in a network namespace of this process's main thread.

What the test opens and starts from its main thread is in that namespace, with a resolv.conf that
names the agent. The fake host listens on a unix socket, which no namespace separates.
"""
import ctypes
import os
import shutil
import signal
import subprocess
import tempfile
import time

import fakehost

BUILD = os.environ.get("CORRAL_BUILD_ASAN", "build-test")
AGENT = os.environ.get("CORRAL_TEST_AGENT", f"{BUILD}/guest/corral-agent-test")
CLONE_NEWNS, CLONE_NEWNET = 0x20000, 0x40000000
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


class Sandbox:
    def __init__(self, **environment):
        self.folder = tempfile.mkdtemp(prefix="corral-net-")
        new_namespace(self.folder)
        self.host = fakehost.Host(f"{self.folder}/egress.sock")
        self.log = open(f"{self.folder}/log", "w+", encoding="utf-8")
        self.agent = subprocess.Popen(
            (AGENT, "--listen", f"unix:{self.folder}/agent.sock", "--run-dir", f"{self.folder}/run",
             "--net", f"tun:{DEVICE}", "--egress", f"unix:{self.host.path}",
             "--bridge", "/bin/sleep", "100000"),
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log,
            env=dict(os.environ, **environment))
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
