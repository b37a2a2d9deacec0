#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Hostile frames for the code bridge (guest/bridge), from a grammar of requests that is then broken.

  wire    any bytes in any pieces: nothing but WireError, and what a second reader reads
  encode  what the bridge writes reads back as the same
  server  connections over socket pairs, to the whole bridge but Jupyter (bridge_fake.py): each is
          answered with what its bytes deserve, or closed; then a good request is still served

A fault is printed with the part, the seed and the round that repeat it.
"""
import argparse
import asyncio
import contextlib
import importlib.util
import os
import random
import struct
import sys
import tempfile
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
BRIDGE = os.path.join(TOP, "guest", "bridge")
sys.path[:0] = [BRIDGE, HERE]

import bridge_fake  # noqa: E402

bridge_fake.install()

import channel  # noqa: E402
import context  # noqa: E402
import contexts  # noqa: E402
import environment  # noqa: E402
import execution  # noqa: E402
import kernel  # noqa: E402
import language  # noqa: E402
import server  # noqa: E402
import wire  # noqa: E402

HANG_S = 30  # an exchange that takes longer hangs
STREAMS, TEXT_SETS = 1000, 200  # of one round of wire, and of encode
BATCHES, CONNECTIONS = 4, 32  # of one round of server
TRACED = 8  # one round of so many counts the edges it reaches
BOUNDS = (0, 1, 2, 255, 256, 4095, 4096, 4097, 65535, 65536, (16 << 20) - 1, 16 << 20,
          (16 << 20) + 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
# Fields of requests: s str, u u32, l list.
REQUESTS = {
    wire.CODE_RUN: "sssul",
    wire.CONTEXT_CREATE: "sssu",
    wire.CONTEXT_GET: "s",
    wire.CONTEXT_DELETE: "s",
    wire.CONTEXT_LIST: "",
    wire.CONTEXT_INTERRUPT: "ss",
    wire.CONTEXT_RESTART: "ss",
    wire.CODE_ENV: "ls",
    wire.CODE_READY: "",
}
TEXTS = ("", "a", "b", "c", "python", " Py ", "bash", "r", "klingon", "sub", "a/b", "../..", "/tmp",
         "/nonexistent", "x" * 256, "x" * 257, "y" * 70000, "A=1", "B=\n'\"", "=x", "novalue",
         "\u00e9\U0001f600", "1 + 1", "\x1b[0m")
BROKEN = (b"\0", b"a\0b", b"\xff", b"\xed\xa0\x80", b"\xc0\xaf", b"\xf4\x90\x80\x80", b"\xe2\x82")


def client_wire():
    """The reader of the tests, whose name is that of the bridge's module."""
    path = os.path.join(TOP, "test", "lib", "wire.py")
    spec = importlib.util.spec_from_file_location("client_wire", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.REPLIES[wire.END] = ""
    return module


CLIENT = client_wire()


class Fault(Exception):
    """A property does not hold."""


def require(holds, *what):
    if not holds:
        raise Fault(" ".join(str(part)[:300] for part in what))


# Requests

def text(rng):
    kind = rng.randrange(20)
    if kind == 0:
        return rng.choice(BROKEN)
    if kind < 4:
        return f"{bridge_fake.HOSTILE} {rng.getrandbits(32)}".encode()
    return rng.choice(TEXTS).encode()


def number(rng):
    return rng.choice(BOUNDS) if rng.randrange(3) else rng.getrandbits(rng.randrange(1, 33))


def field(rng, kind):
    if kind == "u":
        return CLIENT.u32(number(rng))
    if kind == "s":
        return CLIENT.string(text(rng))
    if rng.randrange(16) == 0:
        return CLIENT.strings([b"A=1"] * rng.choice((4096, 4097)))
    pairs = (b"A=1", b"B=\n'\"", b"long=" + b"z" * 5000)
    return CLIENT.strings([rng.choice(pairs) if rng.randrange(8) else text(rng)
                           for _ in range(rng.randrange(4))])


def request(rng):
    """A request whose structure is right. The ids, languages and codes are often right, too."""
    kind = rng.choice(list(REQUESTS))
    parts = [field(rng, layout) for layout in REQUESTS[kind]]
    if kind == wire.CONTEXT_CREATE and rng.randrange(2):
        parts = [CLIENT.string(rng.choice("abc")), CLIENT.string("bash"), CLIENT.string("sub"),
                 CLIENT.u32(rng.choice((1, 600, 0xFFFFFFFF)))]
    return CLIENT.frame(kind, *parts)


def hostile_run(rng):
    """A good request to run code whose kernel sends what it should not."""
    return CLIENT.code_run(f"{bridge_fake.HOSTILE} {rng.getrandbits(32)}",
                           rng.choice(("", "bash", "python", "r")), timeout_ms=rng.choice((0, 50)))


def broken(rng, data):
    """The bytes of a request after up to three changes. The frame often ends where they do, so that
    the fault is one of its fields."""
    data = bytearray(data)
    for _ in range(rng.randrange(1, 4)):
        at = rng.randrange(len(data) + 1)
        kind = rng.randrange(8)
        if kind == 0:
            del data[at:]
        elif kind == 1:
            data[at:at] = rng.randbytes(rng.randrange(1, 9))
        elif kind == 2:
            del data[at:at + rng.randrange(1, 9)]
        elif kind == 3 and at < len(data):
            data[at] ^= 1 << rng.randrange(8)
        elif kind == 4:
            data[at:at + 4] = struct.pack("<I", number(rng))
        elif kind == 5:
            data[0:4] = struct.pack("<I", rng.choice((number(rng), max(0, len(data) - 8))))
        elif kind == 6:
            data[4:8] = struct.pack("<HH", rng.randrange(0x50), rng.choice((0, 0, 0, 1)))
        else:
            data += request(rng)
    if len(data) >= 8 and rng.randrange(2):
        data[0:8] = struct.pack("<IHH", len(data) - 8, rng.choice((data[4], *REQUESTS)), 0)
    return bytes(data)


def hostile(rng):
    if rng.randrange(12) == 0:
        return rng.randbytes(rng.randrange(64))
    data = hostile_run(rng) if rng.randrange(3) == 0 else request(rng)
    return broken(rng, data) if rng.randrange(2) else data


# A second reader of requests, without the bridge's

def read_text(data, at):
    size, = struct.unpack_from("<I", data, at)
    part = data[at + 4:at + 4 + size]
    if len(part) != size or b"\0" in part:
        raise ValueError("text")
    return part.decode(), at + 4 + size


def read_list(data, at):
    count, = struct.unpack_from("<I", data, at)
    at, items = at + 4, []
    if count > 4096:
        raise ValueError("list")
    for _ in range(count):
        item, at = read_text(data, at)
        items.append(item)
    return items, at


def read_number(data, at):
    return struct.unpack_from("<I", data, at)[0], at + 4


READERS = {"s": read_text, "u": read_number, "l": read_list}


def read_fields(layout, data):
    """The fields up to the first fault, and whether they are all, and exactly the data."""
    at, values = 0, []
    try:
        for kind in layout:
            item, at = READERS[kind](data, at)
            values.append(item)
    except (struct.error, ValueError):
        return values, False
    return values, at == len(data)


def read_request(data):
    """(verdict, kind, bytes behind it): "short", "bad" or "good"."""
    if len(data) < 8:
        return "short", None, b""
    length, kind, reserved = struct.unpack_from("<IHH", data)
    if reserved or length > 16 << 20:
        return "bad", None, b""
    if len(data) < 8 + length:
        return "short", None, b""
    good = kind in REQUESTS and read_fields(REQUESTS[kind], data[8:8 + length])[1]
    return "good" if good else "bad", kind, data[8 + length:]


def led_by(data):
    """What comes behind a CODE_ENV that leads; None when none does."""
    verdict, kind, behind = read_request(data)
    return behind if (verdict, kind) == ("good", wire.CODE_ENV) else None


# wire

def bridge_fields(layout, data):
    """read_fields() by the bridge's own cursor."""
    fields = wire.Fields(data)
    read, values = {"s": fields.str, "u": fields.u32, "l": fields.list}, []
    try:
        for kind in layout:
            values.append(read[kind]())
        fields.end()
        return values, True
    except wire.WireError as fault:
        require(fault.code in (wire.E_PROTOCOL, wire.E_INVALID), "code", fault.code)
        return values, False


async def bridge_frames(pieces):
    """The frames of a stream, and how it ends."""
    reader, frames = asyncio.StreamReader(), []
    for piece in pieces:
        reader.feed_data(piece)
    reader.feed_eof()
    while True:
        try:
            frames.append(await wire.read_frame(reader))
        except wire.WireError as fault:
            return frames, fault.code
        except asyncio.IncompleteReadError:
            return frames, None


def pieces(rng, data):
    cuts = sorted(rng.randrange(len(data) + 1) for _ in range(rng.randrange(6)))
    return [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)]) if a < b]


async def check_stream(rng, data):
    whole = await bridge_frames([data] if data else [])
    require(await bridge_frames(pieces(rng, data)) == whole, "pieces differ", data)
    at = 0
    for kind, payload in whole[0]:
        require(struct.unpack_from("<IHH", data, at) == (len(payload), kind, 0), "header", data)
        at += 8
        require(data[at:at + len(payload)] == payload, "payload", data)
        at += len(payload)
        for layout in {REQUESTS.get(kind, "s"), rng.choice(list(REQUESTS.values()))}:
            require(bridge_fields(layout, payload) == read_fields(layout, payload), "fields",
                    layout, payload)
    rest = read_request(data[at:])
    require(rest[0] == ("short" if whole[1] is None else "bad"), "the end", rest, data)


async def round_wire(rng):
    for _ in range(STREAMS):
        await check_stream(rng, hostile(rng))
    return STREAMS


# encode

def as_sent(said):
    return said.replace("\0", "\ufffd").encode("utf-8", "replace").decode()


def any_text(rng):
    return "".join(rng.choice(("a", "\n", "\0", "\u00e9", "\ud800", "\udfff", "\U0001f600"))
                   for _ in range(rng.choice((0, 1, 3, 40))))


def check_reply(data, kind, *fields):
    length, found, reserved = struct.unpack_from("<IHH", data)
    require((found, reserved, length) == (kind, 0, len(data) - 8), "reply", data)
    require(length <= wire.MAX_PAYLOAD, "a frame that is too long", length)
    read = CLIENT.decode(found, data[8:])
    require(read[-len(fields):] == list(fields) if fields else not read, read, "is not", fields)


def check_encode(rng):
    a, b, c = any_text(rng), any_text(rng), any_text(rng)
    count, code = number(rng), rng.randrange(1, 15)
    check_reply(wire.ok(), wire.OK)
    check_reply(wire.end(), wire.END)
    check_reply(wire.error(wire.WireError(code, a)), wire.ERROR, code, as_sent(a))
    check_reply(wire.error(wire.WireError(code, a * 200)), wire.ERROR, code,
                as_sent((a * 200)[:4096]))
    check_reply(wire.stream(wire.STDERR, a), wire.CODE_STREAM, as_sent(a))
    check_reply(wire.begun(count), wire.CODE_BEGUN, count)
    check_reply(wire.result(count, a), wire.CODE_RESULT, count, as_sent(a))
    check_reply(wire.display(b), wire.CODE_DISPLAY, as_sent(b))
    check_reply(wire.code_error(a, b, c), wire.CODE_ERROR, as_sent(a), as_sent(b), as_sent(c))
    check_reply(wire.done(wire.DONE_RAISED, count), wire.CODE_DONE, wire.DONE_RAISED, count)
    death = (rng.randrange(256), rng.randrange(65), rng.randrange(3), rng.getrandbits(62))
    check_reply(wire.done(wire.DONE_KERNEL_DIED, count, death), wire.CODE_DONE, count, *death)
    fields = wire.Fields(wire.string(a) + wire.u32(count) + wire.string(b))
    require([fields.str(), fields.u32(), fields.str()] == [as_sent(a), count, as_sent(b)], "fields")
    fields.end()


def check_largest():
    """Results of about the size of the largest frame, of the longest characters only."""
    for less in range(4):
        said = "\U0001f600" * (wire.MAX_PAYLOAD // 4 - less)
        bundle = execution._bundle(said)  # pylint: disable=protected-access
        check_reply(wire.result(1, bundle), wire.CODE_RESULT, bundle)


async def round_encode(rng):
    if rng.randrange(8) == 0:
        check_largest()
    for _ in range(TEXT_SETS):
        check_encode(rng)
    return TEXT_SETS


# server

class World:
    """A bridge with everything but Jupyter. `faults` has what it did not handle."""

    def __init__(self, folder):
        self.faults = []
        bridge_fake.write_specs(f"{folder}/specs")
        os.mkdir(f"{folder}/home")
        asyncio.get_running_loop().set_exception_handler(self._unhandled)
        server.traceback = self  # for print_exc()
        base, ready = environment.Base(), asyncio.get_running_loop().create_future()
        ready.set_result(None)
        self.contexts = contexts.Contexts(language.Languages(), base, f"{folder}/home")
        self.server = server.Server(self.contexts, base, ready)

    def print_exc(self, file):
        del file
        self.faults.append(traceback.format_exc())

    def _unhandled(self, _loop, details):
        fault = details.get("exception")
        self.faults.append(details["message"] + "\n" + "".join(
            traceback.format_exception(fault) if fault else ()))

    def check(self):
        if self.faults:
            raise Fault("\n".join(self.faults))

    async def exchange(self, rng, data, ending):
        """What one connection that sends the data gets. `ending` is what the client does then:
        "open" waits, "eof" sends no more, "drop" is gone."""
        near, far = bridge_fake.socket.socketpair()
        serving = asyncio.ensure_future(
            self.server.serve(*await asyncio.open_connection(sock=far)))
        reader, writer = await asyncio.open_connection(sock=near)
        for piece in pieces(rng, data):
            writer.write(piece)
            await asyncio.sleep(0)
        if ending == "drop":
            writer.close()
        elif ending == "eof":
            writer.write_eof()
        try:
            got = b"" if ending == "drop" else await asyncio.wait_for(reader.read(), HANG_S)
            await asyncio.wait_for(serving, HANG_S)
        except ConnectionError:
            got = None  # the bridge closed with bytes of ours unread
        except asyncio.TimeoutError:
            raise Fault(f"no answer and no end, {ending}: {data[:300]}") from None
        writer.close()
        return got


def frames(data):
    at, found = 0, []
    while at < len(data):
        length, kind, reserved = struct.unpack_from("<IHH", data, at)
        require(not reserved and length <= wire.MAX_PAYLOAD, "a frame of", length)
        found.append((kind, CLIENT.decode(kind, data[at + 8:at + 8 + length])))
        at += 8 + length
    return found


def check_answer(data, ending, got):
    led, found = led_by(data), frames(got)
    if led is not None and found[:1] != [(wire.OK, [])]:
        require([k for k, _ in found] == [wire.ERROR], "no answer to what leads", data, found)
    elif led is not None:
        check_operation(led, ending, found[1:], led_by(led) is not None)
    else:
        check_operation(data, ending, found)


def check_operation(data, ending, found, refused=False):
    """`refused`: it is none, although it is well formed."""
    verdict, kind, behind = read_request(data)
    verdict = "bad" if refused else verdict
    require(not any(k == wire.ERROR and f[0] == wire.E_INTERNAL for k, f in found), found)
    kinds = [k for k, _ in found]
    if verdict == "short":
        require(not found, "an answer to a part of a request", data, found)
    elif verdict == "bad":
        require(kinds == [wire.ERROR] and found[0][1][0] in (wire.E_PROTOCOL, wire.E_INVALID),
                "no refusal", data, found)
    elif kind == wire.CODE_RUN:
        # More bytes, or the end of them, end the run.
        require(kinds and kinds[-1] in (wire.CODE_DONE, wire.ERROR) or behind or ending == "eof",
                "a run without an end", data, found)
        require(not {wire.CODE_DONE, wire.ERROR} & set(kinds[:-1]), "an end in between", found)
    elif kind == wire.CONTEXT_LIST:
        require(kinds == [wire.CONTEXT] * (len(kinds) - 1) + [wire.END], "list", found)
    else:
        good = {wire.CONTEXT_CREATE: wire.CONTEXT, wire.CONTEXT_GET: wire.CONTEXT}
        require(kinds in ([good.get(kind, wire.OK)], [wire.ERROR]), "answer", data, found)


async def one_connection(world, rng, patient):
    """`patient`: a part of a request may be all that comes, until the bridge has waited enough."""
    data = hostile(rng)
    ending = rng.choice(("open", "open", "eof", "eof", "drop"))
    led = led_by(data)
    short = read_request(data if led is None else led)[0] == "short"
    if ending == "open" and not patient and short:
        ending = "eof"
    got = await world.exchange(rng, data, ending)
    if got is not None and ending != "drop":
        check_answer(data, ending, got)


async def check_good(world, rng):
    ready = await world.exchange(rng, CLIENT.frame(wire.CODE_READY), "open")
    require(frames(ready) == [(wire.OK, [])], "ready", ready)
    for name in ("python", "bash"):
        run = await world.exchange(rng, CLIENT.code_run("6 * 7", name), "open")
        found = {kind: fields for kind, fields in frames(run)}
        require(found.get(wire.CODE_RESULT, [0, ""])[1] == '{"text/plain": "42"}', name, run)
        require(found.get(wire.CODE_DONE, [-1])[0] == wire.DONE_OK, name, run)


async def round_server(rng):
    with tempfile.TemporaryDirectory() as folder:
        world, patient = World(folder), rng.randrange(4) == 0
        for _ in range(BATCHES):
            results = await asyncio.gather(*[
                one_connection(world, random.Random(rng.getrandbits(64)), patient)
                for _ in range(CONNECTIONS)], return_exceptions=True)
            for result in results:
                if result is not None:
                    raise result
            await check_good(world, rng)
            world.check()
        await world.contexts.close()
        await end_of_tasks()
        world.check()
    return BATCHES * CONNECTIONS


async def end_of_tasks():
    """No task of the bridge outlives its connections and contexts."""
    rest = asyncio.all_tasks() - {asyncio.current_task()}
    if rest:
        _, rest = await asyncio.wait(rest, timeout=HANG_S)
    require(not rest, "left:", rest)


ROUNDS = {"wire": round_wire, "encode": round_encode, "server": round_server}


class Edges:
    """Pairs of lines of the bridge that were run one after the other."""

    def __init__(self):
        self.seen = set()
        self._own = {}

    def _trace(self, frame, _event, _argument):
        code = frame.f_code
        own = self._own.get(code)
        if own is None:
            own = self._own[code] = code.co_filename.startswith(BRIDGE)
        if not own:
            return None
        last = frame.f_lineno

        def local(frame, event, _argument):
            nonlocal last
            if event == "line":
                self.seen.add((code, last, frame.f_lineno))
                last = frame.f_lineno
            return local

        return local

    @contextlib.contextmanager
    def counted(self, wanted):
        sys.settrace(self._trace if wanted else None)
        try:
            yield
        finally:
            sys.settrace(None)


def hurry():
    """Waits that are for slow clients and slow machines."""
    server.REQUEST_S = 2
    execution.IDLE_GRACE_S = execution.LOSSY_GRACE_S = 0.2
    execution.REPLY_GRACE_S = 0.4
    context.BEGIN_S = context.INTERRUPT_S = kernel.INTERRUPT_S = 0.5
    context.Kernel = bridge_fake.kernel_class(kernel, channel)


def report(options, part, number, fault):
    print(f"ERROR: {part}, seed {options.seed}, round {number}: {fault}")
    traceback.print_exc(file=sys.stdout)
    if options.found:
        path = f"{options.found}/bridge-{part}-{options.seed}-{number}"
        with open(path, "w", encoding="utf-8") as file:
            file.write(f"--part {part} --seed {options.seed} --from {number} --rounds 1\n{fault}\n")


def fuzz(options):
    """The number of executions, the edges, and whether all is well."""
    edges, executions, number = Edges(), 0, options.first
    end = time.monotonic() + options.seconds if options.seconds else float("inf")
    while time.monotonic() < end and number < options.first + options.rounds:
        for part in options.part or ROUNDS:
            rng = random.Random(f"{part} {options.seed} {number}")
            try:
                with edges.counted(number % TRACED == 0):
                    executions += asyncio.run(ROUNDS[part](rng))
            except Exception as fault:  # pylint: disable=broad-except
                report(options, part, number, fault)
                return executions, edges, False
        number += 1
    return executions, edges, True


def atheris_session(options):
    """Coverage steers it, so only the parser: a connection is too slow for that."""
    try:
        import atheris
    except ImportError:
        print("skip atheris: it is not installed")
        return

    def one_input(data):
        asyncio.run(check_stream(random.Random(len(data)), data))

    atheris.instrument_all()
    atheris.Setup([sys.argv[0], f"-max_total_time={int(options.seconds or 60)}",
                   "-print_final_stats=1", f"-artifact_prefix={options.found or '.'}/"], one_input)
    atheris.Fuzz()


def main():
    p = argparse.ArgumentParser(description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--seconds", type=float, help="how long; without it --rounds says it")
    p.add_argument("--rounds", type=int, default=sys.maxsize)
    p.add_argument("--from", type=int, default=0, dest="first", help="the first round (0)")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--part", action="append", choices=ROUNDS, help="all, or these")
    p.add_argument("--found", metavar="DIR", help="where what was found is written")
    p.add_argument("--atheris", action="store_true", help="fuzz the parser with it instead")
    options = p.parse_args()
    hurry()
    if options.atheris:
        atheris_session(options)
        return 0
    executions, edges, well = fuzz(options)
    print(f"cov: {len(edges.seen)}\nstat::number_of_executed_units: {executions}")
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
