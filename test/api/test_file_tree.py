# SPDX-License-Identifier: Apache-2.0
"""Files as a whole: info, move, copy, chmod, chown, find, replace, append, watch."""
import base64

from corraltest import SandboxTest
from streams import Stream

INFO = {"name", "path", "type", "is_dir", "size", "mode", "permissions", "owner", "group", "uid", "gid",
        "modified_at"}


class TreeTest(SandboxTest):
    def setUp(self):
        self.dir = f"/home/user/{self.id().rsplit('.', 1)[1]}"
        self.run_command(f"rm -rf {self.dir}; mkdir -p {self.dir}")

    def act(self, action, status=200, **fields):
        return self.assert_json(self.post(f"files/{action}", fields), status)

    def write(self, name, text):
        self.act("write", path=f"{self.dir}/{name}", content=text)

    def read(self, name):
        return self.act("read", path=f"{self.dir}/{name}")["content"]

    def info(self, name):
        return self.act("info", path=f"{self.dir}/{name}")

    def fails(self, action, status, code, **fields):
        self.assert_error(self.post(f"files/{action}", fields), status, code)


class Tree(TreeTest):
    def test_info(self):
        self.write("f", "12345")
        self.run_command(f"chmod 640 {self.dir}/f; ln -s f {self.dir}/link")
        self.assertEqual(self.info("none"), {"exists": False})
        got = self.info("f")
        self.assertIs(got["exists"], True)
        self.assert_keys(got["info"], INFO)
        self.assertEqual((got["info"]["size"], got["info"]["mode"], got["info"]["permissions"],
                          got["info"]["owner"], got["info"]["type"]),
                         (5, "0640", "rw-r-----", "user", "file"))
        link = self.info("link")["info"]
        self.assertEqual((link["type"], link["target_type"], link["target"]),
                         ("symlink", "file", f"{self.dir}/f"))
        self.assertIs(self.act("info", path=self.dir)["info"]["is_dir"], True)

    def test_move(self):
        self.write("a", "a")
        self.write("b", "b")
        source, new = f"{self.dir}/a", f"{self.dir}/new/place"
        self.assertEqual(self.act("move", source=source, destination=new)["info"]["path"], new)
        self.assertEqual(self.info("a"), {"exists": False})
        self.assertGreaterEqual(self.post("files/move", {
            "source": new, "destination": f"{self.dir}/b"}).status, 400)
        self.act("move", source=new, destination=f"{self.dir}/b", overwrite=True)
        self.assertEqual(self.read("b"), "a")
        self.fails("move", 404, "file_not_found", source=new, destination=f"{self.dir}/c")

    def test_copy(self):
        self.write("d/one", "1")
        self.write("d/sub/two", "2")
        self.assertGreaterEqual(self.post("files/copy", {
            "source": f"{self.dir}/d", "destination": f"{self.dir}/e"}).status, 400)
        self.act("copy", source=f"{self.dir}/d", destination=f"{self.dir}/e", recursive=True)
        self.assertEqual((self.read("e/one"), self.read("e/sub/two"), self.read("d/one")),
                         ("1", "2", "1"))

    def test_mode_and_owner(self):
        self.write("d/f", "x")
        self.act("chmod", path=f"{self.dir}/d", mode="700", recursive=True)
        self.assertEqual(self.info("d/f")["info"]["mode"], "0700")
        self.act("chown", path=f"{self.dir}/d/f", user="user")
        for body in ({"mode": "9"}, {"mode": ""}, {"mode": "77777"}, {}):
            self.fails("chmod", 400, "invalid_argument", path=self.dir, **body)
        self.fails("chown", 400, "invalid_argument", path=self.dir)

    def test_append(self):
        self.write("f", "one\n")
        self.act("append", path=f"{self.dir}/f", content="two\n")
        self.act("append", path=f"{self.dir}/new", content="x")
        self.assertEqual((self.read("f"), self.read("new")), ("one\ntwo\n", "x"))

    def test_bytes(self):
        data = bytes(range(256))
        text = base64.b64encode(data).decode()
        path = f"{self.dir}/bytes"
        self.act("write", path=path, content_base64=text)
        self.assertEqual(self.act("read", path=path, content_base64=True),
                         {"content": "", "content_base64": text, "path": path, "size": 256})
        self.write("text", "grüße")
        got = self.act("read", path=f"{self.dir}/text", content_base64=True)
        self.assertEqual(set(got), {"content", "path", "size"})
        self.fails("write", 400, "invalid_argument", path=path, content_base64="no base64!")

    def test_find(self):
        self.write("a.py", "import os\nprint('Needle')\n")
        self.write("sub/b.txt", "a needle and a needle\n")
        self.write(".hidden", "needle\n")
        found = self.act("find", path=self.dir, pattern="needle")
        self.assertEqual([(m["path"], m["line"], m["column"]) for m in found["matches"]][:1],
                         [(f"{self.dir}/sub/b.txt", 1, 3)])
        self.assertIs(found["truncated"], False)
        self.assertGreaterEqual(found["files_scanned"], 2)
        paths = {m["path"] for m in self.act("find", path=self.dir, pattern="needle",
                                             case_sensitive=False, include_hidden=True)["matches"]}
        self.assertEqual(paths, {f"{self.dir}/{n}" for n in ("a.py", "sub/b.txt", ".hidden")})
        found = self.act("find", path=self.dir, pattern="^import [a-z]+$", regex=True, glob="*.py")
        self.assertEqual([m["content"] for m in found["matches"]], ["import os"])
        found = self.act("find", path=self.dir, pattern="e", max_results=1)
        self.assertEqual((len(found["matches"]), found["truncated"]), (1, True))
        self.assertEqual(self.act("find", path=self.dir, pattern="needle", max_depth=1)["matches"], [])
        self.fails("find", 400, "invalid_argument", path=self.dir, pattern="")

    def test_replace(self):
        self.write("a", "one two one\n")
        dry = self.act("replace", path=self.dir, pattern="one", replacement="1", dry_run=True)
        self.assertEqual((dry["total_replacements"], dry["dry_run"]), (2, True))
        self.assertEqual(self.read("a"), "one two one\n")
        done = self.act("replace", path=self.dir, pattern="one", replacement="1")
        self.assertEqual(done["files"], [{"path": f"{self.dir}/a", "replacements": 2}])
        self.act("replace", path=self.dir, pattern="([0-9]) two", replacement="$1+2", regex=True)
        self.assertEqual(self.read("a"), "1+2 1\n")

    def test_watch(self):
        stream = Stream(self.api, "POST", f"/sandboxes/{self.box}/files/watch",
                        {"path": self.dir, "recursive": True})
        events = stream.events()
        self.assertEqual(next(events)[2], {"type": "start"})
        self.run_command(f"cd {self.dir}; mkdir d; echo x > d/f; mv d/f d/g; chmod 600 d/g; rm d/g")
        seen = []
        for _, _, event in events:
            seen.append((event["type"], event.get("name")))
            if event["type"] == "remove":
                break
        stream.close()
        for expected in (("create", "d"), ("create", "d/f"), ("chmod", "d/g"), ("remove", "d/g")):
            self.assertIn(expected, seen)
        self.assertTrue({t for t, _ in seen} >= {"create", "rename", "chmod", "remove"})
        self.fails("watch", 404, "file_not_found", path=f"{self.dir}/none")
