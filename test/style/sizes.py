#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Files above 400 lines and functions above 60 need their name and reason in sizes.txt, so that
growth is a choice."""
import os
import re
import sys

import tree

MAX_FILE = 400
MAX_FUNCTION = 60
NAME = re.compile(r"(\w+)\s*\(")


def load_exceptions():
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "sizes.txt")
    with open(path, encoding="utf-8") as f:
        return {line.split()[0] for line in f if line.strip() and not line.startswith("#")}


def functions(text):
    """(name, lines) of every function: in this tree's style its braces stand in the first column."""
    start, head = None, ""
    for number, line in enumerate(text.split("\n")):
        if line == "{":
            start = number
        elif line.startswith("}") and start is not None:
            found = NAME.search(head)
            yield (found.group(1) if found else "?"), number - start + 1
            start, head = None, ""
        elif start is None and line[:1].isalpha():
            head = line if "(" in line or not head else head
            if line.endswith(";"):
                head = ""


def main(root):
    allowed = load_exceptions()
    paths = [p for p in tree.c_files(root) if not p.startswith(("test/", "bench/"))]
    paths += tree.files(root, ".py")
    used, faults = set(), []
    for path in paths:
        text = tree.read(root, path)
        found = []
        if text.count("\n") > MAX_FILE:
            found.append((path, f"{text.count(chr(10))} lines, more than {MAX_FILE}"))
        if path.endswith((".c", ".h")):
            found += [(f"{path}:{name}", f"a function of {lines} lines, more than {MAX_FUNCTION}")
                      for name, lines in functions(text) if lines > MAX_FUNCTION]
        for name, reason in found:
            used.add(name)
            if name not in allowed:
                faults.append(f"{name}: {reason}")
    if "test/style/sizes.txt" in tree.files(root, ".txt"):
        faults += [f"sizes.txt names {name}, which is within the limits" for name in allowed - used]
    tree.finish(len(paths), faults)


main(sys.argv[1])
