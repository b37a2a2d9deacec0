# SPDX-License-Identifier: Apache-2.0
"""files/*, upload and download: paths, bytes, many files, ranges, sizes."""
import base64
import hashlib
import http.client
import os
import socket
import urllib.parse

from corraltest import ISOLATION, PREFIX, SandboxTest, not_emulated, wait_until

BINARY = bytes(range(256)) * 3
ROOT_HOME = "/root"


def part(name, data, filename=None, extra=b""):
    head = f'Content-Disposition: form-data; name="{name}"'
    if filename is not None:
        head += f'; filename="{filename}"'
    return head.encode() + b"\r\n" + extra + b"\r\n" + data + b"\r\n"


def multipart(*parts, boundary="xYzZY"):
    body = b"".join(b"--" + boundary.encode() + b"\r\n" + p for p in parts)
    return body + b"--" + boundary.encode() + b"--\r\n", {
        "Content-Type": f"multipart/form-data; boundary={boundary}"}


class FilesTest(SandboxTest):
    def upload(self, *parts, route="upload", query=""):
        body, headers = multipart(*parts)
        return self.api.request("POST", f"/sandboxes/{self.box}/{route}{query}", body, headers)

    def download(self, path, method="GET", **headers):
        quoted = urllib.parse.quote(path)
        return self.api.request(method, f"/sandboxes/{self.box}/download?path={quoted}",
                                headers=headers)

    def write(self, path, content, **fields):
        body = self.assert_json(self.post("files/write", {"path": path, "content": content,
                                                          **fields}), 200)
        self.assert_keys(body, {"message", "path", "bytes_written"})
        return body

    def read(self, path, **fields):
        return self.assert_json(self.post("files/read", {"path": path, **fields}), 200)


class Files(FilesTest):
    def test_reference_examples(self):
        self.write("/home/user/data.json", '{"name": "example", "value": 42}')
        body = self.read("/home/user/data.json")
        self.assertEqual(body, {"content": '{"name": "example", "value": 42}',
                                "path": "/home/user/data.json", "size": 32})
        body = self.write("/home/user/output.txt", "Hello, World!")
        self.assertEqual(body, {"message": "File written successfully",
                                "path": "/home/user/output.txt", "bytes_written": 13})
        body = self.assert_json(self.post("files/mkdir", {"path": "/home/user/new_directory"}), 200)
        self.assertEqual(body, {"message": "Directory created successfully",
                                "path": "/home/user/new_directory"})
        body = self.assert_json(self.post("files/list", {"path": "/home/user"}), 200)
        self.assert_keys(body, {"files"})
        by_name = {f["name"]: f for f in body["files"]}
        for f in body["files"]:
            self.assert_keys(f, {"name", "path", "size", "is_dir", "modified_at"})
            self.assert_time(f["modified_at"])
        self.assertEqual(by_name["output.txt"]["size"], 13)
        self.assertIs(by_name["output.txt"]["is_dir"], False)
        self.assertIs(by_name["new_directory"]["is_dir"], True)
        self.assertEqual(by_name["output.txt"]["path"], "/home/user/output.txt")
        body = self.assert_json(self.post("files/delete", {"path": "/home/user/output.txt"}), 200)
        self.assertEqual(body, {"message": "File deleted successfully",
                                "path": "/home/user/output.txt"})

    def test_text_is_kept_as_it_is(self):
        for text in ("", "abcd", "é ü 日本 🦄", "a\r\nb\tc", "x" * 2_000_000):
            self.assertEqual(self.write("t", text)["bytes_written"], len(text.encode()))
            self.assertEqual(self.read("t")["content"], text)
        self.assertEqual(self.run_command("stat -c '%U %a' t")["stdout"], "user 644\n")

    def test_bytes_that_are_not_text_read_as_base64(self):
        self.upload(part("file", BINARY, "b"))
        body = self.read("b")
        self.assertEqual(base64.b64decode(body["content"]), BINARY)
        self.assertEqual(body["size"], len(BINARY))
        self.assert_keys(body, {"content", "path", "size"})

    def test_encoding_when_asked_for(self):
        encoded = base64.b64encode(BINARY).decode()
        self.write("e", encoded, encoding="base64")
        self.assertEqual(self.download("e").body, BINARY)
        body = self.read("e", encoding="base64")
        self.assertEqual((body["content"], body["encoding"]), (encoded, "base64"))
        answer = self.post("files/write", {"path": "e", "content": "%%%%", "encoding": "base64"})
        self.assert_error(answer, 400, "invalid_argument")
        answer = self.post("files/read", {"path": "e", "encoding": "latin1"})
        self.assert_error(answer, 400, "invalid_argument")

    def test_relative_paths_and_parents(self):
        self.assertEqual(self.write("deep/er/x", "1")["path"], "/home/user/deep/er/x")
        self.assertEqual(self.read("./deep/../deep/er//x")["content"], "1")
        self.assertEqual(self.read("../../home/user/deep/er/x")["path"], "/home/user/deep/er/x")
        self.assert_json(self.post("files/mkdir", {"path": "p/q/r"}), 200)
        self.assert_json(self.post("files/mkdir", {"path": "p/q/r"}), 200)
        self.assert_json(self.post("files/delete", {"path": "p"}), 200)
        self.assert_error(self.post("files/list", {"path": "p"}), 404, "file_not_found")

    def test_an_overwritten_file_keeps_its_mode(self):
        self.write("script", "#!/bin/sh\necho 1\n")
        self.run_command("chmod 755 script")
        self.write("script", "#!/bin/sh\necho 2\n")
        self.assertEqual(self.run_command("./script")["stdout"], "2\n")

    def test_wrong_kinds_and_paths(self):
        self.write("plain", "1")
        cases = [
            ("files/read", {"path": "/home/user"}, 400, "invalid_path"),
            ("files/read", {"path": "nope"}, 404, "file_not_found"),
            ("files/read", {"path": "plain/x"}, 400, "invalid_path"),
            ("files/read", {"path": ""}, 400, "invalid_path"),
            ("files/read", {"path": "/dev/zero"}, 400, "invalid_argument"),
            ("files/read", {"path": "a" * 5000}, 400, "invalid_path"),
            ("files/read", {"path": "a" * 300}, 400, None),
            ("files/read", {"path": "a\0b"}, 400, "invalid_json"),
            ("files/read", {}, 400, "invalid_argument"),
            ("files/read", {"path": 5}, 400, "invalid_argument"),
            ("files/read", {"path": ROOT_HOME + "/x"}, 403, "permission_denied"),
            ("files/write", {"path": "/etc/x", "content": ""}, 403, "permission_denied"),
            ("files/write", {"path": "/home/user", "content": ""}, 400, "invalid_path"),
            ("files/write", {"path": "plain/x", "content": ""}, 400, "invalid_path"),
            ("files/write", {"path": "x"}, 400, "invalid_argument"),
            ("files/write", {"path": "x\0", "content": ""}, 400, "invalid_argument"),
            ("files/list", {"path": "plain"}, 400, "invalid_path"),
            ("files/mkdir", {"path": "plain"}, 400, "invalid_path"),
            ("files/delete", {"path": "nope"}, 404, "file_not_found"),
            ("files/delete", {"path": "/"}, 400, None),
            ("files/delete", {"path": "/etc/passwd"}, 403, "permission_denied"),
        ]
        for action, body, status, code in cases:
            with self.subTest(action=action, body=str(body)[:60]):
                answer = self.post(action, body)
                if code is None:
                    self.assertIn(answer.status, (status, 403, 404), answer)
                else:
                    self.assert_error(answer, status, code)

    def test_a_text_with_nul(self):
        text = "\0a\0\0\\u0000\u00e9\0"
        self.assertEqual(self.write("nul", text)["bytes_written"], len(text.encode()))
        self.assertEqual(self.download("nul").body, text.encode())
        self.assertEqual(self.read("nul")["content"], text)

    def test_no_space_left(self):
        """Where it can be filled: a microVM's disk is its own, a container's is the host's."""
        folder = "/home/user/full" if ISOLATION == "kvm" else "/dev/shm"
        self.run_command(f"mkdir -p {folder}; free=$(df --output=avail -B1 {folder} | tail -n 1);"
                         f" fallocate -l $((free - (4 << 20))) {folder}/rest")
        self.addCleanup(self.run_command, f"rm {folder}/rest")
        answer = self.upload(part("file", b"x" * (8 << 20), "big"),
                             part("path", f"{folder}/big".encode()))
        self.assert_error(answer, 500, "no_space")
        out = self.run_command(f"ls -A {folder}; ls -A {folder} . | grep -c '^[.][0-9a-f]*$'")
        self.assertEqual(out["stdout"], "rest\n0\n")


class Upload(FilesTest):
    def test_reference_example(self):
        body = self.assert_json(self.upload(
            part("file", b"%PDF", "document.pdf", b"Content-Type: application/pdf\r\n"),
            part("path", b"/home/user/documents/document.pdf")), 200)
        self.assertEqual(body, {"message": "File uploaded successfully",
                                "path": "/home/user/documents/document.pdf", "size": 4})
        answer = self.download("/home/user/documents/document.pdf")
        self.assertEqual((answer.status, answer.body), (200, b"%PDF"))
        self.assertEqual(answer.headers["Content-Disposition"],
                         'attachment; filename="document.pdf"')
        self.assertEqual(answer.headers["Content-Type"], "application/octet-stream")

    def test_parts_in_any_order_and_defaults(self):
        for i, parts in enumerate(([part("path", b"/tmp/a/b"), part("file", BINARY, "n")],
                                   [part("file", BINARY, "n"), part("path", b"/tmp/a/b")])):
            body = self.assert_json(self.upload(*parts), 200)
            self.assertEqual((body["path"], body["size"]), ("/tmp/a/b", len(BINARY)), i)
            self.assertEqual(self.download("/tmp/a/b").body, BINARY)
            self.run_command("rm -r /tmp/a")
        self.assertEqual(self.upload(part("file", b"1", "dir/name.txt")).json["path"],
                         "/home/user/name.txt")
        self.assertEqual(self.upload(part("file", b"1", "")).json["path"], "/home/user/file")
        self.assertEqual(self.upload(part("file", b"1", "file")).json["path"], "/home/user/file")
        self.assertEqual(self.upload(part("path", b"docs/"), part("file", b"1", "x")).json["path"],
                         "/home/user/docs/x")

    def test_a_place_on_another_file_system(self):
        data = os.urandom(5_000_000)
        body = self.assert_json(self.upload(part("file", data, "x"),
                                            part("path", b"/dev/shm/x")), 200)
        self.assertEqual(body["path"], "/dev/shm/x")
        self.assertEqual(self.download("/dev/shm/x").body, data)
        self.assertEqual(self.run_command("ls -A | grep -c '^[.][0-9a-f]*$'")["stdout"], "0\n")

    def test_alias(self):
        self.assert_json(self.upload(part("file", b"1", "alias"), route="files/upload"), 200)

    def test_many_files(self):
        body = self.assert_json(self.upload(
            part("file", b"print(1)", "/home/user/p/a.py"), part("file", b"", "p/日本.txt"),
            part("file", BINARY, "/tmp/bin"), route="files"), 200)
        self.assertEqual(body, [
            {"path": "/home/user/p/a.py", "name": "a.py", "type": "file"},
            {"path": "/home/user/p/日本.txt", "name": "日本.txt", "type": "file"},
            {"path": "/tmp/bin", "name": "bin", "type": "file"}])
        self.assertEqual(self.download("p/a.py").body, b"print(1)")
        self.assertEqual(self.download("/tmp/bin").body, BINARY)

    def test_many_files_some_of_which_fail(self):
        answer = self.upload(part("file", b"1", "ok1"), part("file", BINARY * 1000, "/etc/no"),
                             part("file", b"2", "ok2"), route="files")
        body = self.assert_json(answer, 207)
        self.assertEqual([(e["path"], "error" in e) for e in body],
                         [("/home/user/ok1", False), ("/etc/no", True), ("/home/user/ok2", False)])
        self.assertEqual(self.download("ok2").body, b"2")

    def test_one_file_with_path_and_mode_in_the_query(self):
        answer = self.upload(part("file", b"#!/bin/sh\necho hi\n", "whatever"), route="files",
                             query="?path=bin/run&mode=0o755&username=user")
        self.assertEqual(self.assert_json(answer, 200)[0]["path"], "/home/user/bin/run")
        self.assertEqual(self.run_command("bin/run")["stdout"], "hi\n")

    def test_broken_bodies(self):
        body, headers = multipart(part("file", b"x" * 1000, "cut"))
        path = f"/sandboxes/{self.box}/upload"
        self.assert_error(self.api.request("POST", path, body[:300], headers), 400,
                          "invalid_request")
        self.assert_error(self.api.request("POST", path, b"junk", headers), 400, "invalid_request")
        self.assert_error(self.api.request("POST", path, body, {"Content-Type": "text/plain"}), 400,
                          "invalid_request")
        self.assert_error(self.api.request("POST", path, body,
                                           {"Content-Type": "multipart/form-data"}), 400,
                          "invalid_request")
        self.assert_error(self.upload(part("path", b"/tmp/x")), 400, "invalid_argument")
        self.assert_error(self.upload(part("file", b"1", "/"), part("path", b"/etc/x")), 403,
                          "permission_denied")
        self.assertEqual(self.run_command("ls -A cut 2>/dev/null; ls -A | grep -c '^[.][0-9a-f]*$'")
                         ["stdout"], "0\n")

    def test_client_that_goes_away_leaves_nothing(self):
        body, headers = multipart(part("file", b"x" * 1_000_000, "gone"))
        with socket.create_connection(("127.0.0.1", self.server.port)) as s:
            head = (f"POST {PREFIX}/sandboxes/{self.box}/upload HTTP/1.1\r\nHost: x\r\n"
                    f"Authorization: Bearer {self.server.key}\r\nContent-Length: {len(body)}\r\n"
                    f"Content-Type: {headers['Content-Type']}\r\n\r\n")
            s.sendall(head.encode() + body[:500_000])
            wait_until(lambda: self.run_command("ls -A | grep -c '^[.][0-9a-f]*$'")["stdout"]
                       != "0\n", 10, "the upload has begun")
        wait_until(lambda: self.run_command("ls -A | grep -c '^[.][0-9a-f]*$'")["stdout"] == "0\n",
                   10, "the partial file is gone")
        self.assertEqual(self.run_command("ls gone")["exit_code"], 2)


class Download(FilesTest):
    @classmethod
    def prepare(cls):
        super().prepare()
        cls.api.post(f"/sandboxes/{cls.box}/files/write", {"path": "digits", "content": "0123456789"})

    def test_ranges(self):
        cases = [("bytes=0-3", "0123", "0-3"), ("bytes=7-", "789", "7-9"),
                 ("bytes=-4", "6789", "6-9"), ("bytes=8-100", "89", "8-9"),
                 ("bytes=-100", "0123456789", "0-9"), ("bytes=9-9", "9", "9-9")]
        for header, body, sent in cases:
            answer = self.download("digits", Range=header)
            self.assertEqual((answer.status, answer.body.decode()), (206, body), header)
            self.assertEqual(answer.headers["Content-Range"], f"bytes {sent}/10")
        for header in ("bytes=10-", "bytes=50-60", "bytes=-0"):
            answer = self.download("digits", Range=header)
            self.assert_error(answer, 416, "range_not_satisfiable")
            self.assertEqual(answer.headers["Content-Range"], "bytes */10")
        for header in ("bytes=5-2", "lines=1-2", "bytes=a-b", "bytes=0-1,3-4", "bytes="):
            self.assertEqual(self.download("digits", Range=header).status, 200, header)

    def test_head(self):
        answer = self.download("digits", method="HEAD")
        self.assertEqual((answer.status, answer.body), (200, b""))
        self.assertEqual(answer.headers["Content-Length"], "10")
        self.assertEqual(self.download("digits").status, 200)

    def test_empty_file_and_names(self):
        for name in ("empty", "quote\"back\\slash", "ü日本.txt", "sp ace+plus"):
            self.post("files/write", {"path": name, "content": ""})
            answer = self.download(name)
            self.assertEqual((answer.status, answer.body), (200, b""), name)
            self.assertIn("attachment; filename=", answer.headers["Content-Disposition"])
        raw = self.api.get(f"/sandboxes/{self.box}/download?path=sp%20ace+plus")
        self.assertEqual(raw.status, 200)

    def test_errors(self):
        self.assert_error(self.download("nope"), 404, "file_not_found")
        self.assert_error(self.download("/home/user"), 400, "invalid_path")
        self.assert_error(self.download(ROOT_HOME + "/secret"), 403, "permission_denied")
        answer = self.api.get(f"/sandboxes/{self.box}/download")
        self.assert_error(answer, 400, "invalid_argument")


@not_emulated("hundreds of MiB, each byte through interpreted copies")
class Large(FilesTest):
    build = "release"  # resident memory is measured
    size = int(os.environ.get("CORRAL_TEST_LARGE_MIB", "256")) << 20

    def chunks(self):
        block = os.urandom(1 << 20)
        for i in range(self.size >> 20):
            yield i.to_bytes(8, "big") + block[8:]

    def test_up_and_down_in_flat_memory(self):
        head, tail = (b'--B\r\nContent-Disposition: form-data; name="file"; filename="big"\r\n\r\n',
                      b"\r\n--B--\r\n")
        before = self.server.resident_kib()
        digest = hashlib.sha256()
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=600)
        connection.putrequest("POST", f"{PREFIX}/sandboxes/{self.box}/upload")
        connection.putheader("Authorization", f"Bearer {self.server.key}")
        connection.putheader("Content-Type", "multipart/form-data; boundary=B")
        connection.putheader("Content-Length", str(len(head) + self.size + len(tail)))
        connection.endheaders()
        connection.send(head)
        for chunk in self.chunks():
            digest.update(chunk)
            connection.send(chunk)
        connection.send(tail)
        response = connection.getresponse()
        self.assertEqual(response.status, 200)
        self.assertIn(f'"size":{self.size}'.encode(), response.read())
        self.assertLess(self.server.resident_kib() - before, 16 << 10)
        connection.request("GET", f"{PREFIX}/sandboxes/{self.box}/download?path=big",
                           headers={"Authorization": f"Bearer {self.server.key}"})
        response = connection.getresponse()
        received = hashlib.sha256()
        while chunk := response.read(1 << 20):
            received.update(chunk)
        connection.close()
        self.assertEqual(received.hexdigest(), digest.hexdigest())
        self.assertLess(self.server.resident_kib() - before, 16 << 10)
