# SPDX-License-Identifier: Apache-2.0
"""An interrupt of a run reaches the user's code, and nothing else of the kernel.

ipykernel takes SIGINT from the beginning of a request to its end. One that comes before the code
runs may end up in a callback of IPython, which prints it and goes on, or costs the request its
reply. Here it is held until the code runs, and then it is what the code raises.
"""
import signal
import threading

from corral_reminder import Reminder

INTERRUPTED = compile("raise KeyboardInterrupt", "<interrupted>", "exec")


def leave_out(trace, code):
    """Takes the last frame off a traceback when it is that of `code`."""
    before = None
    while trace.tb_next is not None:
        before, trace = trace, trace.tb_next
    if before is not None and trace.tb_frame.f_code is code:
        before.tb_next = None


def install(kernel, shell):
    held = []
    begin_request, run_code = kernel.pre_handler_hook, shell.run_code

    def hold(*_):
        reminder.taken()
        held.append(True)

    def interrupt(number, frame):
        reminder.taken()
        signal.default_int_handler(number, frame)

    def pre_handler_hook():
        begin_request()  # it remembers what its counterpart puts back
        held.clear()
        signal.signal(signal.SIGINT, hold)

    async def run_code_interruptible(code, result=None, *, async_=False):
        mine = (threading.current_thread() is threading.main_thread()
                and signal.getsignal(signal.SIGINT) is hold)
        if not mine:  # code that is run by code
            return await run_code(code, result, async_=async_)
        signal.signal(signal.SIGINT, interrupt)
        try:
            if held:
                return await run_code(INTERRUPTED, result)
            return await run_code(code, result, async_=async_)
        finally:
            if signal.getsignal(signal.SIGINT) is interrupt:  # else it is the user's own
                signal.signal(signal.SIGINT, hold)

    def show(shell, kind, error, trace, tb_offset=None):
        leave_out(trace, interrupt.__code__)
        shell.showtraceback((kind, error, trace), tb_offset=tb_offset, running_compiled_code=True)

    reminder = Reminder(kernel, (hold, interrupt))
    kernel.pre_handler_hook = pre_handler_hook
    shell.run_code = run_code_interruptible
    shell.set_custom_exc((KeyboardInterrupt,), show)
