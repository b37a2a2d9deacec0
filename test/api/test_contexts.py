# SPDX-License-Identifier: Apache-2.0
"""code/contexts: which there are, interrupting what one of them runs, and starting one afresh."""
import concurrent.futures

from corraltest import SandboxTest, wait_until


class Contexts(SandboxTest):
    def context(self, **fields):
        answer = self.post("code/contexts", {"language": "python", **fields})
        self.assertEqual(answer.status, 201, answer)
        return answer.json["context_id"]

    def listed(self):
        answer = self.api.get(f"/sandboxes/{self.box}/code/contexts")
        return {c["context_id"]: c for c in self.assert_json(answer, 200)["contexts"]}

    def act(self, context, action):
        return self.post(f"code/contexts/{context}/{action}", {})

    def code(self, code, **fields):
        return self.api.code(self.box, code, **fields)

    def test_list(self):
        self.code("1")
        mine = self.context(cwd="/tmp")
        listed = self.listed()
        self.assertEqual(set(listed[mine]), {"context_id", "language", "cwd", "status", "created_at",
                                             "expires_at", "last_used"})
        self.assertEqual((listed[mine]["cwd"], listed[mine]["language"]), ("/tmp", "python"))
        self.assertEqual(listed["default-python"]["language"], "python")
        self.assertIsNone(listed["default-python"]["expires_at"])
        self.api.delete(f"/sandboxes/{self.box}/code/contexts/{mine}")
        self.assertNotIn(mine, self.listed())

    def test_interrupt_keeps_the_state(self):
        for context in (self.context(), "default-python"):
            with self.subTest(context=context):
                chosen = {} if context.startswith("default") else {"context_id": context}
                self.code("kept = 5", **chosen)
                with concurrent.futures.ThreadPoolExecutor(1) as pool:
                    run = pool.submit(self.code, "import time\ntime.sleep(1000)",
                                      timeout=500, **chosen)
                    wait_until(lambda: self.listed()[context]["status"] == "busy", 20, "it runs")
                    self.assert_json(self.act(context, "interrupt"), 200)
                    self.assertEqual(run.result()["error"]["name"], "KeyboardInterrupt")
                self.assertEqual(self.code("print(kept)", **chosen)["logs"]["stdout"], ["5"])

    def test_interrupt_of_nothing(self):
        context = self.context()
        self.assert_json(self.act(context, "interrupt"), 200)
        self.assertEqual(self.code("print(1)", context_id=context)["logs"]["stdout"], ["1"])

    def test_restart_forgets_the_state(self):
        context = self.context()
        self.code("gone = 5", context_id=context)
        self.assert_json(self.act(context, "restart"), 200)
        answer = self.code("print('gone' in globals())", context_id=context)
        self.assertEqual(answer["logs"]["stdout"], ["False"])

    def test_restart_ends_the_run(self):
        context = self.context()
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            run = pool.submit(self.code, "import time\ntime.sleep(1000)", timeout=500,
                              context_id=context)
            wait_until(lambda: self.listed()[context]["status"] == "busy", 20, "it runs")
            self.assert_json(self.act(context, "restart"), 200)
            self.assertEqual(run.result()["error"]["name"], "KernelDied")
        self.assertEqual(self.code("print(1)", context_id=context)["logs"]["stdout"], ["1"])

    def test_no_such_context(self):
        for context in ("ctx_none", "default-none", "x" * 500):
            for action in ("interrupt", "restart"):
                with self.subTest(context=context[:20], action=action):
                    self.assertIn(self.act(context, action).status, (400, 404))
