# SPDX-License-Identifier: Apache-2.0
"""What the server has promised so far, and what it did not keep."""
import collections
import threading
import time

ENDED = {"failed", "terminated", "timed_out", "stopped"}
SHAKEN_SECONDS = 20  # after a fault of its own, a sandbox may refuse for so long


class Box:
    """A sandbox that a client was told of. One worker uses it; faults may hit it at any time."""

    def __init__(self, name, metadata):
        self.name, self.metadata = name, metadata
        self.state = "alive"  # then `ending`: a delete was sent; `ended`: it was answered
        self.doomed = False  # a fault has ended it, or will
        self.shaken = 0.0  # until when its answers may be errors
        self.files = {}  # path -> content, of answered writes
        self.jobs = {}  # pid -> lines that its output must have
        self.asleep = False  # a pause was asked for, and no resume was answered
        self.served = False  # a server listens in it

    def shake(self, seconds=SHAKEN_SECONDS):
        self.shaken = time.monotonic() + seconds

    def is_calm(self):
        return not self.doomed and time.monotonic() > self.shaken


class Ledger:
    def __init__(self):
        self.lock = threading.Lock()
        self.boxes = {}
        self.flows = {}  # workflow -> run
        self.done = collections.Counter()  # what was done, by name and outcome
        self.faults = collections.Counter()  # what was done to it
        self.broken = []  # promises that were not kept
        self.kills = self.starts = 0  # of the server, begun and over
        self.fresh_until = self.helper_until = 0.0
        self.since = time.monotonic()

    def restarting(self):
        """Whether the server is away, or so fresh that connections of before may still break."""
        return self.kills != self.starts or time.monotonic() < self.fresh_until

    def helpers_shaken(self):
        return time.monotonic() < self.helper_until

    def count(self, what, outcome="ok"):
        with self.lock:
            self.done[what, outcome] += 1

    def break_promise(self, text):
        with self.lock:
            self.broken.append(text)
        print(f"{time.monotonic() - self.since:7.1f} s  BROKEN: {text}", flush=True)

    def add(self, box):
        with self.lock:
            self.boxes[box.name] = box

    def alive(self):
        with self.lock:
            return [b for b in self.boxes.values() if b.state == "alive" and not b.doomed]

    def check_list(self, api):
        """After a restart: each sandbox of an answered create is there, unless it was ended."""
        before = self.alive()
        for box in before:
            answer = api.get(f"/sandboxes/{box.name}")
            status = answer.json.get("status") if answer.status == 200 else answer.status
            with self.lock:
                wanted = box.state == "alive" and not box.doomed
            # `stopped` is a paused one; its worker may be about to resume it.
            if wanted and (status not in ("running", "stopped") or
                           answer.json["metadata"] != box.metadata):
                self.break_promise(f"{box.name} was promised and is {status}")
        return len(before)

    def table(self):
        names = sorted({name for name, _ in self.done})
        outcomes = sorted({outcome for _, outcome in self.done})
        rows = [["", *outcomes]]
        rows += [[n, *(str(self.done[n, o] or "-") for o in outcomes)] for n in names]
        widths = [max(len(r[i]) for r in rows) for i in range(len(outcomes) + 1)]
        return "\n".join("  ".join(t.ljust(w) for t, w in zip(r, widths)).rstrip() for r in rows)
