#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Who includes whom: every #include of the programs against the table in layers.txt, and the table
against itself: a layer names layers above it, and none that it does not use."""
import fnmatch
import os
import re
import sys

import tree

INCLUDE = re.compile(r'^\s*#\s*include\s+(["<])([^">]+)[">]', re.M)
REAL_TREE = "test/style/layers.txt"


class Law:
    def __init__(self):
        self.roots, self.layers, self.never, self.libraries, self.system = {}, {}, [], [], []
        self.faults = []
        path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "layers.txt")
        with open(path, encoding="utf-8") as f:
            for line in f:
                words = line.split("#")[0].split()
                if words:
                    self.add(*words)
        self.unused = {(layer, other) for layer, others in self.layers.items() for other in others}

    def add(self, kind, *words):
        if kind == "root":
            self.roots[words[0]] = words[1:]
        elif kind == "layer":
            self.faults += [f"layers.txt: {words[0]} names {other}, which is not above it"
                            for other in words[1:] if other not in self.layers]
            self.layers[words[0]] = words[1:]
        elif kind == "never":
            self.never.append((words[0], words[1:]))
        elif kind == "library":
            self.libraries.append((words[0], words[1:]))
        else:
            self.system += words

    def layer_of(self, path):
        folder = os.path.dirname(path)
        while folder and folder not in self.layers:
            folder = os.path.dirname(folder)
        return folder

    def judge_own(self, headers, path, name):
        program = path.split("/")[0]
        found = [f"{root}/{name}" for root in self.roots[program] if f"{root}/{name}" in headers]
        if not found:
            return f'{path}: "{name}" is no header below {" or ".join(self.roots[program])}'
        if len(found) > 1:
            return f'{path}: "{name}" is {" and ".join(found)}'
        own, other = self.layer_of(path), self.layer_of(found[0])
        self.unused.discard((own, other))
        if own != other and other not in self.layers[own]:
            return f'{path}: {own} may not include "{name}" of {other}'
        return None

    def judge_foreign(self, path, name):
        for pattern, allowed in self.libraries:
            if fnmatch.fnmatchcase(name, pattern):
                if any(fnmatch.fnmatchcase(path, a) for a in allowed):
                    return None
                return f"{path}: <{name}> belongs to {' '.join(allowed)} alone"
        if any(fnmatch.fnmatchcase(name, s) for s in self.system):
            return None
        return f"{path}: <{name}> is not in layers.txt"

    def judge(self, headers, path, quote, name):
        for files, forbidden in self.never:
            if fnmatch.fnmatchcase(path, files) and \
                    any(fnmatch.fnmatchcase(name, header) for header in forbidden):
                return f"{path}: {files} may never include {name}"
        if quote == '"':
            return self.judge_own(headers, path, name)
        return self.judge_foreign(path, name)


def main(root):
    law = Law()
    paths = [p for p in tree.c_files(root) if not p.startswith(("test/", "bench/"))]
    headers = {path for path in paths if path.endswith(".h")}
    faults = law.faults
    for path in paths:
        if not law.layer_of(path):
            faults.append(f"{path}: its folder is not in layers.txt")
            continue
        for quote, name in INCLUDE.findall(tree.read(root, path)):
            fault = law.judge(headers, path, quote, name)
            if fault:
                faults.append(fault)
    if REAL_TREE in tree.files(root, ".txt"):
        faults += [f"layers.txt: {layer} has no use for {other}"
                   for layer, other in sorted(law.unused)]
    tree.finish(len(paths), faults)


main(sys.argv[1])
