# SPDX-License-Identifier: Apache-2.0
"""Serves connections. Each carries one operation, behind what the bridge has to know for it."""
import asyncio
import sys
import traceback

import environment
import moment
import wire
from run import Run
from wire import E_BUSY, E_INTERNAL, E_INVALID, E_PROTOCOL, Fields, WireError

REQUEST_S = 30  # time for the request frame to come in
MAX_CONNECTIONS = 256


class Server:
    """`ready` is the future or task of the warm-up."""

    def __init__(self, contexts, base, ready):
        self._contexts = contexts
        self._base = base
        self._ready = ready
        self._connections = 0

    async def serve(self, reader, writer):
        """Handles one connection from its first frame to its end. Never raises."""
        self._connections += 1
        try:
            await self._serve(reader, writer)
        except (OSError, EOFError, asyncio.TimeoutError):
            pass  # the client is gone, or as good as gone
        except Exception:  # pylint: disable=broad-except
            traceback.print_exc(file=sys.stderr)
        finally:
            self._connections -= 1
            writer.close()

    async def _serve(self, reader, writer):
        try:
            kind, payload = await asyncio.wait_for(wire.read_frame(reader), REQUEST_S)
            if self._connections > MAX_CONNECTIONS:
                raise WireError(E_BUSY, "too many operations at a time")
            if kind == wire.CODE_ENV:  # leads, and the operation follows
                writer.write(self._code_env(Fields(payload)))
                kind, payload = await asyncio.wait_for(wire.read_frame(reader), REQUEST_S)
            operation = self._OPERATIONS.get(kind)
            if operation is None:
                raise WireError(E_PROTOCOL, f"frame type {kind:#x} is not a request")
            reply = await operation(self, Fields(payload), reader, writer)
        except WireError as fault:
            reply = wire.error(fault)
        except ValueError as fault:
            reply = wire.error(WireError(E_INVALID, str(fault)))
        if reply is not None:
            writer.write(reply)
            await writer.drain()

    async def _code_run(self, fields, reader, writer):
        context_id, language, code = fields.str(), fields.str(), fields.str()
        timeout_ms, variables = fields.u32(), environment.parse(fields.list())
        fields.end()
        context = await self._contexts.for_run(context_id, language)
        run = Run(code, timeout_ms, variables)
        work = self._contexts.background(_run_to_end(context, run))
        sender = asyncio.ensure_future(run.outbox.send_all(writer))
        # A client sends nothing after its request: a byte more, or the end, ends the run.
        more = asyncio.ensure_future(reader.read(1))
        try:
            await asyncio.wait({sender, more}, return_when="FIRST_COMPLETED")
            if sender.done():
                sender.result()
        finally:
            for task in (sender, more):
                task.cancel()
            await asyncio.gather(sender, more, return_exceptions=True)
            run.abandon()
            if run.queued:
                work.cancel()

    async def _context_create(self, fields, _reader, _writer):
        context_id, language, cwd = fields.str(), fields.str(), fields.str()
        lifetime_s = fields.u32()
        fields.end()
        return _describe(await self._contexts.create(context_id, language, cwd, lifetime_s))

    async def _context_get(self, fields, _reader, _writer):
        context_id = fields.str()
        fields.end()
        return _describe(self._contexts.get(context_id))

    async def _context_delete(self, fields, _reader, _writer):
        context_id = fields.str()
        fields.end()
        self._contexts.delete(context_id)
        return wire.ok()

    async def _context_list(self, fields, _reader, _writer):
        fields.end()
        return b"".join(map(_describe, self._contexts.all())) + wire.end()

    async def _context_interrupt(self, fields, _reader, _writer):
        await (await self._named(fields)).interrupt()
        return wire.ok()

    async def _context_restart(self, fields, _reader, _writer):
        await (await self._named(fields)).restart()
        return wire.ok()

    async def _named(self, fields):
        """The context of an id, or the default one of a language if it has been used."""
        context_id, language = fields.str(), fields.str()
        fields.end()
        if context_id:
            return self._contexts.get(context_id)
        return await self._contexts.used_default(language)

    def _code_env(self, fields):
        variables, seed = environment.parse(fields.list()), fields.str()
        fields.end()
        # Each kernel catches up when it runs something the next time, and not earlier: a kernel
        # that is not used shares its memory with its clones.
        self._base.update(variables, seed)
        return wire.ok()

    async def _code_ready(self, fields, _reader, _writer):
        fields.end()
        try:
            await asyncio.shield(self._ready)
        except WireError:
            raise
        except Exception as fault:
            raise WireError(E_INTERNAL, f"the warm-up failed: {fault}") from fault
        return wire.ok()

    _OPERATIONS = {
        wire.CODE_RUN: _code_run,
        wire.CONTEXT_CREATE: _context_create,
        wire.CONTEXT_GET: _context_get,
        wire.CONTEXT_DELETE: _context_delete,
        wire.CONTEXT_LIST: _context_list,
        wire.CONTEXT_INTERRUPT: _context_interrupt,
        wire.CONTEXT_RESTART: _context_restart,
        wire.CODE_READY: _code_ready,
    }


async def _run_to_end(context, run):
    try:
        await context.run(run)
    except WireError as fault:
        run.outbox.close(wire.error(fault))
    except Exception as fault:
        run.outbox.close(wire.error(WireError(E_INTERNAL, f"the run failed: {fault!r}")))
        raise


def _describe(context):
    return wire.frame(
        wire.CONTEXT,
        wire.string(context.id),
        wire.string(context.language),
        wire.string(context.cwd),
        wire.string("busy" if context.busy else "active"),
        wire.i64(moment.wall_ms(context.created)),
        wire.i64(moment.wall_ms(context.expires) if context.id else 0),  # never
        wire.i64(moment.wall_ms(context.last_used)),
    )
