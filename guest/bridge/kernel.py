# SPDX-License-Identifier: Apache-2.0
"""One running Jupyter kernel: start, execute one request at a time, interrupt, kill."""
import asyncio
import hmac
import inspect
import json
import os
import shutil
import signal
import tempfile

import zmq
from jupyter_client.manager import AsyncKernelManager
from traitlets import Instance

import wire
from channel import Channel
from execution import Execution
from language import IPC_KERNELSPECS, spec_manager
from nursery import NURSERY
from process import Process
from zygote import KERNELS

START_S = 240  # a kernel that sends nothing for this long has not started; for slow machines
ASK_S = (0.03, 0.5)  # kernel_info is asked again, less and less often, until iopub is heard
SILENT_S = 600  # limit of a silent request: for code that hangs, not for a slow machine
LAST_WORDS_S = 0.2  # from a kernel's death to the end of its run
INTERRUPT_S = 5  # time to become idle after an interrupt
MAX_MESSAGE = 64 << 20  # bytes of one zmq message; a longer one ends its connection
DIE_WITH_US = ["setpriv", "--pdeathsig", "KILL"]
MAX_BACKLOG = 64  # messages waiting in this process; then the kernel's own queue fills up
# What reading a message raises that makes no sense: the code in the kernel can send any. JSON may
# nest deeper than Python calls, and Python's reader takes an infinity, which is no integer.
NONSENSE = (
    ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, RecursionError)
CATCHES_UP = {"ipython"}  # kernelspecs whose kernels know what to do with `owed`


class _Manager(AsyncKernelManager):
    """Later versions make an asynchronous context, but channel.Channel reads from plain sockets."""

    context = Instance(zmq.Context)

    def format_kernel_cmd(self, *arguments, **options):
        """The operating system ends the kernel with this process. Jupyter's own way is a thread in
        the kernel that looks every second (JPY_PARENT_PID), which wakes an idle machine."""
        return [*DIE_WITH_US, *super().format_kernel_cmd(*arguments, **options)]


class KernelError(Exception):
    """The kernel did not start."""


_zmq = None


def _zmq_context():
    global _zmq
    if _zmq is None:
        _zmq = zmq.Context()
        _zmq.setsockopt(zmq.MAXMSGSIZE, MAX_MESSAGE)
        _zmq.setsockopt(zmq.RCVHWM, MAX_BACKLOG)
        _zmq.setsockopt(zmq.LINGER, 0)
    return _zmq


class Kernel:
    """Made by start(). `died` is a future that ends with the process."""

    def __init__(self, language, spec):
        self.language = language
        self.environment_version = 0
        self.seed_version = 0
        self._spec = spec
        self._manager = None
        self._directory = None
        self._process = None
        self._shell = None
        self._iopub = None
        self._monitor = None
        self._request_id = None
        self._execution = None
        self._heard = None
        self._forward_raw = False
        self._pauses = set()
        self._forked = False
        self.catches_up = spec in CATCHES_UP

    @classmethod
    async def start(cls, language, spec, cwd, variables):
        kernel = cls(language, spec)
        try:
            await kernel._launch(cwd, variables)
            await kernel._hear()
        except BaseException as fault:
            tail = kernel._process.tail.decode("utf-8", "replace") if kernel._process else ""
            await kernel.kill()
            if isinstance(fault, (KernelError, OSError, RuntimeError)):
                raise KernelError(f"the kernel did not start: {fault} {tail}".strip()) from fault
            raise
        return kernel

    @property
    def alive(self):
        return self._process is not None and self._process.alive and self._shell is not None

    def death(self):
        """How its process ended, as wire.done() wants it."""
        return self._process.death()

    def execute(self, code, put=None, owed=None):
        """Sends the code; `done` of the Execution reports its end. With `put` the code enters the
        history and its output goes there. Without, it leaves no trace. `owed` is for a kernel that
        `catches_up`: {"must": [code], "may": [code]}, to be run before. When one of the former
        fails the code is not run, and the Execution is `stale`."""
        silent = put is None
        content = {
            "code": code,
            "silent": silent,
            "store_history": not silent,
            "user_expressions": {},
            "allow_stdin": False,
            # With it, a run that fails would also abort a run that is queued behind it.
            "stop_on_error": False,
        }
        self._execution = Execution(put, bool(owed), self._has_more)
        if not self.alive:
            self._execution.kernel_died()
            return self._execution
        self._process.mark()
        metadata = {"corral": owed} if owed else None
        self._request_id = self._send("execute_request", content, metadata)
        return self._execution

    async def silent(self, code):
        """True when the code ran without an error."""
        execution = self.execute(code)
        if not await self.settle(execution, SILENT_S):
            await self.interrupt()
            if not await self.settle(execution, INTERRUPT_S):
                await self.kill()
        return self.alive and not execution.raised

    async def settle(self, execution, limit_s):
        """True when the execution has ended within the limit."""
        if limit_s and not execution.done.done():
            await asyncio.wait({execution.done}, timeout=limit_s)
        if execution.done.done():
            # Raw output from before the end must also be sent before it.
            self._process.read_raw()
        return execution.done.done()

    async def interrupt(self):
        """Also of a kernel that is paused: what it says from now on is read."""
        self._process.signal(signal.SIGCONT)
        if self._iopub is not None:
            self._iopub.hold(False)
        if self.alive and self._forked:
            self._process.signal_group(signal.SIGINT)
        elif self.alive:
            await _maybe(self._manager.interrupt_kernel())

    def pause(self, reason, paused):
        """Stops the kernel while there is at least one reason: more output would be lost. While the
        client does not read, what the kernel has said is not read either."""
        before = bool(self._pauses)
        (self._pauses.add if paused else self._pauses.discard)(reason)
        if self._process is not None and before != bool(self._pauses):
            self._process.signal(signal.SIGSTOP if self._pauses else signal.SIGCONT)
        if reason == "client" and self._iopub is not None:
            self._iopub.hold(paused)

    async def kill(self):
        if self._shell is not None:
            self._shell.close()
        if self._iopub is not None:
            self._close_iopub()
        self._shell = self._iopub = self._monitor = None
        if self._process is not None:
            await self._process.kill()
        manager, self._manager = self._manager, None
        if manager is not None:
            await _maybe(manager.cleanup_resources())
        if self._directory is not None:
            shutil.rmtree(self._directory, ignore_errors=True)

    async def _launch(self, cwd, variables):
        self._directory = tempfile.mkdtemp(prefix="corral-kernel-")
        manager = _Manager(
            kernel_name=self._spec,
            kernel_spec_manager=spec_manager(),
            context=_zmq_context(),
            connection_file=os.path.join(self._directory, "connection.json"),
        )
        self._manager = manager
        if self._spec in IPC_KERNELSPECS:
            manager.transport = "ipc"
            manager.ip = os.path.join(self._directory, "socket")
        manager.session.digest_history_size = 1024
        raw_read, raw_write = os.pipe()
        try:
            pid = await self._start_process(manager, cwd, {**os.environ, **variables}, raw_write)
            self._process = Process(pid, raw_read, self._on_raw, self._forked)
            if self._forked:
                NURSERY.adopt(self._process)
        except BaseException:
            os.close(raw_read)
            raise
        finally:
            os.close(raw_write)
        self._process.died.add_done_callback(self._on_died)
        self._shell = Channel(manager.connect_shell(), self._on_shell)
        self._connect_iopub()

    async def _start_process(self, manager, cwd, env, output):
        """Its number. A fork of the zygote where that can stand for a start."""
        if self._spec in KERNELS:
            manager.write_connection_file()
            pid = await NURSERY.fork(self._spec, manager.connection_file, cwd, env, output)
            self._forked = pid is not None
            if self._forked:
                return pid
        await manager.start_kernel(
            cwd=cwd,
            independent=True,
            env=env,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
        return _pid_of(manager)

    def _connect_iopub(self):
        socket = self._manager.connect_iopub()
        events = socket.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        self._monitor = Channel(events, self._on_disconnected)
        self._iopub = Channel(socket, self._on_iopub, lambda behind: self.pause("backlog", behind))
        self._iopub.hold("client" in self._pauses)

    def _close_iopub(self):
        self._iopub.stop_monitor()
        self._monitor.close()
        self._iopub.close()

    async def _hear(self):
        """Asks until an answer comes through iopub, because a subscription takes effect late."""
        loop = asyncio.get_running_loop()
        self._heard = loop.create_future()
        give_up = loop.time() + START_S
        patience, most = ASK_S
        while not self._heard.done():
            if not self.alive:
                raise KernelError("it ended at once.")
            if loop.time() > give_up:
                raise KernelError(f"it said nothing for {START_S} s.")
            self._send("kernel_info_request", {})
            await asyncio.wait(
                {self._heard, self._process.died}, timeout=patience, return_when="FIRST_COMPLETED"
            )
            patience = min(patience * 1.5, most)
        # A kernel that has put its own pipe there sends the pipe's output on iopub itself.
        self._forward_raw = self._process.has_raw_stdout()

    def _send(self, kind, content, metadata=None):
        message = self._manager.session.msg(kind, content, metadata=metadata)
        if self.catches_up:
            message["header"]["date"] = ""  # it would be parsed, and formatted in each answer
        self._shell.send(self._manager.session, message)
        return message["header"]["msg_id"]

    def _parse(self, parts):
        """(parent id, type, content), or None when it is not a message of this kernel."""
        session = self._manager.session
        try:
            # Session.deserialize() also parses dates, which takes half the time and nobody reads.
            _, (signature, *bodies) = session.feed_identities(parts)
            if not hmac.compare_digest(session.sign(bodies[:4]), signature):
                return None
            header, parent, _, content = map(json.loads, bodies[:4])
            wanted = isinstance(content, dict)
            return (parent.get("msg_id"), header["msg_type"], content) if wanted else None
        except NONSENSE:
            return None

    def _on_iopub(self, parts):
        parsed = self._parse(parts)
        if parsed is None:
            return
        parent, kind, content = parsed
        if self._heard is not None and not self._heard.done():
            self._heard.set_result(None)
        # Output of threads while nothing runs belongs to no run and is dropped.
        if self._current(parent):
            self._pass_on(self._execution.iopub, kind, content)

    def _on_shell(self, parts):
        parsed = self._parse(parts)
        if parsed is not None and parsed[1] == "execute_reply" and self._current(parsed[0]):
            self._pass_on(self._execution.reply, parsed[2])

    def _pass_on(self, take, *message):
        """Drops a message that makes no sense."""
        try:
            take(*message)
        except NONSENSE:
            pass

    def _current(self, parent):
        return (
            parent is not None
            and parent == self._request_id
            and not self._execution.done.done()
        )

    def _has_more(self):
        return self._iopub is not None and self._iopub.waits()

    def _on_raw(self, data):
        if self._forward_raw and self._execution is not None and not self._execution.done.done():
            self._execution.output(wire.STDOUT, data.decode("utf-8", "replace"))

    def _on_disconnected(self, _parts):
        """A message over the limit ends the connection. zmq does not connect again by itself. What
        has arrived before is read first."""
        if not self.alive:
            return
        if self._has_more():
            asyncio.get_running_loop().call_later(LAST_WORDS_S, self._on_disconnected, None)
            return
        if self._execution is not None:
            self._execution.lossy = True
        self._close_iopub()
        self._connect_iopub()

    def _on_died(self, _future):
        """The last messages of the kernel may still be on their way through the thread of zmq."""
        asyncio.get_running_loop().call_later(LAST_WORDS_S, self._bury)

    def _bury(self):
        for channel in (self._iopub, self._shell):
            if channel is not None:
                channel.drain()
        if self._has_more():
            asyncio.get_running_loop().call_later(LAST_WORDS_S, self._bury)
        elif self._execution is not None:
            self._execution.kernel_died()


async def _maybe(value):
    """Awaits the value if it is awaitable: some methods are asynchronous only in later versions of
    jupyter_client."""
    if inspect.isawaitable(value):
        await value


def _pid_of(manager):
    provisioner = getattr(manager, "provisioner", None)
    return provisioner.pid if provisioner is not None else manager.kernel.pid
