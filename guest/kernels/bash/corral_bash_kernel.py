# SPDX-License-Identifier: Apache-2.0
"""A Jupyter kernel for bash.

One bash process lives as long as the kernel. It is an interactive shell without a terminal:
on SIGINT such a shell stops its work and keeps its state. For each snippet
it reads two lines from a pipe: the first sources the snippet, the second reports the exit status
on a descriptor that the snippet does not have. Bash is in the kernel's process group, so that an
interrupt reaches it and its foreground job directly.
"""
import codecs
import fcntl
import os
import selectors
import signal
import subprocess
import time

import zmq
from ipykernel.kernelapp import IPKernelApp
from ipykernel.kernelbase import Kernel

BASH = ["bash", "--norc", "--noprofile", "--noediting", "-i"]
SETUP = "set +o history +o monitor +H; shopt -u checkwinsize; unset MAILCHECK HISTFILE PS1 PS2\n"

PIPE_SIZE = 1 << 20
PIECE = 1 << 20  # bytes of output after which a message goes out
GATHER_S = 0.02  # output younger than this waits for more
BACKLOG = 32  # messages that wait for the bridge; then bash does, whose pipes fill up
POLL_S = 0.2  # bounds how late the end of bash is noticed when a child keeps its pipe open
NUDGES = 20  # times an interrupt is repeated, one per poll


class Pipe:
    """The read end of one output stream of bash, and the output that was read from it."""

    def __init__(self, name):
        self.name = name
        self.fd, self.write_fd = os.pipe()
        os.set_blocking(self.fd, False)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._parts = []
        self.size = 0
        try:
            fcntl.fcntl(self.fd, 1031, PIPE_SIZE)  # F_SETPIPE_SZ, unnamed before Python 3.10
        except OSError:
            pass

    def read(self):
        """Reads once. The number of bytes; 0 for none."""
        try:
            data = os.read(self.fd, 65536)
        except BlockingIOError:
            return 0
        self._parts.append(data)
        self.size += len(data)
        return len(data)

    def take(self):
        text = self._decoder.decode(b"".join(self._parts))
        self._parts, self.size = [], 0
        return text


class Shell:
    """The bash process. Its output goes to `emit(stream name, text)`."""

    def __init__(self, emit):
        self._emit = emit
        self._code = os.memfd_create("snippet", 0)
        self._status_fd, status_write = os.pipe()
        self._wake_fd, self._wake_write = os.pipe()
        self._serial = 0
        self._status = b""
        self.interrupted = False
        self.outputs = [Pipe("stdout"), Pipe("stderr")]
        out, err = (pipe.write_fd for pipe in self.outputs)
        self._run_line = (
            f". /dev/fd/{self._code} </dev/null >&{out} 2>&{err}"
            f" {out}>&- {err}>&- {status_write}>&-\n"
        )
        self._report_line = f"printf '%s %s\\n' {{}} \"$?\" >&{status_write}\n"
        # Bash and its children inherit an ignored signal, but not one that has a handler.
        previous = signal.signal(signal.SIGINT, lambda *_: None)
        self._process = subprocess.Popen(
            BASH,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=[self._code, out, err, status_write],
        )
        signal.signal(signal.SIGINT, previous)
        for fd in (out, err, status_write):
            os.close(fd)
        for fd in (self._status_fd, self._wake_fd, self._wake_write):
            os.set_blocking(fd, False)
        self._selector = selectors.DefaultSelector()
        for fd in (self._status_fd, self._wake_fd, *(pipe.fd for pipe in self.outputs)):
            self._selector.register(fd, selectors.EVENT_READ)
        self._write(SETUP)

    @property
    def alive(self):
        return self._process.poll() is None

    def run(self, code):
        """The exit status of the snippet."""
        os.ftruncate(self._code, 0)
        os.pwrite(self._code, code.encode("utf-8", "replace"), 0)
        self._serial += 1
        self.interrupted = False
        self.drain()
        self._write(self._run_line + self._report_line.format(self._serial))
        since, nudges, nudge_at = None, 0, 0.0
        while True:
            now = time.monotonic()
            if since is not None and (now - since >= GATHER_S or self._gathered() >= PIECE):
                self._flush()
                since = None
            limit = POLL_S if since is None else GATHER_S - (now - since)
            ready = {key.fd for key, _ in self._selector.select(max(limit, 0))}
            if self._wake_fd in ready:
                os.read(self._wake_fd, 64)
                nudge_at = now + POLL_S
            if self.interrupted and nudges < NUDGES and now >= nudge_at:
                nudges, nudge_at = nudges + 1, now + POLL_S
                self._nudge()
            for pipe in self.outputs:
                if pipe.fd in ready and pipe.read() and since is None:
                    since = now
            status = self._read_status() if self._status_fd in ready or not ready else None
            if status is not None:
                self._read_rest()
                return status

    def interrupt(self):
        """Called from the signal handler; bash has the signal already."""
        self.interrupted = True
        try:
            os.write(self._wake_write, b"!")
        except BlockingIOError:
            pass

    def _nudge(self):
        """Repeats the interrupt, because it may be lost. When a child ends by itself just as the
        signal comes, bash thinks that the child has handled it, and continues. And a signal during
        the report loses the report."""
        previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
        os.killpg(0, signal.SIGINT)
        signal.signal(signal.SIGINT, previous)
        self._write(self._report_line.format(self._serial))

    def drain(self):
        """Drops the output of background jobs between snippets."""
        for pipe in self.outputs:
            while pipe.read():
                pipe.take()

    def close(self):
        self._process.kill()
        self._process.wait()
        self._process.stdin.close()
        self._selector.close()
        for fd in (self._code, self._status_fd, self._wake_fd, self._wake_write):
            os.close(fd)
        for pipe in self.outputs:
            os.close(pipe.fd)

    def _write(self, lines):
        try:
            self._process.stdin.write(lines.encode())
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # bash has ended, as _read_status() will notice

    def _read_status(self):
        """The exit status of this snippet, or of bash when it has ended, or None."""
        ended = not self.alive
        try:
            data = os.read(self._status_fd, 4096)
            ended = ended or not data
            self._status += data
        except BlockingIOError:
            pass
        *lines, self._status = self._status.split(b"\n")
        for line in lines:
            serial, _, status = line.partition(b" ")
            if int(serial) == self._serial:
                return int(status)
        if ended:
            status = self._process.wait()
            return status if status >= 0 else 128 - status
        return None

    def _read_rest(self):
        """Reads the output of the snippet, which is in the pipes by now. More than they hold comes
        from a background job."""
        for pipe in self.outputs:
            for _ in range(2 * PIPE_SIZE // 65536):
                if not pipe.read():
                    break
        self._flush()

    def _gathered(self):
        return sum(pipe.size for pipe in self.outputs)

    def _flush(self):
        for pipe in self.outputs:
            text = pipe.take()
            if text:
                self._emit(pipe.name, text)


class BashKernel(Kernel):
    implementation = "corral_bash"
    implementation_version = "1"
    banner = "bash"
    language_info = {"name": "bash", "mimetype": "text/x-sh", "file_extension": ".sh"}
    _execute_sleep = 0  # as in the IPython kernel

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self._silent = False
        self._shell = None

    def start(self):
        super().start()
        self._open_shell()

    def do_execute(
        self, code, silent, store_history=True, user_expressions=None, allow_stdin=False, **_
    ):
        if "\0" in code:
            return self._error("ValueError", "the code contains NUL", [])
        self._silent = silent
        previous = signal.signal(signal.SIGINT, lambda *_: self._shell.interrupt())
        try:
            status = self._shell.run(code)
        finally:
            signal.signal(signal.SIGINT, previous)
        interrupted, payload = self._shell.interrupted, []
        if not self._shell.alive:
            self._close_shell()
            self._open_shell()
            payload = [{"source": "state_lost"}]
        if interrupted:
            return self._error("KeyboardInterrupt", "", payload)
        if status != 0:
            return self._error("ExitStatus", str(status), payload)
        return {
            "status": "ok",
            "execution_count": self.execution_count,
            "payload": payload,
            "user_expressions": {},
        }

    def do_shutdown(self, restart):
        self._close_shell()
        return {"status": "ok", "restart": restart}

    def _open_shell(self):
        self._shell = Shell(self._emit)
        for pipe in self._shell.outputs:
            # Runs between snippets only, because the loop stands still during one.
            self.io_loop.add_handler(pipe.fd, lambda *_: self._shell.drain(), self.io_loop.READ)

    def _close_shell(self):
        for pipe in self._shell.outputs:
            self.io_loop.remove_handler(pipe.fd)
        self._shell.close()

    def _emit(self, name, text):
        if not self._silent:
            self.send_response(self.iopub_socket, "stream", {"name": name, "text": text})

    def _error(self, name, value, payload):
        content = {"ename": name, "evalue": value, "traceback": []}
        if not self._silent:
            self.send_response(self.iopub_socket, "error", content)
        return {
            "status": "error",
            "execution_count": self.execution_count,
            "payload": payload,
            **content,
        }


class KernelApp(IPKernelApp):
    def init_iopub(self, context):
        # As in the IPython kernel: while the bridge does not read, output waits and is not dropped.
        context.setsockopt(zmq.XPUB_NODROP, 1)
        context.setsockopt(zmq.SNDHWM, BACKLOG)
        context.setsockopt(zmq.RCVHWM, BACKLOG)
        super().init_iopub(context)


def main():
    KernelApp.launch_instance(kernel_class=BashKernel)


if __name__ == "__main__":
    main()
