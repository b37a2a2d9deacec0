#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""embed.py HEADER FILE OUT: writes FILE, which is ASCII text, or JSON that loses its white space, as the
C string and its length that HEADER declares: NAME and NAME_len, after the header's own name."""
import json
import os
import sys

header, source, target = sys.argv[1:]
name = os.path.basename(header).removesuffix(".h")
with open(source, encoding="utf-8") as f:
    text = f.read()
if source.endswith(".json"):
    text = json.dumps(json.loads(text), ensure_ascii=True, separators=(",", ":"))
with open(target, "w", encoding="ascii") as out:
    out.write(f'#include "{header}"\n\nconst char {name}[] =\n')
    for start in range(0, len(text), 80):
        out.write("    " + json.dumps(text[start:start + 80]).replace("?", "\\?") + "\n")
    out.write(f"    ;\nconst size_t {name}_len = sizeof({name}) - 1;\n")
