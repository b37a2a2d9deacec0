# SPDX-License-Identifier: Apache-2.0
"""The promises of a built template."""
import json
import os
import unittest

from guesthost import TEMPLATES, GuestTest

FOLDER = os.path.join(TEMPLATES, "python-base-v1")
KEYS = {"name", "description", "vcpu_count", "memory_mb", "disk_size_mb", "aliases", "suite",
        "kernel_suite", "languages", "built_at", "recipe_sha256"}


@unittest.skipIf(not os.path.isdir(FOLDER), f"there is no {FOLDER}")
class Files(unittest.TestCase):
    def read(self, path):
        with open(os.path.join(FOLDER, path), encoding="utf-8") as file:
            return file.read()

    def test_description(self):
        template = json.loads(self.read("template.json"))
        self.assertEqual(set(template), KEYS)
        self.assertEqual(template["name"], "python-base-v1")
        self.assertEqual((template["vcpu_count"], template["memory_mb"], template["disk_size_mb"]),
                         (2, 2048, 10240))

    def test_system(self):
        self.assertEqual(self.read("rootfs/etc/machine-id"), "")
        self.assertIn("user:x:1000:1000:", self.read("rootfs/etc/passwd"))
        lists = os.listdir(f"{FOLDER}/rootfs/var/lib/apt/lists")
        self.assertLessEqual(set(lists), {"lock", "partial"})
        self.assertFalse(os.path.exists(f"{FOLDER}/rootfs/template.json"))
        self.assertEqual(set(os.listdir(FOLDER)) - {"kvm"}, {"rootfs", "template.json"})
        home = os.stat(f"{FOLDER}/rootfs/home/user")
        self.assertEqual((home.st_uid, home.st_gid), (1000, 1000))

    def test_warm_up(self):
        plan = json.loads(self.read("rootfs/etc/corral/warmup.json"))
        self.assertEqual(plan["languages"], ["python"])
        self.assertIn("numpy", plan["code"]["python"])


class Libraries(GuestTest):
    def test_imports(self):
        for name in ("numpy", "pandas", "matplotlib", "scipy", "sklearn", "requests", "plotly",
                     "seaborn", "tqdm", "networkx", "flask", "openpyxl", "PIL", "bs4", "lxml",
                     "pytest"):
            self.assertEqual(self.run_code(f"import {name}").errors, [], name)
        self.assertEqual(self.value("import sys; sys.version_info[:2]"), "(3, 11)")
        self.assertEqual(self.output("python --version | cut -d. -f1,2; git --version | cut -c1-3"),
                         "Python 3.11\ngit\n")

    def test_a_font_has_chinese_characters(self):
        # Without one matplotlib draws empty boxes and warns of each missing glyph.
        outcome = self.run_code("import warnings, io, matplotlib.pyplot as plt\n"
                                "warnings.simplefilter('error')\n"
                                "plt.rcParams['font.family'] = ['WenQuanYi Micro Hei']\n"
                                "plt.title('\u6c49\u5b57'); plt.savefig(io.BytesIO()); plt.close()")
        self.assertEqual(outcome.errors, [])

    def test_caches_are_there(self):
        outcome = self.run_code("import numpy, pandas, matplotlib.font_manager as f, os\n"
                                "os.stat(f.__cached__).st_uid, "
                                "os.listdir('/home/user/.cache/matplotlib')")
        self.assertIn("(0, ['fontlist", outcome.text)
