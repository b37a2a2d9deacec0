# SPDX-License-Identifier: Apache-2.0
"""What every gate shares: the list of the tree's files, and how a gate ends.

A gate is a program that judges the tree at ROOT, its one argument: status 0 when it holds, 1 with one
line per fault, 77 with a reason when it cannot run here. A gate that found nothing to look at fails.
"""
import os
import subprocess
import sys

CANARIES = "test/style/canary/"
SKIPPED_DIRS = ("build", ".git", "__pycache__", ".cache")


def _walk(root):
    for folder, dirs, names in os.walk(root):
        dirs[:] = sorted(d for d in dirs if not d.startswith(SKIPPED_DIRS))
        for name in sorted(names):
            yield os.path.relpath(os.path.join(folder, name), root)


def files(root, *suffixes):
    """Paths relative to root, those git ignores left out, and the canaries of the real tree too."""
    if os.path.exists(os.path.join(root, ".git")):
        command = ["git", "-c", "safe.directory=*", "-C", root, "ls-files", "-co",
                   "--exclude-standard"]
        paths = subprocess.run(command, check=True, text=True, capture_output=True).stdout.split("\n")
    else:
        paths = list(_walk(root))
    return sorted(p for p in paths if p and not p.startswith(CANARIES)
                  and (not suffixes or p.endswith(suffixes))
                  and os.path.isfile(os.path.join(root, p)))


def c_files(root, *suffixes):
    folders = ("include/", "src/", "guest/", "vmm/", "test/", "bench/")
    return [p for p in files(root, *(suffixes or (".c", ".h"))) if p.startswith(folders)]


def read(root, path):
    with open(os.path.join(root, path), encoding="utf-8", errors="replace") as f:
        return f.read()


def reasons(root, path):
    """Of a list of exceptions: name -> the reason beside it, "" when there is none."""
    lines = [line for line in read(root, path).split("\n") if line and not line.startswith("#")]
    return {name: reason.strip() for name, _, reason in (line.partition(" ") for line in lines)}


def skip(reason):
    print(reason)
    sys.exit(77)


def finish(checked, faults, what="files"):
    for fault in faults:
        print(fault)
    if not checked:
        print(f"found no {what} to check")
    else:
        print(f"{checked} {what} checked, {len(faults)} faults")
    sys.exit(1 if faults or not checked else 0)
