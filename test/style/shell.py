#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every shell script passes shellcheck."""
import re
import shutil
import subprocess
import sys

import tree


def main(root):
    if not shutil.which("shellcheck"):
        tree.skip("shellcheck is not installed")
    scripts = [p for p in tree.files(root)
               if re.match(r"#!.*\b(ba|da)?sh\b", tree.read(root, p)[:80])]
    faults = []
    if scripts:
        result = subprocess.run(["shellcheck", "-x", "-P", "SCRIPTDIR", "-f", "gcc"] + scripts,
                                cwd=root, text=True, capture_output=True)
        faults = (result.stdout + result.stderr).strip().split("\n") if result.returncode else []
    tree.finish(len(scripts), faults, "scripts")


main(sys.argv[1])
