# SPDX-License-Identifier: Apache-2.0
"""Bash runs through the bridge: the bash kernel."""
from guesthost import GuestTest, wire


class Bash(GuestTest):
    def bash(self, code, **options):
        return self.run_code(code, language="bash", **options)

    def test_state_persists(self):
        self.output("cd /usr; a=1; export b=2; f() { echo f$1; }; arr=(x y)")
        self.assertEqual(self.output("pwd; echo $a$b; f 3; echo ${arr[1]}"), "/usr\n12\nf3\ny\n")

    def test_streams_stay_apart(self):
        outcome = self.bash("echo out; echo err >&2")
        self.assertEqual((outcome.stdout, outcome.stderr), ("out\n", "err\n"))

    def test_output_is_live(self):
        run = wire.code_run("echo now; sleep 30", language="bash")
        with wire.Connection(self.socket, run, timeout=10) as connection:
            self.assertEqual(connection.spoken()[1][2], "now\n")
        self.assertEqual(self.output("echo next"), "next\n")

    def test_the_exit_status_is_an_error(self):
        for code, status in (("false", "1"), ("(exit 7)", "7"), ("no-such-command", "127")):
            outcome = self.bash(code)
            self.assertEqual(outcome.status, wire.RAISED)
            self.assertEqual(outcome.errors, [["ExitStatus", status, ""]])
        self.assertEqual(self.bash("no-such-command").stderr,
                         "bash: no-such-command: command not found\n")
        self.assertEqual(self.output("false; echo $?"), "1\n")

    def test_scripts(self):
        code = "for i in 1 2; do\n  cat <<EOF\nn $i\nEOF\ndone\n# end\nif true; then echo t; fi"
        self.assertEqual(self.output(code), "n 1\nn 2\nt\n")

    def test_incomplete_code_is_an_error(self):
        for code in ("for i in 1; do", "echo 'open", "cat <<EOF\nx", "f() {", ")"):
            outcome = self.bash(code, timeout_ms=5000)
            self.assertNotIn(outcome.status, (wire.TIMED_OUT, wire.RESTARTED), code)
            self.assertTrue(outcome.stderr, code)
        self.assertEqual(self.output("echo fine"), "fine\n")

    def test_stdin_is_empty(self):
        self.assertEqual(self.output("cat; wc -c; read x || echo none"), "0\nnone\n")

    def test_an_interrupt_keeps_the_state(self):
        for loop in ("sleep 60", "while :; do :; done", "while :; do sleep 0.01; done",
                     "sleep 60 | cat", "f() { sleep 60; }; f; f", "(sleep 60; sleep 60)"):
            self.output("cd /tmp; kept=1; sleep 321 & job=$!")
            outcome = self.bash(loop, timeout_ms=300)
            self.assertEqual(outcome.status, wire.TIMED_OUT, loop)
            self.assertLess(outcome.seconds, 3)
            self.assertEqual(self.output("echo $kept; pwd; kill $job && echo alive"),
                             "1\n/tmp\nalive\n", loop)

    def test_exit_starts_a_new_bash(self):
        self.set_environment(["STAYS=1"])
        self.output("gone=1")
        outcome = self.bash("echo before; exit 3; echo after")
        self.assertEqual((outcome.stdout, outcome.errors[0][:2]), ("before\n", ["ExitStatus", "3"]))
        self.assertEqual(self.bash("exit").status, wire.DONE_OK)
        self.assertEqual(self.output("echo ${gone-none} $STAYS"), "none 1\n")
        self.assertEqual(self.bash("set -e; false; echo not here").stdout, "")
        self.assertEqual(self.output("exec true; echo not here"), "")
        self.assertEqual(self.output("echo back"), "back\n")

    def test_a_stubborn_child_restarts(self):
        outcome = self.bash("trap '' INT; sleep 60", timeout_ms=300)
        self.assertIn(outcome.status, (wire.RESTARTED, wire.TIMED_OUT))
        self.assertEqual(self.output("echo again"), "again\n")

    def test_jobs_in_the_background_do_not_block(self):
        self.assertEqual(self.output("(sleep 0.2; yes | head -c 3000000; echo done >/tmp/flag) & "
                                     "echo started"), "started\n")
        self.assertEqual(self.output("sleep 1.5; cat /tmp/flag")[-5:], "done\n")

    def test_a_lot_of_output(self):
        outcome = self.bash("head -c 20000000 /dev/zero | tr '\\0' x; echo end >&2")
        self.assertEqual((len(outcome.stdout), outcome.stderr), (20000000, "end\n"))

    def test_bytes_that_are_not_text(self):
        self.assertEqual(self.output("printf 'a\\xff\\xc3'; printf '\\xa9\\n'"), "a\ufffdé\n")

    def test_variables_of_one_run(self):
        self.output("export OWN='my own'; unset NEW")
        code = "echo $NEW/$OWN; env | grep -c ^NEW="
        self.assertEqual(self.output(code, env=["NEW=a b'c", "OWN=x"]), "a b'c/x\n1\n")
        self.assertEqual(self.output("echo ${NEW-none}/$OWN"), "none/my own\n")
        self.assertEqual(self.output("compgen -v | grep -c corral || true"), "0\n")

    def test_interactive_traces_do_not_show(self):
        outcome = self.bash("sleep 0.01 & wait; echo hi!; echo a!b")
        self.assertEqual((outcome.stdout, outcome.stderr), ("hi!\na!b\n", ""))

    def test_seeds_part_the_generator(self):
        values = set()
        for seed in ("a", "a", "b"):
            self.output("RANDOM=1")
            self.set_environment([], seed)
            values.add(self.output("echo $RANDOM $RANDOM"))
        self.assertEqual(len(values), 3)
