#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every header compiles on its own: it includes what it uses."""
import os
import subprocess
import sys
import tempfile

import tree

ROOTS = ("src", "include", "guest", "vmm", "test/lib")
LIBRARIES = ("libuv", "libcjson", "lmdb", "libcurl")


def library_flags():
    result = subprocess.run(("pkg-config", "--cflags") + LIBRARIES, text=True, capture_output=True)
    return result.stdout.split()


def main(root):
    headers = tree.c_files(root, ".h")
    flags = ["-std=gnu17", "-D_GNU_SOURCE", '-DCORRAL_VERSION="0"', "-Wall", "-Wextra", "-Werror",
             "-Wno-unused-parameter"] + [f"-I{f}" for f in ROOTS] + library_flags()
    faults = []
    with tempfile.NamedTemporaryFile("w", suffix=".c") as unit:
        for header in headers:
            unit.seek(0)
            unit.truncate()
            unit.write(f'#include "{os.path.abspath(os.path.join(root, header))}"\nint unit_;\n')
            unit.flush()
            result = subprocess.run(["cc", "-fsyntax-only", "-iquote", os.path.dirname(header)]
                                    + flags + [unit.name], cwd=root, text=True, capture_output=True)
            if result.returncode != 0:
                faults.append(f"{header}: does not compile alone\n{result.stderr.strip()}")
    tree.finish(len(headers), faults, "headers")


main(sys.argv[1])
