#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What no file may hold: the patterns of words.txt. And what each must: the licence line on top."""
import os
import re
import sys

import tree

SPDX = "SPDX-License-Identifier: Apache-2.0"
LICENSED = (".c", ".h", ".py", ".sh", ".js", ".mjs", "meson.build", "meson_options.txt")


def load_patterns():
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "words.txt")
    with open(path, encoding="utf-8") as f:
        lines = [line.rstrip("\n") for line in f if line.strip() and not line.startswith("#")]
    return [(re.compile(line.split("\t")[0]), line.split("\t")[1]) for line in lines]


def first_line_fault(path, text):
    lines = text.split("\n")
    script = lines[0].startswith("#!")
    if not script and not path.endswith(LICENSED):
        return None
    line = lines[1] if script and len(lines) > 1 else lines[0]
    return None if SPDX in line else f"{path}: no SPDX line on top"


def main(root):
    patterns = load_patterns()
    paths = [p for p in tree.files(root)
             if p not in ("LICENSE", "test/style/words.txt") and "/corpus/" not in p
             and "/regression/" not in p]
    faults = []
    for path in paths:
        text = tree.read(root, path)
        fault = first_line_fault(path, text)
        if fault:
            faults.append(fault)
        for number, line in enumerate(text.split("\n"), 1):
            faults += [f"{path}:{number}: {reason}: {line.strip()[:80]}"
                       for pattern, reason in patterns if pattern.search(line)]
    tree.finish(len(paths), faults)


main(sys.argv[1])
