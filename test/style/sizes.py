#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A file above 600 lines or a function above 60 needs its name in sizes.txt, with a reason: growth is
a choice."""
import re
import sys

import tree

MAX_FILE = 600
MAX_FUNCTION = 60
EXCEPTIONS = "test/style/sizes.txt"
NAME = re.compile(r"(\w+)\s*\(")


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


def too_long(path, text):
    """(name, what is wrong) of the file and of its functions."""
    count = text.count("\n")
    if count > MAX_FILE:
        yield path, f"{count} lines, more than {MAX_FILE}"
    if path.endswith((".c", ".h")):
        for name, lines in functions(text):
            if lines > MAX_FUNCTION:
                yield f"{path}:{name}", f"a function of {lines} lines, more than {MAX_FUNCTION}"


def main(root):
    allowed = tree.reasons(root, EXCEPTIONS)
    paths = [p for p in tree.c_files(root) if not p.startswith(("test/", "bench/"))]
    paths += tree.files(root, ".py")
    found = [fault for path in paths for fault in too_long(path, tree.read(root, path))]
    faults = [f"{name}: {fault}" for name, fault in found if name not in allowed]
    faults += [f"sizes.txt: {name} has no reason" for name, reason in allowed.items() if not reason]
    faults += [f"sizes.txt: {name} is within the limits"
               for name in sorted(allowed.keys() - {name for name, _ in found})]
    tree.finish(len(paths), faults)


main(sys.argv[1])
