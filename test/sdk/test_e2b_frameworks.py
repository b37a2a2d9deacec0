# SPDX-License-Identifier: Apache-2.0
"""Frameworks that run code in E2B's sandboxes: the first example of each, unchanged but for the
model, which is an object that says what a model would.

They are too large to be fetched for every run. CORRAL_TEST_FRAMEWORKS names an environment that has
them: python3 -m venv DIR && DIR/bin/pip install 'smolagents[e2b]' langchain-e2b
"""
import os
import subprocess
import unittest

from sdktest import SdkTest

FRAMEWORKS = os.environ.get("CORRAL_TEST_FRAMEWORKS", "")

SMOLAGENTS = """
from smolagents import CodeAgent, Model
from smolagents.models import ChatMessage, MessageRole

class Answers(Model):
    said = iter(["a, b = 0, 1\\nfor _ in range(100): a, b = b, a + b\\nprint(a)",
                 "final_answer(a)"])

    def generate(self, messages, **options):
        said = f"<code>\\n{next(self.said)}\\n</code>"
        return ChatMessage(role=MessageRole.ASSISTANT, content=said)

with CodeAgent(model=Answers(), tools=[], executor_type="e2b") as agent:
    print("answer:", agent.run("Can you give me the 100th Fibonacci number?"))
"""

LANGCHAIN = """
from e2b import Sandbox
from langchain_e2b import E2BSandbox

e2b_sandbox = Sandbox.create()
backend = E2BSandbox(sandbox=e2b_sandbox)

try:
    result = backend.execute("echo hello")
    print("answer:", result.output)
    backend.upload_files([("/home/user/up.txt", b"bytes")])
    print("answer:", backend.download_files(["/home/user/up.txt"])[0].content)
    print("answer:", [m["path"] for m in backend.glob("*.txt", "/home/user").matches])
finally:
    e2b_sandbox.kill()
"""


@unittest.skipUnless(FRAMEWORKS, "CORRAL_TEST_FRAMEWORKS names no environment")
class TestFrameworks(SdkTest):
    def answers(self, program):
        done = subprocess.run([f"{FRAMEWORKS}/bin/python3", "-c", program], capture_output=True,
                              text=True, timeout=300, check=False)
        self.assertEqual(done.returncode, 0, done.stdout[-2000:] + done.stderr[-2000:])
        return [line.removeprefix("answer: ") for line in done.stdout.splitlines()
                if line.startswith("answer: ")]

    def test_smolagents(self):
        self.assertEqual(self.answers(SMOLAGENTS), ["354224848179261915075"])

    def test_langchain(self):
        answers = self.answers(LANGCHAIN)
        self.assertEqual(answers[:2], ["hello", "b'bytes'"])
        self.assertIn("up.txt", answers[2])
