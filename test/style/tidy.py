#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""clang-tidy over every C file of the programs, with the checks of .clang-tidy.

CORRAL_BUILD_CLANG names a build directory whose compile_commands.json is used; without one the
files are taken as plain C. What was found clean is remembered there by the hash of all that decides
(file, the headers it reaches, checks, command line), so that a second run looks at changes only.
"""
import concurrent.futures
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys

import tree

HERE = os.path.dirname(os.path.abspath(__file__))
CONFIG = os.path.normpath(os.path.join(HERE, "../../.clang-tidy"))
LOCAL_INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.M)


def load_commands(build):
    path = os.path.join(build, "compile_commands.json") if build else ""
    if not os.path.exists(path):
        return {}
    with open(path, encoding="utf-8") as f:
        entries = json.load(f)
    return {os.path.realpath(os.path.join(e["directory"], e["file"])): e["command"]
            for e in entries}


class Checker:
    def __init__(self, root, build):
        self.root, self.build = root, build
        self.commands = load_commands(build)
        self.headers = {}
        for header in tree.c_files(root, ".h"):
            # As it is included: from a root, or from its own folder.
            self.headers[header.split("/", 1)[1]] = self.headers[os.path.basename(header)] = header
        self.cache = os.path.join(build, "tidy-cache") if build else ""
        version = subprocess.run(["clang-tidy", "--version"], text=True, capture_output=True).stdout
        with open(CONFIG, encoding="utf-8") as f:
            self.base = version + f.read()
        if self.cache:
            os.makedirs(self.cache, exist_ok=True)

    def reached(self, path, seen):
        if path not in seen:
            seen.add(path)
            for name in LOCAL_INCLUDE.findall(tree.read(self.root, path)):
                header = self.headers.get(name)
                if header:
                    self.reached(header, seen)
        return seen

    def key(self, path, command):
        parts = [self.base, command]
        parts += [p + tree.read(self.root, p) for p in sorted(self.reached(path, set()))]
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()

    def check(self, path):
        """None when clean, the output otherwise."""
        full = os.path.realpath(os.path.join(self.root, path))
        command = self.commands.get(full, "")
        mark = os.path.join(self.cache, self.key(path, command)) if self.cache else ""
        if mark and os.path.exists(mark):
            return None
        arguments = ["clang-tidy", "--quiet", f"--config-file={CONFIG}", full]
        arguments += ["-p", self.build] if command else ["--", "-std=gnu17", "-D_GNU_SOURCE"]
        result = subprocess.run(["nice"] + arguments, text=True, capture_output=True)
        if result.returncode != 0:
            lines = [line for line in result.stdout.split("\n") if ": error: " in line]
            return "\n".join(lines) or result.stderr.strip()
        if mark:
            open(mark, "w").close()
        return None


def main(root):
    if not shutil.which("clang-tidy"):
        tree.skip("clang-tidy is not installed")
    checker = Checker(root, os.environ.get("CORRAL_BUILD_CLANG", ""))
    paths = [p for p in tree.c_files(root, ".c") if not p.startswith(("test/", "bench/"))]
    faults = []
    if checker.commands:
        faults = [f"{p}: no build compiles this file" for p in paths
                  if os.path.realpath(os.path.join(root, p)) not in checker.commands]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        faults += [out for out in pool.map(checker.check, paths) if out]
    tree.finish(len(paths), faults)


main(sys.argv[1])
