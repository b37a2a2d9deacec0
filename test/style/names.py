#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""No two functions of one program share a name, static ones included: a debugger, a profile and a
reader name a function by that alone. names.txt lists the exceptions, each with its reason."""
import collections
import re
import sys

import tree

EXCEPTIONS = "test/style/names.txt"
# The folders that make a program.
PROGRAMS = {
    "corrald": ("src",),
    "corral": ("src/cli", "src/base"),
    "corral-egress": ("src/egress", "src/base"),
    "corral-agent": ("guest/agent", "src/base"),
    "corral-init": ("guest/init", "src/base"),
    "corral-vmm": ("vmm", "src/base"),
}
ELSEWHERE = {"corrald": ("src/cli", "src/egress")}  # below them, but part of another program
# A definition: its head begins in the first column, its body's brace stands alone there.
DEFINITION = re.compile(r"^[a-z][\w \t*\n(),]*?\b(\w+)\([^;{}]*\)\n\{", re.M)


def below(path, folders):
    return any(path.startswith(folder + "/") for folder in folders)


def main(root):
    allowed, met, faults = tree.reasons(root, EXCEPTIONS), set(), []
    paths = tree.c_files(root)
    for program, folders in PROGRAMS.items():
        where = collections.defaultdict(list)
        for path in paths:
            if below(path, folders) and not below(path, ELSEWHERE.get(program, ())):
                # Once a file: the second one stands in another branch of an #if.
                for name in set(DEFINITION.findall(tree.read(root, path))):
                    where[name].append(path)
        for name, places in sorted(where.items()):
            if len(places) > 1:
                met.add(name)
                if name not in allowed:
                    faults.append(f"{program}: {name}() in {', '.join(places)}")
    faults += [f"names.txt: {name} has no reason" for name, reason in allowed.items() if not reason]
    faults += [f"names.txt: {name} is no longer there twice" for name in sorted(allowed.keys() - met)]
    tree.finish(len([p for p in paths if below(p, ("src", "guest", "vmm"))]), faults)


main(sys.argv[1])
