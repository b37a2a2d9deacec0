# SPDX-License-Identifier: Apache-2.0
"""What the fuzz targets have had, added up over runs: CPU seconds, executions and edges. An entry
holds for one program. When the program is another one it is void, and the target begins anew."""
import fcntl
import json
import os
import threading


class InUse(Exception):
    """Another run has the ledger open."""


class Ledger:
    """A JSON file, held by one run at a time."""

    def __init__(self, path):
        self._lock = threading.Lock()
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InUse(f"{path} is in use by another run") from None
        with open(path, encoding="utf-8") as file:
            text = file.read()
        self._entries = json.loads(text) if text else {}

    def entry(self, target, program):
        """That of the target, empty when there is none for this program (a hash)."""
        with self._lock:
            found = self._entries.get(target)
        if found is None or found["program"] != program:
            return {"program": program, "cpu_seconds": 0.0, "executions": 0, "edges": 0}
        return dict(found)

    def add(self, target, program, cpu_seconds, executions, edges):
        """One more run of the target. The file has it when this returns."""
        entry = self.entry(target, program)
        entry["cpu_seconds"] = round(entry["cpu_seconds"] + cpu_seconds, 2)
        entry["executions"] += executions
        entry["edges"] = max(entry["edges"], edges)
        with self._lock:
            self._entries[target] = entry
            data = json.dumps(self._entries, indent=1, sort_keys=True).encode()
            # One write in place: the lock belongs to this file, not to its name.
            os.pwrite(self._file, data, 0)
            os.ftruncate(self._file, len(data))
