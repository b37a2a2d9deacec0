# SPDX-License-Identifier: Apache-2.0
"""Runs files of tests side by side, each in a process of its own. What a file prints is kept, and
printed as a whole when the file ends. order.txt says what must be alone, and what begins first."""
import os
import shutil
import signal
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
LAST_LINES = 20  # of a file that ended badly


class Run:
    """One file, being run."""

    def __init__(self, label, name, command):
        self.title = f"{label}/{name}"
        self.output = tempfile.TemporaryFile()
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=self.output,
                                        stderr=subprocess.STDOUT)

    def end(self):
        status = self.process.wait()
        self.output.seek(0)
        shutil.copyfileobj(self.output, sys.stdout.buffer)
        if status != 0:
            self.output.seek(0)
            print(f"not ok {self.title}: its process ended with status {status}")
            for line in self.output.read().decode(errors="replace").splitlines()[-LAST_LINES:]:
                print(f"    {line}")
        sys.stdout.flush()
        self.output.close()


def in_order(suite, names, order):
    """(those that run alone, the others in the order in which they begin), and what `order` names
    although there is no such file."""
    alone, early = [], []
    with open(order, encoding="utf-8") as file:
        for line in file:
            place, _, what = line.strip().partition(" ")
            if place.startswith(f"{suite}/"):
                where = alone if what.startswith("alone ") else early
                where.append(place.partition("/")[2])
    unknown = [n for n in alone + early if n not in names]
    others = [n for n in names if n not in alone and n not in early]
    return [n for n in alone if n in names], [n for n in early if n in names] + others, unknown


def run(label, names, jobs, command):
    """`command` makes the arguments of a file's process out of its name."""
    names, running = list(names), {}
    try:
        while names or running:
            while names and len(running) < jobs:
                name = names.pop(0)
                started = Run(label, name, command(name))
                running[started.process.pid] = started
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT).si_pid
            running.pop(ended).end()
    finally:
        for left in running.values():
            left.process.terminate()


def run_all(suite, label, names, jobs, command, order=f"{HERE}/order.txt"):
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    alone, others, unknown = in_order(suite, names, order)
    for name in unknown:
        print(f"not ok {label}/{name}: {order} names it, and there is no such file", flush=True)
    run(label, alone, 1, command)
    run(label, others, jobs, command)
