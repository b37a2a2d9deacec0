#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every C file is exactly as clang-format writes it. Versions differ in details, so only the one
the tree is formatted with judges."""
import os
import re
import shutil
import subprocess
import sys

import tree

VERSION = 14


def find_clang_format():
    for name in (f"clang-format-{VERSION}", "clang-format"):
        if not shutil.which(name):
            continue
        text = subprocess.run([name, "--version"], text=True, capture_output=True).stdout
        found = re.search(r"version (\d+)", text)
        if found and int(found.group(1)) == VERSION:
            return name
    tree.skip(f"clang-format {VERSION} is not installed")


def main(root):
    program = find_clang_format()
    paths = tree.c_files(root)
    style = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../.clang-format")
    result = subprocess.run([program, "--dry-run", f"--style=file:{os.path.normpath(style)}"] + paths,
                            cwd=root, text=True, capture_output=True) if paths else None
    bad = sorted(set(re.findall(r"^(\S+?):\d+:\d+: (?:warning|error)", result.stderr, re.M))
                 if result else [])
    if result and result.returncode != 0:
        bad.append(result.stderr.strip())
    tree.finish(len(paths), [f"{p}: run clang-format -i on it" for p in bad])


main(sys.argv[1])
