# SPDX-License-Identifier: Apache-2.0
"""Prints a template's JSON files from the recipe's CORRAL_* variables: `warmup` or `template`."""
import json
import os
import sys
import time


def value(key):
    return os.environ["CORRAL_" + key]


def warmup():
    languages = value("warmup_languages").split()
    return {
        "languages": languages,
        "code": {name: os.environ.get("CORRAL_warmup_" + name, "") for name in languages},
    }


def template():
    return {
        "name": value("name"),
        "description": value("description"),
        "vcpu_count": int(value("vcpus")),
        "memory_mb": int(value("memory_mb")),
        "disk_size_mb": int(value("disk_size_mb")),
        "aliases": value("aliases").split(),
        "suite": value("suite"),
        "kernel_suite": value("kernel_suite"),
        "languages": value("warmup_languages").split(),
        "built_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "recipe_sha256": value("recipe_sha256"),
    }


json.dump({"warmup": warmup, "template": template}[sys.argv[1]](), sys.stdout, indent=2)
print()
