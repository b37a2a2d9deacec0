# SPDX-License-Identifier: Apache-2.0
"""What a person tries in the first twenty minutes: the documented path to the letter, and the next
step beside it."""
import base64
import hashlib
import io
import json
import os
import re
import subprocess
import tempfile
import unittest
import zipfile

from corraltest import HOST, SandboxTest, not_emulated, wait_until
from recipes import RecipeServer

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CLIENT = os.path.join(os.path.dirname(HOST.program("release")), "cli", "corral")


def wheel(name, module, script):
    """A wheel with one module and one program, as `pip wheel` would make it."""
    files = {
        f"{name}.py": module,
        f"{name}-1.0.dist-info/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        f"{name}-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: test\n"
                                       "Root-Is-Purelib: true\nTag: py3-none-any\n",
        f"{name}-1.0.dist-info/entry_points.txt": f"[console_scripts]\n{script}={name}:main\n",
    }
    record = ""
    for path, text in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=")
        record += f"{path},sha256={digest.decode()},{len(text)}\n"
    files[f"{name}-1.0.dist-info/RECORD"] = record + f"{name}-1.0.dist-info/RECORD,,\n"
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
    return data.getvalue()


class Packages(SandboxTest):
    def upload(self, name, data):
        edge = "newcomer"
        head = f'Content-Disposition: form-data; name="file"; filename="{name}"'
        body = (f"--{edge}\r\n{head}\r\n\r\n".encode() + data + f"\r\n--{edge}--\r\n".encode())
        self.assert_json(self.post("upload", body, headers={
            "Content-Type": f"multipart/form-data; boundary={edge}"}), 200)

    def test_pip_installs_an_uploaded_wheel(self):
        module = "def main():\n    print('installed')\n"
        self.upload("/home/user/greet-1.0-py3-none-any.whl", wheel("greet", module, "greet-now"))
        answer = self.run_command("pip install --no-index ./greet-*.whl && greet-now")
        self.assertEqual(answer["exit_code"], 0, answer)
        self.assertTrue(answer["stdout"].endswith("installed\n"), answer["stdout"])

    def test_pip_in_a_kernel_that_has_started_before(self):
        self.assertEqual(self.code("1 + 1"), "2")
        self.upload("/home/user/late-1.0-py3-none-any.whl",
                    wheel("late", "word = 'later'\ndef main():\n    pass\n", "late-now"))
        self.api.code(self.box, "%pip install --no-index /home/user/late-1.0-py3-none-any.whl")
        self.assertEqual(self.code("import late; late.word"), "'later'")

    def code(self, text):
        answer = self.api.code(self.box, text)
        self.assertIsNone(answer["error"], answer)
        return answer["results"]["result"]["data"]["text/plain"]

    def test_a_virtual_environment(self):
        answer = self.run_command("python3 -m venv --without-pip /tmp/v && /tmp/v/bin/python -V")
        self.assertEqual((answer["exit_code"], answer["stderr"]), (0, ""))

    def test_a_place_to_work_in(self):
        answer = self.run_command("echo here > file && cat file && pwd", working_dir="/workspace")
        self.assertEqual(answer["stdout"], "here\n/workspace\n")

    def test_three_figures(self):
        answer = self.api.code(self.box, "import matplotlib.pyplot as plt\n"
                               "for n in range(3):\n    plt.plot([0, n])\n    plt.show()")
        self.assertIsNone(answer["error"], answer)
        figures = [shown["image/png"] for shown in answer["results"]["display"]]
        self.assertEqual(len(set(figures)), 3)
        for figure in figures:
            self.assertTrue(base64.b64decode(figure).startswith(b"\x89PNG"))

    def test_a_port_by_path(self):
        """For a client that does not resolve names below .localhost."""
        self.run_command("mkdir -p site && echo '<h1>here</h1>' >site/index.html && cd site && "
                         "(setsid python3 -m http.server 8080 --bind 127.0.0.1 >/dev/null 2>&1 &)")
        page = f"/sandboxes/{self.box}/ports/8080/index.html"
        wait_until(lambda: self.api.get(page).status == 200, 30, "the port answers by path")
        self.assertEqual(self.api.get(page).body, b"<h1>here</h1>\n")



def blocks(page):
    """The shell commands of a page."""
    with open(os.path.join(TOP, page), encoding="utf-8") as file:
        return re.findall(r"```sh\n(.*?)```", file.read(), re.S)


@not_emulated("the commands are for this machine")
class Documented(SandboxTest):
    """README's commands, with the test server's address and key in place of the usual ones."""

    def sh(self, text):
        for usual, ours in (("/var/lib/corral", self.server.state),
                            ("127.0.0.1:8000", f"127.0.0.1:{self.server.port}"),
                            ("build/src/cli/corral", CLIENT)):
            text = text.replace(usual, ours)
        environment = {**os.environ, "CORRAL_URL": f"http://127.0.0.1:{self.server.port}",
                       "CORRAL_STATE_DIR": self.server.state}
        environment.pop("CORRAL_API_KEY", None)
        with tempfile.TemporaryDirectory(prefix="corral-newcomer-") as folder:
            done = subprocess.run(["bash", "-euo", "pipefail", "-c", text], env=environment,
                                  cwd=folder, capture_output=True, text=True, timeout=300,
                                  check=False)
        self.assertEqual(done.returncode, 0, done.stderr + done.stdout)
        return done.stdout

    def block(self, word):
        return next(text for text in blocks("README.md") if word in text)

    def test_curl(self):
        ran, ended = self.sh(self.block("ID=$(curl").replace("'\n\n", "'; echo\n\n")).splitlines()
        self.assertEqual([o["line"] for o in json.loads(ran)["results"]["stdout"]], ["10"])
        self.assertIn("terminated", json.loads(ended)["message"])

    def test_client(self):
        lines = self.block("corral run").splitlines()
        run = next(line for line in lines if "corral run" in line)
        code = next(line for line in lines if "corral code" in line)
        self.assertEqual(self.sh(run), "42\n")
        self.assertRegex(self.sh(code), r"^'[0-9.]+'\n$")

    def test_a_folder_up_and_down(self):
        line = next(line for line in self.block("corral cp").splitlines() if "corral cp" in line)
        up = line[:line.index("#")].strip()
        down = "corral " + line[line.index("cp -r ID:"):]
        out = self.sh(f"""
            mkdir -p project && echo 'print(6 * 7)' >project/main.py
            {up.replace("ID", self.box)}
            build/src/cli/corral run --sandbox {self.box} -- sh -c \\
                'cd project && mkdir results && python3 main.py >results/answer'
            build/src/cli/{down.replace("ID", self.box)}
            cat results/answer""")
        self.assertEqual(out, "42\n")

    def test_manuals(self):
        with open(os.path.join(TOP, "README.md"), encoding="utf-8") as file:
            readme = file.read()
        for page in os.listdir(os.path.join(TOP, "man")):
            self.assertIn(f"man/{page}", readme)

    def test_masked(self):
        """What a container could tell of the host; a microVM has a kernel of its own."""
        for path in ("/proc/cmdline", "/proc/modules", "/proc/interrupts", "/proc/partitions"):
            here = HOST.read(path)
            there = self.api.run(self.box, f"cat {path} 2>/dev/null || true")["stdout"]
            if here.strip():
                self.assertNotEqual(there.encode(), here, path)


@not_emulated("there is nothing to build templates with")
class OwnTemplate(unittest.TestCase):
    """A template of one's own, used before it was built."""

    def test_created_before_it_was_built(self):
        server = RecipeServer(("--templates", "asked"))
        self.addCleanup(lambda: self.assertEqual(server.close(), []))
        server.add("mine")
        server.mark("mine")
        server.start()
        self.assertIn("mine", [t["name"] for t in server.client.get("/templates").json["templates"]])
        self.assertEqual(server.client.get("/templates/mine").json["status"], "not_built")
        box = server.client.create(template="mine")["sandbox_id"]
        self.assertEqual(server.client.run(box, "echo here")["stdout"], "here\n")
        wait_until(lambda: server.client.get("/templates/mine").json["status"] == "ready", 30,
                   "the template is ready")


if __name__ == "__main__":
    unittest.main()
