# SPDX-License-Identifier: Apache-2.0
"""A short session of bridge_fuzz.py with a fixed seed. It needs no template and no Jupyter. It runs
in processes of its own, because the names of its modules are those of the tests', too."""
import os
import re
import subprocess
import sys
import unittest

FUZZER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "bridge_fuzz.py")


class HostileFrames(unittest.TestCase):
    def session(self, part, rounds, *options):
        done = subprocess.run(
            [sys.executable, "-B", FUZZER, "--part", part, "--rounds", str(rounds), *options],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            timeout=300, check=False)
        self.assertEqual(done.returncode, 0, done.stdout[-6000:])
        return int(re.search(r"executed_units: (\d+)", done.stdout)[1])

    def test_any_bytes_in_any_pieces_are_read_alike(self):
        self.assertEqual(self.session("wire", 15), 15 * 1000)

    def test_what_is_written_reads_back(self):
        self.assertEqual(self.session("encode", 10), 10 * 200)

    def test_connections_are_answered_or_closed(self):
        self.assertEqual(self.session("server", 8), 8 * 128)

    def test_a_reply_that_is_none_after_the_right_one(self):
        # It once stayed behind, and the end of the run failed at it.
        self.session("server", 1, "--from", "15")
