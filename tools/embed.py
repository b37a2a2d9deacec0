#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""embed.py NAME FILE OUT: writes FILE, JSON without its white space, as a C string NAME."""
import json
import sys

with open(sys.argv[2], encoding="utf-8") as f:
    text = json.dumps(json.load(f), ensure_ascii=True, separators=(",", ":"))
with open(sys.argv[3], "w", encoding="ascii") as out:
    out.write(f"static const char {sys.argv[1]}[] =\n")
    for start in range(0, len(text), 80):
        out.write("    " + json.dumps(text[start:start + 80]).replace("?", "\\?") + "\n")
    out.write("    ;\n")
