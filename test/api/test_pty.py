# SPDX-License-Identifier: Apache-2.0
"""Terminals: over requests, over a WebSocket, and as a person has one with `corral shell`, of which the
screen is compared."""
import base64
import json
import os
import shutil
import subprocess
import time
import unittest

from corraltest import SandboxTest, wait_until
from hosts import CORRAL, patience
from streams import Stream
from sockets import BINARY, CLOSE, PING, PONG, TEXT, WebSocket


class PtyTest(SandboxTest):
    def start(self, **fields):
        return self.assert_json(self.api.post(f"/sandboxes/{self.box}/pty", fields), 201)

    def path(self, pid, rest=""):
        return f"/sandboxes/{self.box}/pty/{pid}{rest}"

    def stream(self, pid):
        return Stream(self.api, "GET", self.path(pid, "/stream"))

    def screen(self, pid):
        """All that a terminal whose process has ended has said."""
        events = self.stream(pid).all()
        return b"".join(base64.b64decode(e["data_base64"]) for e in events
                        if e["type"] == "pty").decode(), events[-1]

    def type(self, pid, data):
        self.assert_json(self.api.post(self.path(pid, "/input"), {"data": data}), 200)

    def socket(self, pid, query="", **options):
        return WebSocket(self.api, self.path(pid, f"/ws{query}"), **options)


class Requests(PtyTest):
    def test_a_shell(self):
        terminal = self.start(cwd="/tmp", tag="t")
        self.assertEqual((terminal["pty"], terminal["cwd"]), (True, "/tmp"))
        listed = self.api.get(f"/sandboxes/{self.box}/pty").json["processes"]
        self.assertIn(terminal["pid"], [p["pid"] for p in listed])
        self.type(terminal["pid"], "tty; stty size; echo $TERM; pwd\r")
        self.type(terminal["pid"], "exit 7\r")
        out, end = self.screen(terminal["pid"])
        for text in ("/dev/pts/", "24 80", "xterm-256color", "/tmp"):
            self.assertIn(text, out)
        self.assertEqual(end["exit_code"], 7)
        self.assert_json(self.api.delete(self.path(terminal["pid"])), 200)

    def test_size(self):
        terminal = self.start(cols=132, rows=43)
        pid = terminal["pid"]
        self.type(pid, "stty size; echo fir''st\r")
        stream = self.stream(pid)
        seen = b""
        for _, _, event in stream.events():
            seen += base64.b64decode(event.get("data_base64", ""))
            if b"first\r\n" in seen:
                break
        stream.close()
        self.assert_json(self.api.post(self.path(pid, "/resize"), {"cols": 100, "rows": 50}), 200)
        self.type(pid, "stty size; exit\r")
        out = self.screen(pid)[0]
        self.assertLess(out.index("43 132"), out.index("50 100"))
        answer = self.api.post(self.path(pid, "/resize"), {"cols": 0, "rows": 1})
        self.assert_error(answer, 400, "invalid_argument")

    def test_interrupt_and_end_of_input(self):
        pid = self.start(shell="python3", args=["-q"])["pid"]
        ws = self.socket(pid)
        ws.until(">>> ")
        # A key that interrupts also throws away what nobody has read yet, so each step waits.
        ws.send(BINARY, "print('spin' 'ning'); exec('while True: pass')\r")
        ws.until("spinning")
        self.type(pid, "\x03")
        ws.until("KeyboardInterrupt")
        ws.until(">>> ")
        self.type(pid, "print(6 * 7)\r")
        ws.until("\r\n42\r\n")
        ws.until(">>> ")
        self.type(pid, "\x04")
        self.assertEqual(self.screen(pid)[1]["exit_code"], 0)
        ws.close()

    def test_hang_up(self):
        terminal = self.start()
        ws = self.socket(terminal["pid"])
        ws.send(BINARY, "echo re''ady\r")
        ws.until("ready\r\n")  # before, a shell keeps the signal for later
        ws.close()
        self.assert_json(self.api.post(self.path(terminal["pid"], "/signal"), {"signal": "HUP"}), 200)
        self.assertEqual(self.screen(terminal["pid"])[1]["exit_code"], 129)


class Sockets(PtyTest):
    def test_bytes_both_ways(self):
        terminal = self.start()
        ws = self.socket(terminal["pid"])
        self.assertEqual(ws.status, 101)
        ws.send(BINARY, "stty size; echo o''ne\r")
        self.assertIn(b"24 80", ws.until("one\r\n"))
        ws.send(TEXT, json.dumps({"resize": {"cols": 101, "rows": 31}}))
        ws.send(BINARY, "stty size; echo t''wo\r")
        self.assertIn(b"31 101", ws.until("two\r\n"))
        ws.send(BINARY, "exit 3\r")
        frames = list(iter(ws.receive, None))
        self.assertIn((TEXT, b'{"exit_code":3}'), frames)
        self.assertEqual((frames[-1][0], frames[-1][1][:2]), (CLOSE, (1000).to_bytes(2, "big")))
        ws.close()

    def test_leaving_and_coming_back(self):
        pid = self.start()["pid"]
        ws = self.socket(pid)
        ws.send(BINARY, "kept=5; echo o''ne\r")
        ws.until("one\r\n")
        ws.close()
        ws = self.socket(pid)
        ws.until("one\r\n")  # what was said before
        ws.send(BINARY, "echo t''wo $kept\r")
        ws.until("two 5\r\n")
        ws.send(CLOSE, (1000).to_bytes(2, "big"))
        frames = [opcode for opcode, _ in iter(ws.receive, None)]
        self.assertEqual(frames[-1], CLOSE)
        self.assertEqual(set(frames[:-1]) - {BINARY}, set())
        ws.close()
        self.assertEqual(self.api.get(self.path(pid)).json["status"], "running")
        self.api.delete(self.path(pid))

    def test_ping(self):
        pid = self.start(shell="sleep 1000")["pid"]
        ws = self.socket(pid)
        ws.send(PING, b"hello")
        self.assertEqual(ws.receive(), (PONG, b"hello"))
        ws.close()
        self.api.delete(self.path(pid))

    def test_broken_frames(self):
        pid = self.start(shell="sleep 1000")["pid"]
        for what in (b"\x82\x01x", b"\xff\xff\xff\xff", b"\x83\x80\0\0\0\0", b"\x81\x81\0\0\0\0\xff"):
            with self.subTest(what=what):
                ws = self.socket(pid)
                ws.socket.sendall(what)
                frames = list(iter(ws.receive, None))
                self.assertEqual([f[0] for f in frames], [CLOSE])
                ws.close()
        ws = self.socket(pid)
        ws.send(BINARY, b"x" * 70000)
        self.assertEqual(ws.receive(), (CLOSE, (1009).to_bytes(2, "big")))
        ws.close()
        self.api.delete(self.path(pid))

    def test_the_handshake(self):
        pid = self.start(shell="sleep 1000")["pid"]
        plain = self.api.post(f"/sandboxes/{self.box}/processes", {"command": "sleep 1000"}).json
        bearer = {"Authorization": None,
                  "Sec-WebSocket-Protocol": f"corral.v1, corral.bearer.{self.server.key}"}
        for pid_, headers, status in ((pid, {"Upgrade": None}, 426),
                                      (pid, {"Sec-WebSocket-Version": "8"}, 426),
                                      (pid, {"Sec-WebSocket-Key": "short"}, 426),
                                      (pid, {"Authorization": None}, 401),
                                      (pid, {**bearer, "Sec-WebSocket-Protocol": "corral.v1"}, 401),
                                      (pid, bearer, 101), (1, {}, 404), (plain["pid"], {}, 400)):
            with self.subTest(headers=headers, status=status):
                ws = self.socket(pid_, headers=headers)
                self.assertEqual(ws.status, status)
                if headers is bearer:
                    self.assertEqual(ws.headers["sec-websocket-protocol"], "corral.v1")
                ws.close()
        self.api.delete(self.path(pid))

    def test_a_flood_reaches_the_end(self):
        """More output than any buffer between here and there holds, to a client that is slow."""
        pid = self.start(shell="seq 2000000")["pid"]
        ws = self.socket(pid)
        time.sleep(1)
        size, last = 0, b""
        for opcode, payload in iter(ws.receive, None):
            if opcode == BINARY:
                size, last = size + len(payload), (last + payload)[-64:]
        self.assertTrue(last.endswith(b"1999999\r\n2000000\r\n"), last)
        ws.close()


@unittest.skipUnless(shutil.which("tmux"), "tmux is not installed")
class Shell(SandboxTest):
    """A person at `corral shell`: tmux is the terminal, and its screen is what the person sees."""

    def setUp(self):
        self.name = f"corral-{os.getpid()}-{self.id()[-12:]}"
        self.addCleanup(self.tmux, "kill-server")

    def tmux(self, *arguments):
        return subprocess.run(["tmux", "-L", self.name, "-f", "/dev/null", *arguments],
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                              check=False).stdout

    def open(self, *arguments, columns=80, rows=24):
        environment = {"CORRAL_URL": f"http://127.0.0.1:{self.server.port}",
                       "CORRAL_API_KEY": self.server.key}
        words = [w for pair in environment.items() for w in ("-e", "=".join(pair))]
        self.tmux("new-session", "-d", "-x", str(columns), "-y", str(rows), *words, "bash", "--norc")
        self.tmux("set", "-g", "status", "off")
        self.keys(f"PS1='local> '; clear; {CORRAL} shell {' '.join(arguments)}", "Enter")

    def keys(self, *keys):
        self.tmux("send-keys", *keys)

    def screen(self):
        return self.tmux("capture-pane", "-p").rstrip("\n").split("\n")

    def shows(self, *texts, seconds=20):
        return wait_until(lambda: all(t in "\n".join(self.screen()) for t in texts)
                          and self.screen(), seconds, f"{texts} in {self.screen()}")

    def has_lines(self, *lines):
        wait_until(lambda: set(lines) <= set(self.screen()), 20, f"{lines} in {self.screen()}")

    def test_bash(self):
        self.open(self.box)
        self.shows("$")
        self.keys("PS1='> '; clear; stty size; tty", "Enter")
        lines = self.shows("/dev/pts/")
        self.assertEqual(lines[0], "24 80")
        self.keys("sleep 1000", "Enter")
        self.shows("sleep 1000")
        wait_until(lambda: "+" in self.run_command("ps -C sleep -o stat= || true")["stdout"], 20,
                   "it is in the foreground")
        self.keys("C-c")
        self.keys("echo $?", "Enter")
        self.shows("130")
        self.keys("exit 5", "Enter")
        self.shows("local>")
        self.keys("echo status $?; stty -a | tr ' ' '\\n' | grep -x -e icanon -e echo", "Enter")
        self.shows("status 5")
        self.has_lines("icanon", "echo")

    def test_resize(self):
        self.open(self.box)
        self.shows("$")
        self.keys("PS1='> '; clear", "Enter")
        self.tmux("resize-window", "-x", "100", "-y", "30")
        self.shows(">")
        self.keys("clear; stty size", "Enter")
        wait_until(lambda: "30 100" in self.screen() or self.keys("clear; stty size", "Enter"),
                   20, "the new size")

    def test_python(self):
        self.open("--shell", "'python3 -q'", self.box)
        self.shows(">>>")
        self.keys("print('grüße', 6 * 7)", "Enter")
        self.shows("grüße 42")
        self.keys("prunt", "Left", "Left", "Left", "BSpace", "i", "Enter")
        self.shows("NameError")
        self.keys("C-d")
        self.shows("local>")

    def test_top(self):
        self.open("--shell", "top", self.box)
        lines = self.shows("load average", "PID", "COMMAND")
        self.assertTrue(lines[0].startswith("top - "), lines)
        self.assertIn("%Cpu(s):", lines[2])
        self.keys("q")
        self.shows("local>")

    def test_vim(self):
        if self.run_command("command -v vim vi")["exit_code"] != 0:
            self.skipTest("the template has no vim")
        self.open(self.box)
        self.shows("$")
        self.keys("vi /tmp/written", "Enter")
        self.has_lines("~")
        self.keys("i", "first line", "Enter", "second line", "Escape")
        lines = self.shows("second line")
        self.assertEqual(lines[:3], ["first line", "second line", "~"])
        self.keys(":wq", "Enter")
        wait_until(lambda: "second" in self.run_command("cat /tmp/written || true")["stdout"], 20, "it")
        self.assertEqual(self.run_command("cat /tmp/written")["stdout"], "first line\nsecond line\n")

    def test_a_killed_client_gives_the_terminal_back(self):
        self.open(self.box)
        self.shows("$")
        subprocess.run(["pkill", "-TERM", "-f", f"shell {self.box}"], check=True)
        self.shows("local>")
        self.keys("stty -a | tr ' ' '\\n' | grep -x icanon", "Enter")
        self.has_lines("icanon")


class Run(SandboxTest):
    """`corral run` is like running it here."""

    def corral(self, *arguments, **options):
        environment = {**os.environ, "CORRAL_URL": f"http://127.0.0.1:{self.server.port}",
                       "CORRAL_API_KEY": self.server.key}
        return subprocess.Popen([CORRAL, "run", "--sandbox", self.box, *arguments], env=environment,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)

    def test_lines_arrive_one_by_one(self):
        began = time.monotonic()
        process = self.corral("--", "for i in 1 2 3; do echo $i; until [ -e /tmp/run$i ]; do "
                              "sleep 0.05; done; done", stdin=subprocess.DEVNULL)
        for number in (1, 2, 3):
            line = process.stdout.readline()
            print(f"# {time.monotonic() - began:.3f} s: {line!r}")
            self.assertEqual(line, f"{number}\n".encode())
            self.run_command(f"touch /tmp/run{number}")
        self.assertEqual(process.communicate(timeout=patience(60)), (b"", b""))
        self.assertEqual(process.returncode, 0)

    def test_input_output_and_status(self):
        data = os.urandom(300000)
        process = self.corral("--", "cat; echo err >&2; exit 3", stdin=subprocess.PIPE)
        self.assertEqual(process.communicate(data, timeout=patience(60)), (data, b"err\n"))
        self.assertEqual(process.returncode, 3)

    def test_a_dialogue(self):
        process = self.corral("--", "while read x; do echo got $x; done", stdin=subprocess.PIPE)
        for word in (b"one", b"two"):
            process.stdin.write(word + b"\n")
            process.stdin.flush()
            self.assertEqual(process.stdout.readline(), b"got " + word + b"\n")
        process.communicate(timeout=patience(60))
        self.assertEqual(process.returncode, 0)

    def test_timeout_and_not_found(self):
        process = self.corral("--timeout", "1", "--", "sleep 1000", stdin=subprocess.DEVNULL)
        process.communicate(timeout=patience(60))
        self.assertEqual(process.returncode, 124)
        process = self.corral("--", "no-such-program", "x", stdin=subprocess.DEVNULL)
        process.communicate(timeout=patience(60))
        self.assertEqual(process.returncode, 127)

    def test_a_killed_client_ends_its_command(self):
        process = self.corral("--", "echo x; exec sleep 8765", stdin=subprocess.PIPE)
        self.assertEqual(process.stdout.readline(), b"x\n")
        process.kill()
        process.communicate()
        wait_until(lambda: self.run_command("pgrep", args=["-f", "sleep 8765"])["exit_code"] != 0,
                   20, "the command has ended")
