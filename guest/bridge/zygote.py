# SPDX-License-Identifier: Apache-2.0
"""A process from which kernels are forked: it has done their imports and waits.

A kernel that starts cold imports for a second what each before it has imported. Here that happens
once, and a further kernel costs a fork and the memory that it writes. The zygote has one thread and
no zmq context, so that a fork takes everything along that a kernel needs.

    zygote.py DESCRIPTOR WARMUP-FILE

It talks to the bridge over the descriptor, a socket of packets. A request is a path and, attached,
the descriptor for the kernel's output. The file at the path is a JSON object: "kernel" (one of
KERNELS), "connection_file", "cwd", "env". The answer is ["started", pid] or ["failed", text]. Later
comes ["ended", pid, exit code, signal]. The number stays taken until the bridge has answered with
the number as text, and so the bridge may signal it without harm to another process.

Theory of operation: the loop waits for packets and, through a pipe, for SIGCHLD. The happy path is:
fork, in the child a session of its own and the kernel's main, in the parent the answer. When the
bridge ends, its end of the socket closes and the zygote ends; kernels end with the zygote.
"""
import array
import ast
import atexit
import ctypes
import gc
import importlib
import json
import os
import selectors
import signal
import site
import socket
import sys
import threading

PACKET = 4096
PR_SET_PDEATHSIG = 1
INLINE = "module://matplotlib_inline.backend_inline"  # what ipykernel would choose
KERNELS_DIR = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "kernels")
# What the program of each kernelspec has behind its name, before "-f CONNECTION_FILE".
KERNELS = {
    "ipython": ("corral_ipython_kernel", ["--HistoryManager.enabled=False"]),
    "bash": ("corral_bash_kernel", []),
}
# These have their effect before any of our code runs.
COLD = ("PYTHON", "LD_", "MALLOC_", "GLIBC_", "OPENBLAS_", "OMP_", "MKL_", "MPL", "LC_", "LANG")


def takes(env, own):
    """Whether a fork can stand for a process that starts with `env`."""
    names = set(env) | set(own)
    return not any(n.startswith(COLD) and env.get(n) != own.get(n) for n in names)


def module_of(kernel):
    name, arguments = KERNELS[kernel]
    folder = os.path.join(KERNELS_DIR, kernel)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    module = importlib.import_module(name)
    sys.path.remove(folder)
    return module, [os.path.join(folder, name + ".py"), *arguments]


def import_like(code):
    """Does the imports of the code, and nothing else of it."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else [node.module]
            for name in filter(None, names):
                importlib.import_module(name)


def warm_up(path):
    """Imports that fail here fail in the kernel, where somebody sees it."""
    try:
        with open(path, encoding="utf-8") as file:
            import_like(json.load(file)["code"]["python"])
    except Exception:  # pylint: disable=broad-except
        pass


def die_with_parent(parent):
    """The operating system ends this process with its parent, which may have ended before."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)


def renew():
    """A process that starts has random numbers of its own."""
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        numpy_random.seed()
    user = site.getusersitepackages() if site.ENABLE_USER_SITE else ""
    if user and os.path.isdir(user) and user not in sys.path:
        site.addsitedir(user)
    importlib.invalidate_caches()


def leave(status):
    """Ends as an interpreter does, but for the zygote's frames, which are still on the stack."""
    try:
        threading._shutdown()  # pylint: disable=protected-access
        atexit._run_exitfuncs()  # pylint: disable=protected-access
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(status)


def become(request, out, ready):
    """In the child: never returns."""
    status = 1
    try:
        die_with_parent(request["parent"])
        os.setsid()
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        null = os.open(os.devnull, os.O_RDONLY)
        for mine, number in ((null, 0), (out, 1), (out, 2)):
            os.dup2(mine, number)
        os.closerange(3, 1024)
        os.chdir(request["cwd"])
        os.environ.clear()
        os.environ.update(request["env"])
        sys.path[0] = os.getcwd()
        renew()
        module, arguments = ready[request["kernel"]]
        sys.argv = [*arguments, "-f", request["connection_file"]]
        module.main()
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # pylint: disable=broad-except
        sys.excepthook(*sys.exc_info())
    finally:
        leave(status)


class Zygote:
    def __init__(self, connection, ready):
        self._connection = connection
        self._ready = ready
        self._children = set()
        self._told = set()

    def tell(self, *words):
        self._connection.send(json.dumps(words).encode())

    def fork(self, path, out):
        with open(path, encoding="utf-8") as file:
            request = json.load(file)
        request["parent"] = os.getpid()
        pid = os.fork()
        if pid == 0:
            become(request, out, self._ready)
        self._children.add(pid)
        self.tell("started", pid)

    def packet(self):
        """False at the end of the bridge."""
        size = array.array("i").itemsize
        data, attached, _, _ = self._connection.recvmsg(PACKET, socket.CMSG_SPACE(size))
        fds = array.array("i")
        for level, kind, payload in attached:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                fds.frombytes(payload[: len(payload) - len(payload) % size])
        try:
            if not data:
                return False
            if data.isdigit():
                self.reap(int(data))
            else:
                self.fork(data.decode(), fds[0])
        except (OSError, ValueError, LookupError) as fault:
            self.tell("failed", f"{type(fault).__name__}: {fault}"[:1024])
        finally:
            for fd in fds:
                os.close(fd)
        return True

    def ended(self):
        """Tells of children that have ended. They stay zombies until the bridge knows."""
        for pid in self._children - self._told:
            info = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if info is not None:
                exited = info.si_code == os.CLD_EXITED
                self._told.add(pid)
                self.tell("ended", pid, info.si_status if exited else 0,
                          0 if exited else info.si_status)

    def reap(self, pid):
        if pid in self._told:
            os.waitpid(pid, 0)
            self._told.discard(pid)
            self._children.discard(pid)


def serve(connection, ready):
    zygote = Zygote(connection, ready)
    woken, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    selector = selectors.DefaultSelector()
    selector.register(connection, selectors.EVENT_READ)
    selector.register(woken, selectors.EVENT_READ)
    while True:
        for key, _ in selector.select():
            if key.fileobj is not connection:
                os.read(woken, 512)
                zygote.ended()
            elif not zygote.packet():
                return


def main():
    connection = socket.socket(fileno=int(sys.argv[1]))
    connection.set_inheritable(False)
    sys.path[0] = os.path.expanduser("~")  # as in a kernel, not the folder of this file
    os.environ.setdefault("MPLBACKEND", INLINE)
    ready = {}
    for kernel in KERNELS:
        ready[kernel] = module_of(kernel)
    warm_up(sys.argv[2])
    gc.collect()
    gc.freeze()
    serve(connection, ready)


if __name__ == "__main__":
    main()
