# SPDX-License-Identifier: Apache-2.0
"""processes: they outlive their requests and the server, their output is kept with numbers, and they
take input and signals."""
import base64
import concurrent.futures
import os
import time

from corraltest import HOST, SandboxTest, wait_until
from streams import Stream, joined

KEYS = {"id", "pid", "tag", "argv", "cwd", "shell", "stdin", "pty", "status", "started_at",
        "first_seq", "next_seq"}
ENDED = KEYS | {"exit_code", "duration_ms"}


class ProcessTest(SandboxTest):
    def start(self, command, box=None, **fields):
        answer = self.api.post(f"/sandboxes/{box or self.box}/processes",
                               {"command": command, **fields})
        return self.assert_json(answer, 201)

    def path(self, pid, rest=""):
        return f"/sandboxes/{self.box}/processes/{pid}{rest}"

    def stream(self, pid, query="", **options):
        return Stream(self.api, "GET", self.path(pid, f"/stream{query}"), **options)

    def get(self, pid):
        return self.assert_json(self.api.get(self.path(pid)), 200)

    def ended(self, pid):
        return wait_until(lambda: self.get(pid)["status"] != "running" and self.get(pid), 20, "its end")

    def write(self, pid, data, **options):
        return self.assert_json(self.api.post(self.path(pid, "/stdin"), data, **options), 200)


class Processes(ProcessTest):
    def test_start_says_what_it_is(self):
        process = self.start("cat", stdin=True, cwd="/tmp", tag="my cat")
        self.assert_keys(process, KEYS)
        self.assertEqual((process["argv"], process["shell"], process["cwd"]), (["cat"], True, "/tmp"))
        self.assertEqual((process["tag"], process["stdin"], process["pty"]), ("my cat", True, False))
        self.assertEqual(process["status"], "running")
        self.assert_time(process["started_at"], near=time.time(), within=60)
        self.assertGreater(process["pid"], 1)
        got = self.get(process["pid"])
        self.assertEqual((got["id"], got["pid"]), (process["id"], process["pid"]))
        self.assert_json(self.api.delete(self.path(process["pid"])), 200)
        self.assert_error(self.api.get(self.path(process["pid"])), 404, "process_not_found")

    def test_list(self):
        pids = {self.start("sleep", args=["1000"], tag="listed")["pid"] for _ in range(3)}
        listed = self.api.get(f"/sandboxes/{self.box}/processes").json["processes"]
        self.assertEqual({p["pid"] for p in listed if p["tag"] == "listed"}, pids)
        for pid in pids:
            self.api.delete(self.path(pid))

    def test_output_after_the_end(self):
        process = self.start("echo out; echo err >&2; exit 3")
        end = self.ended(process["pid"])
        self.assert_keys(end, ENDED)
        self.assertEqual((end["status"], end["exit_code"]), ("exited", 3))
        for _ in range(2):
            stream = self.stream(process["pid"])
            events = stream.all()
            self.assertEqual([events[0]["type"], events[-1]["type"]], ["process", "end"])
            self.assertEqual((joined(events, "stdout"), joined(events, "stderr")), ("out\n", "err\n"))
            self.assertEqual(events[-1]["exit_code"], 3)
            self.assertTrue(stream.ended)

    def test_many_readers_and_a_late_one(self):
        process = self.start("read go; for i in 1 2 3; do echo $i; done", stdin=True)
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            streams = [self.stream(process["pid"]) for _ in range(8)]
            readers = [pool.submit(s.all) for s in streams]
            self.write(process["pid"], b"go\n")
            for reader in readers:
                self.assertEqual(joined(reader.result(), "stdout"), "1\n2\n3\n")
        self.assertEqual(joined(self.stream(process["pid"]).all(), "stdout"), "1\n2\n3\n")

    def test_resuming_is_exact(self):
        """A client that loses its connection anywhere gets every character once."""
        text = "".join(f"{n} grüße € 🎉\n" for n in range(40))
        process = self.start("python3", args=["-c", "import os,sys,time\n"
                             "for b in sys.argv[1].encode(): os.write(1, bytes([b])); "
                             "time.sleep(0.001)", text])
        got, last, pieces = "", 0, 0
        while True:
            headers = {"Last-Event-ID": str(last)} if pieces % 2 else {}
            stream = self.stream(process["pid"], "" if headers else f"?after={last}", headers=headers)
            pieces += 1
            over = False
            for count, (_, number, event) in enumerate(stream.events()):
                if event["type"] == "stdout":
                    got, last = got + event["data"], number
                over = event["type"] == "end"
                if count > 60:
                    break
            stream.close()
            if over:
                break
        self.assertEqual(got, text)
        self.assertGreater(pieces, 5)

    def test_a_ring_with_a_gap(self):
        process = self.start("seq 400000", keep_bytes=1 << 20)
        self.ended(process["pid"])
        events = self.stream(process["pid"]).all()
        self.assertEqual(events[1]["type"], "gap")
        out = joined(events, "stdout")
        self.assertTrue(out.endswith("399999\n400000\n"))
        self.assertLessEqual(len(out), 1 << 20)
        self.assertEqual(self.get(process["pid"])["exit_code"], 0)

    def test_only_what_comes(self):
        process = self.start("echo before; read x; echo after", stdin=True)
        wait_until(lambda: self.get(process["pid"])["next_seq"] > 1, 10, "the first line")
        stream = self.stream(process["pid"], "?after=now")
        events = stream.events()
        self.assertEqual(next(events)[2]["type"], "process")
        self.write(process["pid"], b"\n")
        self.assertEqual(joined([e for _, _, e in events], "stdout"), "after\n")

    def test_base64(self):
        process = self.start(r"printf '\xff\x00\xfe'")
        events = self.stream(process["pid"], "?encoding=base64").all()
        data = b"".join(base64.b64decode(e["data_base64"]) for e in events if e["type"] == "stdout")
        self.assertEqual(data, b"\xff\0\xfe")

    def test_input_in_each_form(self):
        process = self.start("cat; echo end", stdin=True)
        self.write(process["pid"], b"raw \xff\n")
        self.write(process["pid"], {"data": "text \0\n"})
        self.write(process["pid"], {"data_base64": base64.b64encode(b"more\n").decode()})
        self.write(process["pid"], {"eof": True})
        events = self.stream(process["pid"], "?encoding=base64").all()
        data = b"".join(base64.b64decode(e["data_base64"]) for e in events if e["type"] == "stdout")
        self.assertEqual(data, b"raw \xff\ntext \0\nmore\nend\n")
        answer = self.api.post(self.path(process["pid"], "/stdin"), b"late")
        self.assertGreaterEqual(answer.status, 400)

    def test_signals(self):
        for signal, code in (("TERM", 143), ("SIGINT", 130), (9, 137), ("HUP", 129)):
            with self.subTest(signal=signal):
                process = self.start("sleep", args=["1000"])
                answer = self.api.post(self.path(process["pid"], "/signal"), {"signal": signal})
                self.assert_json(answer, 200)
                self.assertEqual(self.ended(process["pid"])["exit_code"], code)
        for body in ({}, {"signal": "NONE"}, {"signal": 0}, {"signal": "TERM", "scope": "all"}):
            answer = self.api.post(self.path(process["pid"], "/signal"), body)
            self.assert_error(answer, 400, "invalid_argument")

    def test_a_timeout(self):
        process = self.start("echo x; sleep 1000", timeout=1)
        events = self.stream(process["pid"]).all()
        self.assertIs(events[-1]["timed_out"], True)
        self.assertEqual(self.get(process["pid"])["status"], "timed_out")

    def test_a_reader_that_leaves_ends_nothing(self):
        process = self.start("sleep 1; echo later; sleep 1000")
        stream = self.stream(process["pid"])
        next(stream.events())
        stream.close()
        events = self.stream(process["pid"]).events()
        self.assertEqual([next(events)[2]["type"], next(events)[2].get("data")],
                         ["process", "later\n"])
        self.api.delete(self.path(process["pid"]))

    def test_a_slow_reader_holds_up_nothing(self):
        process = self.start("head -c 100000000 /dev/zero | tr '\\0' x; touch /tmp/whole")
        stream = self.stream(process["pid"])
        next(stream.events())
        self.ended(process["pid"])
        self.assertEqual(self.run_command("test -e /tmp/whole")["exit_code"], 0)
        events = stream.all()
        self.assertIn("gap", [e["type"] for e in events])
        self.assertEqual(events[-1]["type"], "end")

    def test_who_may_only_look_ends_nothing(self):
        """A stream that owns its process ends it, so it takes the scope of one who runs things."""
        answer = self.api.post("/v1/admin/keys", {"name": "v", "role": "viewer"}, prefix="")
        viewer = self.server.connect(answer.json["key"])
        process = self.start("echo x")
        self.ended(process["pid"])
        self.assertEqual(Stream(viewer, "GET", self.path(process["pid"], "/stream")).status, 200)
        stream = Stream(viewer, "GET", self.path(process["pid"], "/stream?own=true"))
        self.assertEqual((stream.status, stream.whole()["error"]["code"]), (403, "forbidden"))
        answer = viewer.post(self.path(process["pid"], "/signal"), {"signal": "KILL"})
        self.assert_error(answer, 403, "forbidden")

    def test_unknown(self):
        for pid in ("1", "999999", "0", "x", "-1", "99999999999999999999"):
            for method, rest, body in (("GET", "", None), ("DELETE", "", None),
                                       ("GET", "/stream", None), ("POST", "/stdin", b"x"),
                                       ("POST", "/signal", {"signal": "TERM"})):
                with self.subTest(pid=pid, rest=rest, method=method):
                    answer = self.api.request(method, self.path(pid, rest), body)
                    self.assert_error(answer, 404, "process_not_found")

    def test_a_wrong_start(self):
        for body in ({}, {"command": ""}, {"command": "x", "tag": "x" * 257},
                     {"command": "x", "pty": {"cols": 0}}, {"command": "x", "keep_bytes": 1 << 30},
                     {"command": "x", "stdin": 1}):
            answer = self.api.post(f"/sandboxes/{self.box}/processes", body)
            self.assert_error(answer, 400, "invalid_argument")


class Lives(ProcessTest):
    def test_a_server_that_dies_loses_no_output(self):
        """Processes and terminals run on while the server is away; all of their output is there."""
        loop = "for i in $(seq 1000); do echo {0} $i; sleep 0.002; done"
        plain = [self.start(loop.format(n))["pid"] for n in range(20)]
        terminals = [self.start(loop.format(n), pty={"cols": 80, "rows": 24})["pid"]
                     for n in range(20, 25)]
        readers = [self.stream(pid) for pid in plain + terminals]
        for reader in readers:
            next(reader.events())
        self.server.kill()
        self.server.start()
        type(self).api = self.server.client
        for number, pid in enumerate(plain + terminals):
            events = self.stream(pid).all()
            want = "".join(f"{number} {i}\n" for i in range(1, 1001))
            if pid in terminals:
                raw = b"".join(base64.b64decode(e["data_base64"]) for e in events
                               if e["type"] == "pty")
                self.assertEqual(raw.decode().replace("\r\n", "\n"), want)
            else:
                self.assertEqual(joined(events, "stdout"), want)
            self.assertEqual((events[-1]["type"], events[-1]["exit_code"]), ("end", 0))

    def test_many_short_processes(self):
        """Each tells its own number, whole, and none is left. CORRAL_TEST_PROCESSES=10000 takes some
        minutes."""
        count = int(os.environ.get("CORRAL_TEST_PROCESSES", "300"))
        width = min(50, HOST.at_once)

        def one(number):
            process = self.start(f"echo {number}")
            out = joined(self.stream(process["pid"]).all(), "stdout")
            self.assert_json(self.api.delete(self.path(process["pid"])), 200)
            return out

        with concurrent.futures.ThreadPoolExecutor(width) as pool:
            outs = list(pool.map(one, range(count)))
        self.assertEqual(outs, [f"{n}\n" for n in range(count)])
        self.assertEqual([p for p in self.api.get(f"/sandboxes/{self.box}/processes").json["processes"]
                          if p["argv"][0].startswith("echo ")], [])
