# SPDX-License-Identifier: Apache-2.0
"""The official Python package of gravixlayer 0.1 against a server: what its users write, unchanged.
"""
import asyncio
import concurrent.futures
import io
import os
import time

from corraltest import ApiTest, patience, wait_until

import gravixlayer
from gravixlayer import AsyncGravixLayer, GravixLayer, Runtime
from gravixlayer.types import exceptions
from gravixlayer.types.runtime import WriteEntry

BREAKS = "a\u2028b\u2029c\u0085d"
NAMES = "with space+and & # % é 'quote'.txt"


class SdkTest(ApiTest):
    build = "release"
    options = ("--pool-size", "1")

    @classmethod
    def prepare(cls):
        os.environ.update(GRAVIXLAYER_API_KEY=cls.server.key,
                          GRAVIXLAYER_BASE_URL=f"http://127.0.0.1:{cls.server.port}")
        cls.sdk = GravixLayer()

    def make(self, **options):
        runtime = Runtime.create(client=self.sdk, **{"timeout": 600, **options})
        self.addCleanup(runtime.kill)
        return runtime

    def refused(self, kind, call, /, *arguments, **options):
        with self.assertRaises(kind) as caught:
            call(*arguments, **options)
        return caught.exception


class OneRuntime(SdkTest):
    """Tests that share a sandbox."""

    @classmethod
    def prepare(cls):
        super().prepare()
        cls.box = Runtime.create(client=cls.sdk, timeout=1800)
        cls.box_id = cls.box.runtime_id


class TestRuntimes(SdkTest):
    def test_base_url_with_slashes(self):
        client = GravixLayer(base_url=f"http://127.0.0.1:{self.server.port}//")
        self.assertGreaterEqual(client.runtime.list().total, 0)

    def test_wrong_key(self):
        client = GravixLayer(api_key="e2b_" + "0" * 40)
        nobody = "11111111-2222-3333-4444-555555555555"
        for call in (client.runtime.list, client.runtime.create, client.templates.list,
                     client.snapshots.list, lambda: client.runtime.get(nobody),
                     lambda: client.runtime.run_cmd(nobody, "true"),
                     lambda: client.runtime.mounts.list(nobody)):
            self.refused(exceptions.GravixLayerAuthenticationError, call)

    def test_four_warm_ups(self):
        GravixLayer(warmup_on_init=True).warmup()

    def test_create_is_usable_at_once_and_has_no_end(self):
        runtime = Runtime.create(client=self.sdk)
        self.addCleanup(runtime.kill)
        self.assertEqual(runtime.status, "running")
        self.assertIsNone(runtime.timeout_at)
        self.assertRegex(runtime.runtime_id, "^[0-9a-f-]{36}$")
        self.assertEqual(runtime.run_code("print(6*7)").text, "42")
        self.assertEqual((runtime.cloud, runtime.region), ("aws", "us-east-1"))
        self.assertGreater(runtime.cpu_count * runtime.memory_mb * runtime.disk_size_mb, 0)
        zero = self.make(timeout=0)
        self.assertIsNone(self.sdk.runtime.get(zero.runtime_id).timeout_at)

    def test_with_statement(self):
        with Runtime.create(client=self.sdk) as runtime:
            self.assertTrue(runtime.is_alive())
            self.assertEqual(runtime.run_code("1+1").text, "2")
        self.assertNotEqual(self.sdk.runtime.get(runtime.runtime_id).status, "running")

    def test_names_of_templates(self):
        for name in ("base-small", "python-3.12-base-small", "python-base-v1"):
            self.assertEqual(self.sdk.templates.get(name).name, "python-base-v1")
        self.assertEqual(self.sdk.templates.get("node-20-base-small").name, "javascript-base-v1")
        listed = self.sdk.templates.list().templates
        self.assertIn("python-base-v1", [t.name for t in listed])
        self.assertEqual(len(self.sdk.runtime.templates.list().templates), len(listed))
        self.assertEqual(self.sdk.templates.get_snapshot("base-small").name, "python-base-v1")

    def test_unknown_template(self):
        error = self.refused(exceptions.GravixLayerBadRequestError, self.sdk.runtime.create,
                             template="no-such-template")
        self.assertEqual((error.status, error.code), (404, "template_not_found"))
        self.assertIn("no-such-template", str(error))

    def test_time_out_passes(self):
        runtime = self.make(timeout=2)
        self.assertIsNotNone(runtime.timeout_at)
        wait_until(lambda: not runtime.is_alive(), 30, "the runtime has ended")

    def test_set_timeout(self):
        runtime = self.make()
        answer = self.sdk.runtime.set_timeout(runtime.runtime_id, 1200)
        self.assertEqual(answer.timeout, 1200)
        self.assertIn("T", answer.timeout_at)

    def test_metadata_variables_and_list(self):
        metadata = {"a": {"b": [1, None, "é"]}, "c": True}
        first = self.make(metadata=metadata, env_vars={"WHO": "x y"})
        second = self.make()
        self.assertEqual(self.sdk.runtime.get(first.runtime_id).metadata, metadata)
        self.assertEqual(first.run_cmd("echo $WHO").stdout, "x y\n")
        self.assertEqual(first.run_code("import os; print(os.environ['WHO'])").text, "x y")
        page = self.sdk.runtime.list(limit=1, offset=0)
        self.assertEqual([r.runtime_id for r in page.runtimes], [second.runtime_id])
        self.assertGreaterEqual(page.total, 2)

    def test_without_the_internet(self):
        runtime = self.make(internet_access=False)
        self.assertEqual(self.server.client.get(f"/sandboxes/{runtime.runtime_id}/network")
                         .json["default"], "deny")
        error = self.refused(exceptions.GravixLayerBadRequestError, self.sdk.runtime.create,
                             network_policy_ids=["none"])
        self.assertEqual((error.status, error.code), (404, "not_found"))

    def test_connect_metrics_and_kill(self):
        runtime = self.make()
        self.assertEqual(self.sdk.runtime.connect(runtime.runtime_id)["status"], "running")
        again = Runtime.connect(runtime.runtime_id, client=self.sdk)
        self.assertEqual(again.run_cmd("echo same").stdout, "same\n")
        self.assertGreater(self.sdk.runtime.get_metrics(runtime.runtime_id).memory_total, 0)
        self.assertEqual(self.sdk.runtime.kill(runtime.runtime_id).runtime_id, runtime.runtime_id)
        for call in (self.sdk.runtime.kill, self.sdk.runtime.connect):
            self.refused(exceptions.GravixLayerBadRequestError, call, runtime.runtime_id)
        error = self.refused(exceptions.GravixLayerBadRequestError, self.sdk.runtime.run_cmd,
                             runtime.runtime_id, "true")
        self.assertEqual(error.code, "invalid_state")

    def test_what_is_not_offered(self):
        runtime = self.make()
        for call in (lambda: self.sdk.runtime.browser.list(runtime.runtime_id),
                     lambda: self.sdk.runtime.mounts.list(runtime.runtime_id),
                     lambda: self.sdk.runtime.ssh_status(runtime.runtime_id)):
            error = self.refused(exceptions.GravixLayerServerError, call)
            self.assertEqual((error.status, error.code), (501, "unsupported"))

    def test_pause_and_resume(self):
        runtime = self.make()
        context = runtime.create_context()
        runtime.run_code("kept = 41", context_id=context.context_id)
        self.sdk.runtime.pause(runtime.runtime_id)
        self.assertEqual(self.sdk.runtime.get(runtime.runtime_id).status, "paused")
        self.assertFalse(runtime.is_alive())
        error = self.refused(exceptions.GravixLayerBadRequestError, self.sdk.runtime.run_cmd,
                             runtime.runtime_id, "true")
        self.assertEqual((error.status, error.code), (409, "sandbox_paused"))
        listed = {r.runtime_id: r.status for r in self.sdk.runtime.list().runtimes}
        self.assertEqual(listed[runtime.runtime_id], "paused")
        self.sdk.runtime.resume(runtime.runtime_id)
        self.assertTrue(runtime.is_alive())
        said = runtime.run_code("kept + 1", context_id=context.context_id)
        self.assertEqual(said.text, "42")
        self.sdk.runtime.pause(runtime.runtime_id)
        self.sdk.runtime.kill(runtime.runtime_id)
        self.assertEqual(self.sdk.runtime.get(runtime.runtime_id).status, "terminated")

    def test_asynchronous_client(self):
        async def flow():
            async with AsyncGravixLayer() as client:
                runtime = await client.runtime.create(timeout=300)
                answer = await client.runtime.run_code(runtime.runtime_id, "print('async')")
                done = await client.runtime.run_cmd(runtime.runtime_id, "echo $((6*7))")
                await client.runtime.kill(runtime.runtime_id)
                return answer.logs.stdout, done.stdout
        self.assertEqual(asyncio.run(flow()), (["async"], "42\n"))


class TestCommands(OneRuntime):
    def test_shell_line_and_argument_vector(self):
        result = self.box.run_cmd("echo out; echo err >&2; pwd; exit 3")
        self.assertEqual((result.stdout, result.stderr), ("out\n/workspace\n", "err\n"))
        self.assertEqual((result.exit_code, result.success), (3, False))
        words = self.box.run_cmd("printf", ["%s|", "a b", "$HOME", "'"])
        self.assertEqual(words.stdout, "a b|$HOME|'|")
        direct = self.sdk.runtime.run_cmd(self.box_id, "echo a; echo b", args=[])
        self.assertEqual(direct.stdout, "a\nb\n")

    def test_directory_and_variables(self):
        result = self.box.run_cmd("pwd; echo $A", working_dir="/tmp", environment={"A": "b c"})
        self.assertEqual(result.stdout, "/tmp\nb c\n")
        self.assertEqual(self.box.run_cmd("mkdir -p sub").exit_code, 0)
        self.assertEqual(self.box.run_cmd("pwd", working_dir="sub").stdout, "/workspace/sub\n")
        self.assertEqual(self.box.run_cmd("touch here && echo mine").stdout, "mine\n")

    def test_not_found_and_not_executable(self):
        self.assertEqual(self.box.run_cmd("no-such-program").exit_code, 127)
        self.assertEqual(self.box.run_cmd("no-such-program", ["x"]).exit_code, 127)
        self.assertEqual(self.box.run_cmd("/etc/passwd", ["x"]).exit_code, 126)

    def test_time_out_has_the_output_so_far(self):
        result = self.sdk.runtime.run_cmd(self.box_id, "echo begun; sleep 8765", timeout=2)
        self.assertEqual((result.stdout, result.success, result.timed_out),
                         ("begun\n", False, True))
        left = self.box.run_cmd("pgrep -f '[s]leep 8765' || echo none").stdout
        self.assertEqual(left, "none\n")

    def test_three_megabytes_and_bytes_that_are_no_text(self):
        text = self.box.run_cmd("yes 0123456789abcde | head -c 3000000").stdout
        self.assertEqual(len(text), 3000000)
        self.assertEqual(self.box.run_cmd(r"printf 'a\377b'").stdout, "a\ufffdb")

    def test_stream(self):
        chunks, times = [], []

        def heard(chunk):
            chunks.append(chunk)
            times.append(time.monotonic())
        result = self.box.run_cmd("echo 1; sleep 1; echo 2; echo e >&2; exit 5", on_stdout=heard)
        self.assertEqual((result.stdout, result.stderr, result.exit_code), ("1\n2\n", "e\n", 5))
        self.assertEqual("".join(chunks), "1\n2\n")
        self.assertGreater(times[-1] - times[0], 0.5)
        events = list(self.sdk.runtime.stream_cmd(self.box_id, "echo x"))
        self.assertIn("stdout", str(events[0]))

    def test_line_breaks_of_unicode(self):
        command = f"printf '%s' '{BREAKS}'"
        self.assertEqual(self.box.run_cmd(command).stdout, BREAKS)
        self.assertEqual(self.box.run_cmd(command, on_stdout=lambda _: None).stdout, BREAKS)

    def test_failed_start_streams_its_end(self):
        result = self.box.run_cmd("no-such-program", ["x"], on_stdout=lambda _: None)
        self.assertEqual(result.exit_code, 127)

    def test_background(self):
        handle = self.box.run_cmd("echo first; sleep 1; echo late; exit 4", background=True)
        listed = {c.pid: c for c in self.sdk.runtime.command.list(self.box_id)}
        self.assertEqual(listed[handle.pid].status, "running")
        self.assertTrue(listed[handle.pid].background)
        result = handle.wait()
        self.assertEqual((result.stdout, result.exit_code), ("first\nlate\n", 4))
        again = self.sdk.runtime.command.connect(self.box_id, handle.pid)
        self.assertEqual(again.stdout, "first\nlate\n")
        info = handle.refresh()
        self.assertEqual((info.status, info.exit_code), ("exited", 4))
        self.assertIsNotNone(info.ended_at)

    def test_signals(self):
        for name, number in (("KILL", 9), ("TERM", 15), ("INT", 2), ("HUP", 1)):
            with self.subTest(name):
                handle = self.sdk.runtime.run_cmd(self.box_id, "sleep", args=["4321"],
                                                  background=True)
                handle.kill(name)
                self.assertEqual(handle.wait().exit_code, 128 + number)
                self.assertEqual(handle.refresh().status, "killed")
        handle = self.box.run_cmd("sleep 4321", background=True)
        self.assertEqual(handle.kill().status, "killed")
        self.refused(exceptions.GravixLayerBadRequestError, self.sdk.runtime.command.get, self.box_id,
                     99999)

    def test_background_with_a_time_out(self):
        handle = self.box.run_cmd("sleep 4321", background=True, timeout=1)
        self.assertTrue(handle.wait().timed_out)
        self.assertEqual(handle.refresh().status, "timed_out")


class TestCode(OneRuntime):
    def test_results_are_a_list(self):
        run = self.sdk.runtime.run_code
        answer = run(self.box_id, "print('a'); print('b')\n6*7")
        self.assertEqual(answer.logs.stdout, ["a", "b"])
        self.assertEqual([r.text for r in answer.results], ["42"])
        self.assertIsNone(answer.error)
        shown = run(self.box_id, "from IPython.display import HTML, display\n"
                             "display(HTML('<b>1</b>')); 'x'")
        self.assertEqual([r.html or "" for r in shown.results], ["<b>1</b>", ""])

    def test_error(self):
        answer = self.sdk.runtime.run_code(self.box_id, "print('before')\n1/0")
        self.assertEqual(answer.error.name, "ZeroDivisionError")
        self.assertIsInstance(answer.error.traceback, str)
        self.assertEqual(answer.logs.stdout, ["before"])

    def test_without_a_context_nothing_is_shared(self):
        self.box.run_code("shared = 1")
        answer = self.sdk.runtime.run_code(self.box_id, "shared")
        self.assertEqual(answer.error.name, "NameError")
        self.assertEqual(self.box.run_code("import os; print(os.getcwd())").text, "/workspace")

    def test_contexts(self):
        one, two = self.box.create_context(), self.box.create_context(cwd="/tmp")
        self.assertEqual((one.language, one.cwd, two.cwd), ("python", "/workspace", "/tmp"))
        for context in (one, two):
            self.box.run_code(f"n = '{context.context_id}'", context_id=context.context_id)
        for context in (one, two):
            said = self.box.run_code("print(n)", context_id=context.context_id)
            self.assertEqual(said.text, context.context_id)
        self.assertEqual(self.box.get_context(two.context_id).cwd, "/tmp")
        self.assertEqual(self.box.delete_context(two.context_id).context_id, two.context_id)
        error = self.refused(exceptions.GravixLayerBadRequestError, self.box.get_context,
                             two.context_id)
        self.assertEqual(error.status, 404)

    def test_stream_equals_the_plain_answer(self):
        code = f"import sys\nprint('one')\nprint('two', end='')\nprint({BREAKS!r})\n" \
               "print('e', file=sys.stderr)\n6*7"
        heard = []
        plain = self.sdk.runtime.run_code(self.box_id, code)
        streamed = self.sdk.runtime.run_code(self.box_id, code, on_stdout=heard.append)
        self.assertEqual(streamed.logs, plain.logs)
        self.assertEqual([r.text for r in streamed.results], [r.text for r in plain.results])
        self.assertEqual(heard, plain.logs.stdout)
        failed = self.sdk.runtime.run_code(self.box_id, "1/0", on_error=heard.append)
        self.assertEqual(failed.error.name, "ZeroDivisionError")

    def test_time_out_is_an_error_of_the_code(self):
        code = "print('begun', flush=True)\nimport time; time.sleep(60)"
        for options in ({}, {"on_stdout": lambda _: None}):
            answer = self.sdk.runtime.run_code(self.box_id, code, timeout=2, **options)
            self.assertEqual(answer.logs.stdout, ["begun"])
            self.assertIsNotNone(answer.error)

    def test_contexts_of_single_runs_are_gone(self):
        for _ in range(3):
            self.box.run_code("1")

        def alone():
            answer = self.server.client.get(f"/sandboxes/{self.box_id}/code/contexts")
            return not [c for c in answer.json["contexts"]
                        if c["context_id"].startswith("once_")]
        wait_until(alone, 20, "the contexts of single runs are deleted")


class TestFiles(OneRuntime):
    def test_write_read_delete(self):
        files = self.sdk.runtime.file
        written = files.write(self.box_id, "a/b.txt", "grüße")
        self.assertEqual((written.path, written.bytes_written), ("/workspace/a/b.txt", 7))
        self.assertEqual(files.read(self.box_id, "/workspace/a/b.txt").content, "grüße")
        self.refused(exceptions.GravixLayerBadRequestError, files.delete, self.box_id, "a")
        self.assertEqual(files.delete(self.box_id, "a", recursive=True).path, "/workspace/a")
        self.assertFalse(files.get_info(self.box_id, "a").exists)

    def test_bytes_that_are_no_text(self):
        files, data = self.sdk.runtime.file, bytes(range(256))
        sent = files.upload_file(self.box_id, io.BytesIO(data), path="/workspace/bytes")
        self.assertEqual(sent.size, 256)
        self.assertEqual(files.read(self.box_id, "bytes").bytes(), data)
        self.assertEqual(files.download_file(self.box_id, "bytes"), data)

    def test_names(self):
        files, path = self.sdk.runtime.file, f"/workspace/names/{NAMES}"
        files.upload(self.box_id, path, "here")
        self.assertEqual(files.download_file(self.box_id, path), b"here")
        listed = files.list(self.box_id, "names").files
        self.assertEqual([(f.name, f.size, f.is_dir) for f in listed], [(NAMES, 4, False)])
        self.assertEqual(files.read(self.box_id, path).content, "here")
        files.upload_file(self.box_id, io.BytesIO(b"up"), path=path)
        self.assertEqual(files.read(self.box_id, path).content, "up")

    def test_many_of_which_one_fails(self):
        written = self.sdk.runtime.file.write_many(
            self.box_id, [WriteEntry("many/one", "1"), WriteEntry("/proc/none", "2"),
                          WriteEntry("many/three", b"3")])
        self.assertEqual([bool(w.error) for w in written.files], [False, True, False])
        self.assertEqual(self.box.run_cmd("cat many/*").stdout, "13")

    def test_modes_and_owners(self):
        files = self.sdk.runtime.file
        files.create_directory(self.box_id, "deep/er/est", mode="0711")
        self.assertEqual(files.get_info(self.box_id, "deep/er/est").info.permissions, "rwx--x--x")
        files.write(self.box_id, "m", "x")
        self.assertTrue(files.set_permissions(self.box_id, "m", "640").success)
        self.assertEqual(files.get_info(self.box_id, "m").info.permissions, "rw-r-----")
        self.assertTrue(files.chown(self.box_id, "m", user="user", group="user").success)

    def test_move_and_copy(self):
        files = self.sdk.runtime.file
        files.write(self.box_id, "mv/a", "1")
        files.write(self.box_id, "mv/b", "2")
        self.assertEqual(files.move(self.box_id, "mv/a", "mv/c").entry.name, "c")
        self.refused(exceptions.GravixLayerBadRequestError, files.move, self.box_id, "mv/c", "mv/b")
        self.assertTrue(files.move(self.box_id, "mv/c", "mv/b", overwrite=True).success)
        self.assertEqual(files.read(self.box_id, "mv/b").content, "1")
        self.refused(exceptions.GravixLayerBadRequestError, files.copy, self.box_id, "mv", "mv2")
        files.copy(self.box_id, "mv", "mv2", recursive=True)
        self.assertEqual(files.read(self.box_id, "mv2/b").content, "1")

    def test_find_and_replace(self):
        files = self.sdk.runtime.file
        for name, text in (("a.py", "Hello\nhello 12\n"), ("b.txt", "hello\n"), (".h.py", "hello\n")):
            files.write(self.box_id, f"find/{name}", text)
        found = files.find(self.box_id, "find", pattern="hello", case_sensitive=True)
        self.assertEqual(sorted((m.path[16:], m.line) for m in found.matches),
                         [("a.py", 2), ("b.txt", 1)])
        every = files.find(self.box_id, "find", pattern="hello", case_sensitive=False,
                           include_hidden=True)
        self.assertEqual(len(every.matches), 4)
        digits = files.find(self.box_id, "find", pattern="[0-9]+", regex=True, glob="*.py")
        self.assertEqual([(m.line, m.column) for m in digits.matches], [(2, 7)])
        cut = files.find(self.box_id, "find", pattern="hello", max_results=1)
        self.assertTrue(cut.truncated)
        named = files.find(self.box_id, "find", glob="*.py")
        self.assertEqual([(m.path, m.line) for m in named.matches], [("/workspace/find/a.py", 0)])
        dry = files.replace(self.box_id, "find", "hello", "bye", dry_run=True,
                            case_sensitive=True)
        self.assertEqual((dry.total_replacements, dry.dry_run), (2, True))
        done = files.replace(self.box_id, "find", "hel(lo)", "$1", regex=True,
                             case_sensitive=True)
        self.assertEqual(done.total_replacements, 2)
        self.assertEqual(files.read(self.box_id, "find/b.txt").content, "lo\n")

    def test_watch(self):
        self.box.run_cmd("mkdir -p watched")
        seen = []

        def change():
            self.box.run_cmd("echo 1 >watched/new; mv watched/new watched/other; "
                             "rm watched/other; touch watched/last")
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            for event in self.sdk.runtime.file.watch(self.box_id, "watched"):
                seen.append((event.type, event.path, event.new_path))
                if event.type == "start":
                    pool.submit(change)
                if event.path.endswith("last"):
                    break
        self.assertEqual(seen[0][0], "start")
        self.assertIn(("create", "/workspace/watched/new", None), seen)
        self.assertIn(("write", "/workspace/watched/new", None), seen)
        self.assertIn(("rename", "/workspace/watched/new", "/workspace/watched/other"), seen)
        self.assertIn(("remove", "/workspace/watched/other", None), seen)


# A server of files that asks for a password, as git's simplest protocol needs it.
GUARDED = """
import base64, http.server, sys
WANT = "Basic " + base64.b64encode(b"x-access-token:s3cret").decode()
class Guarded(http.server.SimpleHTTPRequestHandler):
    def do_GET(self):
        if self.headers.get("Authorization") == WANT:
            return super().do_GET()
        self.send_response(401)
        self.send_header("WWW-Authenticate", "Basic realm=x")
        self.send_header("Content-Length", "0")
        self.end_headers()
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Guarded)
print(server.server_port, flush=True)
server.serve_forever()
"""


class TestGit(OneRuntime):
    @classmethod
    def prepare(cls):
        super().prepare()
        cls.git = cls.box.git
        done = cls.box.run_cmd("git init -q --bare -b main bare.git && "
                               "git clone -q bare.git first 2>/dev/null && cd first && "
                               "git checkout -q -b main && echo 1 >one")
        assert done.exit_code == 0, done

    def done(self, result):
        self.assertEqual((result.success, result.exit_code), (True, 0), result)
        return result.stdout

    def test_work_on_a_repository(self):
        git, path = self.git, "/workspace/first"
        self.assertIn("one", self.done(git.status(path)))
        self.done(git.add(path, paths=["one"]))
        self.done(git.commit(path, "the first; $(id) 'quoted'", author_name="A B",
                             author_email="a@b.example"))
        self.done(git.push(path, remote="origin", refspec="main"))
        log = self.box.run_cmd("git -C bare.git log --format='%an %ae %cn %s' main").stdout
        self.assertEqual(log, "A B a@b.example A B the first; $(id) 'quoted'\n")
        self.done(git.create_branch(path, "side", start_point="main"))
        self.done(git.checkout(path, "side"))
        self.assertIn("* side", self.done(git.branch_list(path)))
        self.assertIn("origin/main", self.done(git.branch_list(path, scope="remote")))
        self.assertIn("remotes/origin/main", self.done(git.branch_list(path, scope="all")))
        self.done(git.commit(path, "empty", author_name="A", author_email="a@b", allow_empty=True))
        self.done(git.checkout(path, "main"))
        refused = git.delete_branch(path, "side")
        self.assertEqual((refused.success, refused.exit_code), (False, 1))
        self.done(git.delete_branch(path, "side", force=True))
        self.box.run_cmd("git clone -q -b main bare.git second && cd second && echo 2 >two && "
                         "git add two && git -c user.name=a -c user.email=b commit -qm two && "
                         "git push -q")
        self.done(git.fetch(path, remote="origin"))
        self.done(git.pull(path, remote="origin", branch="main"))
        self.assertEqual(self.box.run_cmd("cat first/two").stdout, "2\n")
        self.assertFalse(git.checkout(path, "one").success)

    def test_a_token_is_seen_by_the_server_alone(self):
        self.box.run_cmd("mkdir guarded && git init -q -b main guarded/source && cd guarded/source "
                         "&& git -c user.name=a -c user.email=b commit -qm x --allow-empty && "
                         "cd .. && git clone -q --bare source it.git && cd it.git && "
                         "git update-server-info")
        self.sdk.runtime.file.write(self.box_id, "guarded.py", GUARDED)
        self.box.run_cmd("cd guarded && exec python3 ../guarded.py >../port", background=True)
        port = wait_until(lambda: self.box.run_cmd("cat port").stdout.strip(), 30, "it listens")
        url = f"http://127.0.0.1:{port}/it.git"
        without = self.git.clone(url, "/workspace/none")
        self.assertEqual((without.success, without.exit_code), (False, 128))
        self.assertFalse(self.git.clone(url, "/workspace/wrong", auth_token="other").success)
        self.done(self.git.clone(url, "/workspace/cloned", auth_token="s3cret", branch="main"))
        self.done(self.git.fetch("/workspace/cloned", auth_token="s3cret"))
        self.done(self.git.pull("/workspace/cloned", auth_token="s3cret"))
        kept = self.box.run_cmd("grep -rl s3cret cloned ~/.git-credentials ~/.gitconfig")
        self.assertEqual(kept.stdout, "")

    def test_credentials_are_on_no_command_line(self):
        """The hook of a push to a repository in the sandbox sees all that runs beside it."""
        self.box.run_cmd("git init -q --bare hooked.git && git init -q -b main hooking && "
                         "cd hooking && git remote add origin /workspace/hooked.git && "
                         "git -c user.name=a -c user.email=b commit -qm x --allow-empty")
        self.sdk.runtime.file.write(
            self.box_id, "hooking/.git/hooks/pre-push",
            "#!/bin/sh\nfor p in /proc/[0-9]*; do cat $p/cmdline $p/environ; done 2>/dev/null |"
            " tr '\\0' '\\n' >/workspace/seen\n")
        self.box.run_cmd("chmod 755 hooking/.git/hooks/pre-push")
        self.done(self.git.push("/workspace/hooking", "origin", "main", username="somebody",
                                password="hidden-word"))
        seen = self.box.run_cmd("cat seen").stdout
        self.assertIn("credential.helper", seen)
        self.assertIn("GIT_TERMINAL_PROMPT", seen)
        self.assertNotIn("hidden-word", seen)


class TestTerminals(OneRuntime):
    def heard(self, handle, marker):
        text = b""
        for event in handle:
            text += event if isinstance(event, bytes) else event.get("data", b"")
            if marker in text:
                return text
        return text

    def test_session(self):
        pty = self.sdk.runtime.pty
        session = pty.create(self.box_id, cols=100, rows=30)
        self.assertEqual((session.cols, session.rows, session.status), (100, 30, "running"))
        self.assertTrue(pty.resize(self.box_id, session.session_id, 120, 40))
        self.assertEqual(pty.get(self.box_id, session.session_id).cols, 120)
        sent = pty.send_input(self.box_id, session.session_id, "stty size; pwd; exit 7\n")
        self.assertTrue(sent.success)
        seen = list(pty.stream(self.box_id, session.session_id))
        text = b"".join(e["data"] for e in seen if e["type"] == "data")
        self.assertIn(b"40 120", text)
        self.assertIn(b"/workspace", text)
        self.assertEqual((seen[-1]["type"], seen[-1]["exit_code"]), ("exit", 7))
        again = list(pty.stream(self.box_id, session.session_id))
        self.assertEqual(b"".join(e["data"] for e in again if e["type"] == "data"), text)
        ended = pty.get(self.box_id, session.session_id)
        self.assertEqual((ended.status, ended.exit_code), ("exited", 7))
        self.assertTrue(pty.kill(self.box_id, session.session_id))

    def test_signals_and_list(self):
        pty = self.sdk.runtime.pty
        session = pty.create(self.box_id, shell="sleep", args=["4321"])
        self.assertIn(session.session_id, [s.session_id for s in pty.list(self.box_id)])
        self.assertTrue(pty.send_signal(self.box_id, session.session_id, "SIGHUP"))
        last = list(pty.stream(self.box_id, session.session_id))[-1]
        self.assertEqual((last["type"], last["exit_code"], last["status"]), ("exit", 129, "failed"))
        pty.kill(self.box_id, session.session_id)
        self.assertNotIn(session.session_id, [s.session_id for s in pty.list(self.box_id)])
