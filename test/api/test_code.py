# SPDX-License-Identifier: Apache-2.0
"""code/run and its contexts: results, state, errors, time-outs, languages."""
import base64
import concurrent.futures
import json
import socket
import time
import uuid

from corraltest import PREFIX, ApiTest, SandboxTest, patience, time_out, wait_until

NUMPY = ('import numpy as np\nresult = np.array([1, 2, 3]).mean()\n'
         'print(f"Mean: {result}")\nresult')


def find_key(value, key):
    """All values under that key, anywhere in the document."""
    if isinstance(value, dict):
        return [v for k, v in value.items() if k == key] + [
            x for v in value.values() for x in find_key(v, key)]
    if isinstance(value, list):
        return [x for v in value for x in find_key(v, key)]
    return []


class CodeTest(SandboxTest):
    def run_code(self, code, **fields):
        """The whole answer, its shape checked."""
        body = self.assert_json(self.post("code/run", {"code": code, **time_out(30), **fields}), 200)
        self.assert_keys(body, {"execution_id", "results", "error", "logs"})
        self.assertTrue(body["execution_id"].startswith("exec_"))
        self.assert_keys(body["logs"], {"stdout", "stderr"})
        for line in body["logs"]["stdout"] + body["logs"]["stderr"]:
            self.assertIsInstance(line, str)
        if body["error"] is not None:
            self.assert_keys(body["error"], {"name", "value", "traceback"})
            for value in body["error"].values():
                self.assertIsInstance(value, str)
        return body

    def value(self, code, **fields):
        """The text of the last expression's value."""
        body = self.run_code(code, **fields)
        self.assertIsNone(body["error"], body)
        return body["results"]["result"]["data"]["text/plain"]

    def context(self, **fields):
        return self.assert_json(self.post("code/contexts", fields), 201)["context_id"]


class Reference(CodeTest):
    def test_numpy_example(self):
        body = self.run_code(NUMPY, language="python", timeout=patience(30))
        self.assert_keys(body["results"], {"stdout", "result", "display"}, optional={"stderr"})
        self.assertEqual(len(body["results"]["stdout"]), 1)
        event = body["results"]["stdout"][0]
        self.assert_time(event.pop("timestamp"), near=time.time(), within=60)
        self.assertEqual(event, {"type": "stdout", "line": "Mean: 2.0"})
        self.assertEqual(body["results"]["result"], {
            "type": "execution_result", "data": {"text/plain": "2.0"}, "execution_count": 1})
        self.assertIsNone(body["error"])
        self.assertEqual(body["logs"], {"stdout": ["Mean: 2.0"], "stderr": []})


class Results(CodeTest):
    def test_state_is_kept(self):
        self.run_code("kept = [1]\ndef f(): return len(kept)")
        self.run_code("kept.append(2)")
        self.assertEqual(self.value("f()"), "2")

    def test_no_value(self):
        body = self.run_code("x = 1")
        self.assertIsNone(body["results"].get("result"))
        self.assertIsNone(body["error"])

    def test_execution_ids_differ(self):
        ids = {self.run_code("1")["execution_id"] for _ in range(3)}
        self.assertEqual(len(ids), 3)

    def test_execution_count_rises(self):
        first = self.run_code("1")["results"]["result"]["execution_count"]
        self.assertEqual(self.run_code("1")["results"]["result"]["execution_count"], first + 1)

    def test_lines(self):
        body = self.run_code("import sys\nprint('a\\n\\nb')\nprint('c', end='')\n"
                             "print('e1', file=sys.stderr)\nsys.stderr.write('e2')\nNone")
        self.assertEqual(body["logs"], {"stdout": ["a", "", "b", "c"], "stderr": ["e1", "e2"]})
        self.assertEqual([e["line"] for e in body["results"]["stdout"]], ["a", "", "b", "c"])
        self.assertEqual([e["line"] for e in body["results"]["stderr"]], ["e1", "e2"])
        self.assertEqual(body["results"]["stderr"][0]["type"], "stderr")

    def test_lines_written_in_pieces(self):
        body = self.run_code("import sys, time\nfor part in ('one', ' two', '\\nthr', 'ee\\n'):\n"
                             "    sys.stdout.write(part); sys.stdout.flush(); time.sleep(0.05)")
        self.assertEqual(body["logs"]["stdout"], ["one two", "three"])

    def test_text(self):
        body = self.run_code("print('grüße € 🎉 \\x1b[1m \\\\ \"')\n'ü'")
        self.assertEqual(body["logs"]["stdout"], ['grüße € 🎉 \x1b[1m \\ "'])
        self.assertEqual(body["results"]["result"]["data"]["text/plain"], "'ü'")

    def test_much_output(self):
        body = self.run_code("for n in range(20000): print(n, 'x' * 40)")
        self.assertEqual(len(body["logs"]["stdout"]), 20000)
        self.assertEqual(body["logs"]["stdout"][-1], "19999 " + "x" * 40)

    def test_figure_as_the_value(self):
        body = self.run_code("import matplotlib.pyplot as plt\nfigure, axes = plt.subplots()\n"
                             "axes.plot([1, 2])\nplt.close(figure)\nfigure")
        png = base64.b64decode(body["results"]["result"]["data"]["image/png"])
        self.assertEqual(png[:8], b"\x89PNG\r\n\x1a\n")

    def test_figure_shown(self):
        body = self.run_code("import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()")
        self.assertIsNone(body["error"], body)
        found = find_key(body["results"], "image/png")
        self.assertTrue(found, body)
        self.assertEqual(base64.b64decode(found[0])[:8], b"\x89PNG\r\n\x1a\n")

    def test_html_of_a_table(self):
        body = self.run_code("import pandas as pd\npd.DataFrame({'a': [1, 2]})")
        data = body["results"]["result"]["data"]
        self.assertIn("<table", data["text/html"])
        self.assertIn("text/plain", data)

    def test_flags_keep_it_one_document(self):
        body = self.run_code("print('x')\n5", on_stdout=True, on_stderr=True, on_result=True,
                             on_error=True)
        self.assertEqual(body["logs"]["stdout"], ["x"])
        self.assertEqual(body["results"]["result"]["data"]["text/plain"], "5")

    def test_top_level_await_and_magics(self):
        self.assertEqual(self.value("import asyncio\nawait asyncio.sleep(0)\n7"), "7")
        self.assertEqual(self.run_code("!echo from the shell")["logs"]["stdout"],
                         ["from the shell"])

    def test_where_it_runs(self):
        self.assertEqual(self.value("import os, getpass\n(os.getcwd(), getpass.getuser())"),
                         "('/home/user', 'user')")

    def test_files_are_shared_with_commands(self):
        self.run_code("open('/home/user/shared.txt', 'w').write('both')")
        self.assertEqual(self.run_command("cat shared.txt")["stdout"], "both")


class Errors(CodeTest):
    def test_exception(self):
        body = self.run_code("print('before')\n1 / 0")
        self.assertEqual(body["error"]["name"], "ZeroDivisionError")
        self.assertEqual(body["error"]["value"], "division by zero")
        self.assertIn("ZeroDivisionError", body["error"]["traceback"])
        self.assertEqual(body["logs"]["stdout"], ["before"])
        self.assertIsNone(body["results"].get("result"))

    def test_syntax_error(self):
        self.assertEqual(self.run_code("def (")["error"]["name"], "SyntaxError")

    def test_exit_is_an_error_or_nothing_but_no_hang(self):
        self.run_code("import sys\nsys.exit(3)", timeout=patience(20))
        self.assertEqual(self.value("1 + 1", timeout=patience(30)), "2")

    def test_input_fails_at_once(self):
        started = time.monotonic()
        body = self.run_code("name = input('Who? ')", timeout=20)
        self.assert_within(10, started)
        self.assertIsNotNone(body["error"])
        self.assertIn("input", (body["error"]["value"] + body["error"]["traceback"]).lower())

    def test_a_kernel_that_dies(self):
        self.run_code("before = 1")
        answer = self.post("code/run", {"code": "import os\nos._exit(1)", "timeout": patience(30)})
        self.assertIn(answer.status, (200, 500), answer)
        if answer.status == 200:
            self.assertIsNotNone(answer.json["error"])
        self.assertEqual(self.value("1 + 1", timeout=patience(50)), "2")
        self.assertEqual(self.run_code("before", timeout=patience(50))["error"]["name"], "NameError")

    def test_bad_fields(self):
        cases = [{}, {"code": None}, {"code": 1}, {"code": "1", "language": 5},
                 {"code": "1", "timeout": -1}, {"code": "1", "timeout": "5"},
                 {"code": "1", "timeout": 10 ** 18}, {"code": "1", "environment": []},
                 {"code": "1", "context_id": 5}]
        for body in cases:
            with self.subTest(body=body):
                self.assert_error(self.post("code/run", body), 400, "invalid_argument")

    def test_unknown_language(self):
        for language in ("cobol", "../../x", "Python 3", "x" * 500):
            with self.subTest(language=language):
                answer = self.post("code/run", {"code": "1", "language": language})
                self.assertEqual(answer.status, 400, answer)
        answer = self.post("code/run", {"code": "1", "language": "cobol"})
        self.assert_error(answer, 400, "unsupported_language")

    def test_unknown_context(self):
        for context in (f"ctx_{uuid.uuid4()}", "nonsense", "../x"):
            with self.subTest(context=context):
                answer = self.post("code/run", {"code": "1", "context_id": context})
                self.assert_error(answer, 404, "context_not_found")


class TimeOuts(CodeTest):
    def test_408_and_the_state_is_kept(self):
        self.run_code("survivor = 'yes'")
        started = time.monotonic()
        answer = self.post("code/run", {"code": "while True: pass", "timeout": 2})
        self.assert_error(answer, 408, "timeout")
        self.assert_within(10, started)
        self.assertEqual(self.value("survivor"), "'yes'")

    def test_408_in_a_sleep(self):
        self.run_code("survivor2 = 1")
        answer = self.post("code/run", {"code": "import time\ntime.sleep(60)", "timeout": 1})
        self.assert_error(answer, 408, "timeout")
        self.assertEqual(self.value("survivor2"), "1")

    def test_an_interrupt_that_is_ignored_restarts_the_kernel(self):
        code = ("import signal, time\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n"
                "end = time.time() + 300\nwhile time.time() < end: pass")
        self.assert_error(self.post("code/run", {"code": code, "timeout": 1}), 408, "timeout")
        self.assertEqual(self.value("1 + 1", timeout=patience(50)), "2")

    def test_a_client_that_goes_away_interrupts_its_run(self):
        self.run_code("survivor3 = 'still'")
        spin = "open('/tmp/spins', 'w').close()\nwhile True: pass"
        body = json.dumps({"code": spin, "timeout": 3600}).encode()
        head = (f"POST {PREFIX}/sandboxes/{self.box}/code/run HTTP/1.1\r\nHost: x\r\n"
                f"Authorization: Bearer {self.api.key}\r\nContent-Length: {len(body)}\r\n\r\n")
        with socket.create_connection(("127.0.0.1", self.server.port)) as s:
            s.sendall(head.encode() + body)
            wait_until(lambda: self.run_command("test -e /tmp/spins")["exit_code"] == 0, 10,
                       "the code runs")
        self.assertEqual(self.value("survivor3", timeout=patience(20)), "'still'")


class Contexts(CodeTest):
    def test_create_get_delete(self):
        self.run_command("mkdir -p /home/user/project")
        answer = self.post("code/contexts", {"language": "python", "cwd": "/home/user/project"})
        made = self.assert_json(answer, 201)
        self.assert_keys(made, {"context_id", "language", "cwd", "created_at", "expires_at"})
        self.assertEqual((made["language"], made["cwd"]), ("python", "/home/user/project"))
        self.assert_time(made["created_at"], near=time.time(), within=30)
        self.assert_time(made["expires_at"], near=time.time() + 3600, within=30)
        path = f"/sandboxes/{self.box}/code/contexts/{made['context_id']}"
        got = self.assert_json(self.api.get(path), 200)
        self.assert_keys(got, {"context_id", "language", "cwd", "status", "created_at",
                               "expires_at", "last_used"})
        self.assertEqual(got["status"], "active")
        for key in ("context_id", "language", "cwd", "created_at"):
            self.assertEqual(got[key], made[key])
        self.assertEqual(self.value("import os\nos.getcwd()", context_id=made["context_id"]),
                         "'/home/user/project'")
        gone = self.assert_json(self.api.delete(path), 200)
        self.assertEqual(gone, {"message": "Context deleted successfully",
                                "context_id": made["context_id"]})
        self.assert_error(self.api.get(path), 404, "context_not_found")
        self.assert_error(self.api.delete(path), 404, "context_not_found")

    def test_defaults(self):
        made = self.assert_json(self.post("code/contexts", {}), 201)
        self.assertEqual((made["language"], made["cwd"]), ("python", "/home/user"))
        self.api.delete(f"/sandboxes/{self.box}/code/contexts/{made['context_id']}")

    def test_two_contexts_do_not_see_each_other(self):
        one, two = self.context(), self.context()
        self.run_code("mine = 'one'", context_id=one)
        self.run_code("mine = 'two'", context_id=two)
        self.assertEqual(self.value("mine", context_id=one), "'one'")
        self.assertEqual(self.value("mine", context_id=two), "'two'")
        self.assertEqual(self.run_code("mine")["error"]["name"], "NameError")

    def test_last_used_moves(self):
        context = self.context()
        path = f"/sandboxes/{self.box}/code/contexts/{context}"
        before = self.api.get(path).json["last_used"]
        time.sleep(1.1)
        self.run_code("1", context_id=context)
        self.assertGreater(self.api.get(path).json["last_used"], before)

    def test_refusals(self):
        for body in ({"language": 5}, {"cwd": 5}, {"language": "cobol"}):
            with self.subTest(body=body):
                self.assertEqual(self.post("code/contexts", body).status, 400)

    def test_contexts_belong_to_their_sandbox(self):
        context = self.context()
        other = self.create()
        answer = self.api.get(f"/sandboxes/{other}/code/contexts/{context}")
        self.assert_error(answer, 404, "context_not_found")

    def test_parallel_runs_in_one_context_are_queued(self):
        self.run_code("log = []")
        code = "import time\nlog.append({0})\ntime.sleep(0.5)\nlog.append({0})\n{0}"
        with concurrent.futures.ThreadPoolExecutor(3) as pool:
            values = list(pool.map(lambda n: self.value(code.format(n)), range(3)))
        self.assertEqual(values, ["0", "1", "2"])
        log = json.loads(self.value("log"))
        self.assertEqual([log[i] == log[i + 1] for i in (0, 2, 4)], [True] * 3)

    def test_contexts_run_side_by_side(self):
        meet = ("import os, time\nopen('/tmp/{0}', 'w').close()\n"
                "while not os.path.exists('/tmp/{1}'): time.sleep(0.05)\n'met'")
        runs = []
        for mine, other in (("a", "b"), ("b", "a")):  # each waits for the other
            runs.append((self.context(), mine, other))
            self.run_code("'its kernel is up'", context_id=runs[-1][0])
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            bodies = list(pool.map(lambda r: self.run_code(meet.format(r[1], r[2]), context_id=r[0]),
                                   runs))
        self.assertEqual([b["results"]["result"]["data"]["text/plain"] for b in bodies],
                         ["'met'", "'met'"])


class Languages(CodeTest):
    fields = {"env_vars": {"FROM_CREATE": "one"}}

    def test_bash(self):
        self.assertEqual(self.run_code("echo hi; x=5", language="bash")["logs"]["stdout"], ["hi"])
        body = self.run_code("echo $x $FROM_CREATE; echo err >&2", language="bash")
        self.assertEqual(body["logs"]["stdout"], ["5 one"])

    def test_bash_context(self):
        context = self.context(language="bash", cwd="/tmp")
        body = self.run_code("pwd", language="bash", context_id=context)
        self.assertEqual(body["logs"]["stdout"], ["/tmp"])

    def test_environment(self):
        self.assertEqual(self.value("import os\nos.environ['FROM_CREATE']"), "'one'")
        self.assertEqual(self.value("import os\nos.environ['FROM_RUN']",
                                    environment={"FROM_RUN": "a'b\"c\nd"}), repr("a'b\"c\nd"))


class FreshSandbox(ApiTest):
    def test_first_run_right_after_create(self):
        sandbox = self.create()
        body = self.api.code(sandbox, "21 * 2")
        self.assertEqual(body["results"]["result"]["data"]["text/plain"], "42")
        self.assertEqual(body["results"]["result"]["execution_count"], 1)

    def test_two_sandboxes_differ(self):
        code = ("import uuid, random, numpy, secrets, os\n"
                "print(uuid.uuid4(), random.random(), numpy.random.random(), secrets.token_hex(8),"
                " os.urandom(4).hex(), open('/etc/machine-id').read().strip() or 'none',"
                " os.uname().nodename)")
        lines = [self.api.code(self.create(), code)["logs"]["stdout"][0].split() for _ in range(2)]
        for first, second in list(zip(*lines))[:5]:
            self.assertNotEqual(first, second)
