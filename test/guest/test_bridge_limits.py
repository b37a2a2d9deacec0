# SPDX-License-Identifier: Apache-2.0
"""Limits that protect the bridge from clients and kernels."""
import os
import re
import signal
import socket
import struct
import time

from guesthost import GuestHost, GuestTest, children, wire


def resident_mb(pid):
    with open(f"/proc/{pid}/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") >> 20


class Frames(GuestTest):
    def reply_to(self, data):
        with wire.Connection(self.socket, data, timeout=10) as connection:
            connection.socket.shutdown(socket.SHUT_WR)
            return connection.all()

    def test_broken_frames_end_their_connection_only(self):
        good = wire.code_run("1")
        for data in (
            struct.pack("<IHH", (16 << 20) + 1, wire.CODE_RUN, 0),
            struct.pack("<IHH", 0, wire.CODE_RUN, 1),
            wire.frame(0x10),
            wire.frame(wire.CODE_RUN),
            wire.frame(wire.CODE_READY, b"x"),
            wire.frame(wire.CODE_RUN, wire.u32(0xFFFFFFFF), b"abc"),
            wire.frame(wire.CODE_ENV, wire.u32(5000)),
            wire.frame(wire.CONTEXT_GET, wire.string("a\0b")),
            wire.frame(wire.CODE_RUN, good[8:], b"!"),
        ):
            (reply,) = self.reply_to(data)
            self.assert_refused(reply, wire.E_PROTOCOL)
        for size in (0, 1, 7, 8, 20):
            self.assertEqual(self.reply_to(good[:size]), [])
        self.assert_refused(self.reply_to(wire.frame(wire.CONTEXT_GET, wire.string(b"\xff")))[0],
                            wire.E_INVALID)
        self.assertEqual(self.value("1"), "1")

    def test_more_than_a_request_ends_the_run(self):
        with wire.Connection(self.socket, wire.code_run("while True: pass") + b"more") as run:
            self.assertEqual(run.all(), [])
        self.assertEqual(self.value("1"), "1")

    def test_too_many_connections(self):
        idle = [wire.Connection(self.socket) for _ in range(256)]
        try:
            time.sleep(0.3)
            self.assert_refused(self.ask(wire.CODE_READY), wire.E_BUSY)
        finally:
            for connection in idle:
                connection.close()
        time.sleep(0.3)
        self.assertEqual(self.value("1"), "1")


class Output(GuestTest):
    def test_much_output_arrives_whole_in_little_memory(self):
        outcome = self.run_code("print('x' * 150_000_000)")
        self.assertEqual((len(outcome.stdout), outcome.stderr), (150_000_001, ""))
        outcome = self.run_code("for i in range(400_000): print('y' * 99)")
        self.assertEqual((len(outcome.stdout), outcome.stderr), (40_000_000, ""))
        outcome = self.run_code("for i in range(3000): print(i, flush=True)")
        self.assertEqual(outcome.stdout.split(), [str(i) for i in range(3000)])
        self.assertLess(resident_mb(self.host.bridge_pid()), 160)

    def test_a_client_that_does_not_read_holds_the_kernel(self):
        code = "for i in range(600_000): print('z' * 99)\nprint('end')"
        with wire.Connection(self.socket, wire.code_run(code)) as connection:
            time.sleep(3)
            self.assertLess(resident_mb(self.host.bridge_pid()), 160)
            frames = connection.all()
        text = "".join(fields[2] for kind, fields in frames if kind == wire.STREAM)
        self.assertEqual((len(text), text[-4:]), (60_000_004, "end\n"))

    def test_a_client_that_does_not_read_and_goes(self):
        with wire.Connection(self.socket, wire.code_run("while True: print('z' * 9999)")):
            time.sleep(2)
        self.assertEqual(self.run_code("1", timeout_ms=20000).text, "1")

    def test_a_timeout_counts_for_one_that_does_not_read(self):
        run = wire.code_run("kept = 1\nwhile True: print('z' * 9999)", timeout_ms=1000)
        with wire.Connection(self.socket, run) as connection:
            time.sleep(2.5)
            self.assertEqual(connection.all()[-1][1][0], wire.TIMED_OUT)
        self.assertEqual(self.value("kept"), "1")

    def test_a_message_over_the_limit_is_lost_and_said_so(self):
        code = "from IPython.display import publish_display_data as d\n"
        outcome = self.run_code(code + "d({'text/plain': 'x' * (80 << 20)})\n")
        self.assertEqual(outcome.status, wire.DONE_OK)
        self.assertIn("too large", outcome.stderr)
        outcome = self.run_code(code + "d({'text/plain': 'x' * (20 << 20)})\n")
        self.assertIn("too large", outcome.displays[0]["text/plain"])
        self.assertEqual(self.value("2"), "2")

    def test_hostile_messages_do_no_harm(self):
        self.run_code("k = get_ipython().kernel\n"
                      "def say(kind, content):\n"
                      "    k.session.send(k.iopub_socket, kind, content, k.get_parent())\n"
                      "for content in [None, 3, [], {}, {'data': 7}, {'text': None}, "
                      "{'traceback': 5}, {'execution_count': 'x'}, {'execution_state': []}]:\n"
                      "    for kind in ('stream', 'execute_result', 'display_data', 'error', "
                      "'status', '', 'unknown'):\n"
                      "        try: say(kind, content)\n"
                      "        except Exception: pass\n")
        self.assertEqual(self.run_code("40 + 2").text, "42")


class Stopped(GuestTest):
    """The bridge stands still while a kernel says much."""

    def run_meanwhile(self, code, status=wire.DONE_OK, then=lambda: None, **options):
        """(stdout, stderr) of code that waits for the file `go` and makes `begun`. From then on the
        bridge stands still until the kernel has said all it could, and the client is slow."""
        bridge, shared = self.host.bridge_pid(), self.host.shared
        with wire.Connection(self.socket, wire.code_run(code, **options)) as connection:
            time.sleep(0.5)
            os.kill(bridge, signal.SIGSTOP)
            with open(f"{shared}/go", "wb"):
                pass
            while not os.path.exists(f"{shared}/begun"):
                time.sleep(0.1)
            wait_for_rest(bridge)
            os.kill(bridge, signal.SIGCONT)
            wait_for_rest(bridge)
            then()
            frames = connection.all()
        for name in ("go", "begun"):
            os.unlink(f"{shared}/{name}")
        self.assertEqual(frames[-1][1][0], status)
        return ["".join(fields[2] for kind, fields in frames
                        if kind == wire.STREAM and fields[0] == which) for which in (1, 2)]

    def test_all_lines_arrive_in_order(self):
        self.value("1")
        out, err = self.run_meanwhile(
            "import os, time\n"
            "while not os.path.exists('/mnt/test/go'): time.sleep(0.05)\n"
            "open('/mnt/test/begun', 'w').close()\n"
            "for i in range(25_000): print(i, flush=True)", timeout_ms=240000)
        self.assertEqual((out.split(), err), ([str(i) for i in range(25_000)], ""))

    def test_all_bytes_arrive(self):
        self.output("true")
        out, err = self.run_meanwhile(
            "until [ -e /mnt/test/go ]; do sleep 0.05; done; : >/mnt/test/begun\n"
            "yes | head -c 400000000", language="bash", timeout_ms=240000)
        self.assertEqual((len(out), err), (400_000_000, ""))
        self.assertLess(resident_mb(self.host.bridge_pid()), 260)

    def test_a_kernel_that_is_killed_meanwhile_is_heard_to_its_end(self):
        pid = self.output("echo $PPID").strip()

        def kill():
            for process in processes(self.host.bridge_pid()):
                with open(f"/proc/{process}/status", encoding="ascii") as file:
                    if re.search(rf"^NSpid:.*\t{pid}$", file.read(), re.M):
                        os.kill(process, signal.SIGKILL)
            time.sleep(2)

        out, err = self.run_meanwhile(
            "until [ -e /mnt/test/go ]; do sleep 0.05; done; : >/mnt/test/begun\n"
            "yes", status=wire.KERNEL_DIED, then=kill, language="bash", timeout_ms=240000)
        # The bridge has read four messages of 1 MiB: without the others it would be 4.2 MB. How many
        # more it takes depends on how soon it stops the kernel: 10 to 35 MB were seen.
        self.assertGreater(len(out), 6_000_000)
        self.assertEqual(err, "")


class End(GuestTest):
    def test_sigterm_ends_bridge_and_kernels(self):
        host = GuestHost()
        try:
            wire.run(host.socket, "1")
            wire.run(host.socket, "sleep 5 & true", language="bash")
            # The kernels, and the zygote that they are forked from.
            everyone = processes(host.bridge_pid())
            self.assertGreaterEqual(len(everyone), 4)
            started = time.monotonic()
            self.assertEqual(host.terminate(), 0)
            self.assertLess(time.monotonic() - started, 10)
            self.assertEqual([pid for pid in everyone if os.path.exists(f"/proc/{pid}")], [])
        finally:
            host.stop()


def processes(pid):
    """`pid` and all its descendants."""
    found = [pid]
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/children", encoding="ascii") as file:
            for child in file.read().split():
                found += processes(int(child))
    return found


def switches(pids):
    """How often their threads were switched to or away from."""
    count = 0
    for pid in pids:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/status", encoding="ascii") as file:
                count += sum(int(line.split()[1]) for line in file if "ctxt_switches" in line)
    return count


def wait_for_rest(pid):
    """Until it and its descendants have said all they could to somebody who does not read."""
    pids, before, now = processes(pid), -1000, 0
    while now - before > 50:
        time.sleep(1)
        before, now = now, switches(filter(lambda p: os.path.exists(f"/proc/{p}"), pids))


class Quiet(GuestTest):
    warmup = {"languages": ["python", "bash"]}

    def test_nothing_wakes_up_when_nothing_is_asked(self):
        self.assertEqual(self.ask(wire.CODE_READY), (wire.OK, []))
        time.sleep(2)
        pids = processes(self.host.bridge_pid())
        self.assertGreaterEqual(len(pids), 4)
        # Work left over from the start may take longer than 2 s. Recurring work is in every window.
        counts = []
        for _ in range(5):
            before = switches(pids)
            time.sleep(4)
            counts.append(switches(pids) - before)
            if counts[-1] < 4:
                return
        self.fail(f"wake-ups in windows of 4 s: {counts}")

    def test_kernels_end_with_a_bridge_that_is_killed(self):
        second = f"{self.host.shared}/second"
        pid = int(self.output(
            "exec 3>&- </dev/null >/tmp/out 2>&1\n"
            "setsid python3 /opt/corral/bridge/bridge.py --socket /mnt/test/second"
            " --warmup /nonexistent &\n"
            "echo $! >/tmp/pid") or self.output("cat /tmp/pid"))
        for _ in range(100):
            if os.path.exists(second):
                break
            time.sleep(0.1)
        kernels = [wire.run(second, "import os; os.getpid()").text,
                   wire.run(second, "echo $$", language="bash").stdout.strip()]
        self.assertEqual(self.output(f"kill -0 {' '.join(kernels)} && echo there"), "there\n")
        self.output(f"kill -9 {pid}")
        self.output(f"for i in $(seq 50); do kill -0 {kernels[0]} || kill -0 {kernels[1]} ||"
                    " exit 0; sleep 0.1; done 2>/dev/null; echo still there; exit 1")
