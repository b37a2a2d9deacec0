# SPDX-License-Identifier: Apache-2.0
"""The client corral: files both ways, a look into a sandbox, completion, help."""
import os
import shutil
import subprocess
import tempfile
import unittest

from corraltest import SandboxTest
from hosts import CORRAL, patience


class Client(SandboxTest):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="corral-cli-")
        self.addCleanup(folder.cleanup)
        self.dir = folder.name

    def corral(self, *arguments, status=0, stdin=b""):
        environment = {**os.environ, "CORRAL_URL": f"http://127.0.0.1:{self.server.port}",
                       "CORRAL_API_KEY": self.server.key}
        done = subprocess.run([CORRAL, *arguments], env=environment, input=stdin, cwd=self.dir,
                              capture_output=True, timeout=patience(120), check=False)
        self.assertEqual(done.returncode, status, (arguments, done.stderr.decode()))
        return done.stdout.decode() if status == 0 else done.stderr.decode()

    def place(self, path):
        return f"{self.box}:{path}"

    def put(self, path, text):
        path = os.path.join(self.dir, path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)

    def get(self, path):
        with open(os.path.join(self.dir, path), encoding="utf-8") as file:
            return file.read()

    def sh(self, command):
        answer = self.run_command(command)
        self.assertEqual(answer["exit_code"], 0, answer)
        return answer["stdout"]

    def test_a_folder_up_and_down(self):
        for number in range(40):
            self.put(f"project/d{number % 4}/f{number}", "x" * number)
        os.symlink("d0/f0", f"{self.dir}/project/link")
        os.chmod(f"{self.dir}/project/d1/f1", 0o750)
        self.corral("cp", "-r", "project", self.place("work"))
        self.assertEqual(self.sh("find work -type f | wc -l; readlink work/link; "
                                 "stat -c %a work/d1/f1").split(), ["40", "d0/f0", "750"])
        self.corral("cp", "-r", self.place("work"), "back")
        self.assertEqual(subprocess.run(["diff", "-r", "project", "back"], cwd=self.dir,
                                        check=False).returncode, 0)
        # What is there already is copied into.
        self.corral("cp", "project", self.place("work"))
        self.corral("cp", self.place("work/project/d1"), ".")
        self.assertEqual(sorted(os.listdir(f"{self.dir}/d1")),
                         sorted(os.listdir(f"{self.dir}/project/d1")))

    def test_a_file_up_and_down(self):
        self.put("note", "hello")
        for to, there in (("", "note"), ("/tmp/", "/tmp/note"), ("/tmp/other", "/tmp/other"),
                          ("new/a/b", "new/a/b"), (".", "note"), ("new", "new/note")):
            self.corral("cp", "note", self.place(to))
            self.assertEqual(self.sh(f"cat {there} && rm {there}"), "hello", to)
        self.sh("mkdir -p d && echo down >d/file && touch 'd/ä b:c'")
        for to, here in (("got", "got"), (".", "file")):
            self.corral("cp", self.place("d/file"), to)
            self.assertEqual(self.get(here), "down\n")
        self.corral("cp", self.place("d/ä b:c"), "./x:y")
        self.assertEqual(self.get("x:y"), "")

    def test_what_cannot_be_copied(self):
        self.put("note", "hello")
        for arguments, word in (
                (("none", self.place("")), "No such file"),
                (("note", self.place("/etc/x")), "Permission denied"),
                ((self.place("none"), "."), "there is no none"),
                (("note", "00000000-0000-0000-0000-000000000000:x"), "sandbox_not_found")):
            self.assertIn(word, self.corral("cp", *arguments, status=1))
        self.assertIn("one of the two", self.corral("cp", "note", "other", status=2))
        self.assertFalse([n for n in os.listdir(self.dir) if n != "note"])

    def test_a_sandbox_leads_nowhere_else(self):
        """A link in the way of what is unpacked is not followed."""
        self.sh("mkdir -p evil/through && echo bad >evil/through/file")
        os.makedirs(f"{self.dir}/outside")
        os.makedirs(f"{self.dir}/to/evil")
        os.symlink("../../outside", f"{self.dir}/to/evil/through")
        self.assertIn("is a link", self.corral("cp", self.place("evil"), "to", status=1))
        self.assertEqual(os.listdir(f"{self.dir}/outside"), [])
        self.sh("rm -r evil && mkdir evil && ln -s /etc/passwd evil/l")
        self.assertIn("out of the tree", self.corral("cp", self.place("evil"), "new", status=1))

    def test_a_look_inside(self):
        self.sh("mkdir -p look/below && printf 'a\\0b' >look/file")
        listed = self.corral("ls", self.place("look"))
        self.assertRegex(listed, r"(?m)^file +3 .* file$")
        self.assertRegex(listed, r"(?m)^dir .* below$")
        self.assertIn("look", self.corral("ls", self.box))
        self.assertEqual(self.corral("cat", self.place("look/file")), "a\0b")
        self.assertIn("file_not_found", self.corral("cat", self.place("look/none"), status=1))
        self.assertIn(f"{self.box}-8000.", self.corral("url", self.box, "8000"))
        self.assertIn("no port", self.corral("url", self.box, "x", status=2))
        shown = self.corral("sandbox", "get", self.box)
        self.assertRegex(shown, rf"(?m)^sandbox_id +{self.box}$")
        self.assertRegex(shown, r"(?m)^status +running$")

    def test_standard_input_and_output_of_run(self):
        out = self.corral("run", "--sandbox", self.box, "--", "sh", "-c", "cat; echo end",
                          stdin=b"given\n")
        self.assertEqual(out, "given\nend\n")

    def test_help_of_each_command(self):
        text = self.corral("--help")
        for words in ("cp", "ls", "cat", "url", "run", "shell", "sandbox get", "completion"):
            self.assertIn(f"\n  {words} ", text)
            self.assertIn(f"usage: corral {words} ", self.corral(*words.split(), "--help"))
        self.assertIn("corral sandbox kill ID...", self.corral("sandbox", "--help"))

    def complete(self, *words):
        script = (f'PATH={os.path.dirname(CORRAL)}:$PATH; . <(corral completion bash); '
                  f'COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _corral; '
                  f'printf "%s\\n" "${{COMPREPLY[@]}}"')
        environment = {**os.environ, "CORRAL_URL": f"http://127.0.0.1:{self.server.port}",
                       "CORRAL_API_KEY": self.server.key}
        done = subprocess.run(["bash", "-c", script, "bash", *words], env=environment, text=True,
                              capture_output=True, timeout=60, check=True)
        self.assertEqual(done.stderr, "")
        return done.stdout.split()

    def test_completion(self):
        self.assertEqual(self.complete("corral", "sa"), ["sandbox"])
        self.assertEqual(self.complete("corral", "c"), ["code", "cp", "cat", "completion"])
        self.assertEqual(self.complete("corral", "sandbox", ""),
                         ["create", "list", "get", "pause", "resume", "paused", "snapshot", "fork",
                          "rollback", "kill"])
        self.assertIn("--template", self.complete("corral", "sandbox", "create", "--t"))
        self.assertEqual(self.complete("corral", "run", "--deny"), ["--deny-all"])
        self.assertIn(self.box, self.complete("corral", "sandbox", "get", self.box[:4]))
        self.assertEqual(self.complete("corral", "completion", "z"), ["zsh"])
        if shutil.which("zsh"):
            done = subprocess.run(["zsh", "-fc", f"autoload -U compinit && compinit -u -D; "
                                   f". <({CORRAL} completion zsh); whence _corral"],
                                  capture_output=True, timeout=60, check=False)
            self.assertEqual(done.returncode, 0, done.stderr)


if __name__ == "__main__":
    unittest.main()
