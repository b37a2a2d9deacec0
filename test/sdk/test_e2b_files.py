# SPDX-License-Identifier: Apache-2.0
"""Files through the official Python packages of E2B."""
import datetime
import io
import os
import time
import urllib.parse
import urllib.request
import zlib

from sdktest import Sandbox, SdkTest, patience

import e2b


class TestFiles(SdkTest):
    @classmethod
    def prepare(cls):
        super().prepare()
        cls.sandbox = Sandbox.create(timeout=900)
        cls.files = cls.sandbox.files

    def test_text_and_relative_paths(self):
        written = self.files.write("hello.txt", "hällo")
        self.assertEqual(written.path, "/home/user/hello.txt")
        self.assertEqual(self.files.read("/home/user/hello.txt"), "hällo")

    def test_bytes_and_streams(self):
        data = os.urandom(3 << 20)
        self.files.write("/tmp/blob", data)
        self.assertEqual(bytes(self.files.read("/tmp/blob", format="bytes")), data)
        self.assertEqual(b"".join(self.files.read("/tmp/blob", format="stream")), data)

    def test_many_files(self):
        names = ["/tmp/many/a.txt", "many/b.txt", "many/ü \"q\".txt"]
        written = self.files.write_files(
            [{"path": n, "data": f"of {n}"} for n in names])
        self.assertEqual([w.path for w in written],
                         [n if n[0] == "/" else f"/home/user/{n}" for n in names])
        for name in names:
            self.assertEqual(self.files.read(name), f"of {name}")

    def test_forms_of_uploads(self):
        sandbox, data = self.sandbox, os.urandom(300000)
        self.files.write("/tmp/io", io.BytesIO(data))
        self.assertEqual(bytes(self.files.read("/tmp/io", format="bytes")), data)
        self.files.write("/tmp/empty", "")
        self.assertEqual(self.files.read("/tmp/empty"), "")
        headers = {"E2b-Sandbox-Id": sandbox.sandbox_id, "E2b-Sandbox-Port": "49983",
                   "X-Access-Token": sandbox._envd_access_token,
                   "Content-Type": "application/octet-stream"}
        packer = zlib.compressobj(wbits=31)
        packed = packer.compress(b"zero " * 400000) + packer.flush()
        status, body = self.raw("POST", "/files?path=/tmp/packed", packed,
                                {**headers, "Content-Encoding": "gzip"})
        self.assertEqual(status, 200, body)
        self.assertEqual(self.files.read("/tmp/packed"), "zero " * 400000)
        status, _ = self.raw("POST", "/files?path=/tmp/broken", packed[:-9],
                             {**headers, "Content-Encoding": "gzip"})
        self.assertEqual(status, 400)
        self.assertFalse(self.files.exists("/tmp/broken"))
        status, _ = self.raw("POST", "/files?path=/tmp/pieces", iter([data[:70000], data[70000:]]),
                             headers)
        self.assertEqual(status, 200)
        self.assertEqual(bytes(self.files.read("/tmp/pieces", format="bytes")), data)

    def test_gzip_of_the_package(self):
        self.files.write("/tmp/gz", "text " * 1000, gzip=True)
        self.assertEqual(self.files.read("/tmp/gz", gzip=True), "text " * 1000)

    def test_list(self):
        self.sandbox.commands.run("mkdir -p tree/a/b && echo 12345 > tree/a/f && chmod 640 tree/a/f"
                                  " && ln -s a/f tree/link && touch tree/a/b/deep")
        found = {e.path: e for e in self.files.list("tree", depth=3)}
        root = "/home/user/tree"
        self.assertEqual(set(found), {f"{root}/a", f"{root}/a/b", f"{root}/a/f",
                                      f"{root}/a/b/deep", f"{root}/link"})
        entry = found[f"{root}/a/f"]
        self.assertEqual((entry.size, entry.mode, entry.permissions), (6, 0o640, "-rw-r-----"))
        self.assertEqual(entry.owner, "user")
        self.assertEqual(found[f"{root}/link"].symlink_target, f"{root}/a/f")
        self.assertEqual(found[f"{root}/a"].type, e2b.FileType.DIR)
        age = datetime.datetime.now(datetime.timezone.utc) - entry.modified_time
        self.assertLess(abs(age.total_seconds()), 60)

    def test_make_move_remove(self):
        files = self.files
        self.assertTrue(files.make_dir("dirs/x/y"))
        self.assertFalse(files.make_dir("dirs/x/y"))
        files.write("dirs/x/y/f", "f")
        self.assertTrue(files.exists("dirs/x/y/f"))
        self.assertEqual(files.rename("dirs/x/y/f", "dirs/z/g").path, "/home/user/dirs/z/g")
        self.assertFalse(files.exists("dirs/x/y/f"))
        self.assertEqual(files.get_info("dirs/z/g").name, "g")
        files.remove("dirs")
        self.assertFalse(files.exists("dirs"))

    def test_metadata(self):
        files, noted = self.files, {"Author": "me", "x-y": "a = b, 100%"}
        kept = {k.lower(): v for k, v in noted.items()}
        for body in ("text", io.BytesIO(b"raw")):
            written = files.write("notes/a.txt", body, metadata=noted)
            self.assertEqual(written.metadata, kept)
            self.assertEqual(files.get_info("notes/a.txt").metadata, kept)
        many = files.write_files([{"path": f"notes/{n}", "data": n} for n in "bc"],
                                 metadata={"k": "v"})
        self.assertEqual([w.metadata for w in many], [{"k": "v"}] * 2)
        self.assertEqual({e.name: e.metadata for e in files.list("notes")},
                         {"a.txt": kept, "b": {"k": "v"}, "c": {"k": "v"}})
        self.assertEqual(files.rename("notes/b", "notes/d").metadata, {"k": "v"})
        self.assertIsNone(files.write("notes/a.txt", "again").metadata)
        self.assertIsNone(files.get_info("notes/a.txt").metadata)
        result = self.sandbox.commands.run(
            "cd notes && python3 -c \"import os; print(os.getxattr('c', 'user.e2b.k'));"
            " os.setxattr('c', 'user.e2b.own', b'1'); os.setxattr('c', 'user.other', b'1')\"")
        self.assertEqual(result.stdout, "b'v'\n")
        self.assertEqual(files.get_info("notes/c").metadata, {"k": "v", "own": "1"})
        with self.assertRaises(e2b.SandboxException):
            files.write("notes/e", "", metadata={"long": "v" * 20000})
        self.assertFalse(files.exists("notes/e"))

    def test_files_of_another_user(self):
        files, run = self.files, self.sandbox.commands.run
        for name, body in (("a", "text"), ("b", io.BytesIO(b"text"))):
            written = files.write(f"own/{name}", body, user="root")
            self.assertEqual(written.path, f"/root/own/{name}")
            info = files.get_info(f"~/own/{name}", user="root")
            self.assertEqual((info.path, info.owner, info.group),
                             (written.path, "root", "root"))
        self.assertEqual(files.read("own/a", user="root"), "text")
        self.assertEqual({e.name for e in files.list("own", user="root")}, {"a", "b"})
        with self.assertRaises(e2b.SandboxException):
            files.read(written.path)
        self.assertTrue(files.make_dir("/srv/deep/er", user="root"))
        self.assertFalse(files.make_dir("/srv/deep/er", user="root"))
        self.assertEqual(files.rename("own/b", "/srv/deep/b", user="root").path, "/srv/deep/b")
        handle = files.watch_dir("/srv/deep", user="root")
        files.write("/srv/deep/c", "c", user="root")
        seen, end = set(), time.monotonic() + patience(10)
        while "c" not in seen and time.monotonic() < end:
            seen |= {e.name for e in handle.get_new_events()}
            time.sleep(0.1)
        handle.stop()
        self.assertIn("c", seen)
        files.remove("/srv/deep", user="root")
        self.assertFalse(files.exists("/srv/deep", user="root"))
        # A user's groups count, and those of the user before do not.
        run("useradd -m -G games other && mkdir /srv/g && chgrp games /srv/g && chmod 770 /srv/g"
            " && mkdir /srv/u && chgrp user /srv/u && chmod 770 /srv/u", user="root")
        self.assertEqual(files.write("/srv/g/f", "1", user="other").path, "/srv/g/f")
        self.assertEqual(files.write("mine", "1", user="other").path, "/home/other/mine")
        self.assertEqual(files.get_info("/home/other/mine", user="root").owner, "other")
        with self.assertRaises(e2b.SandboxException):
            files.write("/srv/u/f", "1", user="other")
        files.write("/srv/u/f", "1")
        with self.assertRaises(e2b.SandboxException):
            files.write("/srv/g/g", "1")
        for call in (files.read, files.list, files.make_dir, files.exists):
            with self.assertRaises(e2b.AuthenticationException):
                call("x", user="nobody-of-this-name")
        url = self.sandbox.download_url("own/a", user="root")
        with urllib.request.urlopen(url) as answer:
            self.assertEqual(answer.read(), b"text")
        self.assertEqual(self.raw("GET", url[url.index("/files"):].replace(
            "username=root", "username=user"))[0], 401)

    def test_what_is_missing(self):
        for call in (self.files.read, self.files.get_info, self.files.list):
            with self.assertRaises(e2b.FileNotFoundException):
                call("/no/such/file")
        with self.assertRaises(e2b.InvalidArgumentException):
            self.files.read("/tmp")

    def test_watch(self):
        self.files.make_dir("watched/sub")
        handle = self.files.watch_dir("watched", recursive=True)
        self.files.write("watched/a", "1")
        self.files.write("watched/sub/b", "2")
        self.files.remove("watched/a")
        events, end = [], time.monotonic() + patience(10)
        while time.monotonic() < end and not any(
                e.type == e2b.FilesystemEventType.REMOVE for e in events):
            events += handle.get_new_events()
            time.sleep(0.2)
        handle.stop()
        seen = {(e.name, e.type) for e in events}
        kinds = e2b.FilesystemEventType
        self.assertIn(("a", kinds.CREATE), seen)
        self.assertIn(("a", kinds.WRITE), seen)
        self.assertIn(("sub/b", kinds.CREATE), seen)
        self.assertIn(("a", kinds.REMOVE), seen)

    def test_signed_urls(self):
        self.files.write("to sign+ä.txt", "signed")
        url = self.sandbox.download_url("to sign+ä.txt", use_signature_expiration=60)
        with urllib.request.urlopen(url) as answer:
            self.assertEqual(answer.read(), b"signed")
        parts = urllib.parse.urlsplit(url)
        query = dict(urllib.parse.parse_qsl(parts.query))
        for change in ({"path": "hello.txt"}, {"signature": "v1_" + "A" * 43},
                       {"signature_expiration": "1"}):
            bad = "/files?" + urllib.parse.urlencode({**query, **change})
            self.assertIn(self.raw("GET", bad)[0], range(400, 500))
        self.assertIn(self.raw("POST", f"/files?{parts.query}", b"x")[0], range(400, 500))
        url = self.sandbox.upload_url("/tmp/by-url")
        body = (b'--b\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\nup\r\n'
                b"--b--\r\n")
        request = urllib.request.Request(
            url, body, {"Content-Type": "multipart/form-data; boundary=b"}, method="POST")
        with urllib.request.urlopen(request) as answer:
            self.assertEqual(answer.status, 200)
        self.assertEqual(self.files.read("/tmp/by-url"), "up")
