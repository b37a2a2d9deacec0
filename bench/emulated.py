# SPDX-License-Identifier: Apache-2.0
"""An emulated host for measurements of sandboxes in microVMs, with a warm snapshot of the template.

Environment: CORRAL_RIG_DIR keeps what is fetched and made, CORRAL_TEST_TEMPLATES has the template;
CORRAL_TEST_RIG takes an emulated host that runs.
"""
import contextlib
import fcntl
import os
import subprocess
import sys

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
RIG = f"{TOP}/test/rig"
sys.path.insert(0, RIG)

from machine import Drive, Machine  # noqa: E402

DIR = os.environ.get("CORRAL_RIG_DIR", "/var/tmp/corral-rig")
TEMPLATES = os.environ.get("CORRAL_TEST_TEMPLATES", "/var/cache/corral-test/templates")
TEMPLATE, SUITE = "python-base-v1", f"{DIR}/trixie"


def boot(build, kind=Machine):
    """One of our own, in DIR/bench and DIR/bench.img."""
    subprocess.run([f"{build}/guest/tree/templates/tools/build-kvm", f"{TEMPLATES}/{TEMPLATE}"],
                   check=True)
    subprocess.run([f"{RIG}/host/prepare", DIR, build, TEMPLATES, TEMPLATE], check=True)
    subprocess.run([f"{RIG}/host/mkdrive", "empty", "24", f"{DIR}/bench.img"], check=True)
    drives = [Drive(f"{DIR}/{name}.img", f"/{mount}", writable)
              for name, mount, writable in (("programs", "corral", False), ("bench", "state", True),
                                            ("templates", "templates", True))]
    machine = kind(f"{DIR}/bench")
    machine.start(f"{SUITE}/vmlinuz", f"{DIR}/host.gz", drives, 4096)
    machine.check(f"[ -e /templates/{TEMPLATE}/kvm/snapshot/state ] || {{ mkdir -p /state/make/templates"
                  f" && ln -s /templates/{TEMPLATE} /state/make/templates/ && timeout 900"
                  f" /corral/src/corrald template snapshot {TEMPLATE} --state-dir /state/make; }}; sync")
    return machine


@contextlib.contextmanager
def emulated(build):
    """A machine that ends with the block, or the one that runs; test/api/hosts.py finds it, too."""
    given = os.environ.get("CORRAL_TEST_RIG")
    os.makedirs(DIR, exist_ok=True)
    with open(f"{DIR}/lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        machine = Machine(given) if given else boot(build)
        os.environ["CORRAL_TEST_RIG"] = machine.path
        try:
            yield machine
        finally:
            if not given:
                machine.stop()
                os.unlink(f"{DIR}/bench.img")
