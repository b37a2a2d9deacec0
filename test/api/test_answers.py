# SPDX-License-Identifier: Apache-2.0
"""Answers say what happened: every figure, how a kernel or a command has ended, why a request is
refused, and what of it was not used."""
import re
import time

from corraltest import ApiTest, SandboxTest, not_emulated, wait_until

MULTIPART = {"Content-Type": "multipart/form-data; boundary=b"}


def parts(*names):
    """A multipart body with one small file for each name."""
    return "".join(f'--b\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\nx\r\n'
                   for name in names).encode() + b"--b--\r\n"


class Answers(SandboxTest):
    def test_every_display_comes_back_in_order(self):
        code = ("from IPython.display import display\n"
                "for n in range(3):\n    display({'image/png': str(n)}, raw=True)\n"
                "display({'application/json': {'a': 1}}, raw=True)\n7")
        for flags in ({}, {"on_result": True}):
            results = self.api.code(self.box, code, **flags)["results"]
            self.assertEqual(results["display"],
                             [{"image/png": "0"}, {"image/png": "1"}, {"image/png": "2"},
                              {"application/json": {"a": 1}}])
            self.assertEqual(results["result"]["data"]["text/plain"], "7")
            self.assertEqual(results["result"]["data"]["image/png"], "0")

    def test_no_display_is_an_empty_list(self):
        self.assertEqual(self.api.code(self.box, "1")["results"]["display"], [])

    def test_a_flood_of_them_is_cut_and_says_so(self):
        code = ("from IPython.display import display\n"
                "for n in range(1200):\n    display({'text/plain': str(n)}, raw=True)")
        shown = self.api.code(self.box, code)["results"]["display"]
        self.assertEqual(shown[:2], [{"text/plain": "0"}, {"text/plain": "1"}])
        self.assertEqual(len(shown), 1001)
        self.assertIn("200 more", shown[-1]["text/plain"])

    def test_a_kernel_that_ends_itself_says_how(self):
        for code, how in (("import os; os._exit(3)", "exit status 3"),
                          ("import os; os.kill(os.getpid(), 15)", "signal 15"),
                          ("import os; os._exit(0)", "exit status 0")):
            for _ in range(2):
                answer = self.api.code(self.box, code)
                self.assertEqual(answer["error"]["name"], "KernelDied", answer)
                self.assertIn(how, answer["error"]["value"])
                self.assertEqual(answer["logs"], {"stdout": [], "stderr": []})

    def test_exit_says_that_the_state_is_gone(self):
        for language, code, set_it, ask in (
                ("python", "exit()", "kept = 1", "'kept' in globals()"),
                ("bash", "exit 3", "kept=1", "echo ${kept-none}")):
            self.api.code(self.box, set_it, language=language)
            self.assertEqual(self.api.code(self.box, set_it, language=language)["logs"]["stderr"], [])
            answer = self.api.code(self.box, code, language=language)
            self.assertIn("restarted: its state is gone", " ".join(answer["logs"]["stderr"]))
            after = self.api.code(self.box, ask, language=language)
            self.assertIn("none" if language == "bash" else "False", str(after["results"]))

    @not_emulated("the guest takes minutes to run out of memory there")
    def test_memory_that_runs_out_says_so(self):
        hungry = "x = [bytearray(64 << 20) for _ in range(64)]"
        box = self.create(memory_mb=400)
        answer = self.api.code(box, hungry)
        self.assertEqual(answer["error"]["name"], "KernelDied", answer)
        self.assertIn("memory is full", answer["error"]["value"])
        stream = self.api.post(f"/sandboxes/{box}/code/run?stream=true", {"code": hungry})
        self.assertIn(b"memory is full", stream.body)
        answer = self.api.run(box, "python3", args=["-c", hungry])
        self.assertIn("memory is full", answer["error"])
        stream = self.api.post(f"/sandboxes/{box}/commands/run?stream=true",
                               {"command": "python3", "args": ["-c", hungry]})
        self.assertIn(b"memory is full", stream.body)

    def upload(self, query, *names):
        return self.api.post(f"/sandboxes/{self.box}/files{query}", parts(*names), headers=MULTIPART)

    def test_the_only_file_fails_with_its_own_status(self):
        self.run_command("mkdir -p /home/user/folder")
        self.assert_error(self.upload("?path=/etc/nope", "nope"), 403, "permission_denied")
        self.assert_error(self.upload("?path=/home/user/folder", "x"), 400, "invalid_path")
        self.assert_error(self.upload("", "/proc/nope/x"), 404, "file_not_found")

    def test_one_of_many_is_an_entry(self):
        answer = self.assert_json(self.upload("", "/home/user/a", "/etc/nope"), 207)
        self.assertEqual([("error" in entry) for entry in answer], [False, True])

    CREATE = {"provider": "p", "region": "r"}

    def refuse(self, answer, *words):
        message = self.assert_error(answer, 400, "invalid_argument")
        for word in words:
            self.assertIn(word, message)

    def test_a_misspelled_field_is_named_with_what_is_meant(self):
        for field, meant in (("timout", "timeout"), ("env_var", "env_vars"), ("regoin", "region"),
                             ("envVars", "env_vars"), ("memory_MB", "memory_mb")):
            self.refuse(self.api.post("/sandboxes", {**self.CREATE, field: 1}), field, meant)
        self.refuse(self.post("commands/run", {"command": "true", "arg": []}), "'arg'", "'args'")
        self.refuse(self.post("code/run", {"cdoe": "1"}), "'cdoe'", "'code'")
        self.refuse(self.api.get("/sandboxes?limt=3"), "'limt'", "'limit'")

    def test_a_field_of_another_route_is_named_with_it(self):
        self.refuse(self.post("commands/run", {"command": "cat", "stdin": "x"}), "'stdin'",
                    "/processes")
        self.refuse(self.api.post("/sandboxes?stream=true", self.CREATE), "'stream'")
        self.refuse(self.post("commands/run", {"command": "true", "stream": True}), "'stream'",
                    "query")
        self.refuse(self.api.get("/templates?status=running"), "'status'")

    def test_any_other_is_told_and_logged(self):
        answer = self.post("commands/run?colour=red", {"command": "true", "x-y\r\nz": 1, "none": None,
                                                       "purpose": "p"})
        self.assertEqual(answer.status, 200, answer)
        self.assertEqual(answer.headers.get_all("X-Corral-Ignored"), ["colour", "x-y??z, purpose"])
        self.assertIn('in=body names="x-y??z, purpose"', self.server.log())
        many = {f"unheard{n}of": 1 for n in range(100)}
        answer = self.post("commands/run", {"command": "true", **many})
        self.assertEqual(len(answer.headers["X-Corral-Ignored"].split(", ")), 16)

    def test_clients_in_use_are_not_refused(self):
        for query in ("?limit=NaN&offset=0", "?limit=100&offset=0&project_id="):
            self.assertEqual(self.api.get(f"/templates{query}").status, 200)
        self.assertEqual(self.api.post(f"/sandboxes/{self.box}/files?path=a&username=u&mode=0o644",
                                       parts("a"), headers=MULTIPART).status, 200)

    def test_zero_and_too_much_are_refused_with_the_option(self):
        for seconds in (0, 3601):
            answer = self.api.post("/sandboxes", {"provider": "p", "region": "r", "timeout": seconds})
            self.assertIn("--timeout-max", self.assert_error(answer, 400, "invalid_argument"))
            answer = self.api.post("/api/v1/sandbox/environments", {"name": "e", "timeout": seconds},
                                   prefix="")
            self.assertIn("--timeout-max", self.assert_error(answer, 400, "invalid_argument"))
        box = self.create()
        answer = self.api.post(f"/sandboxes/{box}/timeout", {"timeout": 0})
        self.assertIn("--timeout-max", self.assert_error(answer, 400, "invalid_argument"))

    def test_the_log_counts_from_the_request(self):
        # Each template in use has its own two.
        wait_until(lambda: re.search(rb"^corral_pool_ready [2-9]",
                                     self.api.get("/metrics", prefix="").body, re.M), 60,
                   "a sandbox waits in the pool")
        began = time.monotonic()
        box = self.create()
        took_ms = (time.monotonic() - began) * 1000
        line = re.search(rf'"sandbox started" sandbox={box} .*ms=([\d.]+)', self.server.log())
        self.assertLess(float(line.group(1)), took_ms)  # those of the pool are older

    def found(self, query):
        answer = self.assert_json(self.api.get(f"/sandboxes{query}"), 200)
        self.assertEqual(answer["total"], len(answer["sandboxes"]))
        return {s["sandbox_id"] for s in answer["sandboxes"]}

    def test_status_and_metadata_narrow_a_list(self):
        one = self.create(metadata={"project": "a b", "n": 1})
        two = self.create(metadata={"project": "c"})
        gone = self.create(metadata={"project": "c"})
        self.api.delete(f"/sandboxes/{gone}")
        self.assertEqual(self.found("?status=running") & {one, two, gone}, {one, two})
        self.assertEqual(self.found("?status=terminated") & {one, two, gone}, {gone})
        self.assertLessEqual({one, two, gone}, self.found("?status=running,terminated"))
        self.assertEqual(self.found("?metadata=project=c"), {two, gone})
        self.assertEqual(self.found("?metadata=project=c&status=running"), {two})
        self.assertEqual(self.found("?metadata=project%3Da%20b&metadata=n=1"), {one})
        self.assertEqual(self.found("?metadata=project=a%20b&metadata=n=2"), set())
        for query in ("?status=asleep", "?metadata=project"):
            self.assert_error(self.api.get(f"/sandboxes{query}"), 400, "invalid_argument")

    def test_an_import_warns_of_nothing(self):
        box = self.create(template="javascript-base-v1")
        answer = self.api.code(box, 'import fs from "fs"; typeof fs.readFileSync',
                               language="javascript")
        self.assertIsNone(answer["error"], answer)
        self.assertEqual(answer["logs"]["stderr"], [])


class Options(ApiTest):
    options = ("--timeout-max", "0", "--unknown-fields", "reject", "--max-cpus", "3",
               "--max-sandbox-memory", "3GiB", "--max-sandbox-disk", "20GiB")

    def test_zero_means_for_ever(self):
        sandbox = self.api.create(timeout=0)
        box = sandbox["sandbox_id"]
        self.addCleanup(self.api.delete, f"/sandboxes/{box}")
        self.assertIsNone(sandbox["timeout_at"])
        self.assert_time(self.api.post(f"/sandboxes/{box}/timeout", {"timeout": 86400}).json["timeout_at"])
        answer = self.api.post(f"/sandboxes/{box}/timeout", {"timeout": 0}).json
        self.assertEqual((answer["timeout"], answer["timeout_at"]), (0, None))
        self.server.kill()
        self.server.again()
        self.api.key = self.server.key
        self.assertEqual(self.status_of(box), "running")
        self.assertIsNone(self.api.get(f"/sandboxes/{box}").json["timeout_at"])

    def test_all_of_them_are_refused(self):
        answer = self.api.post("/sandboxes", {"provider": "p", "region": "r", "purpose": "p"})
        self.assertIn("'purpose'", self.assert_error(answer, 400, "invalid_argument"))
        answer = self.api.get("/sandboxes?colour=red")
        self.assertIn("'colour'", self.assert_error(answer, 400, "invalid_argument"))
        self.assertEqual(self.api.get("/sandboxes?limit=1").status, 200)

    def test_a_sandbox_has_the_size_that_is_asked_for(self):
        sandbox = self.api.create(cpu_count=1, memory_mb=300)
        self.addCleanup(self.api.delete, f"/sandboxes/{sandbox['sandbox_id']}")
        self.assertEqual((sandbox["cpu_count"], sandbox["memory_mb"]), (1, 300))
        self.assertEqual(self.api.get(f"/sandboxes/{sandbox['sandbox_id']}/metrics").json["memory_total"],
                         300)
        hungry = "x = bytearray(600 << 20); print(len(x))"
        self.assertFalse(self.api.run(sandbox["sandbox_id"], "python3", args=["-c", hungry])["success"])
        self.assertTrue(self.api.run(self.create(), "python3", args=["-c", hungry])["success"])

    def test_the_limits_are_named(self):
        for field, value, option in (("cpu_count", 4, "--max-cpus"), ("cpu_count", 0, "--max-cpus"),
                                     ("memory_mb", 4000, "--max-sandbox-memory"),
                                     ("memory_mb", 10, "--max-sandbox-memory"),
                                     ("disk_mb", 30000, "--max-sandbox-disk")):
            answer = self.api.post("/sandboxes", {"provider": "p", "region": "r", field: value})
            self.assertIn(option, self.assert_error(answer, 400, "invalid_argument"))


class RateLimits(ApiTest):
    options = ("--rate-limit", "20/min,20/s", "--banner")

    def test_the_refusal_names_the_option(self):
        answers = [self.api.get("/templates") for _ in range(40)]
        refused = next(a for a in answers if a.status == 429)
        self.assertIn("--rate-limit", self.assert_error(refused, 429, "rate_limited"))
        self.assertIn("20/min,20/s", refused.json["error"]["message"])
        self.assertIn("20/min,20/s requests (--rate-limit", self.server.log())

    def key(self, **fields):
        wait_until(lambda: self.api.get("/templates").status == 200, 90, "the minute is over")
        answer = self.api.post("/v1/admin/keys", fields, prefix="")
        self.assertEqual(answer.status, 201, answer)
        return answer.json

    def test_a_key_has_a_limit_of_its_own(self):
        self.server.stop()
        text = self.server.run("key", "create", "--role", "viewer", "--key-rate-limit", "off").stdout
        self.server.again()
        free = self.server.connect(text.strip())
        answers = [free.get("/templates") for _ in range(60)]
        self.assertEqual({a.status for a in answers}, {200})
        self.assertIsNone(answers[0].headers["X-RateLimit-Limit"])
        made = self.key(rate_limit="7/min,7/s")
        self.assertEqual(made["rate_limit"], "7/min,7/s")
        narrow = self.server.connect(made["key"])
        answers = [narrow.get("/templates") for _ in range(8)]
        self.assertEqual([a.status for a in answers], [200] * 7 + [429])
        self.assertEqual(answers[0].headers["X-RateLimit-Limit"], "7")
        self.assertIn("7/min,7/s: this key's own", answers[-1].json["error"]["message"])
        listed = {k["id"]: k["rate_limit"] for k in
                  self.api.get("/v1/admin/keys", prefix="").json["keys"]}
        self.assertEqual(listed[made["id"]], "7/min,7/s")
        self.assertIn("off", listed.values())
        self.assertIn(None, listed.values())
        answer = self.api.post("/v1/admin/keys", {"rate_limit": "often"}, prefix="")
        self.assert_error(answer, 400, "invalid_argument")
