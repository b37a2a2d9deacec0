# SPDX-License-Identifier: Apache-2.0
"""python_suite.py [--file NAME] SUITE [PATTERN...]: runs test/SUITE/test_*.py, or one of them, and
prints result lines.

A pattern picks the tests whose full name contains it. Environment:

  CORRAL_TEST_JOBS      files that run side by side (default: as many as there are processors, at most
                        3; with patterns one, and the results come as the tests end)
  CORRAL_TEST_LABEL     what result lines call the suite (default: its name)
  CORRAL_TEST_SHARE     a directory in which several runs of this program claim classes of tests, so
                        that each is run by one of them
  CORRAL_TEST_LIMIT     seconds that a test may take (default: 600; a test that hangs is one failure)
  CORRAL_TEST_DEADLINE  when (seconds since 1970) the rest fails without being run
"""
import importlib
import itertools
import os
import signal
import sys
import time
import traceback
import unittest

import side_by_side

TEST = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SHARE = os.environ.get("CORRAL_TEST_SHARE")
LIMIT = int(os.environ.get("CORRAL_TEST_LIMIT", "600"))
DEADLINE = float(os.environ.get("CORRAL_TEST_DEADLINE", "inf"))
MOST_JOBS = 3


class TooLong(Exception):
    """Raised in the midst of a test that hangs."""


def too_long(*_):
    raise TooLong(f"the test was ended after {LIMIT} s")


class Lines(unittest.TestResult):
    def __init__(self, suite):
        super().__init__()
        self.suite = suite
        self.counts = {"ok": 0, "not ok": 0, "skip": 0}

    def line(self, kind, test, details=""):
        if isinstance(test, unittest.TestCase):
            name = test.id()
        else:
            name = str(test)
        self.counts[kind] += 1
        print(f"{kind} {self.suite}/{name}{': ' + details if kind == 'skip' else ''}")
        if kind == "not ok":
            for text in details.strip().split("\n")[-60:]:
                print(f"    {text}")
        sys.stdout.flush()

    def startTest(self, test):
        super().startTest(test)
        signal.alarm(LIMIT)
        self.failed_parts = False

    def stopTest(self, test):
        super().stopTest(test)
        signal.alarm(LIMIT)  # for what follows: the end of the class, or the next test

    def addSuccess(self, test):
        if not self.failed_parts:
            self.line("ok", test)

    def addSkip(self, test, reason):
        self.line("skip", test, reason)

    def addFailure(self, test, err):
        self.line("not ok", test, "".join(traceback.format_exception(*err)))

    addError = addFailure

    def addSubTest(self, test, subtest, err):
        if err is not None:
            self.failed_parts = True
            self.line("not ok", subtest, "".join(traceback.format_exception(*err)))


def matching(tests, patterns):
    for test in tests:
        if isinstance(test, unittest.TestSuite):
            yield from matching(test, patterns)
        elif not patterns or any(p in test.id() for p in patterns):
            yield test


def claimed(name):
    """Whether nobody else runs it."""
    if SHARE is None:
        return True
    try:
        os.close(os.open(f"{SHARE}/{name}", os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True


def run_class(tests, result):
    if time.time() > DEADLINE:
        for test in tests:
            result.line("not ok", test, "not run: the suite is out of time")
        return
    signal.alarm(LIMIT)
    unittest.TestSuite(tests).run(result)
    signal.alarm(0)


def run_module(name, label, patterns):
    started = time.monotonic()
    result = Lines(label)
    tests = unittest.defaultTestLoader.loadTestsFromModule(importlib.import_module(name))
    for kind, group in itertools.groupby(matching(tests, patterns), type):
        begun, group = time.monotonic(), list(group)
        if claimed(f"{name}.{kind.__name__}"):
            run_class(group, result)
            if SHARE is not None:
                print(f"note {label}/{name}.{kind.__name__}: {time.monotonic() - begun:.1f} s")
    counts = ", ".join(f"{n} {k}" for k, n in result.counts.items() if n)
    if counts:
        print(f"note {label}/{name}: {counts} in {time.monotonic() - started:.1f} s", flush=True)


def jobs(patterns):
    one = 1 if patterns or SHARE is not None else MOST_JOBS
    return int(os.environ.get("CORRAL_TEST_JOBS", min(one, len(os.sched_getaffinity(0)))))


def main(arguments):
    names = []
    if arguments[0] == "--file":
        names, arguments = [arguments[1]], arguments[2:]
    suite, *patterns = arguments
    folder, label = os.path.join(TEST, suite), os.environ.get("CORRAL_TEST_LABEL", suite)
    names = names or [file[:-3] for file in sorted(os.listdir(folder))
                      if file.startswith("test_") and file.endswith(".py")]
    if len(names) > 1 and jobs(patterns) > 1:
        side_by_side.run_all(suite, label, names, jobs(patterns), lambda name: [
            sys.executable, os.path.abspath(__file__), "--file", name, *arguments])
        return
    sys.path[:0] = [folder, os.path.join(TEST, "api")]  # what talks to a server is the API suite's
    signal.signal(signal.SIGALRM, too_long)
    for name in names:
        run_module(name, label, patterns)


main(sys.argv[1:])
