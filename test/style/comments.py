#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a comment or a page names exists: files (`conn.h`, `net/stream.[ch]`, `suites/*.sh`), our own
manuals, and identifiers, which are words with an underscore (`buf_append`, `HTTP_LINGER_MS`,
`json_get_*`) or with parentheses (`usage()`). An identifier exists when it stands in some file outside
comments. comments.txt has patterns for names that belong to others, each with its reason.
"""
import ast
import fnmatch
import io
import re
import sys
import tokenize

import tree

EXCEPTIONS = "test/style/comments.txt"
C_LIKE = (".c", ".h", ".js", ".mjs", ".ts")
CODE = re.compile(r'"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'|(/\*.*?\*/|(?<![:\w])//[^\n]*)', re.S)
HASH = re.compile(r"^#(?!!).*|(?<=\s)# .*", re.M)
FILE = re.compile(r"(?<![\w.<>$}{/-])(?:[\w*-]+/)*[\w*-]+\.(?:\[ch\]|(?:c|h|py|sh|md|js|mjs|txt|json|recipe)"
                  r"(?![\w-]|\.\w))")
MANUAL = re.compile(r"\b(corral[\w.-]*)\((\d)\)")
WORD = re.compile(r"(?<![\w./$%&<>-])(?:_*[A-Za-z][A-Za-z0-9]*(?:_[A-Za-z0-9]+)+|[a-z]\w*(?=\(\))"
                  r"|[A-Za-z]\w*_(?=\*))(?!\w|[-/.]\w)\*?")
CAPITALS = re.compile(r"(?<![^\W_])[A-Z]+(?![^\W_])")  # a placeholder, or a part of one
IDENTIFIER = re.compile(r"[A-Za-z_]\w*")


def split_c(text):
    # Contracts (ACSL) are code of another language, which their prover reads.
    comments = [(m.start(1), m.group(1)) for m in CODE.finditer(text)
                if m.group(1) and not m.group(1).startswith(("/*@", "//@"))]
    return CODE.sub(lambda m: " " if m.group(1) else m.group(), text), comments


def split_hash(text):
    return HASH.sub("", text), [(m.start(), m.group()) for m in HASH.finditer(text)]


def split_python(text):
    """Docstrings are comments, too."""
    lines = text.splitlines(keepends=True)
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))
    spans = [(starts[t.start[0] - 1] + t.start[1], starts[t.end[0] - 1] + t.end[1])
             for t in tokenize.generate_tokens(io.StringIO(text).readline)
             if t.type == tokenize.COMMENT]
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) \
                and ast.get_docstring(node) is not None:
            string = node.body[0]
            spans.append((starts[string.lineno - 1], starts[string.end_lineno]))
    code = list(text)
    for start, end in spans:
        code[start:end] = " " * (end - start)
    return "".join(code), [(start, text[start:end]) for start, end in spans]


def split(path, text):
    """Its code, and its comments as (offset, text)."""
    if path.endswith(C_LIKE):
        return split_c(text)
    if path.endswith(".md"):
        return "", [(0, text)]
    if text.startswith("#!") and "python" in text[:40] or path.endswith(".py"):
        return split_python(text)
    if text.startswith("#!") or path.endswith((".sh", "meson.build", ".recipe", ".txt")):
        return split_hash(text)
    return text, []


class Names:
    """What there is, and what is excused."""

    def __init__(self, root, codes):
        self.allowed = tree.reasons(root, EXCEPTIONS)
        self.used = set()
        self.paths = ["/" + path for path in tree.files(root)]
        code = "\n".join(codes)
        # What programs write and read, and the headers of others.
        self.paths += ["/" + name for name in re.findall(r"[\w/-]+\.(?:json|txt)\b", code)]
        self.paths += ["/" + name for name in re.findall(r"#\s*include <([^>]+)>", code)]
        self.words = set(IDENTIFIER.findall(code))
        self.words |= {re.split(r"[./]", path)[-2] for path in self.paths if "." in path}

    def excused(self, name):
        for pattern in self.allowed:
            if fnmatch.fnmatchcase(name, pattern):
                self.used.add(pattern)
                return True
        return False

    def file(self, name):
        """A part in capitals stands for any: guest/templates/NAME.recipe, DIR/template.json."""
        pattern = "*/" + CAPITALS.sub("*", re.sub(r"^(?:[A-Z]+/)+", "", name))
        return any(fnmatch.fnmatchcase(path, pattern) for path in self.paths)

    def word(self, name):
        """Of constants the end is enough (DRIVER_OK for VIRTIO_CONFIG_S_DRIVER_OK), as it is behind an
        underscore (stream_open, _pause). A part in capitals stands for any: suite_NAME."""
        if name in self.words:
            return True
        if not name.endswith("*") and (name.isupper() or name.startswith("_")):
            end = "_" + name.lstrip("_")
            return any(word.endswith(end) for word in self.words)
        pattern = name
        if not name.rstrip("*").isupper():
            pattern = CAPITALS.sub("*", name)
        return pattern.count("*") > 0 and any(fnmatch.fnmatchcase(w, pattern) for w in self.words)

    def missing(self, text):
        """(offset, name) of what a comment names and nobody has."""
        for found in FILE.finditer(text):
            if not self.file(found.group()) and not self.excused(found.group()):
                yield found.start(), found.group()
        for found in MANUAL.finditer(text):
            if not self.file(f"man/{found.group(1)}.{found.group(2)}"):
                yield found.start(), found.group()
        for found in WORD.finditer(FILE.sub(lambda m: " " * len(m.group()), text)):
            if not self.word(found.group()) and not self.excused(found.group()):
                yield found.start(), found.group()


def main(root):
    paths = [p for p in tree.files(root) if "/corpus/" not in p and "/regression/" not in p
             and not p.startswith(("man/", "subprojects/", "LICENSE"))]
    texts = {path: tree.read(root, path) for path in paths}
    parts = {path: split(path, text) for path, text in texts.items() if path != EXCEPTIONS}
    names = Names(root, [code for code, _ in parts.values()])
    faults = []
    for path, (_, comments) in parts.items():
        for start, comment in comments:
            faults += [f"{path}:{texts[path].count(chr(10), 0, start + at) + 1}: there is no {name}"
                       for at, name in names.missing(comment)]
    faults += [f"comments.txt: {p} has no reason" for p, reason in names.allowed.items() if not reason]
    faults += [f"comments.txt: no comment needs {p}" for p in names.allowed.keys() - names.used]
    tree.finish(len(paths), faults)


main(sys.argv[1])
