# SPDX-License-Identifier: Apache-2.0
"""python_suite.py SUITE [PATTERN...]: runs test/SUITE/test_*.py and prints result lines.

A pattern picks the tests whose full name contains it.
"""
import importlib
import os
import sys
import time
import traceback
import unittest

TEST = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


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
        self.failed_parts = False

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


def main(suite, patterns):
    folder = os.path.join(TEST, suite)
    sys.path.insert(0, folder)
    names = sorted(f[:-3] for f in os.listdir(folder) if f.startswith("test_") and f.endswith(".py"))
    for name in names:
        started = time.monotonic()
        result = Lines(suite)
        tests = unittest.defaultTestLoader.loadTestsFromModule(importlib.import_module(name))
        chosen = unittest.TestSuite(matching(tests, patterns))
        if chosen.countTestCases() == 0:
            continue
        chosen.run(result)
        counts = ", ".join(f"{n} {k}" for k, n in result.counts.items() if n)
        print(f"note {suite}/{name}: {counts} in {time.monotonic() - started:.1f} s", flush=True)


main(sys.argv[1], sys.argv[2:])
