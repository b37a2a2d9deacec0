# SPDX-License-Identifier: Apache-2.0
"""What a server holds when it has nothing to do: the same before a soak and after it."""
import ctypes
import os
import re
import tempfile
import time

from corraltest import HOST, cgroups_with, loops_with, mounts_with, patience, processes_with

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


def settled(server, wanted=None):
    """The counts, once they are as wanted, or else the same for some seconds, or after a while."""
    seen, end = [], time.monotonic() + patience(90)
    while time.monotonic() < end:
        seen.append(counts(server))
        same = seen[-4:] == [seen[-1]] * 4
        if seen[-1] == wanted or (wanted is None and same and
                                  seen[-1]["ready in the pool"] ==
                                  seen[-1]["directories of sandboxes"]):
            break
        time.sleep(1)
    return seen[-1]


def differences(before, after):
    return [f"{name}: {before[name]} before, {after[name]} after"
            for name in before if before[name] != after[name]]
