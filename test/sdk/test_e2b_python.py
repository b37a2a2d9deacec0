# SPDX-License-Identifier: Apache-2.0
"""The official Python packages of E2B against a server: what their users write, unchanged.

What a server must do for these packages, and where it is tested (py: in this
file; files, code: in those beside it; node: the names of its cases in e2b.mjs):

  1 create: id, token, running at once      py test_create_has_id_token_and_state; node info
  2 a wrong key                             py test_wrong_key
  3 an unknown template                     py test_unknown_template
  4 all fields of get_info, its end         py test_create_has_id_token_and_state; node info
  5 lists by two pairs of metadata          py test_list_by_metadata_state_and_pages; node list
  6 pages of one                            py test_list_by_metadata_state_and_pages
  7 lists by state                          py test_list_by_metadata_state_and_pages
  8 set_timeout, both ways                  py test_timeout_moves_both_ways; node timeout
  9 the time-out passes                     py test_timeout_passes
 10 kill: true, then false                  py test_kill_once; node kill
 11 a command after the kill                py test_kill_once; node kill
 12 connect from a second client            py test_connect_from_another_client; node timeout
 13 metrics                                 py test_metrics
 14 requests without the token              py test_token_is_wanted
 15 a chunked body of create                py test_chunked_create; node all
 16 run: both streams, directory, HOME      py test_streams_and_home; node run
 17 an exit code                            py test_exit_code; node exit
 18 callbacks as output happens             py test_callbacks_while_it_runs
 19 variables, directory, user              py test_environment_directory_user
 20 two megabytes of text                   py test_two_megabytes_of_text
 21 background: list, kill twice            py test_background; node background
 22 stdin, closed and empty                 py test_stdin, test_input_as_a_stream; node stdin
 23 a time-out ends the process             py test_time_out_ends_the_process
 24 disconnect, connect, the rest           py test_disconnect_and_connect
 25 twelve at once                          py test_twelve_at_once, TestAsync
 26 an unknown process                      py test_unknown_process; node background
 27 text, a relative path                   files test_text_and_relative_paths; node files
 28 three megabytes, and streamed           files test_bytes_and_streams; node files
 29 many files at once                      files test_many_files; node files
 30 every form of upload, an empty file     files test_forms_of_uploads, test_gzip_of_the_package
 31 a list three deep                       files test_list; node tree
 32 exists, make, rename, remove            files test_make_move_remove; node tree
 33 what is missing, or a directory         files test_what_is_missing; node tree
 34 watch, asked for and streamed           files test_watch, py TestAsync; node watch
 35 signed URLs                             files test_signed_urls; node urls
 36 a terminal                              py test_terminal, TestClient.test_connect; node pty
 37 code: results of all types, errors      code test_results, test_chart_*,
                                            test_tables_and_other_types,
                                            test_error_and_after,
                                            test_line_breaks_of_unicode; node code
 38 contexts, languages                     code test_contexts, test_languages,
                                            test_languages_of_node; node code
 39 time-out or cancel of code, silence     code test_time_out_keeps_state, test_silence; TestAsync
 40 ports: by name, by header, closed       py test_both_ways_to_a_port, test_envd_by_name
"""
import asyncio
import concurrent.futures
import datetime
import json
import time

from sdktest import Sandbox, SdkTest, patience

import e2b
from e2b_code_interpreter import AsyncSandbox

PAIRS = {"who": "ü & y=1+2", "b b": "x/z"}


class TestControl(SdkTest):
    def test_create_has_id_token_and_state(self):
        sandbox = self.make()
        self.assertRegex(sandbox.sandbox_id, "^[0-9a-f-]{36}$")
        self.assertTrue(sandbox.is_running())
        info = sandbox.get_info()
        self.assertEqual(info.state, e2b.SandboxState.RUNNING)
        self.assertEqual(info.sandbox_id, sandbox.sandbox_id)
        self.assertAlmostEqual((info.end_at - info.started_at).total_seconds(), 300, delta=5)
        self.assertGreater(info.memory_mb, 0)

    def test_keys_have_the_form_that_clients_check(self):
        self.assertRegex(self.server.key, "^e2b_[0-9a-f]{40}$")

    def test_wrong_key(self):
        with self.assertRaises(e2b.AuthenticationException):
            Sandbox.create(api_key="e2b_" + "0" * 40)
        status, body = self.raw("GET", "/v2/sandboxes", headers={"X-API-KEY": "e2b_00"})
        self.assertEqual(status, 401)
        self.assertIn(b'"code":401', body)

    def test_unknown_template(self):
        with self.assertRaises(e2b.SandboxException) as caught:
            Sandbox.create(template="no-such-template")
        self.assertIn("404", str(caught.exception))

    def test_list_by_metadata_state_and_pages(self):
        first = self.make(metadata=PAIRS)
        second = self.make(metadata={"who": PAIRS["who"]})
        pages = Sandbox.list(query=e2b.SandboxQuery(metadata=PAIRS))
        self.assertEqual([s.sandbox_id for s in pages.next_items()], [first.sandbox_id])
        self.assertFalse(pages.has_next)
        found, pages = [], Sandbox.list(
            query=e2b.SandboxQuery(metadata={"who": PAIRS["who"]}), limit=1)
        while pages.has_next:
            found += [s.sandbox_id for s in pages.next_items()]
        self.assertEqual(sorted(found), sorted([first.sandbox_id, second.sandbox_id]))
        paused = Sandbox.list(query=e2b.SandboxQuery(state=[e2b.SandboxState.PAUSED]))
        self.assertEqual(paused.next_items(), [])

    def test_timeout_moves_both_ways(self):
        sandbox = self.make()
        for seconds in (600, 30):
            sandbox.set_timeout(seconds)
            left = sandbox.get_info().end_at - datetime.datetime.now(datetime.timezone.utc)
            self.assertAlmostEqual(left.total_seconds(), seconds, delta=10)
        Sandbox.connect(sandbox.sandbox_id, timeout=10)
        left = sandbox.get_info().end_at - datetime.datetime.now(datetime.timezone.utc)
        self.assertGreater(left.total_seconds(), 12)

    def test_timeout_passes(self):
        sandbox = self.make(timeout=2)
        end = time.monotonic() + patience(30)
        while sandbox.is_running() and time.monotonic() < end:
            time.sleep(0.3)
        self.assertFalse(sandbox.is_running())
        with self.assertRaises(e2b.NotFoundException):
            sandbox.get_info()

    def test_kill_once(self):
        sandbox = self.make()
        self.assertTrue(sandbox.kill())
        self.assertFalse(sandbox.kill())
        self.assertFalse(Sandbox.kill("11111111-2222-3333-4444-555555555555"))
        with self.assertRaises(e2b.TimeoutException):  # of which "is not running" is one
            sandbox.commands.run("true")

    def test_connect_from_another_client(self):
        sandbox = self.make()
        sandbox.files.write("shared.txt", "both")
        other = Sandbox.connect(sandbox.sandbox_id)
        self.assertEqual(other.files.read("shared.txt"), "both")
        with self.assertRaises(e2b.NotFoundException):
            Sandbox.connect("11111111-2222-3333-4444-555555555555")

    def test_metrics(self):
        metrics = self.make().get_metrics()
        self.assertEqual(len(metrics), 1)
        self.assertGreater(metrics[0].mem_total, 1 << 20)

    def test_logs(self):
        sandbox = self.make()
        with self.assertRaises(e2b.CommandExitException):
            sandbox.commands.run("exit 7", cwd="/tmp")
        key = {"X-API-KEY": self.server.key}
        of = f"/sandboxes/{sandbox.sandbox_id}/logs"

        def logs(path):
            status, body = self.raw("GET", path, headers=key)
            self.assertEqual(status, 200, body)
            return json.loads(body)
        first, second = logs(of), logs(f"/v2{of}")
        self.assertEqual(first["logEntries"], second["logs"])
        entries = second["logs"]
        self.assertEqual([(e["level"], e["message"]) for e in entries],
                         [("info", f"{m}") for m in ("Sandbox created", "Process started",
                                                     "Process ended")])
        self.assertIn("exit 7", entries[1]["fields"]["cmd"])
        self.assertEqual(entries[1]["fields"]["cwd"], "/tmp")
        self.assertEqual(entries[2]["fields"], {"pid": entries[1]["fields"]["pid"],
                                                "exitCode": "7"})
        lines = [json.loads(entry["line"]) for entry in first["logs"]]
        self.assertEqual([line["message"] for line in lines], [e["message"] for e in entries])
        self.assertEqual({line["logger"] for line in lines}, {"sandbox"})
        self.assertEqual(logs(f"/v2{of}?limit=1&direction=backward")["logs"], entries[2:])
        self.assertEqual(logs(f"{of}?start=99999999999999"), {"logs": [], "logEntries": []})
        self.assertEqual(self.raw("GET", f"{of}?start=x", headers=key)[0], 400)

    def test_token_is_wanted(self):
        sandbox = self.make()
        route = {"E2b-Sandbox-Id": sandbox.sandbox_id, "E2b-Sandbox-Port": "49983",
                 "Content-Type": "application/json"}
        for token in ({}, {"X-Access-Token": "0" * 64}):
            status, body = self.raw("POST", "/process.Process/List", b"{}", {**route, **token})
            self.assertEqual(status, 401, body)
        status, _ = self.raw("GET", "/contexts", headers={**route, "E2b-Sandbox-Port": "49999"})
        self.assertEqual(status, 401)

    def test_chunked_create(self):
        """As Node sends it."""
        status, body = self.raw("POST", "/v2/sandboxes", iter([b'{"templateID"', b':"base"}']),
                                {"X-API-KEY": self.server.key,
                                 "Content-Type": "application/json"})
        self.assertEqual(status, 201, body)
        Sandbox.kill(body.decode().split('"sandboxID":"')[1][:36])

    def test_what_is_not_supported_says_so(self):
        key = {"X-API-KEY": self.server.key, "Content-Type": "application/json"}
        self.assertEqual(self.raw("POST", "/v3/templates", b'{"name":"mine"}', key)[0], 501)

    def test_a_snapshot_is_a_template(self):
        sandbox = self.make()
        sandbox.files.write("kept", "of the parent")
        made = sandbox.create_snapshot()
        other = Sandbox.create(made.snapshot_id)
        self.addCleanup(Sandbox.kill, other.sandbox_id)
        self.assertEqual(other.files.read("kept"), "of the parent")

    def test_old_forms(self):
        """The v1 paths of create and connect, and the list without pages."""
        key = {"X-API-KEY": self.server.key, "Content-Type": "application/json"}
        status, body = self.raw("POST", "/sandboxes", b'{"templateID":"base","secure":true}', key)
        self.assertEqual(status, 201)
        sandbox = body.decode().split('"sandboxID":"')[1][:36]
        self.addCleanup(Sandbox.kill, sandbox)
        self.assertEqual(self.raw("POST", f"/sandboxes/{sandbox}/connect", b"{}", key)[0], 200)
        status, body = self.raw("GET", "/sandboxes", headers=key)
        self.assertEqual(status, 200)
        self.assertIn(sandbox.encode(), body)

    def test_bad_bodies_are_no_server_errors(self):
        sandbox = self.make()
        token = sandbox._envd_access_token
        data = {"E2b-Sandbox-Id": sandbox.sandbox_id, "E2b-Sandbox-Port": "49983",
                "X-Access-Token": token, "Content-Type": "application/json"}
        control = {"X-API-KEY": self.server.key, "Content-Type": "application/json"}
        code = {**data, "E2b-Sandbox-Port": "49999"}
        of = f"/sandboxes/{sandbox.sandbox_id}"
        paths = [(p, control) for p in ("/v2/sandboxes", "/sandboxes", f"{of}/timeout",
                                        f"/v2{of}/connect", f"{of}/refreshes")]
        paths += [(f"/process.Process/{m}", data) for m in (
            "Start", "Connect", "StreamInput", "List", "SendInput", "CloseStdin", "Update",
            "SendSignal", "Nothing")]
        paths += [(f"/filesystem.Filesystem/{m}", data) for m in (
            "Stat", "ListDir", "MakeDir", "Move", "Remove", "WatchDir", "CreateWatcher",
            "GetWatcherEvents", "RemoveWatcher")]
        paths += [("/execute", code), ("/contexts", code), ("/files", data), ("/files?path=", data)]
        bodies = [b"", b"{", b"[]", b"7", b"null", b'{"templateID":7}', b'{"process":[]}',
                  b'{"process":{"pid":"x"}}', b'{"timeout":-1}', b'{"timeout":"soon"}',
                  b'{"path":7}', b'{"code":{}}', b'{"metadata":7,"templateID":"base"}',
                  b'{"process":{"pid":4000000},"input":7}', b'{"path":"a\\u0000b"}', b"\xff\xfe",
                  b"\0\0\0\0\x02{}", b"\0\0\0\0\x02[]", b"\x01\0\0\0\x02{}", b"\0\xff\xff\xff\xff",
                  b'\0\0\0\0\x0e{"process":{}}', b"[" * 5000]
        for path, headers in paths:
            for body in bodies:
                status, answer = self.raw("POST", path, body, headers)
                self.assertNotEqual(status, 500, (path, body, answer))
                self.assertNotEqual(status, 502, (path, body, answer))
                if status == 201:
                    Sandbox.kill(answer.decode().split('"sandboxID":"')[1][:36])


class TestCommands(SdkTest):
    @classmethod
    def prepare(cls):
        super().prepare()
        cls.sandbox = Sandbox.create(timeout=900)

    def test_streams_and_home(self):
        result = self.sandbox.commands.run("echo out; echo err >&2; pwd; echo $HOME")
        self.assertEqual(result.stdout, "out\n/home/user\n/home/user\n")
        self.assertEqual(result.stderr, "err\n")
        self.assertEqual(result.exit_code, 0)

    def test_exit_code(self):
        with self.assertRaises(e2b.CommandExitException) as caught:
            self.sandbox.commands.run("echo some; exit 7")
        self.assertEqual((caught.exception.exit_code, caught.exception.stdout), (7, "some\n"))

    def test_callbacks_while_it_runs(self):
        """The command ends only if its first line was heard while it ran."""
        heard = []

        def hear(text):
            heard.append(text)
            self.sandbox.files.write("/tmp/heard", "")
        self.sandbox.commands.run("echo a; until [ -e /tmp/heard ]; do sleep 0.1; done; echo b",
                                  on_stdout=hear)
        self.assertEqual(heard, ["a\n", "b\n"])

    def test_environment_directory_user(self):
        run = self.sandbox.commands.run
        result = run("echo $A; pwd; id -un", envs={"A": "x y"}, cwd="/tmp", user="root")
        self.assertEqual(result.stdout, "x y\n/tmp\nroot\n")
        with self.assertRaises(e2b.InvalidArgumentException):
            run("true", cwd="/no/such/place")

    def test_two_megabytes_of_text(self):
        text = "".join(f"{i} grüße 😀\n" for i in range(100000))
        self.sandbox.files.write("/tmp/long.txt", text)
        self.assertEqual(self.sandbox.commands.run("cat /tmp/long.txt").stdout, text)

    def test_background(self):
        handle = self.sandbox.commands.run("sleep 100", background=True)
        found = {p.pid: p for p in self.sandbox.commands.list()}
        self.assertIn("sleep 100", found[handle.pid].args)
        self.assertTrue(handle.kill())
        with self.assertRaises(e2b.CommandExitException):
            handle.wait()
        self.assertFalse(handle.kill())

    def test_stdin(self):
        handle = self.sandbox.commands.run("cat", background=True, stdin=True)
        self.sandbox.commands.send_stdin(handle.pid, "typed\n")
        self.sandbox.commands.close_stdin(handle.pid)
        self.assertEqual(handle.wait().stdout, "typed\n")
        self.assertEqual(self.sandbox.commands.run("cat").stdout, "")

    def test_time_out_ends_the_process(self):
        with self.assertRaises(e2b.TimeoutException):
            self.sandbox.commands.run("exec sleep 4321", timeout=2)
        self.sandbox.commands.run("while pgrep -f '[s]leep 4321'; do sleep 0.1; done",
                                  timeout=patience(30))

    def test_disconnect_and_connect(self):
        handle = self.sandbox.commands.run("sleep 2; echo late; exit 3", background=True)
        handle.disconnect()
        again = self.sandbox.commands.connect(handle.pid)
        with self.assertRaises(e2b.CommandExitException) as caught:
            again.wait()
        self.assertEqual((caught.exception.exit_code, caught.exception.stdout), (3, "late\n"))

    def test_twelve_at_once(self):
        with concurrent.futures.ThreadPoolExecutor(12) as pool:
            results = list(pool.map(
                lambda i: self.sandbox.commands.run(f"sleep 0.3; echo {i}").stdout, range(12)))
        self.assertEqual(results, [f"{i}\n" for i in range(12)])

    def test_unknown_process(self):
        with self.assertRaises(e2b.NotFoundException):
            self.sandbox.commands.connect(99999)
        self.assertFalse(self.sandbox.commands.kill(99999))

    def test_terminal(self):
        seen = []
        handle = self.sandbox.pty.create(e2b.PtySize(rows=30, cols=100), timeout=30)
        self.sandbox.pty.resize(handle.pid, e2b.PtySize(rows=31, cols=101))
        self.sandbox.pty.send_stdin(handle.pid, b"stty size; exit 3\n")
        with self.assertRaises(e2b.CommandExitException) as caught:
            handle.wait(on_pty=seen.append)
        self.assertEqual(caught.exception.exit_code, 3)
        self.assertIn(b"31 101", b"".join(seen))
        handle = self.sandbox.pty.create(e2b.PtySize(rows=30, cols=100))
        self.assertTrue(self.sandbox.pty.kill(handle.pid))

    def test_input_as_a_stream(self):
        if not hasattr(self.sandbox.commands, "stream_input"):
            self.skipTest("this version has none")
        handle = self.sandbox.commands.run("cat", background=True, stdin=True)
        self.sandbox.commands.stream_input(handle.pid, ["one ", "two "])
        self.sandbox.commands.close_stdin(handle.pid)
        self.assertEqual(handle.wait().stdout, "one two ")


class TestPorts(SdkTest):
    def test_both_ways_to_a_port(self):
        sandbox = self.make()
        sandbox.commands.run("mkdir -p web && echo served > web/f", timeout=10)
        sandbox.commands.run("cd web && exec python3 -m http.server 3000", background=True,
                             timeout=0)
        host = sandbox.get_host(3000)
        self.assertEqual(host.split(".")[0], f"3000-{sandbox.sandbox_id}")
        routed = {"E2b-Sandbox-Id": sandbox.sandbox_id, "E2b-Sandbox-Port": "3000"}
        for headers in ({"Host": host}, routed):
            end = time.monotonic() + patience(10)
            while True:
                status, body = self.raw("GET", "/f", headers=headers)
                if status == 200 or time.monotonic() > end:
                    break
                time.sleep(0.2)
            self.assertEqual((status, body), (200, b"served\n"))
        status, body = self.raw("GET", "/", headers={**routed, "E2b-Sandbox-Port": "3001"})
        self.assertEqual(status, 502)
        self.assertIn(b"port is not open", body)

    def test_envd_by_name(self):
        """Where a name leads to each port of a sandbox, no header is needed."""
        sandbox = self.make()
        host = sandbox.get_host(49983)
        self.assertEqual(self.raw("GET", "/health", headers={"Host": host})[0], 204)
        status, body = self.raw("POST", "/process.Process/List", b"{}",
                                {"Host": host, "Content-Type": "application/json",
                                 "X-Access-Token": sandbox._envd_access_token})
        self.assertEqual(status, 200, body)


class TestAsync(SdkTest):
    def test_core(self):
        asyncio.run(self.core())

    async def core(self):
        sandbox = await AsyncSandbox.create(timeout=300)
        try:
            self.assertEqual((await sandbox.commands.run("echo hi")).stdout, "hi\n")
            await sandbox.files.write("a.txt", "async")
            self.assertEqual(await sandbox.files.read("a.txt"), "async")
            results = await asyncio.gather(
                *(sandbox.commands.run(f"sleep 0.2; echo {i}") for i in range(12)))
            self.assertEqual([r.stdout for r in results], [f"{i}\n" for i in range(12)])
            self.assertEqual((await sandbox.run_code("6*7")).text, "42")
            await sandbox.run_code("state = 3")
            task = asyncio.create_task(
                sandbox.run_code("import time\nwhile True: time.sleep(0.1)"))
            await asyncio.sleep(1.5)
            task.cancel()
            with self.assertRaises(asyncio.CancelledError):
                await task
            self.assertEqual((await sandbox.run_code("state")).text, "3")
        finally:
            self.assertTrue(await sandbox.kill())

    def test_watch(self):
        asyncio.run(self.watch())

    async def watch(self):
        sandbox = await AsyncSandbox.create(timeout=300)
        try:
            await sandbox.files.make_dir("seen")
            events = []
            handle = await sandbox.files.watch_dir("seen", on_event=events.append)
            await sandbox.files.write("seen/new", "1")
            for _ in range(50):
                if events:
                    break
                await asyncio.sleep(0.1)
            await handle.stop()
            self.assertEqual(events[0].name, "new")
            self.assertEqual(events[0].type, e2b.FilesystemEventType.CREATE)
        finally:
            await sandbox.kill()


class TestNetwork(SdkTest):
    options = ("--egress", "public")

    def policy(self, sandbox):
        return self.api.get(f"/sandboxes/{sandbox.sandbox_id}/network").json

    def test_words_become_a_policy(self):
        closed = self.policy(self.make(allow_internet_access=False))
        self.assertEqual(closed["default"], "deny")
        sandbox = self.make(network={"allow_out": ["example.org"], "deny_out": ["0.0.0.0/0"]})
        policy = self.policy(sandbox)
        self.assertEqual((policy["default"], policy["allow"]), ("deny", ["example.org"]))
        status, body = self.raw("PUT", f"/sandboxes/{sandbox.sandbox_id}/network",
                                b'{"denyOut":["10.0.0.0/8"]}',
                                {"X-API-KEY": self.server.key, "Content-Type": "application/json"})
        self.assertIn(status, (200, 204), body)
        self.assertEqual(self.policy(sandbox)["deny"], ["10.0.0.0/8"])
