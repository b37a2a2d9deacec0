# SPDX-License-Identifier: Apache-2.0
"""A context: a kernel with its state, which takes runs one at a time."""
import asyncio

import environment
import moment
import wire
from kernel import INTERRUPT_S, Kernel, KernelError
from turns import Turns
from wire import E_CONTEXT, E_INTERNAL, E_INVALID, WireError

# The start of a kernel has a limit of its own and does not count in either.
QUEUE_S = 600  # the longest wait for a turn
QUEUE_SLACK_S = 30  # a run with a time-out waits for its turn that long, plus this

BEGIN_S = 5  # the longest wait of an interrupt for the code to begin

STATE_LOST = "[the kernel has restarted: its state is gone]\n"


class Context:
    """`id` is "" for the default context of a language, which never expires. `created`, `expires`
    and `last_used` are moments (moment.py)."""

    def __init__(self, context_id, language, spec, cwd, lifetime_s, base):
        """`base` is the bridge's environment.Base."""
        self.id = context_id
        self.language = language
        self.cwd = cwd
        self.created = self.last_used = moment.now()
        self.expires = self.created + lifetime_s
        self.closed = False
        self._spec = spec
        self._base = base
        self._kernel = None
        self._running = None
        self._turns = Turns()

    @property
    def busy(self):
        return self._running is not None

    async def run(self, run):
        """Executes the run when its turn comes. All its output and its end go to its outbox."""
        patience = min(run.timeout_s + QUEUE_SLACK_S, QUEUE_S) if run.timeout_s else QUEUE_S
        await self._turns.enter(patience)
        try:
            run.queued = False
            self._check_open()
            status = None
            while status is None:
                kernel = await self._live_kernel(deferred=True)
                if run.abandoned.done():
                    return
                self.last_used = moment.now()
                self._running = run
                status, count = await self._run_on(kernel, run)
            run.outbox.close(wire.done(status, count, kernel.death()))
            if run.variables and kernel is self._kernel:
                await kernel.silent(environment.snippets(self.language).restore())
        finally:
            self._running = None
            run.begun.set()
            self.last_used = moment.now()
            self._turns.leave()

    async def prepare(self, code="", warm=False):
        """Brings the kernel up for the first run, and runs `code` silently. With `warm` the kernel
        is also settled: it will be cloned in this state."""
        await self._turns.enter(QUEUE_S)
        try:
            self._check_open()
            kernel = await self._live_kernel()
            for part in (self._isolated(code), self._settled() if warm else ""):
                if part and not await kernel.silent(part):
                    raise WireError(E_INTERNAL, f"the warm-up code of {self.language} failed")
        finally:
            self._turns.leave()

    async def interrupt(self):
        """Interrupts the code that runs now, if any: its run ends with the kernel's error."""
        if self._running is not None:
            await self._interrupt(self._running)

    async def restart(self):
        """Ends the kernel with its state. The current run ends as if the kernel had died; the next
        one starts a new kernel."""
        kernel, self._kernel = self._kernel, None
        if kernel is not None:
            await kernel.kill()

    async def close(self):
        """Ends the kernel. The current run ends as if the kernel had died; waiting runs are
        refused."""
        self.closed = True
        self._turns.refuse(self._gone())
        kernel, self._kernel = self._kernel, None
        if kernel is not None:
            await kernel.kill()

    async def close_when_idle(self):
        """Like close(), but a run that has begun may finish."""
        self.closed = True
        self._turns.refuse(self._gone())
        await self._turns.enter(float("inf"))
        await self.close()

    def _gone(self):
        return WireError(E_CONTEXT, "the context has expired or was deleted")

    def _check_open(self):
        if self.closed:
            raise self._gone()

    async def _live_kernel(self, deferred=False):
        """The kernel, alive, with the variables and the random seed of the base. No code runs
        before it has both. `deferred`: it may get them with the next request (_owed)."""
        while True:
            if self._kernel is not None and not self._kernel.alive:
                await self._discard(self._kernel)
            if self._kernel is None:
                with self._turns.uncounted():
                    self._kernel = await self._new_kernel()
            kernel = self._kernel
            if deferred and kernel.catches_up:
                return kernel
            if await self._reseed(kernel):
                await self._update_environment(kernel)
                return kernel
            await self._discard(kernel)

    async def _new_kernel(self):
        version, seed_version = self._base.version, self._base.seed_version
        try:
            kernel = await Kernel.start(self.language, self._spec, self.cwd, self._base.variables)
        except KernelError as fault:
            raise WireError(E_INTERNAL, str(fault)) from fault
        kernel.environment_version, kernel.seed_version = version, seed_version
        if self.closed:
            await kernel.kill()
            raise self._gone()
        return kernel

    async def _reseed(self, kernel):
        """False for a kernel that would continue with the same random numbers as other clones."""
        version = self._base.seed_version
        snippets = environment.snippets(self.language)
        if kernel.seed_version != version:
            if snippets is None or not await kernel.silent(snippets.reseed(self._base.seed)):
                return False
            kernel.seed_version = version
        return True

    async def _update_environment(self, kernel):
        version = self._base.version
        snippets = environment.snippets(self.language)
        if kernel.environment_version != version and snippets is not None:
            if await kernel.silent(snippets.set(self._base.variables, False)):
                kernel.environment_version = version

    def _owed(self, kernel, variables):
        """What the kernel runs before the code of its next request, for Kernel.execute(). It counts
        as done: a kernel that cannot do it is discarded."""
        snippets, must, may = environment.snippets(self.language), [], []
        if kernel.seed_version != self._base.seed_version:
            must.append(snippets.reseed(self._base.seed))
        if kernel.environment_version != self._base.version:
            may.append(snippets.set(self._base.variables, False))
        if variables:
            may.append(snippets.set(variables, True))
        kernel.seed_version, kernel.environment_version = (
            self._base.seed_version, self._base.version)
        return {"must": must, "may": may} if must or may else None

    async def _run_on(self, kernel, run):
        """(status, execution count); no status when the kernel was stale and the code did not run.
        """
        snippets, owed = environment.snippets(self.language), None
        if run.variables and snippets is None:
            raise WireError(E_INVALID, f"{self.language} takes no variables for one run")
        if kernel.catches_up:
            owed = self._owed(kernel, run.variables)
        elif run.variables:
            await kernel.silent(snippets.set(run.variables, True))
        execution = kernel.execute(run.code, run.outbox.put, owed)
        execution.on_begin = run.begun.set
        run.kernel = kernel
        waiting = {execution.done, run.abandoned}
        await asyncio.wait(waiting, timeout=run.timeout_s, return_when="FIRST_COMPLETED")
        try:
            if await kernel.settle(execution, 0):
                return await self._ended(kernel, execution), execution.count
            return await self._stop(kernel, execution, run), execution.count
        finally:
            # The end of a kernel also ends its connections, which is no loss of its own.
            if execution.lossy and not execution.died:
                run.outbox.note_loss()
            if execution.lost_state:
                execution.note(STATE_LOST)
            run.kernel = None
            kernel.pause("client", False)

    async def _ended(self, kernel, execution):
        if not execution.done.result():
            await self._discard(kernel)
            return wire.DONE_KERNEL_DIED
        if execution.stale:
            await self._discard(kernel)
            return None
        if "ask_exit" in execution.payload_sources:
            # After exit() or quit() the kernel is about to end itself.
            execution.lost_state = True
            await self._discard(kernel)
        elif "state_lost" in execution.payload_sources:
            execution.lost_state = True
            kernel.environment_version = 0
        return wire.DONE_RAISED if execution.raised else wire.DONE_OK

    async def _interrupt(self, run):
        """A kernel ignores signals until it begins the code."""
        await asyncio.wait({asyncio.ensure_future(run.begun.wait())}, timeout=BEGIN_S)
        if self._running is run and run.kernel is not None:
            await run.kernel.interrupt()

    async def _stop(self, kernel, execution, run):
        """Interrupts the run. A kernel that ignores the interrupt is replaced."""
        await self._interrupt(run)
        if await kernel.settle(execution, INTERRUPT_S):
            if await self._ended(kernel, execution) == wire.DONE_KERNEL_DIED:
                return wire.DONE_KERNEL_DIED
            return wire.DONE_TIMED_OUT
        await self._discard(kernel)
        return wire.DONE_RESTARTED

    async def _discard(self, kernel):
        if self._kernel is kernel:
            self._kernel = None
        await kernel.kill()

    def _isolated(self, code):
        snippets = environment.snippets(self.language)
        return snippets.isolated(code) if code and snippets is not None else code

    def _settled(self):
        snippets = environment.snippets(self.language)
        return snippets.settle() if snippets is not None else ""
