# SPDX-License-Identifier: Apache-2.0
"""All contexts of the sandbox: the default one of each language, and those created by id."""
import asyncio
import os

import moment
from context import Context
from wire import E_BUSY, E_CONTEXT, E_EXISTS, E_INVALID, WireError

MAX_CONTEXTS = 32
MAX_ID = 256


class Contexts:
    def __init__(self, languages, base, home):
        self._languages = languages
        self._base = base
        self._home = home
        self._defaults = {}
        self._by_id = {}
        self._tasks = set()

    async def for_run(self, context_id, language):
        return self.get(context_id) if context_id else await self.default(language)

    async def default(self, name):
        language, spec = await self._languages.find(name)
        if language not in self._defaults:
            self._defaults[language] = Context("", language, spec, self._home, 0, self._base)
        return self._defaults[language]

    async def used_default(self, name):
        language, _ = await self._languages.find(name)
        if language not in self._defaults:
            raise WireError(E_CONTEXT, "no such context")
        return self._defaults[language]

    def all(self):
        """Those that code can run in now, the default ones first."""
        now = moment.now()
        return [*self._defaults.values(), *(c for c in self._by_id.values() if c.expires > now)]

    async def create(self, context_id, name, cwd, lifetime_s):
        """The kernel of the new context starts in the background."""
        if not 0 < len(context_id) <= MAX_ID:
            raise WireError(E_INVALID, "a context needs an id")
        if lifetime_s == 0:
            raise WireError(E_INVALID, "a context needs a lifetime")
        language, spec = await self._languages.find(name)
        if context_id in self._by_id:
            raise WireError(E_EXISTS, "a context with this id exists")
        if len(self._by_id) >= MAX_CONTEXTS:
            raise WireError(E_BUSY, f"at most {MAX_CONTEXTS} contexts at a time")
        context = Context(
            context_id, language, spec, self._directory(cwd), lifetime_s, self._base
        )
        self._by_id[context_id] = context
        asyncio.get_running_loop().call_later(lifetime_s, self._expire, context)
        self.background(context.prepare())
        return context

    def get(self, context_id):
        context = self._by_id.get(context_id)
        if context is not None and moment.now() >= context.expires:
            self._expire(context)
            context = None
        if context is None:
            raise WireError(E_CONTEXT, "no such context")
        return context

    def delete(self, context_id):
        context = self.get(context_id)
        del self._by_id[context_id]
        self.background(context.close())

    async def close(self):
        everyone = [*self._defaults.values(), *self._by_id.values()]
        await asyncio.gather(*(c.close() for c in everyone), return_exceptions=True)

    def background(self, coroutine):
        """Runs the coroutine as a task. Its failure is dropped: the next run of the context meets
        the same failure and reports it."""
        task = asyncio.ensure_future(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda t: t.cancelled() or t.exception())
        return task

    def _expire(self, context):
        if self._by_id.get(context.id) is context:
            del self._by_id[context.id]
            self.background(context.close_when_idle())

    def _directory(self, cwd):
        path = os.path.normpath(os.path.join(self._home, cwd))
        try:
            if os.path.commonpath([path, self._home]) == self._home:
                os.makedirs(path, exist_ok=True)
        except OSError as fault:
            raise WireError(E_INVALID, f"cannot create {path}: {fault.strerror}") from fault
        if not os.path.isdir(path):
            raise WireError(E_INVALID, f"not a directory: {path}")
        return path
