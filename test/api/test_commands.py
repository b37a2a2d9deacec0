# SPDX-License-Identifier: Apache-2.0
"""commands/run: shell and argv, output, exit codes, time-outs, clients that go away."""
import concurrent.futures
import json
import socket
import time
import uuid

from corraltest import PREFIX, SandboxTest, not_emulated, wait_until
from hosts import patience

KEYS = {"stdout", "stderr", "exit_code", "duration_ms", "success"}


class CommandTest(SandboxTest):
    def running(self, marker):
        """Whether a process with the marker in its command line lives in the sandbox."""
        return self.run_command("pgrep", args=["-f", f"^{marker}|[ ]{marker}"])["exit_code"] == 0

    def gone(self, marker, seconds=10):
        wait_until(lambda: not self.running(marker), seconds, f"{marker} is gone")


class Run(CommandTest):
    fields = {"env_vars": {"FROM_CREATE": "one", "BOTH": "create"}}

    def test_a_machine_that_knows_its_name(self):
        answer = self.run_command("getent hosts $(hostname)")
        self.assertEqual(answer["stdout"].split(), ["127.0.1.1", self.run_command("hostname")["stdout"].strip()])

    def test_reference_example(self):
        answer = self.post("commands/run", {
            "command": "python", "args": ["-c", 'print("Hello from Python")'],
            "working_dir": "/home/user", "environment": {"PYTHONPATH": "/home/user/libs"},
            "timeout": 10000})
        body = self.assert_json(answer, 200)
        self.assert_keys(body, KEYS)
        self.assertEqual((body["stdout"], body["stderr"]), ("Hello from Python\n", ""))
        self.assertEqual((body["exit_code"], body["success"]), (0, True))
        self.assertIs(type(body["duration_ms"]), int)

    def test_shell_string(self):
        self.assertEqual(self.run_command("echo a; echo b")["stdout"], "a\nb\n")
        self.assertEqual(self.run_command("echo a; echo b", args=[])["stdout"], "a\nb\n")
        self.assertEqual(self.run_command("echo a; echo b", args=None)["stdout"], "a\nb\n")
        self.assertEqual(self.run_command("echo $((6*7)) | tr 4 x")["stdout"], "x2\n")

    def test_argv_goes_through_no_shell(self):
        out = self.run_command("echo", args=["$HOME", "a  b", "; ls", "*", "", "ü\n"])["stdout"]
        self.assertEqual(out, "$HOME a  b ; ls *  ü\n\n")

    def test_who_and_where(self):
        out = self.run_command("whoami; pwd; echo $HOME; id -u; umask")["stdout"].split()
        self.assertEqual(out[:3], ["user", "/home/user", "/home/user"])
        self.assertNotEqual(out[3], "0")

    def test_working_dir(self):
        self.assertEqual(self.run_command("pwd", working_dir="/tmp")["stdout"], "/tmp\n")
        self.run_command("mkdir -p some/where")
        self.assertEqual(self.run_command("pwd", working_dir="some/where")["stdout"],
                         "/home/user/some/where\n")
        answer = self.post("commands/run", {"command": "pwd", "working_dir": "/no/such"})
        self.assertIn(answer.status, (200, 400, 404), answer)
        if answer.status == 200:
            self.assertFalse(answer.json["success"])

    def test_environment(self):
        body = self.run_command("echo $FROM_CREATE:$BOTH:$FROM_RUN", environment={
            "BOTH": "run", "FROM_RUN": "x y;$z"})
        self.assertEqual(body["stdout"], "one:run:x y;$z\n")
        self.assertEqual(self.run_command("echo $FROM_RUN:$BOTH")["stdout"], ":create\n")

    def test_exit_codes(self):
        for command, code in (("true", 0), ("false", 1), ("exit 42", 42), ("exit 255", 255),
                              ("kill -9 $$", 137), ("kill -15 $$", 143)):
            with self.subTest(command=command):
                body = self.run_command(command)
                self.assert_keys(body, KEYS, optional={"error"})
                self.assertEqual((body["exit_code"], body["success"]), (code, code == 0))

    def test_command_not_found(self):
        body = self.run_command("no-such-command --x")
        self.assertEqual((body["exit_code"], body["success"]), (127, False))
        self.assertIn("no-such-command: command not found", body["stderr"])
        body = self.run_command("no-such-command", args=["x"])
        self.assertEqual((body["exit_code"], body["success"]), (127, False))
        self.assertIn("no-such-command", body["stderr"] + body.get("error", ""))

    def test_stderr(self):
        body = self.run_command("echo out; echo err >&2")
        self.assertEqual((body["stdout"], body["stderr"]), ("out\n", "err\n"))

    def test_stdin_is_empty(self):
        self.assertEqual(self.run_command("cat; echo end", timeout=5000)["stdout"], "end\n")

    def test_large_output_is_complete(self):
        body = self.run_command("head -c 1000000 /dev/zero | tr '\\0' x; echo; seq 20000 >&2")
        self.assertEqual(body["stdout"], "x" * 1000000 + "\n")
        self.assertEqual(body["stderr"], "".join(f"{n}\n" for n in range(1, 20001)))

    def test_endless_output_ends_with_the_timeout(self):
        started = time.monotonic()
        answer = self.post("commands/run", {"command": "yes", "timeout": 2000})
        self.assert_within(20, started)
        self.assertIn(answer.status, (200, 408), answer)
        self.gone("yes")

    def test_output_that_is_no_text(self):
        answer = self.post("commands/run", {"command": r"printf '\xff\xfe ok \0 \x80\n'"})
        body = self.assert_json(answer, 200)
        answer.body.decode("utf-8")
        self.assertIn(" ok ", body["stdout"])
        self.assertTrue(body["stdout"].endswith("\n"))
        out = self.run_command("printf 'grüße \\xe2\\x82\\xac 🎉 \\x1b[0m \\\\ \\\"'")["stdout"]
        self.assertEqual(out, 'grüße € 🎉 \x1b[0m \\ "')

    def test_concurrent_runs(self):
        """Each waits until all have begun."""
        meet = ("mkdir -p /tmp/meet; touch /tmp/meet/{0}; "
                "until set -- /tmp/meet/*; [ $# = 8 ]; do sleep 0.2; done; echo {0}")
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            outs = list(pool.map(lambda n: self.run_command(meet.format(n))["stdout"], range(8)))
        self.assertEqual(outs, [f"{n}\n" for n in range(8)])

    def test_a_background_server_keeps_running(self):
        marker = f"sleep 3{uuid.uuid4().int % 10 ** 6}"
        body = self.run_command(f"nohup {marker} >/dev/null 2>&1 & echo started", timeout=10000)
        self.assertEqual(body["stdout"], "started\n")
        time.sleep(0.5)
        self.assertTrue(self.running(marker))
        self.run_command("pkill", args=["-f", marker])

    def test_no_zombies_stay(self):
        self.run_command("for i in $(seq 20); do (sleep 0.1 &) ; done")
        wait_until(lambda: self.run_command("ps -eo stat | grep -c ^Z")["stdout"] == "0\n", 10,
                   "orphans are reaped")

    def test_many_arguments_and_a_long_command(self):
        out = self.run_command("printf", args=["%s.", *("x" * 10 for _ in range(1000))])["stdout"]
        self.assertEqual(out, "xxxxxxxxxx." * 1000)
        out = self.run_command(f"echo {'y' * 100000}")["stdout"]
        self.assertEqual(len(out), 100001)

    def test_isolation(self):
        out = self.run_command("ls /sys/class/net 2>/dev/null || echo lo")["stdout"].split()
        # eth0 leads to the agent and to no wire: its kind is that of a TUN, without link addresses.
        self.assertLessEqual(set(out), {"lo", "eth0"})
        if "eth0" in out:
            self.assertEqual(self.run_command("cat /sys/class/net/eth0/type")["stdout"], "65534\n")
        self.assertNotEqual(self.run_command("touch /usr/x")["exit_code"], 0)
        self.assertEqual(self.run_command("ps -e -o pid= | sort -n | head -1")["stdout"].strip(), "1")
        self.assertNotEqual(self.run_command("mount -t tmpfs x /mnt")["exit_code"], 0)


class Refused(CommandTest):
    def test_bad_fields(self):
        cases = [{}, {"command": None}, {"command": 5}, {"command": ["ls"]},
                 {"command": "ls", "args": "x"}, {"command": "ls", "args": [1]},
                 {"command": "ls", "args": [None]}, {"command": "ls", "environment": ["A=b"]},
                 {"command": "ls", "environment": {"A": {}}}, {"command": "ls", "working_dir": 1},
                 {"command": "ls", "timeout": "5"}, {"command": "ls", "timeout": -1},
                 {"command": "ls", "timeout": 10 ** 18}, {"command": ""},
                 {"command": "a\0b"}, {"command": "echo", "args": ["a\0b"]}]
        for body in cases:
            with self.subTest(body=body):
                answer = self.post("commands/run", body)
                self.assertEqual(answer.status, 400, answer)
                self.assertIn("code", answer.json["error"])
        self.assertEqual(self.run_command("echo alive")["stdout"], "alive\n")


class TimeOut(CommandTest):
    def test_408_and_the_whole_process_group_is_gone(self):
        marker = f"sleep 4{uuid.uuid4().int % 10 ** 6}"
        started = time.monotonic()
        answer = self.post("commands/run", {
            "command": f"{marker} & (trap '' TERM; {marker}) & {marker}", "timeout": 1000})
        self.assert_error(answer, 408, "timeout")
        self.assert_within(8, started)
        self.gone(marker, 5)

    def test_a_client_that_goes_away_ends_its_run(self):
        marker = f"sleep 5{uuid.uuid4().int % 10 ** 6}"
        body = json.dumps({"command": f"{marker} & {marker}", "timeout": 3600000}).encode()
        head = (f"POST {PREFIX}/sandboxes/{self.box}/commands/run HTTP/1.1\r\nHost: x\r\n"
                f"Authorization: Bearer {self.api.key}\r\nContent-Length: {len(body)}\r\n\r\n")
        with socket.create_connection(("127.0.0.1", self.server.port)) as s:
            s.sendall(head.encode() + body)
            wait_until(lambda: self.running(marker), 10, "the command runs")
        self.gone(marker)

    def test_what_agents_import_first_is_there(self):
        answer = self.api.run(self.box, "python3", args=["-c", (
            "import bs4, flask, lxml, networkx, openpyxl, PIL, plotly, pytest, seaborn, tqdm\n"
            "from matplotlib import font_manager as fonts, ft2font\n"
            "paths = {f.fname for f in fonts.fontManager.ttflist}\n"
            "print(any(ft2font.FT2Font(p).get_char_index(0x4e2d) for p in paths))")],
            timeout=int(patience(120) * 1000))
        self.assertEqual((answer["stdout"], answer["exit_code"]), ("True\n", 0), answer)

    def test_sudo_asks_for_nothing(self):
        if "containers have no user ids of their own" in self.server.log():
            self.skipTest("without ids of its own a container has no root of its own")
        answer = self.api.run(self.box, "sudo id -u; sudo sh -c 'touch /etc/ours'; stat -c %U /etc/ours")
        self.assertEqual(answer["stdout"], "0\nroot\n", answer)

    def test_the_sandbox_goes_on(self):
        self.post("commands/run", {"command": "sleep 60", "timeout": 200})
        self.assertEqual(self.run_command("echo still here")["stdout"], "still here\n")


class Limits(CommandTest):
    def test_a_fork_bomb_stays_inside(self):
        self.post("commands/run", {"command": "bomb() { bomb | bomb & }; bomb; sleep 3",
                                   "timeout": 5000})
        self.assertEqual(self.api.get("/health", prefix="").status, 200)
        other = self.create()
        self.assertEqual(self.api.run(other, "echo ok")["stdout"], "ok\n")

    @not_emulated("the guest's kernel kills there, and its agent says so")
    def test_what_memory_has_ended_says_oom(self):
        answer = self.api.run(self.create(), "python3", args=["-c", "x = b'x' * (8 << 30)"])
        self.assertEqual(answer["exit_code"], 137)
        self.assertIn("oom", answer["error"])

    def test_memory_is_limited(self):
        other = self.create()
        body = self.api.run(other, "python3 -c 'x = bytearray(8 << 30); print(len(x))'",
                            timeout=30000)
        self.assertFalse(body["success"])
        self.assertEqual(self.api.get("/health", prefix="").status, 200)
