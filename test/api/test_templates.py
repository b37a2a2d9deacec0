# SPDX-License-Identifier: Apache-2.0
"""Templates that are not built yet: how they are listed, built when they are asked for, and what is
left of builds that fail or are killed."""
import concurrent.futures
import os
import signal
import subprocess
import threading
import unittest

from corraltest import HOST, TEMPLATE, not_emulated, wait_until
from recipes import RecipeServer

ENVIRONMENTS = "/api/v1/sandbox/environments"
SHIPPED = {"javascript-base-v1", "python-3.9", TEMPLATE}


@not_emulated("there is nothing to build templates with")
class TemplateTest(unittest.TestCase):
    """Each test has a recipe of its own, named like the test."""
    options = ("--templates", "asked")

    def set_up(self):
        server = RecipeServer(self.options)
        self.prepare(server)
        return server.start()

    def prepare(self, server):
        server.add(self.name)

    def setUp(self):
        self.server = self.set_up()
        self.addCleanup(self.close)

    def close(self):
        faults = self.server.close()
        if faults:
            self.fail("\n".join(faults))

    @property
    def api(self):
        return self.server.client

    @property
    def name(self):
        return self.id().split(".")[-1].replace("_", "-")

    def template(self, name=None):
        answer = self.api.get(f"/templates/{name or self.name}")
        self.assertEqual(answer.status, 200, answer)
        return answer.json

    def await_status(self, status, name=None):
        wait_until(lambda: self.template(name)["status"] == status, 60, f"{name} is {status}")

    def create(self):
        return self.api.post("/sandboxes", {"provider": "a", "region": "b", "template": self.name})

    def environment(self):
        answer = self.api.post(ENVIRONMENTS, {"name": "one", "template": self.name}, prefix="")
        self.assertEqual(answer.status, 201, answer)
        return f"{ENVIRONMENTS}/{answer.json['environment_id']}"

    def status(self, environment):
        return self.api.get(environment, prefix="").json["status"]

    def by_hand(self, *arguments):
        environment = {**os.environ, "PATH": f"{self.server.tools}:{os.environ['PATH']}"}
        process = subprocess.Popen(
            self.server.command("template", "build", *arguments, "--isolation", "oci", "--recipes",
                                self.server.recipes), env=environment, stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.stderr.close)
        return process


class Asked(TemplateTest):
    """One server for all."""
    shared = None

    @classmethod
    def tearDownClass(cls):
        faults = cls.shared.close() if cls.shared else []
        if faults:
            raise AssertionError("\n".join(faults))

    def set_up(self):
        if Asked.shared is None:
            Asked.shared = RecipeServer(self.options).start()
        Asked.shared.add(self.name)
        Asked.shared.process.send_signal(signal.SIGHUP)
        wait_until(lambda: Asked.shared.client.get(f"/templates/{self.name}").status == 200, 60,
                   "the recipe is read")
        return Asked.shared

    def close(self):
        pass

    def test_every_recipe_is_listed(self):
        listed = {t["name"]: t for t in self.api.get("/templates").json["templates"]}
        self.assertLessEqual(SHIPPED | {self.name}, set(listed))
        mine = listed[self.name]
        self.assertEqual((mine["memory_mb"], mine["vcpu_count"]), (256, 1))
        self.assertEqual(self.template()["status"], "not_built")
        self.assertEqual(self.template(TEMPLATE)["status"], "ready")
        self.assertEqual(self.template(f"{self.name}-alias")["id"], mine["id"])
        self.assertEqual(self.template(mine["id"])["name"], self.name)
        self.assertEqual(self.api.get("/templates/none").status, 404)

    def test_a_create_builds_and_waits(self):
        answers = []
        threads = [threading.Thread(target=lambda: answers.append(self.create()))
                   for _ in range(3)]
        for thread in threads:
            thread.start()
        self.server.await_builds(self.name)
        self.assertEqual(self.template()["status"], "building")
        wait_until(lambda: "3/8 downloading the base system" in self.template()["phase"], 60,
                   "the phase is told")
        known = self.template()["id"]
        self.server.mark(self.name)
        for thread in threads:
            thread.join()
        self.assertEqual([a.status for a in answers], [201] * 3, answers)
        self.assertEqual(self.server.builds(self.name), 1)
        ran = self.api.run(answers[0].json["sandbox_id"], "echo $((6 * 7))")
        self.assertEqual(ran["stdout"], "42\n")
        self.assertEqual((self.template()["status"], self.template()["id"]), ("ready", known))

    def test_what_a_create_says_of_the_network_holds_after_the_build(self):
        """The same request is read again when the template is there."""
        e2b = {"templateID": self.name, "network": {"allowOut": ["1.2.3.4"],
                                                    "denyOut": ["0.0.0.0/0", "5.6.7.8"]}}
        runtime = {"template": self.name, "internet_access": False}
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            made = [pool.submit(self.api.request, "POST", "/sandboxes", e2b,
                                {"X-API-Key": self.api.key}, prefix=""),
                    pool.submit(self.api.post, "/runtime", runtime)]
            self.server.await_builds(self.name)
            self.server.mark(self.name)
            answers = [m.result() for m in made]
        self.assertEqual([a.status for a in answers], [201, 201], answers)
        policy = self.api.get(f"/sandboxes/{answers[0].json['sandboxID']}/network").json
        self.assertEqual((policy["default"], policy["allow"], policy["deny"]),
                         ("deny", ["1.2.3.4"], ["5.6.7.8"]))
        policy = self.api.get(f"/sandboxes/{answers[1].json['runtime_id']}/network").json
        self.assertEqual(policy["default"], "deny")

    def test_an_environment_is_creating_until_then(self):
        made = self.environment()
        self.server.await_builds(self.name)
        self.assertEqual(self.status(made), "creating")
        self.server.mark(self.name)
        wait_until(lambda: self.status(made) == "running", 60, "the environment runs")

    def test_an_environment_may_end_before(self):
        made = self.environment()
        self.server.await_builds(self.name)
        self.assertEqual(self.api.delete(made, prefix="").status, 200)
        self.assertEqual(self.status(made), "terminated")
        self.server.mark(self.name)
        self.await_status("ready")

    def test_a_failure_is_told_with_its_last_lines(self):
        self.server.mark(self.name, "fail")
        self.server.mark(self.name)
        made = self.environment()
        wait_until(lambda: self.status(made) == "failed", 60, "the environment has failed")
        got = self.template()
        self.assertEqual(got["status"], "failed")
        self.assertIn("E: the archive has no such package", got["build_log"])
        # It is not tried again at once, and the answer says so.
        answer = self.create()
        self.assertEqual((answer.status, answer.json["error"]["code"]),
                         (503, "template_build_failed"))
        self.assertIn(f"corrald template build {self.name}", answer.json["error"]["message"])
        self.assertIn("E: the archive", answer.json["error"]["details"]["build_log"])
        self.assertGreater(int(answer.headers["Retry-After"]), 10)
        self.assertEqual(self.server.builds(self.name), 1)
        # Another recipe of that name is another matter.
        os.unlink(f"{self.server.dir}/fail-{self.name}")
        os.utime(self.server.add(self.name, "aliases=other"), (1, 1))
        self.server.process.send_signal(signal.SIGHUP)
        wait_until(lambda: self.api.get("/templates/other").status == 200, 60, "it is read again")
        self.assertEqual(self.create().status, 201)

    def test_a_bad_recipe_hides_nobody(self):
        with open(self.server.add("broken"), "a", encoding="utf-8") as file:
            file.write("for x in *; do\n")
        os.rename(self.server.add("second"), f"{self.server.recipes}/third.recipe")
        self.server.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "Line 10 is not KEY" in self.server.log()
                   and "unlike the file's" in self.server.log(), 30, "the log names the faults")
        self.assertEqual(self.template()["status"], "not_built")

    def test_by_hand_and_by_the_server_is_one_build(self):
        process = self.by_hand(self.name)
        self.server.await_builds(self.name)
        made = self.environment()
        wait_until(lambda: "waiting for another build" in (self.template()["phase"] or ""), 60,
                   "the server's build waits")
        second = self.by_hand(self.name)
        self.assertIn("another build", second.communicate(timeout=60)[1])
        self.server.mark(self.name)
        self.assertEqual(process.wait(60), 0)
        wait_until(lambda: self.status(made) == "running", 60, "the environment runs")
        self.assertEqual(self.server.builds(self.name), 1)

    def test_a_recipe_from_a_file(self):
        self.server.mark("elsewhere")
        away = f"{self.server.dir}/away.recipe"
        os.rename(self.server.add("elsewhere"), away)
        self.assertEqual(self.by_hand("--recipe", away).wait(60), 0)
        self.await_status("ready", "elsewhere")
        listed = self.server.run("template", "list", "--recipes", self.server.recipes).stdout
        self.assertRegex(listed, r"(?m)^elsewhere +built$")
        self.assertRegex(listed, rf"(?m)^{self.name} +not built +A template for {self.name}$")
        missing = self.server.run("template", "build", "none", "--recipes", self.server.recipes)
        self.assertIn("There is no recipe 'none'; there are:", missing.stderr)

    def test_a_build_by_hand_ends_with_its_builder(self):
        for number, whom in enumerate(("corrald", "script", "both"), 1):
            with self.subTest(whom=whom):
                process = self.by_hand(self.name)
                self.server.await_builds(self.name, number)
                script = next(pid for pid, text in HOST.processes()
                              if "/bin/bash" in text and self.name in text
                              and "tools/build " in text)
                if whom != "corrald":
                    HOST.kill(script)
                if whom != "script":
                    process.kill()
                self.assertNotEqual(process.wait(60), 0)
                self.server.assert_idle(self.name, whom == "both")
                self.assertFalse(os.path.exists(f"{self.server.state}/templates/{self.name}"))
                self.server.process.send_signal(signal.SIGHUP)
                self.assertEqual(self.template()["status"], "not_built")
        self.server.mark(self.name)
        self.assertEqual(self.create().status, 201)
        self.assertFalse([t for t in HOST.list(f"{self.server.state}/templates")
                          if t == f"{self.name}.partial"])


class Killed(TemplateTest):
    def test_the_build_ends_with_the_server(self):
        made = self.environment()
        self.server.await_builds(self.name)
        self.assertTrue(self.server.at_work(self.name))
        self.server.kill()
        self.server.assert_idle(self.name)
        self.assertFalse(os.path.exists(f"{self.server.state}/templates/{self.name}"))
        self.server.start()
        self.assertEqual(self.status(made), "failed")
        self.assertEqual(self.template()["status"], "not_built")
        self.server.mark(self.name)
        self.assertEqual(self.create().status, 201)
        # A stop ends a build as well.
        name = f"{self.name}-again"
        self.server.add(name)
        self.server.process.send_signal(signal.SIGHUP)
        wait_until(lambda: self.api.get(f"/templates/{name}").status == 200, 60, "it is read")
        self.assertEqual(self.api.post(ENVIRONMENTS, {"name": "two", "template": name},
                                       prefix="").status, 201)
        self.server.await_builds(name)
        self.assertEqual(self.server.stop(signal.SIGINT), 0)
        self.server.assert_idle(name)


class Unasked(TemplateTest):
    @property
    def name(self):
        return "first"

    options = ("--templates", "all", "--template-default", "first")

    def test_the_default_first_then_all_others(self):
        self.server.await_builds(self.name)
        self.assertEqual(self.template()["status"], "building")
        self.assertIn("The template 'first' is not built yet", self.server.log())
        self.assertIn("corrald template build first", self.server.log())
        self.assertEqual([self.server.builds(n) for n in SHIPPED], [0] * len(SHIPPED))
        for name in SHIPPED | {self.name}:
            self.server.mark(name)
        for name in SHIPPED | {self.name}:
            self.await_status("ready", name)
            self.assertEqual(self.server.builds(name), int(name != TEMPLATE))
        self.assertEqual(self.create().status, 201)


class Off(TemplateTest):
    @property
    def name(self):
        return "first"

    options = ("--templates", "off", "--template-default", "first", "--banner")

    def test_the_error_has_the_command_to_type(self):
        log = self.server.log()
        self.assertIn("The template 'first' is not built.", log)
        self.assertIn("\n  corrald template build first\n", log)
        for answer in (self.create(), self.api.post(ENVIRONMENTS, {"name": "x"}, prefix="")):
            self.assertEqual((answer.status, answer.json["error"]["code"]),
                             (503, "template_not_built"))
            self.assertIn("corrald template build first", answer.json["error"]["message"])
        self.assertEqual(self.server.builds(self.name), 0)


if __name__ == "__main__":
    unittest.main()
