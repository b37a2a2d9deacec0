# SPDX-License-Identifier: Apache-2.0
"""An interrupt of a run reaches the user's code, and nothing else of the kernel.

ipykernel takes SIGINT from the beginning of a request to its end. One that comes before the code
runs may end up in a callback of IPython, which prints it and goes on, or costs the request its
reply. Here it is held until the code runs, and then it is what the code raises.
"""
import signal
import threading

INTERRUPTED = compile("raise KeyboardInterrupt", "<interrupted>", "exec")


def install(kernel, shell):
    held = []
    begin_request, run_code = kernel.pre_handler_hook, shell.run_code

    def hold(*_):
        held.append(True)

    def pre_handler_hook():
        begin_request()  # it remembers what its counterpart puts back
        held.clear()
        signal.signal(signal.SIGINT, hold)

    async def run_code_interruptible(code, result=None, *, async_=False):
        mine = (threading.current_thread() is threading.main_thread()
                and signal.getsignal(signal.SIGINT) is hold)
        if not mine:  # code that is run by code
            return await run_code(code, result, async_=async_)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            if held:
                return await run_code(INTERRUPTED, result)
            return await run_code(code, result, async_=async_)
        finally:
            signal.signal(signal.SIGINT, hold)

    kernel.pre_handler_hook = pre_handler_hook
    shell.run_code = run_code_interruptible
