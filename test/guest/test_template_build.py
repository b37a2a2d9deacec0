# SPDX-License-Identifier: Apache-2.0
"""The template builder without a download: its errors, and what it leaves behind."""
import os
import signal
import socket
import subprocess
import tempfile
import time
import unittest

from guesthost import TOP

BUILD = os.path.join(TOP, "guest", "templates", "tools", "build")
RECIPE = 'name="n"\ndescription="d"\nsuite="bookworm"\npackages="python3"\n'


def silent_mirror(test):
    """The option for a mirror that takes every connection and says nothing."""
    server = socket.create_server(("127.0.0.1", 0), backlog=64)
    test.addCleanup(server.close)
    return f"--mirror=http://127.0.0.1:{server.getsockname()[1]}/debian"


@unittest.skipIf(os.geteuid() != 0, "building needs root")
class Build(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="corral-build-")
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.out = f"{self.folder}/out"

    def start(self, recipe, *options):
        path = f"{self.folder}/x.recipe"
        with open(path, "w", encoding="utf-8") as file:
            file.write(recipe)
        # A shell's background job inherits an ignored SIGINT, what nohup starts an ignored SIGHUP, and
        # a shell cannot trap what it has inherited so.
        return subprocess.Popen(["env", "--default-signal=HUP,INT,TERM", BUILD, path, self.out, *options],
                                stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)

    def assert_clean(self):
        self.assertFalse(os.path.exists(self.out))
        self.assertFalse(os.path.exists(self.out + ".partial"))
        with open("/proc/mounts", encoding="utf-8") as file:
            self.assertNotIn(self.folder, file.read())

    def test_bad_recipes_are_named(self):
        for recipe, word in (("", "name is not set"),
                             (RECIPE.replace("bookworm", ""), "suite is not set"),
                             (RECIPE + 'vcpus="many"\n', "vcpus is not a positive number"),
                             (RECIPE + 'memory_mb="-1"\n', "memory_mb is not")):
            process = self.start(recipe)
            self.assertIn(word, process.communicate(timeout=30)[1])
            self.assertNotEqual(process.returncode, 0)
            self.assert_clean()

    def test_a_failure_shows_the_log(self):
        process = self.start(RECIPE.replace("bookworm", "no-such-suite"),
                             "--mirror=http://127.0.0.1:9/debian")
        errors = process.communicate(timeout=120)[1]
        self.assertNotEqual(process.returncode, 0)
        self.assertRegex(errors, r"(?m)^phase 1/8 .*\(\d+ s\)$")
        self.assertIn(f"the last lines of {self.out}.log", errors)
        self.assertIn("error: building n failed", errors)
        self.assert_clean()

    def test_signals_leave_nothing(self):
        mirror = silent_mirror(self)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            process = self.start(RECIPE, mirror)
            for line in process.stderr:
                if line.startswith("phase 2/8"):
                    break
            time.sleep(0.5)
            process.send_signal(number)
            errors = process.communicate(timeout=20)[1]
            self.assertEqual(process.returncode, 128 + number, errors)
            self.assert_clean()

    def test_one_build_at_a_time(self):
        mirror = silent_mirror(self)
        first = self.start(RECIPE, mirror)
        first.stderr.readline()
        second = self.start(RECIPE, mirror)
        self.assertIn("another build", second.communicate(timeout=20)[1])
        self.assertEqual(first.poll(), None)
        first.terminate()
        first.communicate(timeout=20)
        self.assert_clean()
