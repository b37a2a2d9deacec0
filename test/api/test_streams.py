# SPDX-License-Identifier: Apache-2.0
"""?stream=true on commands/run and code/run: events arrive as they happen, each is one line that every
client can split, the body always ends properly, and a slow or lost client is felt in the sandbox."""
import time

from corraltest import SandboxTest, wait_until
from streams import Stream, joined


class StreamTest(SandboxTest):
    def stream(self, path, body, **options):
        return Stream(self.api, "POST", f"/sandboxes/{self.box}/{path}?stream=true", body,
                      **options)

    def command(self, command, **fields):
        return self.stream("commands/run", {"command": command, "timeout": 60000, **fields})

    def code(self, code, **fields):
        return self.stream("code/run", {"code": code, "timeout": 60, **fields})

    def running(self, marker):
        return self.run_command("pgrep", args=["-f", f"^{marker}|[ ]{marker}"])["exit_code"] == 0


class Commands(StreamTest):
    def test_lines_arrive_one_by_one(self):
        """The next line is written only once this one has arrived here."""
        stream = self.command("for i in 1 2 3; do echo $i; until [ -e /tmp/go$i ]; do sleep 0.05; "
                              "done; done")
        self.assertEqual((stream.status, stream.headers["content-type"]), (200, "text/event-stream"))
        seen = []
        for moment, number, event in stream.events():
            seen.append((number, event))
            if event["type"] == "stdout":
                print(f"# {moment:.3f} s: {event['data']!r}")
                self.run_command(f"touch /tmp/go{event['data'].strip()}")
        self.assertEqual(seen[:3], [(n, {"type": "stdout", "data": f"{n}\n"}) for n in (1, 2, 3)])
        end = seen[3][1]
        self.assertEqual((len(seen), end["type"], end["exit_code"]), (4, "end", 0))
        self.assertEqual(set(end), {"type", "exit_code", "duration_ms"})
        self.assertTrue(stream.ended)

    def test_both_outputs_and_the_exit_code(self):
        events = self.command("echo out; echo err >&2; exit 3").all()
        self.assertEqual((joined(events, "stdout"), joined(events, "stderr")), ("out\n", "err\n"))
        self.assertEqual(events[-1]["exit_code"], 3)

    def test_a_signal_and_a_timeout(self):
        events = self.command("kill -9 $$").all()
        self.assertEqual(events[-1]["exit_code"], 137)
        self.assertIn("signal 9", events[-1]["error"])
        stream = self.command("echo before; sleep 100", timeout=1500)
        events = stream.all()
        self.assertEqual(joined(events, "stdout"), "before\n")
        self.assertIs(events[-1]["timed_out"], True)
        self.assertTrue(stream.ended)

    def test_not_found_is_an_event(self):
        events = self.command("no-such-command", args=["x"]).all()
        self.assertEqual((events[-1]["type"], events[-1]["exit_code"]), ("end", 127))

    def test_refused_before_the_start(self):
        stream = self.stream("commands/run", {"command": ""})
        self.assertEqual((stream.status, stream.whole()["error"]["code"]), (400, "invalid_argument"))

    def test_line_breaks_of_unicode(self):
        """Clients that split at every line break of Unicode see whole documents."""
        text = "a\x85b\u2028c\u2029d\x0be\x0cf\x1cg\r\nh"
        stream = self.command("printf", args=["%s", text])
        raw = b"".join(stream.chunks()).decode()
        self.assertEqual(raw.splitlines(), raw.split("\n")[:-1])
        self.assertEqual(joined(self.command("printf", args=["%s", text]).all(), "stdout"), text)

    def test_characters_are_never_cut(self):
        program = ("import os,time\nfor b in 'grüße € 🎉 ende'.encode():\n"
                   " os.write(1, bytes([b])); time.sleep(0.01)\nos.write(1, b'\\xf0\\x9f')")
        events = self.command("python3", args=["-c", program]).all()
        self.assertEqual(joined(events, "stdout"), "grüße € 🎉 ende\ufffd\ufffd")
        self.assertGreater(len(events), 10)

    def test_large_output_is_complete(self):
        events = self.command("seq 1000000").all()
        self.assertEqual(joined(events, "stdout"), "".join(f"{n}\n" for n in range(1, 1000001)))

    def test_a_slow_client_holds_the_command_back(self):
        stream = self.command("head -c 200000000 /dev/zero | tr '\\0' x; touch /tmp/written")
        events = stream.events()
        self.assertEqual(next(events)[2]["type"], "stdout")
        before = self.server.resident_kib()
        time.sleep(2)
        self.assertNotEqual(self.run_command("test -e /tmp/written")["exit_code"], 0)
        self.assertLess(self.server.resident_kib() - before, 65536)
        rest = sum(len(e.get("data", "")) for _, _, e in events)
        self.assertLess(200000000 - 65536 - 1, rest)
        self.assertTrue(stream.ended)

    def test_a_client_that_leaves_ends_its_command(self):
        for command in ("sleep 4711", "echo x; exec sleep 4711",
                        "while :; do echo y; sleep 0.1; done; : 4711"):
            with self.subTest(command=command):
                stream = self.command(f"bash -c '{command}' marker4711")
                if "echo" in command:
                    self.assertEqual(next(stream.events())[2]["type"], "stdout")
                wait_until(lambda: self.running("marker4711") or self.running("4711"), 10, "it runs")
                stream.close()
                wait_until(lambda: not self.running("marker4711") and not self.running("4711"), 10,
                           "it has ended")

    def test_the_end_of_the_sandbox_is_an_event(self):
        other = self.api.create(timeout=300)["sandbox_id"]
        stream = Stream(self.api, "POST", f"/sandboxes/{other}/commands/run?stream=true",
                        {"command": "echo x; sleep 100", "timeout": 100000})
        events = stream.events()
        self.assertEqual(next(events)[2]["data"], "x\n")
        self.api.delete(f"/sandboxes/{other}")
        rest = [e for _, _, e in events]
        self.assertEqual([e["type"] for e in rest], ["error"])
        self.assertTrue(rest[0]["message"])
        self.assertTrue(stream.ended)


class Code(StreamTest):
    def test_output_as_it_comes(self):
        self.run_command("rm -f /tmp/code*")
        stream = self.code("import os, time\nfor i in range(3):\n    print(i, flush=True)\n"
                           "    while not os.path.exists(f'/tmp/code{i}'): time.sleep(0.05)\n'end'")
        seen = []
        for moment, _, event in stream.events():
            seen.append(event)
            if event["type"] == "stdout" and event["text"].strip():
                print(f"# {moment:.3f} s: {event['text']!r}")
                self.run_command(f"touch /tmp/code{event['text'].strip()}")
        self.assertEqual(joined(seen, "stdout", "text"), "0\n1\n2\n")
        results = [e["result"] for e in seen if e["type"] == "result"]
        self.assertEqual(results, [{"text": "'end'"}])
        self.assertEqual(seen[-1]["type"], "end")
        self.assertTrue(stream.ended)

    def test_displays_and_results(self):
        events = self.code("from IPython.display import display, HTML, JSON\n"
                           "display(HTML('<b>\u2028</b>'))\ndisplay(JSON({'a': [1]}))\n6 * 7").all()
        results = [e["result"] for e in events if e["type"] == "result"]
        self.assertEqual([r.get("html") for r in results], ["<b>\u2028</b>", None, None])
        self.assertEqual([r.get("json") for r in results], [None, {"a": [1]}, None])
        self.assertEqual(results[2]["text"], "42")

    def test_an_error(self):
        events = self.code("print('x')\n1 / 0").all()
        # A kernel that flushes between the text and its line end makes two events of them.
        self.assertEqual(joined(events, "stdout", "text"), "x\n")
        self.assertEqual([e["type"] for e in events if e["type"] != "stdout"], ["error", "end"])
        error = events[-2]["error"]
        self.assertEqual((error["name"], error["value"]), ("ZeroDivisionError", "division by zero"))
        self.assertIsInstance(error["traceback"], str)

    def test_a_timeout_keeps_the_state(self):
        self.code("kept = 1").all()
        stream = self.code("print('a', flush=True)\nimport time\ntime.sleep(100)", timeout=2)
        events = stream.all()
        self.assertEqual(events[-1]["type"], "end")
        self.assertIs(events[-1]["timed_out"], True)
        self.assertTrue(stream.ended)
        self.assertEqual(joined(self.code("print(kept)").all(), "stdout", "text"), "1\n")

    def test_no_such_context(self):
        stream = self.stream("code/run", {"code": "1", "context_id": "ctx_none"})
        self.assertEqual((stream.status, stream.whole()["error"]["code"]), (404, "context_not_found"))

    def test_a_client_that_leaves_interrupts(self):
        stream = self.code("import time\nopen('/tmp/begun', 'w').close()\nprint('x', flush=True)\n"
                           "time.sleep(1000)")
        self.assertEqual(next(stream.events())[2]["text"].strip(), "x")
        stream.close()
        self.assertEqual(joined(self.code("print('next')").all(), "stdout", "text"), "next\n")
