#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""fields.py OPENAPI OUT: writes the fields that each route of an OpenAPI document knows, of the body
and of the query, as the table that src/api/fields.h declares."""
import json
import sys


def resolve(document, node):
    while "$ref" in node:
        found = document
        for part in node["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        node = found
    return node


def properties(document, schema):
    schema = resolve(document, schema)
    names = set(schema.get("properties", {}))
    for word in ("anyOf", "oneOf", "allOf"):
        for part in schema.get(word, []):
            names |= properties(document, part)
    return names


def body_of(document, operation):
    content = operation.get("requestBody", {}).get("content", {})
    return properties(document, content.get("application/json", {}).get("schema", {}))


def query_of(document, path, operation):
    parameters = [resolve(document, p) for p in
                  document["paths"][path].get("parameters", []) + operation.get("parameters", [])]
    return {p["name"] for p in parameters if p["in"] == "query"}


def listed(names):
    return "(const char *const[]){" + "".join(f'"{n}", ' for n in sorted(names)) + "NULL}"


source, target = sys.argv[1:]
with open(source, encoding="utf-8") as f:
    document = json.load(f)
lines = []
for path in sorted(document["paths"]):
    for method, operation in document["paths"][path].items():
        if method in ("get", "post", "put", "delete", "patch"):
            lines.append(f'    {{METHOD_{method.upper()}, "{path}",\n'
                         f"     {listed(body_of(document, operation))},\n"
                         f"     {listed(query_of(document, path, operation))}}},\n")
with open(target, "w", encoding="ascii") as out:
    out.write('#include "api/fields.h"\n\nconst struct api_fields api_fields[] = {\n')
    out.writelines(lines)
    out.write("};\nconst size_t api_fields_count = sizeof(api_fields) / sizeof(api_fields[0]);\n")
