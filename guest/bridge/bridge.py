#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The code bridge: it runs in a sandbox and turns the code operations of the wire protocol
(corral-wire(7)) into requests to Jupyter kernels.

    bridge.py [--socket PATH] [--warmup FILE]

Without --socket, file descriptor 3 is the listening unix stream socket.
"""
import argparse
import asyncio
import os
import signal
import socket
import sys

LISTEN_FD = 3
BACKLOG = 1024
# Python 3.13 would remove the path of the socket at the end, but the path is the agent's.
KEEP_PATH = {"cleanup_socket": False} if sys.version_info >= (3, 13) else {}


def add_kernels():
    """Tells Jupyter, here and in the kernels, about the kernelspecs that come with the bridge."""
    own = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    paths = [own, *filter(None, os.environ.get("JUPYTER_PATH", "").split(os.pathsep))]
    os.environ["JUPYTER_PATH"] = os.pathsep.join(paths)


def listening_socket(path):
    if path is None:
        return socket.socket(fileno=LISTEN_FD)
    listener = socket.socket(socket.AF_UNIX)
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
    listener.bind(path)
    listener.listen(BACKLOG)
    return listener


async def main(options):
    # Imported here, because Jupyter reads JUPYTER_PATH when it is imported.
    import environment
    import warmup
    from contexts import Contexts
    from language import Languages
    from nursery import NURSERY
    from server import Server

    loop = asyncio.get_running_loop()
    base = environment.Base()
    contexts = Contexts(Languages(), base, os.path.expanduser("~"))
    plan = options.warmup or warmup.PATH
    NURSERY.configure(plan)
    ready = contexts.background(warmup.warm_up(contexts, plan))
    server = Server(contexts, base, ready)
    listener = await asyncio.start_unix_server(
        server.serve, sock=listening_socket(options.socket), backlog=BACKLOG, **KEEP_PATH
    )

    stop = loop.create_future()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, lambda: stop.done() or stop.set_result(None))
    await stop
    listener.close()
    await contexts.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--socket")
    parser.add_argument("--warmup")
    arguments = parser.parse_args()
    add_kernels()
    asyncio.run(main(arguments))
