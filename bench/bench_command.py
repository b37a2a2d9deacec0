# SPDX-License-Identifier: Apache-2.0
"""commands/run of `true` in a warm sandbox, against fork, exec and wait on the host."""
import os

from benchlib import Row, Session, corrald, timed


def spawn():
    os.waitpid(os.posix_spawn("/bin/true", ["true"], {}), 0)


def measure():
    with corrald("--pool-size", "0") as server:
        session = Session(server)
        sandbox = session.create()
        session.run_code(sandbox)
        by_shell = timed(lambda: session.run_command(sandbox, "true"), 300)
        path, body = f"/sandboxes/{sandbox}/commands/run", {"command": "true", "args": ["x"]}
        by_argv = timed(lambda: session.post(path, body), 300)
        bare = timed(spawn, 300)
    rows = []
    for how, ours in (("shell", by_shell), ("argv", by_argv)):
        row = Row(f"commands/run true, {how}", "ms", ours, bare, "fork+exec", "< +2 ms")
        row.met = ours.middle - bare.middle < 2
        rows.append(row)
    return rows
