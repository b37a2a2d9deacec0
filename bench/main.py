# SPDX-License-Identifier: Apache-2.0
"""main.py [NAME...]: runs the measurements, prints a table after each and one of all at the end."""
import importlib
import sys
import time
import traceback

import benchlib

# `e2b` needs packages of another registry, so it runs when it is named.
PROGRAMS = ("http", "command", "code", "create", "stream", "transfer", "memory", "burst", "network",
            "e2b")


def main(names):
    unknown = set(names) - set(PROGRAMS)
    if unknown:
        sys.exit(f"there is no {', '.join(sorted(unknown))}; there are: {', '.join(PROGRAMS)}")
    rows, failed = [], []
    print(f"machine: {benchlib.machine()}")
    for name in names or PROGRAMS[:-1]:
        started = time.monotonic()
        print(f"\n{name}:", flush=True)
        try:
            found = importlib.import_module(f"bench_{name}").measure()
            benchlib.table(found)
            rows += found
        except Exception:  # pylint: disable=broad-except
            traceback.print_exc()
            failed.append(name)
        print(f"({time.monotonic() - started:.0f} s)")
    print(f"\nall, on {benchlib.machine()}:")
    benchlib.table(rows)
    missed = [row.name for row in rows if row.met is False]
    print(f"\n{len(rows)} rows; budgets missed: {', '.join(missed) or 'none'}; "
          f"programs that failed: {', '.join(failed) or 'none'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
