# SPDX-License-Identifier: Apache-2.0
"""A short soak (bench/soak): everything at random, faults at random, and all is as before.
CORRAL_SOAK_SECONDS is its length; the seed is in its output."""
import os
import subprocess
import sys
import unittest

from corraltest import not_emulated
from hosts import TOP

SECONDS = float(os.environ.get("CORRAL_SOAK_SECONDS", "20"))


@not_emulated("half a minute there is too short for one round")
class Soak(unittest.TestCase):
    def test_no_promise_is_broken(self):
        done = subprocess.run([sys.executable, f"{TOP}/bench/soak", "--minutes", str(SECONDS / 60),
                               "--clients", "4", "--sandboxes", "2", "--pause", "2"],
                              capture_output=True, text=True, timeout=580, check=False)
        lines = done.stdout.splitlines()
        self.assertEqual(done.returncode, 0, "\n".join([done.stderr[-2000:], *lines[-40:]]))
        print(f"note soak of {SECONDS:.0f} s: {lines[-2]}; {lines[-1]}")
