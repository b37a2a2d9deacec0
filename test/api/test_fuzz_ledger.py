# SPDX-License-Identifier: Apache-2.0
"""bench/fuzz and its ledger, with small programs in place of the fuzz targets."""
import json
import os
import subprocess
import sys
import tempfile
import unittest

from corraltest import not_emulated
from hosts import TOP

# A target that says what libFuzzer does, and uses up some processor time. It notes that it ran, and
# in the folder of its build `crash` holds the name of the one that finds something.
TARGET = r"""
#include <stdio.h>
#include <string.h>
#include <time.h>

int main(int argc, char **argv)
{
    const char *name = strrchr(argv[0], '_') + 1, *found = "", option[] = "-artifact_prefix=";
    char path[4096], crash[64] = "";
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "-runs=0") == 0)
            return 0;
        if (strncmp(argv[i], option, strlen(option)) == 0)
            found = argv[i] + strlen(option);
    }
    while (clock() < CLOCKS_PER_SEC / 5) {
    }
    FILE *ran = fopen(BUILD "/ran", "a");
    fprintf(ran, "%s\n", name);
    fclose(ran);
    puts("#100 DONE cov: 42 ft: 43\nstat::number_of_executed_units: 100");
    FILE *which = fopen(BUILD "/crash", "r");
    if (which == NULL || fscanf(which, "%63s", crash) != 1 || strcmp(crash, name) != 0)
        return 0;
    puts("ERROR: a fault of the test");
    snprintf(path, sizeof(path), "%scrash-1", found);
    FILE *input = fopen(path, "w");
    fputs("the input", input);
    return fclose(input) == 0 ? 77 : 1;
}
"""
NINJA = """
rule cc
  command = cc -o $out $in '-DBUILD="{build}"'
build test/fuzz/fuzz_json: cc target.c
build test/fuzz/fuzz_tar: cc target.c
build test/fuzz/fuzz_wire: cc target.c
"""
# Adds to the ledger until a write is cut off: no file may have more than some bytes.
CUT_OFF = """
import resource, sys
from fuzz_ledger import Ledger
ledger = Ledger(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (700, 700))
for i in range(100):
    ledger.add(f"more{i}", "program", 1.0, 1, 1)
    print(i, flush=True)
"""


@not_emulated("a tool of this host")
class FuzzLedger(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="corral-fuzz-")
        self.addCleanup(folder.cleanup)
        self.build = folder.name
        self.path = f"{self.build}/ledger"
        self.write("target.c", TARGET)
        self.write("build.ninja", NINJA.format(build=self.build))

    def write(self, name, text):
        with open(f"{self.build}/{name}", "w", encoding="utf-8") as file:
            file.write(text)

    def ledger(self):
        with open(self.path, encoding="utf-8") as file:
            return json.load(file)

    def ran(self):
        with open(f"{self.build}/ran", encoding="utf-8") as file:
            return file.read().split()

    def fuzz(self, *arguments):
        return subprocess.run(
            [sys.executable, f"{TOP}/bench/fuzz", "--ledger", self.path, "--jobs", "1", *arguments],
            env={**os.environ, "CORRAL_BUILD_CLANG": self.build}, capture_output=True, text=True,
            timeout=120, check=False)

    def test_runs_add_up_and_a_changed_program_begins_anew(self):
        for executions in (100, 200, 300):
            done = self.fuzz("--seconds", "1", "json")
            self.assertEqual(done.returncode, 0, done)
            entry = self.ledger()["json"]
            self.assertEqual((entry["executions"], entry["edges"]), (executions, 42))
            self.assertGreaterEqual(entry["cpu_seconds"], 0.2 * executions / 100)
            self.assertRegex(done.stdout, rf"(?m)^json .* {executions} .* 42  nothing$")
        self.assertEqual(self.fuzz("--seconds", "1", "tar").returncode, 0)
        self.assertEqual(self.ledger()["json"], entry)
        self.write("target.c", TARGET.replace("cov: 42", "cov: 7"))
        self.assertEqual(self.fuzz("--seconds", "1", "json").returncode, 0)
        entry = self.ledger()["json"]
        self.assertEqual((entry["executions"], entry["edges"]), (100, 7))

    def test_a_write_that_is_cut_off_leaves_what_was_there(self):
        done = subprocess.run([sys.executable, "-c", CUT_OFF, self.path], capture_output=True,
                              env={**os.environ, "PYTHONPATH": f"{TOP}/bench"}, text=True,
                              timeout=60, check=False)
        kept = len(done.stdout.split())
        self.assertIn("File too large", done.stderr)
        self.assertGreater(kept, 1)
        self.assertEqual(set(self.ledger()), {f"more{i}" for i in range(kept)})
        self.assertEqual(self.fuzz("--seconds", "1", "json").returncode, 0)
        self.assertEqual(set(self.ledger()), {"json"} | {f"more{i}" for i in range(kept)})

    def test_a_damaged_ledger_is_refused_and_left_alone(self):
        for text in ('{"json": {"program": "x", "cpu_sec', "[]", '{"json": 3}',
                     '{"json": {"program": "x", "cpu_seconds": "1", "executions": 1, "edges": 1}}'):
            self.write("ledger", text)
            done = self.fuzz("--seconds", "1", "json")
            self.assertNotEqual(done.returncode, 0, text)
            self.assertIn(f"{self.path} is damaged", done.stderr)
            self.assertNotIn("Traceback", done.stderr)
            with open(self.path, encoding="utf-8") as file:
                self.assertEqual(file.read(), text)
        self.assertFalse(os.path.exists(f"{self.build}/ran"))

    def test_those_with_the_least_time_go_first(self):
        self.assertEqual(self.fuzz("--seconds", "1", "json", "tar", "wire").returncode, 0)
        entries = self.ledger()
        for name, seconds in (("json", 0.72), ("tar", 0.7199), ("wire", 0.0)):
            entries[name]["cpu_seconds"] = seconds
        self.write("ledger", json.dumps(entries))
        self.assertEqual(self.fuzz("--until", "0.012", "json", "tar", "wire").returncode, 0)
        # Each is to have 0.72 s: one has, one has had more than the other, which needs some turns.
        turns = self.ran()[3:]
        self.assertEqual(turns, ["wire"] * (len(turns) - 1) + ["tar"])
        self.assertGreater(len(turns), 1)
        for entry in self.ledger().values():
            self.assertGreaterEqual(entry["cpu_seconds"], 0.72)

    def test_what_a_target_finds_fails_the_run_and_is_kept(self):
        self.write("crash", "tar")
        done = self.fuzz("--seconds", "1", "json", "tar", "wire")
        self.assertEqual(done.returncode, 1, done)
        self.assertIn("ERROR: a fault of the test", done.stdout)
        self.assertIn(f"the input is {self.build}/crash-1", done.stdout)
        with open(f"{self.build}/crash-1", encoding="utf-8") as file:
            self.assertEqual(file.read(), "the input")
        self.assertRegex(done.stdout, r"(?m)^tar .*  FOUND$")
        self.assertEqual(self.ran(), ["json", "tar", "wire"])
        self.assertEqual(len(self.ledger()), 3)
