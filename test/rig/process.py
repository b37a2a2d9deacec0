# SPDX-License-Identifier: Apache-2.0
"""process.py - a program that runs in the emulated host, with the methods of subprocess.Popen."""
import shlex
import subprocess
import threading


class Process:
    """Its output is appended to a file in the machine. The job's connection lives as long as the
    program does: its last line is the exit status."""

    def __init__(self, machine, arguments, log):
        self.machine, self.returncode = machine, None
        command = " ".join(map(shlex.quote, arguments))
        script = f"echo $$\nexec {command} >>{shlex.quote(log)} 2>&1".encode()
        self._job = machine.connect()
        self._job.sendall(b"run %d\n" % len(script) + script)
        self._lines = self._job.makefile("rb")
        self.pid = int(self._lines.readline())
        self._over = threading.Event()
        threading.Thread(target=self._wait, daemon=True).start()

    def _wait(self):
        text = b""
        try:
            text = self._lines.read()
        except OSError:
            pass  # the machine is gone
        status = text.rpartition(b"=")[2].strip()
        code = int(status) if status.isdigit() else 1
        self.returncode = 128 - code if code > 128 else code
        self._job.close()
        self._over.set()

    def poll(self):
        return self.returncode

    def wait(self, timeout=None):
        if not self._over.wait(timeout):
            raise subprocess.TimeoutExpired(f"process {self.pid}", timeout)
        return self.returncode

    def send_signal(self, number):
        self.machine.check(f"kill -{int(number)} {self.pid} 2>/dev/null || true")

    def kill(self):
        self.send_signal(9)
