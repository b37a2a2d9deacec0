# SPDX-License-Identifier: Apache-2.0
"""What the server has promised so far, and what it did not keep."""
import collections
import threading
import time

ENDED = {"failed", "terminated", "timed_out", "stopped"}
SHAKEN_SECONDS = 30  # after a fault of its own, a sandbox may refuse for so long


class Box:
    """A sandbox that a client was told of. One worker uses it; faults may hit it at any time."""

    def __init__(self, name, metadata):
        self.name, self.metadata = name, metadata
        # Then `ending`: a delete was sent; `ended`: it was answered; `lost`: nobody knows whether.
        self.state = "alive"
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
    """`most`: how many sandboxes there may be at once, with those of clients that went away."""

    def __init__(self, most):
        self.lock = threading.Lock()
        self.most = most
        self.boxes = {}
        self.tags = set()  # in the metadata of sandboxes whose create or life somebody knows of
        self.flows = {}  # workflow -> run, or None
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

    def expect_box(self, tag):
        """Before a create is sent."""
        with self.lock:
            self.tags.add(tag)

    def add(self, box):
        with self.lock:
            self.boxes[box.name] = box

    def lose(self, tag):
        """A create or a delete was not answered: whatever came of it is nobody's."""
        with self.lock:
            self.tags.discard(tag)

    def ended(self):
        with self.lock:
            return {b.name for b in self.boxes.values() if b.state == "ended"}

    def sweep(self, api):
        """Ends the sandboxes that a cut off answer has left to nobody; else each kill of the server
        would leave some to live for their whole hour. What else there is must be within bounds."""
        ended, alive = self.ended(), 0
        answer = api.get("/sandboxes?limit=1000")
        if answer.status != 200:
            return answer
        for found in answer.json["sandboxes"]:
            name, tag = found["sandbox_id"], found["metadata"].get("soak")
            if found["status"] in ENDED - {"stopped"}:
                continue
            if name in ended:
                self.break_promise(f"{name} was deleted and is {found['status']}")
            with self.lock:
                lost = tag is not None and tag not in self.tags
            if lost:
                done = api.delete(f"/sandboxes/{name}")
                self.count("sweep", "ok" if done.status == 200 else "refused")
            else:
                alive += 1
        if alive > self.most:
            self.break_promise(f"there are {alive} sandboxes, and {self.most} at most were made")
        return answer

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
