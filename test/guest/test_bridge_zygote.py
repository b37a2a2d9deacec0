# SPDX-License-Identifier: Apache-2.0
"""Kernels that are forked from the zygote are as good as those that start by themselves."""
import os
import signal
import time

from guesthost import GuestTest, children


def zygote_of(host):
    """The number of the zygote, a child of the bridge; None without one."""
    for pid in children(host.bridge_pid()):
        with open(f"/proc/{pid}/cmdline", encoding="utf-8") as file:
            if "zygote.py" in file.read():
                return pid
    return None


class Zygote(GuestTest):
    def context(self, name):
        self.create_context(name)
        return name

    def test_kernels_are_its_children(self):
        self.run_code("1")
        zygote = zygote_of(self.host)
        self.assertIsNotNone(zygote)
        self.assertEqual(len(children(zygote)), 1)
        self.run_code("echo", language="bash")
        self.assertEqual(len(children(zygote)), 2)

    def test_no_two_have_the_same_numbers(self):
        code = ("import numpy, random, uuid, secrets, tempfile\n"
                "print(numpy.random.rand(), random.random(), uuid.uuid4(), secrets.token_hex(),"
                " next(tempfile._get_candidate_names()))")
        said = set()
        for n in range(4):
            said |= set(self.run_code(code, context=self.context(f"numbers-{n}")).stdout.split())
        self.assertEqual(len(said), 4 * 5)

    def test_nothing_of_one_is_in_another(self):
        self.run_code("import os, sys, json; os.environ['LEFT'] = '1'; sys.path.append('/left');"
                      "json.left = left = 1", context=self.context("one"))
        body = self.run_code("import os, sys, json\n"
                             "print('LEFT' in os.environ, '/left' in sys.path, hasattr(json, 'left'),"
                             " 'left' in globals())", context=self.context("two"))
        self.assertEqual(body.stdout, "False False False False\n")

    def test_it_is_killed(self):
        """Its kernels go with it. The next run has a new one."""
        self.run_code("here = 1")
        zygote = zygote_of(self.host)
        os.kill(zygote, signal.SIGKILL)
        end = time.monotonic() + 60
        while os.path.exists(f"/proc/{zygote}") and time.monotonic() < end:
            time.sleep(0.05)
        self.assertEqual(self.run_code("'here' in globals()").text, "False")
        self.assertNotIn(zygote_of(self.host), (None, zygote))

    def test_variables_that_it_cannot_take(self):
        """What has its effect at the start of an interpreter takes a start."""
        self.set_environment(["PYTHONPATH=/somewhere"])
        context = self.context("cold")
        self.assertEqual(self.run_code("import sys; '/somewhere' in sys.path", context=context).text,
                         "True")
