# SPDX-License-Identifier: Apache-2.0
"""The JavaScript template over HTTP. Skipped when it is not among the built templates."""
import unittest

from corraltest import HOST, SandboxTest


@unittest.skipUnless("javascript-base-v1" in HOST.templates(), "javascript-base-v1 is not built")
class JavaScript(SandboxTest):
    fields = {"template": "javascript-base-v1", "env_vars": {"FROM_CREATE": "yes"}}

    def js(self, code, **fields):
        return self.api.code(self.box, code, language="javascript", **fields)

    def text(self, answer):
        self.assertIsNone(answer["error"], answer)
        return answer["results"]["result"]["data"]["text/plain"]

    def test_node_as_a_command(self):
        answer = self.run_command("node", args=["-e", "console.log('Hello from Node.js!')"])
        self.assertEqual((answer["stdout"], answer["exit_code"]), ("Hello from Node.js!\n", 0))
        self.assertRegex(self.run_command("node --version")["stdout"], r"^v20\.")
        self.assertEqual(self.run_command("npm --version")["exit_code"], 0)
        self.assertEqual(self.run_command("tsc --version")["exit_code"], 0)

    def test_code(self):
        self.js("const kept = await Promise.resolve(40)")
        answer = self.js("console.log('out'); console.error('err'); kept + 2")
        self.assertEqual(self.text(answer), "42")
        self.assertEqual(answer["logs"]["stdout"], ["out"])
        self.assertEqual(answer["logs"]["stderr"], ["err"])

    def test_typescript(self):
        answer = self.api.code(self.box, "const n: number = 6; n * 7", language="typescript")
        self.assertEqual(self.text(answer), "42")

    def test_errors(self):
        error = self.js("throw new TypeError('bad')")["error"]
        self.assertEqual((error["name"], error["value"]), ("TypeError", "bad"))
        self.assertIn("cell-", error["traceback"])

    def test_a_timeout_keeps_the_state(self):
        self.js("before = 7")
        answer = self.post("code/run", {"code": "while (true) {}", "language": "javascript",
                                        "timeout": 1})
        self.assert_json(answer, 408)
        self.assertEqual(self.text(self.js("before")), "7")

    def test_variables(self):
        self.assertEqual(self.text(self.js("process.env.FROM_CREATE")), "'yes'")

    def test_contexts(self):
        answer = self.post("code/contexts", {"language": "typescript"})
        context = self.assert_json(answer, 201)
        self.assertEqual(context["language"], "typescript")

    def test_the_alias(self):
        box = self.create(template="node-base-v1")
        self.assertEqual(self.api.run(box, "node -p 1+1")["stdout"], "2\n")
