# SPDX-License-Identifier: Apache-2.0
"""/openapi.json and corral-api(7) against the tables in the code, and the document against what the
server answers to requests made from its own schemas."""
import json
import os
import random
import re
import string
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))

import routes
from accounts import ENVIRONMENTS, WORKFLOWS, AccountTest, Person

ROUNDS = int(os.environ.get("CORRAL_API_ROUNDS", "6"))
SEED = int(os.environ.get("CORRAL_API_SEED", "1"))
NOT_CALLED = {"/v1/admin/tokens/rotate", "/v1/agents/sandboxes/{id}/commands/run",
              "/v1/agents/sandboxes/{id}/files/watch"}  # its answer has no end


class Faults(list):
    """Checks values against the part of JSON Schema that the document uses."""

    def __init__(self, document):
        super().__init__()
        self.document = document

    def resolve(self, node):
        while "$ref" in node:
            found = self.document
            for part in node["$ref"].removeprefix("#/").split("/"):
                found = found[part]
            node = found
        return node

    def check(self, value, schema, path="$"):
        schema = self.resolve(schema)
        if "anyOf" in schema:
            trials = []
            for option in schema["anyOf"]:
                trial = Faults(self.document)
                trial.check(value, option, path)
                trials.append(trial)
            if all(trials):
                self.append(f"{path}: none of anyOf: {trials}")
        if "const" in schema and value != schema["const"]:
            self.append(f"{path}: {value!r} is not {schema['const']!r}")
        if "enum" in schema and value not in schema["enum"]:
            self.append(f"{path}: {value!r} is not in {schema['enum']}")
        if "type" in schema and not self.has_type(value, schema["type"]):
            self.append(f"{path}: {value!r} is not {schema['type']}")
        if isinstance(value, str) and not re.search(schema.get("pattern", ""), value):
            self.append(f"{path}: {value!r} does not match {schema['pattern']}")
        if isinstance(value, list) and "items" in schema:
            for i, item in enumerate(value):
                self.check(item, schema["items"], f"{path}[{i}]")
        if isinstance(value, dict):
            self.check_object(value, schema, path)

    def check_object(self, value, schema, path):
        known = schema.get("properties", {})
        for name in schema.get("required", []):
            if name not in value:
                self.append(f"{path}.{name} is missing")
        for name, item in value.items():
            if name in known:
                self.check(item, known[name], f"{path}.{name}")
            elif schema.get("additionalProperties") is False:
                self.append(f"{path}.{name} is not in the document")

    @staticmethod
    def has_type(value, types):
        names = {"string": str, "object": dict, "array": list, "boolean": bool, "null": type(None)}
        for name in types if isinstance(types, list) else [types]:
            if name in ("integer", "number"):
                kinds = (int,) if name == "integer" else (int, float)
                if isinstance(value, kinds) and not isinstance(value, bool):
                    return True
            elif isinstance(value, names[name]):
                return True
        return False


class Maker:
    """Values from schemas: mostly good ones, sometimes anything."""

    TEXTS = ("", "x", "python-base-v1", "1+1", "ä\u2028😀", "a\nb", "../..", "\x7f", "x" * 3000,
             "${steps.a.stdout}", "0", "-1", "%00")
    ANY = (None, True, False, 0, -1, 1, 2**53, 1.5, "", "text", [], {}, [[]], {"a": {}}, ["x"])

    def __init__(self, document, seed):
        self.faults = Faults(document)
        self.random = random.Random(seed)

    def make(self, schema, depth=0):
        r, schema = self.random, self.faults.resolve(schema)
        if r.random() < 0.05:
            return r.choice(self.ANY)
        if "anyOf" in schema:
            return self.make(r.choice(schema["anyOf"]), depth)
        if "enum" in schema:
            return r.choice(schema["enum"])
        if "const" in schema:
            return schema["const"]
        kind = schema.get("type", "object")
        kind = r.choice(kind) if isinstance(kind, list) else kind
        return getattr(self, f"make_{kind}")(schema, depth)

    def make_null(self, _schema, _depth):
        return None

    def make_boolean(self, _schema, _depth):
        return self.random.choice((True, False))

    def make_integer(self, schema, _depth):
        low, high = schema.get("minimum", -5), schema.get("maximum", 1000)
        return self.random.choice((low, high, self.random.randint(low, high), low - 1, high + 1))

    def make_string(self, schema, _depth):
        if "pattern" in schema and self.random.random() < 0.8:
            return "".join(self.random.choices(string.ascii_lowercase, k=8))
        return self.random.choice(self.TEXTS)

    def make_array(self, schema, depth):
        return [self.make(schema.get("items", {}), depth + 1)
                for _ in range(self.random.randint(0, 3) if depth < 4 else 0)]

    def make_object(self, schema, depth):
        required = schema.get("required", [])
        value = {name: self.make(sub, depth + 1) for name, sub in schema.get("properties", {}).items()
                 if self.random.random() < (0.97 if name in required else 0.4)}
        if self.random.random() < 0.1:
            value["unknown"] = self.random.choice(self.ANY)
        return value


class Tables(AccountTest):
    @classmethod
    def prepare(cls):
        super().prepare()
        cls.document = cls.nobody.get("/openapi.json").json

    def paths(self):
        for method, pattern, flags, scope in routes.routes():
            agents = pattern.startswith("/sandboxes") or pattern.startswith("/templates") or pattern.startswith("/secrets")
            path = ("/v1/agents" if agents else "") + re.sub(r":(\w+)", r"{\1}", pattern)
            yield method.lower(), path, scope

    def test_document_has_every_route_and_no_other(self):
        table = {(method, path) for method, path, _ in self.paths()}
        listed = {(method, path) for path, item in self.document["paths"].items() for method in item}
        self.assertEqual(table, listed)
        self.assertEqual(self.document["openapi"][:3], "3.1")

    def test_scopes(self):
        for method, path, scope in self.paths():
            with self.subTest(path=path, method=method):
                operation = self.document["paths"][path][method]
                if scope is None:
                    self.assertEqual(operation["security"], [])
                else:
                    self.assertEqual(operation["security"], [{"bearer": []}])
                    self.assertIn(f"'{scope}'", operation["description"])

    def test_references_and_ids(self):
        text = json.dumps(self.document)
        faults = Faults(self.document)
        for found in set(re.findall(r'"(#/[^"]+)"', text)):
            self.assertTrue(faults.resolve({"$ref": found}))
        ids = re.findall(r'"operationId": "([^"]+)"', text)
        self.assertEqual(len(ids), len(set(ids)))
        for path, item in self.document["paths"].items():
            for operation in item.values():
                names = {p["name"] for p in operation.get("parameters", []) if p["in"] == "path"}
                self.assertEqual(names, set(re.findall(r"\{(\w+)\}", path)))

    def test_manual_page(self):
        page = routes.read("man/corral-api.7")
        rows = set(re.findall(r"^\.It (GET|POST|PUT|DELETE) Pa (\S+) Pq (\S+)$", page, re.M))
        table = {(method, pattern, scope or "\\-") for method, pattern, _, scope in routes.routes()}
        self.assertEqual(rows, table)
        codes = re.findall(r"^\.It (\w+) Ta (\d+) Ta ", page, re.M)
        self.assertEqual([(c, int(s)) for c, s in codes], routes.errors())
        for role, scopes in routes.roles().items():
            found = re.search(rf"^\.It Cm {role}\n.*?:\n\.Cm ([a-z ]+)$", page, re.M | re.S)
            self.assertEqual(set(found.group(1).split()), scopes)


class Generated(AccountTest):
    """Requests made from the document's schemas, with a fixed seed."""

    options = ("--max-sandboxes", "12")

    @classmethod
    def prepare(cls):
        super().prepare()
        cls.me = Person(cls.server.port, cls.server.key)
        cls.document = cls.nobody.get("/openapi.json").json
        box = cls.api.create(timeout=3600)["sandbox_id"]
        flow = cls.me.post(WORKFLOWS, {"name": "x", "steps": [
            {"name": "a", "type": "command", "config": {"command": "true"}}]}).json["workflow_id"]
        cls.ids = {"/v1/agents/sandboxes": box, ENVIRONMENTS: "env-" + box.replace("-", ""),
                   WORKFLOWS: flow}

    def fill(self, path, maker):
        """The path with its parameters, of things that are there or not."""
        head = path.split("/{id}")[0]
        good = self.ids.get(head, "none")
        bad = ("none", "..", "%00", "a%2Fb", good + "0", "550e8400-e29b-41d4-a716-446655440000")
        chosen = good if maker.random.random() < 0.7 else maker.random.choice(bad)
        return (path.replace("{id}", chosen).replace("{context}", maker.random.choice(bad))
                .replace("{pid}", maker.random.choice(("1", "0", "x", "99999999999")))
                .replace("{port}", maker.random.choice(("80", "0", "65536", "x"))))

    def one(self, method, path, operation, maker):
        target = self.fill(path, maker)
        query = [f"{p['name']}={maker.random.choice(('1', 'NaN', '-1', 'true', '', 'x'))}"
                 for p in operation.get("parameters", []) if p["in"] == "query"]
        if query and maker.random.random() < 0.7:
            target += "?" + "&".join(query)
        body, headers = None, {}
        content = operation.get("requestBody", {}).get("content", {})
        if "application/json" in content:
            body = maker.make(content["application/json"]["schema"])
            if isinstance(body, dict) and "timeout" in body:
                body["timeout"] = 5
            body = json.dumps(body).encode()
            headers["Content-Type"] = "application/json"
        elif content:
            body, headers = b"--x\r\n\r\n--x--\r\n", {"Content-Type": "multipart/form-data; boundary=x"}
        answer = self.me.request(method.upper(), target, body, headers)
        self.judge(answer, operation, f"{method} {target} {str(body)[:300]}")

    def judge(self, answer, operation, what):
        if answer.status != 501:  # what a driver cannot do, where the document says so
            self.assertLess(answer.status, 500, f"{what}: {answer}")
        self.assertIn(str(answer.status), operation["responses"], f"{what}: {answer}")
        faults = Faults(self.document)
        response = faults.resolve(operation["responses"][str(answer.status)])
        kind = answer.headers.get_content_type()
        if "*/*" not in response["content"]:
            self.assertIn(kind, response["content"], what)
        schema = response["content"].get(kind, {}).get("schema")
        if schema is not None and kind == "application/json":
            faults.check(answer.json, schema)
        self.assertEqual(list(faults), [], f"{what}: {answer}")

    def test_generated_requests(self):
        count = 0
        for number in range(ROUNDS):
            maker = Maker(self.document, SEED * 1000 + number)
            for path, item in self.document["paths"].items():
                for method, operation in item.items():
                    ends = method == "delete" and maker.random.random() < 0.8
                    if path in NOT_CALLED or ends or path.endswith(("/auth/token", "/timeout")):
                        continue
                    with self.subTest(seed=SEED * 1000 + number, route=f"{method} {path}"):
                        self.one(method, path, operation, maker)
                        count += 1
        self.assertGreater(count, 30 * ROUNDS)
        self.assertEqual(self.nobody.get("/health").status, 200)
