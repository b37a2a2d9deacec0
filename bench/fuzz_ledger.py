# SPDX-License-Identifier: Apache-2.0
"""What the fuzz targets have had, added up over runs: CPU seconds, executions and edges. An entry
holds for one program. When the program is another one it is void, and the target begins anew."""
import fcntl
import json
import os
import threading

FIELDS = {"program": str, "cpu_seconds": float, "executions": int, "edges": int}


class Refused(Exception):
    """The ledger cannot be used: another run has it open, or it is damaged."""


def read(path):
    """The entries of the file; none when there is no file, or an empty one."""
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
        entries = json.loads(text) if text else {}
    except FileNotFoundError:
        return {}
    except ValueError as fault:
        raise Refused(f"{path} is damaged ({fault}): mend it or take it away") from None
    whole = isinstance(entries, dict) and all(
        isinstance(entry, dict) and {k: type(v) for k, v in entry.items()} == FIELDS
        for entry in entries.values())
    if not whole:
        raise Refused(f"{path} is damaged (it is no ledger): mend it or take it away")
    return entries


class Ledger:
    """A JSON file, held by one run at a time."""

    def __init__(self, path):
        self._path = path
        self._lock = threading.Lock()
        # The lock has a file of its own, as each write makes another ledger.
        self._held = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(self._held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Refused(f"{path} is in use by another run") from None
        self._entries = read(path)

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
            self._write()

    def _write(self):
        """What ends in the midst of it leaves the old ledger."""
        with open(f"{self._path}.new", "w", encoding="utf-8") as file:
            json.dump(self._entries, file, indent=1, sort_keys=True)
            file.flush()
            os.fsync(file.fileno())
        os.replace(f"{self._path}.new", self._path)
