# SPDX-License-Identifier: Apache-2.0
"""What the tables in the server's code say: routes, error codes, roles."""
import os
import re

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
ROUTE = re.compile(r'\{METHOD_(\w+),\s+((?:\w+\s*)?(?:"[^"]*")?),\s*([^,]+),\s*SCOPE_(\w+),\s*(\w+)')


def read(path):
    with open(f"{TOP}/{path}", encoding="utf-8") as f:
        return f.read()


def routes():
    """(method, pattern, flags, scope) of every line of routes.c; scope None: no credential."""
    text = read("src/api/routes.c")
    names = dict(re.findall(r'#define (\w+)\s+"([^"]*)"', text))
    table = text[text.index("api_routes[] ="):]
    found = []
    for method, pattern, flags, scope, _ in ROUTE.findall(table):
        whole = "".join(part[1:-1] if part.startswith('"') else names[part]
                        for part in re.findall(r'"[^"]*"|\w+', pattern))
        flags = {word for word in re.findall(r"\w+", flags) if word != "0"}
        found.append((method, whole, flags, None if "API_PUBLIC" in flags else scope.lower()))
    return found


def errors():
    """(code, status) of every line of error_codes.h."""
    text = read("src/base/error_codes.h")
    return [(code, int(status)) for code, status in re.findall(r'"(\w+)", (\d+),', text)]


def roles():
    """name -> set of scopes."""
    text = read("src/auth/principal.h")
    return {name: {s.lower() for s in re.findall(r"SCOPE_(\w+)", scopes)}
            for name, scopes in re.findall(r'X\((?!NAME)\w+, "(\w+)", ([^)]*)\)', text)}
