# SPDX-License-Identifier: Apache-2.0
"""Python runs through the bridge."""
import base64
import time

from guesthost import GuestTest, fresh_seed, wire

EPOLL_WAIT = 232  # a system call of x86-64
FOREVER = 0xffffffff


class Runs(GuestTest):
    def test_state_and_counts_persist(self):
        first = self.run_code("kept = 41")
        second = self.run_code("kept + 1")
        self.assertEqual(second.text, "42")
        self.assertEqual(second.count, first.count + 1)

    def test_a_result_has_all_types(self):
        outcome = self.run_code("import pandas; pandas.DataFrame({'a': [1]})")
        self.assertLessEqual({"text/plain", "text/html"}, set(outcome.results[0]))

    def test_streams_stay_apart_and_come_first(self):
        outcome = self.run_code("import sys\nprint('out')\nprint('err', file=sys.stderr)\n7")
        self.assertEqual((outcome.stdout, outcome.stderr, outcome.text), ("out\n", "err\n", "7"))
        self.assertEqual(outcome.frames[-1][0], wire.DONE)

    def test_output_is_live(self):
        code = "import time\nprint('now', flush=True)\ntime.sleep(30)"
        with wire.Connection(self.socket, wire.code_run(code), timeout=10) as connection:
            kind, fields = connection.spoken()
        self.assertEqual((kind, fields[2]), (wire.STREAM, "now\n"))
        self.assertEqual(self.value("1"), "1")

    def test_errors(self):
        outcome = self.run_code("def f():\n    return 1 / 0\nf()")
        self.assertEqual(outcome.status, wire.RAISED)
        ((name, value, traceback),) = outcome.errors
        self.assertEqual((name, value), ("ZeroDivisionError", "division by zero"))
        self.assertIn("1 / 0", traceback)
        self.assertNotIn("\x1b", traceback)
        self.assertEqual(self.run_code("1 +").errors[0][0], "SyntaxError")
        self.assertEqual(self.value("2"), "2")

    def test_input_fails_at_once(self):
        outcome = self.run_code("input('name? ')")
        self.assertEqual(outcome.errors[0][0], "StdinNotImplementedError")
        self.assertLess(outcome.seconds, 5)

    def test_figures_are_images(self):
        for code in ("plt.plot([1, 2]);", "plt.plot([1, 2]); plt.show()"):
            outcome = self.run_code("import matplotlib.pyplot as plt\n" + code)
            image = base64.b64decode(outcome.displays[0]["image/png"])
            self.assertEqual(image[:8], b"\x89PNG\r\n\x1a\n")
        outcome = self.run_code("figure, axes = plt.subplots()\nfigure")
        self.assertIn("image/png", outcome.results[0])

    def test_updated_displays_come_through(self):
        outcome = self.run_code("h = display('one', display_id='d')\nh = display('two', "
                                "display_id='d', update=True)")
        self.assertEqual([d["text/plain"] for d in outcome.displays], ["'one'", "'two'"])

    def test_a_bridge_at_rest_waits_for_no_timer(self):
        """What wakes it wakes its microVM, and each clone of a snapshot that was taken meanwhile."""
        def waits():
            with open(f"/proc/{self.host.bridge_pid()}/syscall", encoding="ascii") as file:
                fields = file.read().split()
            return fields[0] == str(EPOLL_WAIT) and int(fields[4], 16) & 0xffffffff
        for code in ("1", "1 / 0", "print(2)"):
            self.run_code(code)
            for _ in range(40):
                time.sleep(0.05)
                if waits() == FOREVER:
                    break
            self.assertEqual(waits(), FOREVER)

    def test_children_write_in_order_and_in_time(self):
        outcome = self.run_code("import os, subprocess\nprint('a')\nos.system('echo b')\n"
                                "print('c')\nx = subprocess.run(['echo', 'd'])\nprint('e')")
        self.assertEqual(outcome.stdout, "a\nb\nc\nd\ne\n")
        for i in range(10):
            outcome = self.run_code(f"x = os.system('echo {i}; echo e{i} >&2')")
            self.assertEqual((outcome.stdout, outcome.stderr), (f"{i}\n", f"e{i}\n"))

    def test_text_of_children_survives_being_cut(self):
        code = ("import os\n"
                "x = os.system('yes é | tr -d \"\\\\n\" | head -c 300001; echo; echo end')")
        text = self.run_code(code).stdout
        self.assertEqual(text[:10], "é" * 10)
        self.assertTrue(text.endswith("\nend\n"))
        self.assertEqual(text.count("é"), 150000)

    def test_text_that_is_not_utf8_safe(self):
        outcome = self.run_code("print('a\\ud800b\\0c')")
        self.assertEqual(outcome.stdout, "a?b\ufffdc\n")

    def test_a_shell_command_sleeps_no_longer_than_it_runs(self):
        self.run_code("import time\nslept = []\n"
                      "def note(seconds, sleep=time.sleep):\n"
                      "    slept.append(seconds)\n    sleep(seconds)\ntime.sleep = note")
        outcome = self.run_code("!seq 20000; sleep 0.3; echo; exit 3")
        self.assertEqual(outcome.stdout.split(), [str(n) for n in range(1, 20001)])
        self.assertEqual(self.value("_exit_code, sum(slept) < 0.05"), "(3, True)")
        self.assertEqual(self.value("!(sleep 0.2; kill -9 $$)\n_exit_code"), "-9")

    def test_only_what_was_written_is_flushed(self):
        """A flush waits for another thread, and a run has six."""
        self.run_code(
            "import sys\nqueued, thread = [], sys.stdout.pub_thread\n"
            "def note(job, schedule=thread.schedule):\n"
            "    queued.append(getattr(job, '__name__', ''))\n    schedule(job)\n"
            "thread.schedule = note")
        for code, flushes in (("queued.clear()", 0), ("1 + 1", 0), ("print('!')", 1)):
            self.run_code(code)
            self.assertEqual(self.value("queued.count('_flush')"), str(flushes), code)

    def test_what_threads_have_written_is_in_the_run(self):
        """As many flushes at a time have stopped the thread that sends, for good."""
        code = (
            "import sys, threading\ndef work():\n    for n in range(300):\n"
            "        sys.stdout.write(f'{n}\\n')\n        sys.stdout.flush()\n"
            "threads = [threading.Thread(target=work) for _ in range(16)]\n"
            "for t in threads: t.start()\nfor t in threads: t.join()")
        outcome = self.run_code(code, timeout_ms=60000)
        self.assertEqual(sorted(map(int, outcome.stdout.split())), sorted(16 * list(range(300))))

    def test_silence_between_runs_is_dropped(self):
        self.run_code("import threading, time\ndef late():\n    time.sleep(0.3)\n"
                      "    print('late', flush=True)\nthreading.Thread(target=late).start()")
        self.run_code("time.sleep(0)")
        time.sleep(0.6)
        self.assertEqual(self.run_code("1").stdout, "")

    def test_imports_come_from_the_working_directory(self):
        self.run_code("open('own_module.py', 'w').write('x = 5')")
        self.assertEqual(self.value("import own_module; own_module.x"), "5")

    def test_unknown_languages(self):
        outcome = self.run_code("1", language="cobol")
        self.assertEqual(outcome.refusal[0], wire.E_LANGUAGE)
        self.assertIn("bash, python", outcome.refusal[1])

    def test_aliases_share_the_default_context(self):
        self.run_code("alias = 1", language="python3")
        self.assertEqual(self.value("alias", language="Py"), "1")
        self.assertEqual(self.value("alias", language=""), "1")


class Endings(GuestTest):
    def test_a_timeout_interrupts_and_keeps_the_state(self):
        self.run_code("kept = 5")
        outcome = self.run_code("import time\nprint('in')\ntime.sleep(60)", timeout_ms=500)
        self.assertEqual(outcome.status, wire.TIMED_OUT)
        self.assertEqual(outcome.stdout, "in\n")
        self.assertLess(outcome.seconds, 3)
        self.assertEqual(self.value("kept"), "5")

    def test_an_ignored_interrupt_restarts(self):
        code = ("import time\nlost = 1\nwhile True:\n    try:\n        time.sleep(9)\n"
                "    except KeyboardInterrupt:\n        pass")
        outcome = self.run_code(code, timeout_ms=300)
        self.assertEqual(outcome.status, wire.RESTARTED)
        self.assertEqual(self.run_code("lost").errors[0][0], "NameError")

    def test_a_kernel_that_dies(self):
        self.set_environment(["SURVIVES=yes"])
        outcome = self.run_code("import os; os._exit(3)")
        self.assertEqual((outcome.status, outcome.death), (wire.KERNEL_DIED, (3, 0, 0)))
        self.assertEqual(outcome.stderr, "")
        outcome = self.run_code("import os; os.kill(os.getpid(), 9)")
        self.assertEqual((outcome.status, outcome.death), (wire.KERNEL_DIED, (137, 9, 0)))
        self.assertEqual(self.value("import os; os.environ['SURVIVES']"), "'yes'")

    def test_exit_makes_room_for_a_new_kernel(self):
        for _ in range(5):
            outcome = self.run_code("gone = 1\nexit()")
            self.assertEqual(outcome.status, wire.DONE_OK)
            self.assertIn("its state is gone", outcome.stderr)
            outcome = self.run_code("gone")
            self.assertEqual(outcome.status, wire.RAISED, outcome.frames)
            self.assertEqual(outcome.errors[0][0], "NameError")

    def test_a_lost_client_interrupts(self):
        self.run_code("import time\nticks = 0")
        run = wire.code_run("while True:\n    time.sleep(0.05)\n    ticks += 1")
        with wire.Connection(self.socket, run):
            time.sleep(0.7)
        ticks = int(self.value("ticks"))
        self.assertGreater(ticks, 2)
        self.assertEqual(int(self.value("ticks")), ticks)

    def test_children_end_with_their_kernel(self):
        self.run_code("import os, subprocess\nsubprocess.Popen(['sleep', '7654'])\nos._exit(1)")
        found = self.value("import subprocess; "
                           "subprocess.run(['pgrep', '-f', 'sleep 765[4]']).returncode")
        self.assertEqual(found, "1")


class Environment(GuestTest):
    def test_variables_of_one_run(self):
        self.run_code("import os; os.environ['OWN'] = 'mine'")
        code = "os.environ.get('ONE'), os.environ.get('OWN')"
        self.assertEqual(self.value(code, env=["ONE=1=2", "OWN=theirs"]), "('1=2', 'theirs')")
        self.assertEqual(self.value(code), "(None, 'mine')")

    def test_variables_go_after_a_timeout_too(self):
        self.run_code("import os, time")
        self.run_code("time.sleep(60)", env=["T=1"], timeout_ms=300)
        self.assertEqual(self.value("os.environ.get('T', 'none')"), "'none'")

    def test_variables_for_all(self):
        before = int(self.run_code("import os").count)
        self.set_environment(["ALL=it's"])
        outcome = self.run_code("os.environ['ALL']")
        self.assertEqual((outcome.text, outcome.count), ('"it\'s"', before + 1))
        self.assertEqual(self.output("echo $ALL"), "it's\n")
        self.assertEqual(self.create_context("late")[0], wire.CONTEXT)
        self.assertEqual(self.value("import os; os.environ['ALL']", context="late"), '"it\'s"')

    def test_variables_of_before_are_not_those_of_a_new_kernel(self):
        """As after a fork with others, whose commands have no others either."""
        self.set_environment(["OLD=1"])
        self.assertEqual(self.value("import os; os.environ['OLD']"), "'1'")
        self.set_environment(["NEW=2"])
        self.assertEqual(self.create_context("later")[0], wire.CONTEXT)
        seen = "import os; os.environ.get('OLD'), os.environ['NEW']"
        self.assertEqual(self.value(seen, context="later"), "(None, '2')")
        self.assertEqual(self.value(seen), "('1', '2')")

    def test_variables_of_one_run_come_last(self):
        self.run_code("import os")
        self.set_environment(["BOTH=all"], fresh_seed())
        self.assertEqual(self.value("os.environ['BOTH']", env=["BOTH=one"]), "'one'")
        self.assertEqual(self.value("os.environ['BOTH']"), "'all'")

    def test_what_comes_before_a_run_may_not_fail_in_silence(self):
        """Nothing of the run that was refused is seen: not its error, nor its place in the count."""
        self.run_code("import random\nkept = 1")
        self.run_code("random.seed = lambda *_: 1 / 0")
        self.set_environment([], fresh_seed())
        outcome = self.run_code("print('kept' in globals())")
        self.assertEqual((outcome.stdout, outcome.errors, int(outcome.count)), ("False\n", [], 1))

    def test_an_interrupt_finds_the_code(self):
        self.run_code("import random, time\nseed = random.seed\nkept = 1")
        self.run_code("random.seed = lambda *a: (time.sleep(1), seed(*a))")
        self.set_environment([], fresh_seed())
        outcome = self.run_code("time.sleep(60)", timeout_ms=200)
        self.assertEqual(outcome.status, wire.TIMED_OUT)
        self.assertEqual(self.value("kept"), "1")

    def test_nothing_of_ours_shows(self):
        self.run_code("before = sorted(globals())", env=["X=1"])
        self.set_environment(["Y=1"], fresh_seed())
        self.assertEqual(self.value("set(globals()) - set(before) - {'before'} "
                                    "- {n for n in globals() if n.startswith('_')}"), "set()")

    def test_seeds_part_the_generators(self):
        self.run_code("import random, numpy")
        draw = "random.seed(1); numpy.random.seed(1)"
        values = set()
        for seed in ("a", "b", "c"):
            self.run_code(draw)
            self.set_environment([], seed)
            values.add(self.value("random.random(), numpy.random.random()"))
        self.assertEqual(len(values), 3)
        for nothing_new in ("", "c"):
            self.run_code(draw)
            self.set_environment([], nothing_new)
            self.assertEqual(self.value("random.random(), numpy.random.random()"),
                             "(0.13436424411240122, 0.417022004702574)")

    def test_user_names_do_not_get_in_the_way(self):
        self.run_code("exec = os = sys = None")
        self.assertEqual(self.value("import os; os.environ['Q']", env=["Q=1"]), "'1'")

    def test_bad_variables(self):
        outcome = self.run_code("1", env=["novalue"])
        self.assertEqual(outcome.refusal[0], wire.E_INVALID)


class WarmUp(GuestTest):
    warmup = {"languages": ["python", "bash"],
              "code": {"python": "import numpy\nleft_over = 1"}}

    def test_ready_kernels_are_warm_and_clean(self):
        self.assertEqual(self.ask(wire.CODE_READY), (wire.OK, []))
        outcome = self.run_code("import sys; 'numpy' in sys.modules, 'left_over' in globals()")
        self.assertEqual((outcome.text, outcome.count), ("(True, False)", 1))
        self.assertLess(self.run_code("true", language="bash").seconds, 0.3)

    def test_the_first_error_finds_all_at_hand(self):
        self.assertEqual(self.ask(wire.CODE_READY), (wire.OK, []))
        self.run_code("import ast, sys\nparsed = []\n"
                      "def note(text, *rest, do=ast.parse, **named):\n"
                      "    parsed.append(len(text))\n    return do(text, *rest, **named)\n"
                      "ast.parse, before = note, set(sys.modules)\n"
                      "from pygments.lexers.python import PythonLexer\n"
                      "compiled = '_tokens' in vars(PythonLexer)")
        self.assertEqual(self.run_code("1/0").errors[0][0], "ZeroDivisionError")
        self.assertEqual(self.value("compiled, max(parsed) < 9999, set(sys.modules) - before"),
                         "(True, True, set())")


class BrokenWarmUp(GuestTest):
    warmup = {"languages": ["python"], "code": {"python": "import no_such_module"}}

    def test_ready_says_so_and_runs_work(self):
        self.assert_refused(self.ask(wire.CODE_READY), 14)
        self.assertEqual(self.value("1"), "1")


class OldPython(GuestTest):
    """The template with the oldest versions of Python, Jupyter and the libraries."""

    template = "python-3.9"
    warmup = {"languages": ["python"], "code": {"python": "import json"}}

    def test_the_same_code_runs(self):
        self.assertEqual(self.ask(wire.CODE_READY), (wire.OK, []))
        self.assertEqual(self.value("import sys; sys.version_info[:2]"), "(3, 9)")
        outcome = self.run_code("import os\nprint('a', flush=True)\nx = os.system('echo b')\n1/0")
        self.assertEqual(sorted(outcome.stdout.split()), ["a", "b"])
        self.assertEqual(outcome.errors[0][0], "ZeroDivisionError")
        self.assertEqual(self.run_code("while True: pass", timeout_ms=300).status, wire.TIMED_OUT)
        self.assertEqual(self.value("os.environ['E']", env=["E=1"]), "'1'")
        self.assertEqual(self.run_code("os._exit(1)").status, wire.KERNEL_DIED)

    def test_bash_too(self):
        self.assertEqual(self.output("cd /tmp; A=1; echo $A"), "1\n")
        self.assertEqual(self.output("pwd"), "/tmp\n")
        outcome = self.run_code("while :; do :; done", language="bash", timeout_ms=300)
        self.assertEqual(outcome.status, wire.TIMED_OUT)
        self.assertEqual(self.output("echo $A"), "1\n")
