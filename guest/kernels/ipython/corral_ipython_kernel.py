# SPDX-License-Identifier: Apache-2.0
"""The IPython kernel, with changed output streams (corral_streams.py) and without its sleeps.

A request may bring along what has to happen before its code runs: a clone's new seed, variables.
As a request of its own that would cost as much again as the code's, in time and in memory written.
"""
import os
import sys

import corral_interrupts
import corral_results
import corral_streams
from ipykernel.ipkernel import IPythonKernel
from ipykernel.kernelapp import IPKernelApp
from ptyprocess import PtyProcess

STALE = "corral_stale"  # the error of a request whose code must not run (guest/bridge/execution.py)


def close_at_once():
    """ptyprocess sleeps 0.1 s at the end of each `!command`, for the end of its process to become
    known. After the last output it then waits for that anyway."""
    close = PtyProcess.close

    def close_what_has_ended(self, force=True):
        if self.flag_eof:
            self.delayafterclose = 0
        return close(self, force)

    PtyProcess.close = close_what_has_ended


def attempt(code):
    """False when it failed. The user's objects may raise anything here."""
    try:
        exec(code, {})  # pylint: disable=exec-used
        return True
    except BaseException:  # pylint: disable=broad-except
        return False


def catch_up(owed):
    """Runs the snippets of `must`, then those of `may`. False when the request's code must not run.
    An interrupt waits for the code (corral_interrupts.py)."""
    if not all(map(attempt, owed["must"])):
        return False
    for code in owed["may"]:
        attempt(code)
    return True


class Kernel(IPythonKernel):
    # ipykernel sleeps before each reply, in the hope that the output has arrived then. The bridge
    # waits for the idle status, which comes behind all output.
    _execute_sleep = 0

    def execute_request(self, stream, ident, parent):
        owed = (parent.get("metadata") or {}).get("corral")
        if owed and not catch_up(owed):
            refusal = {"status": "error", "execution_count": self.execution_count, "ename": STALE,
                       "evalue": "", "traceback": []}
            self.session.send(stream, "execute_reply", refusal, parent, ident=ident)
            return None
        return super().execute_request(stream, ident, parent)


class KernelApp(IPKernelApp):
    def init_iopub(self, context):
        corral_streams.drop_nothing(context)
        super().init_iopub(context)

    def init_shell(self):
        super().init_shell()
        # traitlets makes a record of each debug message, which its handler then drops.
        self.log.setLevel(self.log_level)
        corral_results.register(self.shell.display_formatter)
        corral_interrupts.install(self.kernel, self.shell)


def main():
    corral_streams.change_streams()
    corral_streams.send_at_once()
    close_at_once()
    KernelApp.launch_instance(kernel_class=Kernel)


if __name__ == "__main__":
    # The user's imports come from the working directory, not from the folder of this file.
    sys.path[0] = os.getcwd()
    main()
