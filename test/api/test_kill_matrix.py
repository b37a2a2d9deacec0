# SPDX-License-Identifier: Apache-2.0
"""The server is killed with SIGKILL at each named step of each operation (core/step.h), and started
again; or a sandbox's VMM is, at each step of an operation on it. What the server then says is the truth,
and nothing is left in the end. A line per cell is printed."""
import http.client
import os
import signal
import threading
import unittest

from corraltest import HOST, ISOLATION, ApiTest, Server, not_emulated, patience, processes_with, wait_until
from recipes import RecipeServer
from workflows import WORKFLOWS, command

SIZE = 1 << 20
ENDED = {"failed", "terminated", "timed_out", "stopped"}


class Stepped(Server):
    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.step = f"{os.path.dirname(self.state)}/step"

    def command(self, *arguments):
        return ["env", f"CORRAL_STEP_FILE={self.step}", *super().command(*arguments)]

    def arm(self, step):
        HOST.write(self.step, step)

    def disarm(self):
        HOST.remove_file(self.step)

    def stands_still(self):
        return self.proc("stat").rpartition(") ")[2].startswith("T")


class SteppedRecipes(RecipeServer, Stepped):
    """Both: the templates of its own are built within seconds."""

    names = ("matrix-building", "matrix-built")

    def __init__(self, *arguments):
        super().__init__(*arguments)
        for name in self.names:
            self.add(name)
            self.mark(name)


class Matrix(ApiTest):
    kind = Stepped
    build = "stepped"
    options = ("--pool-size", "0")

    def do(self, act, step, reached):
        """Does `act` on a server that comes to `step` then. A thread, and where its result will be."""
        got = []

        def run():
            try:
                got.append(act())
            except (OSError, http.client.HTTPException, AssertionError):
                pass

        self.server.note_ids()
        self.server.arm(step)
        thread = threading.Thread(target=run)
        thread.start()
        try:
            wait_until(reached, 60, f"it comes to {step}")
        finally:
            self.server.disarm()
        return thread, got

    def kill_at(self, step, _box, act):
        """Does `act` on a server that dies at `step`; what it returned, or None."""
        thread, got = self.do(act, step, lambda: self.server.process.poll() is not None)
        thread.join()
        self.assertEqual(self.server.process.returncode, -9)
        self.server.again()
        self.api = self.server.client
        return got[0] if got else None

    def sandboxes(self):
        return {s["sandbox_id"]: s["status"] for s in self.api.get("/sandboxes").json["sandboxes"]}

    def alive(self):
        return [box for box, status in self.sandboxes().items() if status not in ENDED]

    def left(self):
        own = f"process {self.server.process.pid} "
        return [line for line in self.server.left() if not line.startswith(own)]

    def end_all(self):
        """Every sandbox that is listed as alive works; then all end and leave nothing."""
        for box in self.alive():
            self.assertEqual(self.api.run(box, "echo here")["stdout"], "here\n")
            self.assertEqual(self.api.delete(f"/sandboxes/{box}").status, 200)
        wait_until(lambda: not self.alive(), 30, "all have ended")
        try:
            wait_until(lambda: not self.left(), 30, "nothing is left")
        except AssertionError:
            self.fail(f"left over: {self.left()}")

    def cells(self, name, steps, prepare, act, judge):
        for step in steps:
            with self.subTest(operation=name, step=step):
                box = prepare()
                outcome = judge(box, self.kill_at(step, box, lambda box=box: act(box)))
                print(f"note matrix: {name} killed at {step}: {outcome}", flush=True)
                self.end_all()

    def box(self, **fields):
        return self.api.create(timeout=3600, **fields)["sandbox_id"]

    def promised(self, name, steps, prepare, act, judge):
        """As `cells`; `steps` says of each step which outcomes it may have."""
        def look(box, answer):
            outcome = judge(box, answer)
            self.assertIn(outcome, steps[step])
            return outcome

        for step in steps:
            self.cells(name, (step,), prepare, act, look)


EITHER, NONE = {"running", "paused"}, {"0 kept"}
SUBMITTED = {"store/submitted": NONE | {"1 kept"}, "store/committed": {"1 kept"}}


class State:
    """A sandbox with a process is put away, woken, kept, forked. Of each step: what may be after it."""

    PAUSE = {"sandbox/pausing": {"running"}, "pause/frozen": {"running"}, "store/submitted": EITHER,
             "store/committed": {"paused"}, "sandbox/paused": {"paused"}}
    RESUME = {"sandbox/resuming": {"paused"}, "pause/thawed": {"paused"}, "call/opened": {"paused"},
              "store/submitted": EITHER, "store/committed": {"running"}, "sandbox/running": {"running"}}
    SNAPSHOT = {"helper/started": NONE, "helper/ended": NONE, **SUBMITTED}
    FORK = ("helper/started", "helper/ended", "sandbox/starting", "sandbox/configuring", "sandbox/running")

    def paused(self, box):
        return self.api.get(f"/sandboxes/{box}/lifecycle").json["state"]

    def wakes(self, box):
        """What it is, `paused` or `running`; afterwards it runs, and so does its process."""
        state = self.paused(box)
        if state == "paused":
            self.assertEqual(self.api.post(f"/sandboxes/{box}/resume").status, 200)
        listed = self.api.get(f"/sandboxes/{box}/processes").json["processes"]
        self.assertEqual([p["status"] for p in listed], ["running"])
        return state

    def box_with_a_process(self):
        box = self.box()
        answer = self.api.post(f"/sandboxes/{box}/processes", {"command": "sleep 1000"})
        self.assertEqual(answer.status, 201, answer)
        return box

    def test_pause(self):
        def judge(box, answer):
            if answer is not None and answer.status == 200:
                self.assertEqual(self.paused(box), "paused")
            return self.wakes(box)

        self.promised("pause", self.PAUSE, self.box_with_a_process,
                      lambda box: self.api.post(f"/sandboxes/{box}/pause"), judge)

    def test_resume(self):
        def prepare():
            box = self.box_with_a_process()
            self.assertEqual(self.api.post(f"/sandboxes/{box}/pause").status, 200)
            return box

        def judge(box, answer):
            if answer is not None and answer.status == 200:
                self.assertEqual(self.paused(box), "running")
            return self.wakes(box)

        self.promised("resume", self.RESUME, prepare,
                      lambda box: self.api.post(f"/sandboxes/{box}/resume"), judge)

    def kept(self):
        """The snapshots that are listed; each is whole, and no other has files."""
        kept = {s["snapshot_id"] for s in self.api.request("GET", "/snapshots", prefix="").json["snapshots"]}
        place = f"{self.server.state}/snapshots"
        wait_until(lambda: set(HOST.list(place)) == kept, 30, "no other has files")
        for one in kept:
            child = self.box(template=one)
            self.assertEqual(self.api.run(child, "cat file")["stdout"], "kept\n")
            self.assertEqual(self.api.delete(f"/sandboxes/{child}").status, 200)
            self.assertEqual(self.api.request("DELETE", f"/snapshots/{one}", prefix="").status, 200)
        return len(kept)

    def box_with_a_file(self):
        box = self.box_with_a_process()
        self.api.run(box, "echo kept > file")
        return box

    def test_snapshot(self):
        def judge(box, answer):
            kept = self.kept()
            if answer is not None and answer.status == 201:
                self.assertEqual(kept, 1)
            self.assertEqual(self.wakes(box), "running")
            return f"{kept} kept"

        self.promised("snapshot", self.SNAPSHOT, self.box_with_a_file,
                      lambda box: self.api.post(f"/sandboxes/{box}/snapshots", {}), judge)

    def test_fork(self):
        def judge(box, answer):
            self.assertIsNone(answer)
            self.assertEqual(self.kept(), 0)
            self.assertEqual(self.wakes(box), "running")
            children = [b for b, s in self.sandboxes().items() if b != box and s == "running"]
            for child in children:
                self.assertEqual(self.api.run(child, "cat file")["stdout"], "kept\n")
            self.assertLessEqual(len(children), 2)
            return "the parent and no more than its children run"

        self.cells("fork", self.FORK, self.box_with_a_file,
                   lambda box: self.api.post(f"/sandboxes/{box}/fork", {"count": 2}), judge)


@unittest.skipIf(ISOLATION == "kvm", "the steps are those of containers")
class KillMatrix(State, Matrix):
    def test_create(self):
        def judge(before, answer):
            new = {b: s for b, s in self.sandboxes().items() if b not in before}
            self.assertLessEqual(len(new), 1)
            if answer is not None:  # what was promised is there
                self.assertEqual(new.get(answer["sandbox_id"]), "running")
            return ", ".join(new.values()) or "not listed"

        self.cells("create", ("sandbox/starting", "sandbox/ready", "call/opened",
                              "sandbox/configuring", "sandbox/running", "store/submitted",
                              "store/committed"),
                   self.sandboxes, lambda _: self.api.create(timeout=3600), judge)

    def test_run(self):
        def judge(box, answer):
            self.assertIsNone(answer)
            self.assertEqual(self.sandboxes()[box], "running")
            count = self.api.run(box, "cat /tmp/ran 2>/dev/null | wc -l")["stdout"].strip()
            self.assertIn(count, ("0", "1"))
            return f"the sandbox runs, the command ran {count} times"

        self.cells("run", ("call/opened", "call/closed"), self.box,
                   lambda box: self.api.run(box, "echo ran >> /tmp/ran"), judge)

    def test_write(self):
        def judge(box, answer):
            self.assertIsNone(answer)
            size = self.api.run(box, "stat -c %s /tmp/up 2>/dev/null || echo none")["stdout"].strip()
            self.assertIn(size, ("none", str(SIZE)))
            rest = self.api.run(box, "ls -A /tmp | grep -v -x up | wc -l")["stdout"].strip()
            return f"the file has {size} bytes, {rest} others in its folder"

        self.cells("write", ("call/opened", "call/closed"), self.box,
                   lambda box: self.api.post(f"/sandboxes/{box}/files/write", {
                       "path": "/tmp/up", "content": "x" * SIZE}),
                   judge)

    def test_kill(self):
        def judge(box, answer):
            if answer is not None and answer.status == 200:
                wait_until(lambda: self.sandboxes()[box] in ENDED, 30, "it has ended")
            return self.sandboxes()[box]

        self.cells("kill", ("sandbox/stopping", "helper/started", "helper/ended", "sandbox/ended",
                            "store/submitted", "store/committed"), self.box,
                   lambda box: self.api.delete(f"/sandboxes/{box}"), judge)

    def test_expiry(self):
        def judge(box, _):
            wait_until(lambda: self.sandboxes()[box] in ENDED, 30, "it has ended")
            self.assertIn(self.sandboxes()[box], ("timed_out", "failed"))
            return self.sandboxes()[box]

        self.cells("expiry", ("sandbox/stopping", "helper/ended", "store/committed"), self.box,
                   lambda box: self.api.post(f"/sandboxes/{box}/timeout", {"timeout": 1}), judge)

    def flow(self, path, body=None, method="POST"):
        return self.api.request(method, f"{WORKFLOWS}{path}", body, prefix="")

    def test_workflow(self):
        def prepare():
            steps = [command("a", "echo ran >> /tmp/log"), command("b", "wc -l < /tmp/log", "a")]
            return self.flow("", {"name": "matrix", "steps": steps}).json["workflow_id"]

        def act(name):
            answer = self.flow(f"/{name}/start")
            # The server is killed on the way, whenever it comes to the step.
            self.is_over(name, answer.json["run_id"])
            return answer

        def judge(name, _):
            runs = self.flow(f"/{name}/runs", method="GET").json["runs"]
            self.assertLessEqual(len(runs), 1)
            over = [wait_until(lambda run=run: self.is_over(name, run["run_id"]), 60, "it is over")
                    for run in runs]
            self.assertEqual(self.flow(f"/{name}", method="DELETE").status, 200)
            outputs = {s["name"]: s["output"]["stdout"] for run in over for s in run["steps"]}
            if over:  # the second step hears that the first ran once
                self.assertEqual(outputs["b"], "1\n")
            return over[0]["status"] if over else "not listed"

        done = {"completed"}
        self.promised("workflow", {"store/submitted": {"not listed"} | done, "store/committed": done,
                                   "workflow/running": {"not listed"}, "sandbox/running": done,
                                   "call/opened": done, "call/closed": done,
                                   "workflow/completed": done}, prepare, act, judge)

    def is_over(self, name, run):
        got = self.flow(f"/{name}/status?run_id={run}", method="GET").json
        return got["status"] not in ("pending", "running") and got


STORE_OPS = ("opened", "paused", "saved", "copied", "linked")
SNAPSHOT_OPS = ("opened", "paused", "saved", "copied", "resumed", "linked")
FORK_OPS = ("opened", "saved", "copied", "resumed", "taken", "linked")


def of(names, outcome):
    return {f"vmm/{name}": outcome for name in names}


@unittest.skipUnless(ISOLATION == "kvm", "a container has no VMM")
@unittest.skipUnless(HOST.has("stepped"), "the server that stops at steps is not there")
class MicrovmMatrix(State, Matrix):
    """The server is killed."""

    PAUSE = {"sandbox/pausing": {"running"}, **of(STORE_OPS, {"running"}), "vmm/placed": EITHER,
             "store/submitted": EITHER, "store/committed": {"paused"}, "sandbox/paused": {"paused"}}
    # The driver has the connection to the agent by then.
    RESUME = {step: may for step, may in State.RESUME.items() if step not in ("pause/thawed", "call/opened")}
    SNAPSHOT = {**of(SNAPSHOT_OPS, NONE), **SUBMITTED}
    FORK = (*of(FORK_OPS, None), "sandbox/starting", "sandbox/configuring", "sandbox/running")


@unittest.skipUnless(ISOLATION == "kvm", "a container has no VMM")
@unittest.skipUnless(HOST.has("stepped"), "the server that stops at steps is not there")
class VmmMatrix(Matrix):
    """The VMM of the sandbox is killed while the server waits. The client has an answer, and what has
    ended says so."""

    def kill_at(self, step, box, act):
        [vmm] = [pid for pid, text in processes_with([box]) if "--dir" in text]
        thread, got = self.do(act, f"stop {step}", self.server.stands_still)
        HOST.kill(vmm)
        self.server.process.send_signal(signal.SIGCONT)
        thread.join(patience(120))
        self.assertFalse(thread.is_alive(), "the client has no answer")
        return got[0] if got else None

    def of_each(self, name, ops, path):
        def judge(box, answer):
            self.assertIsNotNone(answer)
            if answer.status >= 400:
                self.assertIn("code", answer.json["error"])
            kept = [s["snapshot_id"] for s in
                    self.api.request("GET", "/snapshots", prefix="").json["snapshots"]]
            self.assertEqual(len(kept), int(path == "snapshots" and answer.status < 400))
            for one in kept:
                self.assertEqual(self.api.request("DELETE", f"/snapshots/{one}", prefix="").status, 200)
            state = wait_until(lambda: self.sandboxes()[box] in ENDED and self.sandboxes()[box], 30, "it ends")
            wait_until(lambda: not HOST.list(f"{self.server.state}/snapshots"), 30, "nothing half-made stays")
            if state == "stopped":  # it was put away before its VMM died
                self.assertEqual(self.api.post(f"/sandboxes/{box}/resume").status, 200)
            return f"{answer.status}, {state}"

        self.cells(f"{name}, the VMM", tuple(of(ops, None)), self.box,
                   lambda box: self.api.post(f"/sandboxes/{box}/{path}"), judge)

    def test_pause(self):
        self.of_each("pause", STORE_OPS, "pause")

    def test_snapshot(self):
        self.of_each("snapshot", SNAPSHOT_OPS, "snapshots")

    def test_fork(self):
        self.of_each("fork", FORK_OPS, "fork")


@not_emulated("there is nothing to build templates with")
class Builds(Matrix):
    kind = SteppedRecipes
    options = ("--templates", "asked")

    def test_template(self):
        names = list(self.server.names)

        def judge(name, answer):
            self.assertIsNone(answer)
            self.server.assert_idle(name, partial=self.partial(name))
            status = self.api.get(f"/templates/{name}").json["status"]
            box = self.box(template=name)
            self.assertEqual(self.api.run(box, "echo here")["stdout"], "here\n")
            return status

        self.promised("template", {"template/building": {"not_built"}, "template/built": {"ready"}},
                      lambda: names.pop(0), lambda name: self.box(template=name), judge)

    def partial(self, name):
        return f"{name}.partial" in os.listdir(f"{self.server.state}/templates")
