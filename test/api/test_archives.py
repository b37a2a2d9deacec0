# SPDX-License-Identifier: Apache-2.0
"""Directories as tar archives, down and up: what is kept, what is refused, what stays outside."""
import io
import os
import tarfile
import unittest

from corraltest import SandboxTest

TAR = {"Content-Type": "application/x-tar"}


def archive(*entries, form=tarfile.PAX_FORMAT):
    """(name, contents) of files, or (name, type, target)."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=form) as tar:
        for name, *rest in entries:
            info = tarfile.TarInfo(name)
            if len(rest) == 1:
                info.size = len(rest[0])
                tar.addfile(info, io.BytesIO(rest[0]))
            else:
                info.type, info.linkname = rest
                tar.addfile(info)
    return data.getvalue()


class Archives(SandboxTest):
    def up(self, path, data):
        return self.post(f"upload?path={path}", data, headers=TAR)

    def down(self, path):
        return self.api.get(f"/sandboxes/{self.box}/download?path={path}",
                            headers={"Accept": "application/x-tar"})

    def sh(self, command):
        answer = self.run_command(command)
        self.assertEqual(answer["exit_code"], 0, answer)
        return answer["stdout"]

    def test_down(self):
        self.sh("mkdir -p down/a/empty && cd down && echo one >a/one && head -c 300000 /dev/urandom "
                ">big && chmod 750 big && ln -s a/one link && mkfifo pipe && touch 'ü b'")
        answer = self.down("down")
        self.assertEqual(answer.status, 200, answer)
        self.assertEqual(answer.headers["Content-Type"], "application/x-tar")
        self.assertIn('filename="down.tar"', answer.headers["Content-Disposition"])
        with tarfile.open(fileobj=io.BytesIO(answer.body)) as tar:
            members = {m.name: m for m in tar.getmembers()}
            self.assertEqual(set(members), {".", "a", "a/empty", "a/one", "big", "link", "ü b"})
            self.assertEqual(tar.extractfile("a/one").read(), b"one\n")
            self.assertEqual((members["big"].size, members["big"].mode), (300000, 0o750))
            self.assertEqual(members["link"].linkname, "a/one")

    def test_there_and_back(self):
        deep = "/".join(["directory"] * 20)
        sent = archive(("a", b"text"), (f"{deep}/file", b"x" * 100000), ("n" * 200, b"long"),
                       ("l", tarfile.SYMTYPE, "a"), ("d/u", tarfile.SYMTYPE, "../a"),
                       ("h", tarfile.LNKTYPE, "a"))
        answer = self.assert_json(self.up("/home/user/new/place", sent), 200)
        self.assertEqual((answer["path"], answer["entries"], answer["size"]),
                         ("/home/user/new/place", 6, 100008))
        self.assertEqual(self.sh("cd new/place && cat l d/u h && stat -c '%h %U' a"),
                         "texttexttext2 user\n")
        with tarfile.open(fileobj=io.BytesIO(self.down("/home/user/new/place").body)) as tar:
            self.assertEqual(tar.extractfile(f"{deep}/file").read(), b"x" * 100000)
            self.assertEqual(tar.extractfile("n" * 200).read(), b"long")

    def test_every_format(self):
        for form in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
            with self.subTest(form=form):
                name = "p" * 90 + "/" + "q" * 90
                self.assert_json(self.up(f"/tmp/form{form}", archive((name, b"yes"), form=form)), 200)
                self.assertEqual(self.sh(f"cat /tmp/form{form}/{name}"), "yes")

    def test_what_leads_out_is_refused(self):
        self.sh("mkdir -p /tmp/in /tmp/out && ln -sfn /tmp/out /tmp/in/through")
        for number, entry in enumerate((
                ("../out/x", b"no"), ("/tmp/out/x", b"no"), ("a/../../out/x", b"no"),
                ("l", tarfile.SYMTYPE, "/tmp/out"), ("l", tarfile.SYMTYPE, "../out"),
                ("a/l", tarfile.SYMTYPE, "../../out"), ("h", tarfile.LNKTYPE, "../out"),
                ("d", tarfile.CHRTYPE, ""), ("f", tarfile.FIFOTYPE, ""), ("through/x", b"no"))):
            with self.subTest(entry=entry):
                answer = self.up("/tmp/in", archive((f"fine{number}", b"ok"), entry))
                self.assertIn(answer.status, (400, 403, 404, 409), answer)
                self.assertNotEqual(answer.json["error"]["message"], "")
                # What came before stays, and nothing else.
                self.assertEqual(self.sh(f"cat /tmp/in/fine{number}; ls -A /tmp/out"), "ok")
                self.sh("test ! -e /tmp/in/l -a ! -L /tmp/in/l -a ! -e /tmp/in/d -a ! -e /tmp/in/f")

    def test_what_is_no_archive(self):
        whole = archive(("half", b"x" * 100000))
        for data in (b"", b"text " * 1000, whole[:50000], whole[:-5000] + b"\1" * 100):
            with self.subTest(size=len(data)):
                self.assert_error(self.up("/tmp/bad", data), 400, "invalid_argument")
                self.assertEqual(self.sh("ls -A /tmp/bad"), "")

    def test_places_that_are_none(self):
        self.assert_error(self.up("/etc/new", archive(("a", b""))), 403, "permission_denied")
        self.sh("touch /tmp/file")
        self.assertIn(self.up("/tmp/file", archive(("a", b""))).status, (400, 409))
        self.assertEqual(self.down("/tmp/none").status, 404)
        self.assert_error(self.down("/tmp/file"), 400, "invalid_path")
        self.assertEqual(self.api.get(f"/sandboxes/{self.box}/download",
                                      headers={"Accept": "application/x-tar"}).status, 400)
        self.assertEqual(self.post("upload", archive(("a", b"")), headers=TAR).status, 400)

    def test_many_files(self):
        sent = archive(*((f"d{i % 50}/f{i}", os.urandom(i % 700)) for i in range(3000)))
        answer = self.assert_json(self.up("/tmp/many", sent), 200)
        self.assertEqual(answer["entries"], 3000)
        with tarfile.open(fileobj=io.BytesIO(sent)) as tar:
            want = {m.name: tar.extractfile(m).read() for m in tar.getmembers()}
        with tarfile.open(fileobj=io.BytesIO(self.down("/tmp/many").body)) as tar:
            got = {m.name: tar.extractfile(m).read() for m in tar.getmembers() if m.isfile()}
        self.assertEqual(got, want)


if __name__ == "__main__":
    unittest.main()
