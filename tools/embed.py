#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""embed.py NAME FILE OUT: writes FILE, JSON without its white space, as a C string NAME with its
length NAME_len, declared in NAME.h."""
import json
import sys

name, source, target = sys.argv[1:]
with open(source, encoding="utf-8") as f:
    text = json.dumps(json.load(f), ensure_ascii=True, separators=(",", ":"))
with open(target, "w", encoding="ascii") as out:
    out.write(f'#include "{name}.h"\n\nconst char {name}[] =\n')
    for start in range(0, len(text), 80):
        out.write("    " + json.dumps(text[start:start + 80]).replace("?", "\\?") + "\n")
    out.write(f"    ;\nconst size_t {name}_len = sizeof({name}) - 1;\n")
