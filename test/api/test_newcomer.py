# SPDX-License-Identifier: Apache-2.0
"""What a person tries in the first twenty minutes, beside the documented path."""
import base64
import hashlib
import io
import unittest
import zipfile

from corraltest import SandboxTest


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


if __name__ == "__main__":
    unittest.main()
