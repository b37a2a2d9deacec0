#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""docs.py OPENAPI OUT: writes an OpenAPI document as one page of HTML for people. The page needs
nothing from anywhere: no script, no font, no image, so that it works on a machine without a network
and under the strictest content policy."""
import html
import json
import sys

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 58rem; margin: 2rem auto; padding: 0 1rem; }
h1 { margin-bottom: 0 } h2 { border-bottom: 1px solid #8886; margin-top: 2.5rem }
code, pre { font: 14px/1.4 ui-monospace, monospace }
details { border: 1px solid #8884; border-radius: 6px; margin: .4rem 0; padding: .3rem .7rem }
summary { cursor: pointer } summary b { display: inline-block; min-width: 4.5rem }
summary span { float: right; opacity: .7 } pre { overflow-x: auto; background: #8881; padding: .6rem }
table { border-collapse: collapse } td { padding: .1rem 1rem .1rem 0; vertical-align: top }
:root { color-scheme: light dark }
"""
GROUPS = {"agents": "Agent sandboxes", "gateway": "Sign-in and environments", "workflows": "Workflows",
          "server": "The server"}


def text(value):
    return html.escape(str(value))


def resolve(document, node):
    while "$ref" in node:
        found = document
        for part in node["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        node = found
    return node


def shape(document, schema, depth=0):
    """A schema as the JSON it stands for, with types in the place of values."""
    schema = resolve(document, schema)
    if depth > 6:
        return "..."
    if "const" in schema:
        return json.dumps(schema["const"])
    if "enum" in schema:
        return " | ".join(json.dumps(value) for value in schema["enum"])
    for key in ("anyOf", "oneOf", "allOf"):
        if key in schema:
            return " | ".join(shape(document, option, depth + 1) for option in schema[key])
    pad = "  " * (depth + 1)
    if "properties" in schema:
        needed = schema.get("required", [])
        rows = [f'{pad}"{name}"{"" if name in needed else "?"}: {shape(document, inner, depth + 1)}'
                for name, inner in schema["properties"].items()]
        return "{\n" + ",\n".join(rows) + "\n" + "  " * depth + "}"
    kind = schema.get("type", "any")
    if kind == "array":
        return f'[{shape(document, schema.get("items", {}), depth)}]'
    kind = " | ".join(kind) if isinstance(kind, list) else kind
    return kind + (f' ({schema["format"]})' if "format" in schema else "")


def contents(document, title, content):
    for kind, body in content.items():
        yield f"<p>{text(title)}, <code>{text(kind)}</code></p>"
        yield f'<pre>{text(shape(document, body.get("schema", {})))}</pre>'


def operation(document, path, method, op):
    yield (f'<details id="{text(op["operationId"])}"><summary><b>{text(method.upper())}</b> '
           f'<code>{text(path)}</code> <span>{text(op["summary"])}</span></summary>')
    yield f'<p>{text(op.get("description", ""))}</p>'
    parameters = [resolve(document, p) for p in op.get("parameters", [])]
    if parameters:
        yield "<table>"
        for p in parameters:
            yield (f'<tr><td><code>{text(p["name"])}</code></td><td>{text(p["in"])}</td>'
                   f'<td>{text(shape(document, p.get("schema", {})))}</td>'
                   f'<td>{text(p.get("description", ""))}</td></tr>')
        yield "</table>"
    if "requestBody" in op:
        yield from contents(document, "Request", resolve(document, op["requestBody"])["content"])
    errors = []
    for status, answer in op["responses"].items():
        answer = resolve(document, answer)
        if status.startswith(("4", "5", "d")):
            errors.append(status)
        else:
            yield from contents(document, f"Answer {status}", answer.get("content", {}))
    if errors:
        yield f'<p>Errors: {text(", ".join(errors))}</p>'
    yield "</details>"


def page(document):
    info = document["info"]
    groups = {}
    for path, methods in document["paths"].items():
        for method, op in methods.items():
            groups.setdefault(op["tags"][0], []).append((path, method, op))
    yield f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{text(info["title"])} API</title>'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield f"<style>{STYLE}</style></head><body>"
    yield f'<h1>{text(info["title"])} {text(info["version"])}</h1><p>{text(info["description"])}</p>'
    yield ('<p>Every error reads <code>{"error":{"code","message","details"}}</code>. For programs: '
           '<a href="/openapi.json">openapi.json</a>.</p>')
    for tag, operations in groups.items():
        yield f"<h2>{text(GROUPS.get(tag, tag.capitalize()))}</h2>"
        for row in operations:
            yield from operation(document, *row)
    yield "</body></html>"


with open(sys.argv[1], encoding="utf-8") as source:
    parts = page(json.load(source))
    with open(sys.argv[2], "w", encoding="ascii", errors="xmlcharrefreplace") as out:
        out.write("\n".join(parts) + "\n")
