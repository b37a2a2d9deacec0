#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Who includes whom: every #include of the programs against the table in layers.txt."""
import fnmatch
import os
import re
import sys

import tree

INCLUDE = re.compile(r'^\s*#\s*include\s+(["<])([^">]+)[">]', re.M)


def load_table():
    table = {"layer": {}, "library": [], "system": []}
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "layers.txt")
    with open(path, encoding="utf-8") as f:
        for line in f:
            words = line.split("#")[0].split()
            if not words:
                continue
            if words[0] == "layer":
                table["layer"][words[1]] = words[2:]
            elif words[0] == "library":
                table["library"].append((words[1], words[2:]))
            else:
                table["system"] += words[1:]
    return table


def layer_of(table, path):
    """The layer of a file: its own name without suffix when the table has that, or its folder."""
    folder = os.path.splitext(path)[0]
    while folder and folder not in table["layer"]:
        folder = os.path.dirname(folder)
    return folder


def judge_own(table, headers, path, name):
    found = [layer_of(table, h) for h in headers.get(os.path.basename(name), [])]
    own = layer_of(table, path)
    reached = [layer for layer in found if layer == own or layer in table["layer"][own]]
    if len(reached) == 1:
        return None
    if len(reached) > 1:
        return f'{path}: "{name}" is a header of {" and of ".join(reached)}'
    if found:
        return f'{path}: {own} may not include "{name}" of {found[0]}'
    return f'{path}: "{name}" is no header of this tree'


def judge_foreign(table, path, name):
    for pattern, allowed in table["library"]:
        if fnmatch.fnmatchcase(name, pattern):
            if any(fnmatch.fnmatchcase(path, a) for a in allowed):
                return None
            return f"{path}: <{name}> belongs to {' '.join(allowed)} alone"
    if any(fnmatch.fnmatchcase(name, s) for s in table["system"]):
        return None
    return f"{path}: <{name}> is not in layers.txt"


def main(root):
    table = load_table()
    paths = [p for p in tree.c_files(root) if not p.startswith(("test/", "bench/"))]
    headers = {}
    for path in paths:
        if path.endswith(".h"):
            headers.setdefault(os.path.basename(path), []).append(path)
    faults = []
    for path in paths:
        if not layer_of(table, path):
            faults.append(f"{path}: its folder is not in layers.txt")
            continue
        for quote, name in INCLUDE.findall(tree.read(root, path)):
            fault = (judge_own(table, headers, path, name) if quote == '"'
                     else judge_foreign(table, path, name))
            if fault:
                faults.append(fault)
    tree.finish(len(paths), faults)


main(sys.argv[1])
