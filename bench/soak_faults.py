# SPDX-License-Identifier: Apache-2.0
"""What is done to a server and its sandboxes in a soak."""
import random
import re
import threading
import time

from corraltest import HOST, ISOLATION, patience, wait_until
from soak_ledger import SHAKEN_SECONDS

FRESH_SECONDS = 2
HELPER = re.compile(r"\b(oci-launch|oci-clean|kvm-clean)\b")


def parent(pid):
    fields = HOST.read(f"/proc/{pid}/stat").decode(errors="replace").rpartition(")")[2].split()
    return int(fields[1]) if len(fields) > 1 else 0


class Faults(threading.Thread):
    """Faults at random, `pause` seconds apart on average. `only` picks one kind; `most` ends it."""

    def __init__(self, seed, server, ledger, stop, pause, only=None, most=None):
        super().__init__(daemon=True)
        self.random = random.Random(f"{seed}/faults")
        self.server, self.ledger, self.stop = server, ledger, stop
        self.pause, self.only, self.most = pause, only, most

    def run(self):
        while not self.stop.wait(self.random.uniform(0.2, 1.8) * self.pause):
            if self.most is not None and sum(self.ledger.faults.values()) >= self.most:
                self.stop.set()
                return
            name = self.only or self.random.choices(list(FAULTS), [w for w, _ in FAULTS.values()])[0]
            try:
                if FAULTS[name][1](self):
                    self.ledger.faults[name] += 1
            except AssertionError as e:
                self.ledger.break_promise(f"after the fault `{name}`: {e}")
                self.stop.set()

    def kill_server(self):
        """kill -9, a start, and every promise so far is looked at."""
        self.ledger.kills += 1
        self.server.kill()
        self.server.start()
        self.ledger.fresh_until = time.monotonic() + FRESH_SECONDS
        self.ledger.starts += 1
        self.ledger.check_list(self.server.client)
        self.ledger.sweep(self.server.client)
        return True

    def some_box(self):
        boxes = self.ledger.alive()
        return self.random.choice(sorted(boxes, key=lambda b: b.name)) if boxes else None

    def kill_agent(self):
        """PID 1 of a sandbox, or its VMM: the sandbox ends, as failed."""
        word = "corral-vmm" if ISOLATION == "kvm" else "corral-agent"
        box = self.some_box()
        if box is None:
            return False
        found = [pid for pid, text in HOST.processes() if box.name in text and word in text]
        if not found:
            return False
        box.doomed = True
        HOST.kill(min(found))
        wait_until(lambda: self.is_failed(box), 60, f"{box.name} is listed as failed")
        return True

    def is_failed(self, box):
        try:
            answer = self.server.client.get(f"/sandboxes/{box.name}")
        except OSError:
            return False
        return box.state != "alive" or answer.json.get("status") == "failed"

    def kill_inside(self, pattern):
        """Processes of the sandbox's user, from inside."""
        box = self.some_box()
        if box is None:
            return False
        box.shake()
        answer = self.server.client.post(f"/sandboxes/{box.name}/commands/run", {
            "command": f"pkill -9 -f '{pattern}'", "timeout": 20000})
        box.shake()
        return answer.status == 200 and answer.json["exit_code"] == 0

    def kill_bridge(self):
        return self.kill_inside("[b]ridge.py")

    def kill_kernel(self):
        return self.kill_inside("[i]pykernel|[z]ygote")

    def kill_helper(self):
        """What starts or cleans a sandbox, as soon as one is seen."""
        end = time.monotonic() + patience(2)
        while time.monotonic() < end and not self.stop.is_set():
            found = [pid for pid, text in HOST.processes()
                     if HELPER.search(text) and self.server.state in text]
            if found:
                self.ledger.helper_until = time.monotonic() + SHAKEN_SECONDS
                HOST.kill(found[0])
                return True
            time.sleep(0.02)
        return False

    def kill_egress(self):
        found = [pid for pid, text in HOST.processes()
                 if "corral-egress" in text and parent(pid) == self.server.process.pid]
        for pid in found:
            HOST.kill(pid)
        return bool(found)


FAULTS = {"server": (3, Faults.kill_server), "agent": (2, Faults.kill_agent),
          "bridge": (2, Faults.kill_bridge), "kernel": (2, Faults.kill_kernel),
          "helper": (3, Faults.kill_helper), "egress": (2, Faults.kill_egress)}
