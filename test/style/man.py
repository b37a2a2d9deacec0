#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every man page passes mandoc's lint without a warning."""
import shutil
import subprocess
import sys

import tree


def main(root):
    if not shutil.which("mandoc"):
        tree.skip("mandoc is not installed")
    pages = [p for p in tree.files(root) if p.startswith("man/") and p[-1] in "12345678"]
    faults = []
    for page in pages:
        result = subprocess.run(["mandoc", "-Tlint", "-W", "warning", page], cwd=root, text=True,
                                capture_output=True)
        if result.returncode != 0:
            faults.append((result.stdout + result.stderr).strip())
    tree.finish(len(pages), faults, "pages")


main(sys.argv[1])
