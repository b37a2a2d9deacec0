# SPDX-License-Identifier: Apache-2.0
"""The bridge's side of the zygote (zygote.py), which forks kernels instead of starting them.

Possible failure modes are: the zygote does not take the request, or it has ended (the caller starts
a kernel the slow way). When it ends, its kernels end with it.
"""
import asyncio
import json
import os
import signal
import socket
import subprocess
import sys

import zygote

ANSWER_S = 240  # the first answer comes after the imports; for slow machines
TRIES = 3  # a zygote that ends as often is not started again


class Nursery:
    def __init__(self):
        self._warmup = ""
        self._socket = None
        self._program = None
        self._tries = 0
        self._turn = None
        self._answer = None
        self._kernels = {}
        self._early = {}  # ends that came before adopt()
        self._unwanted = set()  # nobody waited for them any more when they had started

    def configure(self, warmup):
        """`warmup`: the file whose imports the zygote does."""
        self._warmup = warmup

    async def fork(self, spec, connection_file, cwd, env, output):
        """The number of a new kernel that leads a session; None: none was started."""
        if spec not in zygote.KERNELS or not zygote.takes(env, os.environ):
            return None
        if self._turn is None:
            self._turn = asyncio.Lock()
        async with self._turn:
            if self._socket is None and not self._start():
                return None
            return await self._ask(spec, connection_file, cwd, env, output)

    def adopt(self, process):
        """`process.ended(code, signal)` is called at the end of the kernel, once."""
        early = self._early.pop(process.pid, None)
        self._kernels[process.pid] = process
        if early is not None:
            self._ended(process.pid, *early)

    async def _ask(self, spec, connection_file, cwd, env, output):
        path = connection_file + ".request"
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w",
                  encoding="utf-8") as file:
            json.dump({"kernel": spec, "connection_file": connection_file, "cwd": cwd, "env": env},
                      file)
        self._answer = asyncio.get_running_loop().create_future()
        self._send(path.encode(), output)
        try:
            return await asyncio.wait_for(self._answer, ANSWER_S)
        except asyncio.TimeoutError:
            self._stop()
            return None
        finally:
            self._answer = None
            os.unlink(path)

    def _start(self):
        if self._tries >= TRIES:
            return False
        self._tries += 1
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._program = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", sys.executable, zygote.__file__,
                 str(theirs.fileno()), self._warmup],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL, pass_fds=[theirs.fileno()],
                start_new_session=True)
        ours.setblocking(False)
        self._socket = ours
        asyncio.get_running_loop().add_reader(ours, self._receive)
        return True

    def _send(self, data, *fds):
        if self._socket is None:
            return
        try:
            socket.send_fds(self._socket, [data], list(fds))
        except OSError:
            self._stop()

    def _receive(self):
        try:
            data = self._socket.recv(zygote.PACKET)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._stop()
            return
        kind, *rest = json.loads(data)
        if kind == "ended":
            self._ended(*rest)
        elif self._answer is not None and not self._answer.done():
            self._answer.set_result(rest[0] if kind == "started" else None)
        elif kind == "started":
            self._unwanted.add(rest[0])
            os.kill(rest[0], signal.SIGKILL)

    def _ended(self, pid, code, number):
        process = self._kernels.pop(pid, None)
        if process is None and pid not in self._unwanted:
            self._early[pid] = (code, number)
            return
        self._unwanted.discard(pid)
        if process is not None:
            process.ended(code, number)
        # Nobody signals it any more: its number may become another's.
        self._send(str(pid).encode())

    def _stop(self):
        if self._socket is None:
            return
        asyncio.get_running_loop().remove_reader(self._socket)
        self._socket.close()
        self._socket = None
        self._program.kill()
        self._program.wait()
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(None)
        orphans, self._kernels = self._kernels, {}
        self._early.clear()
        self._unwanted.clear()
        for process in orphans.values():
            process.ended(0, signal.SIGKILL)


NURSERY = Nursery()
