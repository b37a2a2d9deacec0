# SPDX-License-Identifier: Apache-2.0
"""What a server holds when it has nothing to do: the same before a soak and after it."""
import ctypes
import os
import re
import tempfile
import time

from corraltest import HOST, cgroups_with, loops_with, mounts_with, patience, processes_with

POOL = 2  # sandboxes that it keeps ready
MEMORY_KIB = 32 << 10  # by which an allocator may stay larger after a load
MDB_RDONLY, MDB_NOLOCK = 0x20000, 0x400000
TABLES = ("sandboxes", "workflows", "runs", "steps", "templates", "apikeys", "users", "tokens",
          "signkeys", "secrets", "meta")


class Stat(ctypes.Structure):
    _fields_ = [("psize", ctypes.c_uint), ("depth", ctypes.c_uint), ("branch", ctypes.c_size_t),
                ("leaf", ctypes.c_size_t), ("overflow", ctypes.c_size_t), ("entries", ctypes.c_size_t)]


def table_sizes(data):
    """Entries of each table in the bytes of an LMDB file that nobody writes to."""
    lmdb = ctypes.CDLL("liblmdb.so.0")
    env, txn, sizes = ctypes.c_void_p(), ctypes.c_void_p(), {}
    with tempfile.TemporaryDirectory() as folder:
        with open(f"{folder}/data.mdb", "wb") as file:
            file.write(data)
        calls = (lmdb.mdb_env_create(ctypes.byref(env)), lmdb.mdb_env_set_maxdbs(env, 64),
                 lmdb.mdb_env_open(env, os.fsencode(folder), MDB_RDONLY | MDB_NOLOCK, 0o600),
                 lmdb.mdb_txn_begin(env, None, MDB_RDONLY, ctypes.byref(txn)))
        if any(calls):
            raise OSError(f"LMDB: {calls}")
        for name in TABLES:
            dbi, stat = ctypes.c_uint(), Stat()
            if lmdb.mdb_dbi_open(txn, name.encode(), 0, ctypes.byref(dbi)) == 0:
                lmdb.mdb_stat(txn, dbi, ctypes.byref(stat))
                sizes[name] = stat.entries
        lmdb.mdb_txn_abort(txn)
        lmdb.mdb_env_close(env)
    return sizes


def metric(server, name):
    text = server.client.get("/metrics", prefix="").body.decode()
    return int(re.search(rf"^{re.escape(name)} (\d+)$", text, re.M).group(1))


def counts(server):
    ids = sorted(server.note_ids())
    words = [server.state, *ids]
    return {"descriptors": server.descriptors(),
            "processes": len(processes_with(words)),
            "mounts": len(mounts_with(words)),
            "control groups": len(cgroups_with(ids)),
            "loop devices": len(loops_with(server.state)),
            "directories of sandboxes": len(server.directories()),
            "files of the state": sorted(HOST.list(server.state)),
            "leftovers": metric(server, "corral_leftovers"),
            "ready in the pool": metric(server, "corral_pool_ready"),
            "records": table_sizes(HOST.read(f"{server.state}/db/data.mdb"))}


def at_rest(seen):
    """Nothing has changed for some seconds, the pool is full, and no record of an ended one is left."""
    last = seen[-1]
    return (seen[-4:] == [last] * 4 and last["records"]["sandboxes"] == 0 and
            last["ready in the pool"] == last["directories of sandboxes"] == POOL)


def settled(server, wanted=None):
    """The counts, once they are as wanted, or else at rest, or after a while."""
    seen, end = [], time.monotonic() + patience(180)
    while time.monotonic() < end:
        seen.append(counts(server))
        if seen[-1] == wanted or (wanted is None and at_rest(seen)):
            break
        time.sleep(1)
    return seen[-1]


def changes(before, after):
    """Of two tables only what differs."""
    if not isinstance(before, dict):
        return f"{before} before, {after} after"
    keys = [k for k in before if before[k] != after.get(k)]
    return "; ".join(f"{k} {before[k]} before, {after.get(k)} after" for k in keys)


def differences(before, after):
    return [f"{name}: {changes(before[name], after[name])}"
            for name in before if before[name] != after[name]]
