# SPDX-License-Identifier: Apache-2.0
"""Files of microVMs at rest that are damaged, cut short, or of something else: each is refused with its
reason, what they were of stays as it was, and the server runs on. corral-snapshot(5) has the formats."""
import unittest
import zlib

from corraltest import HOST, ISOLATION, ApiTest

CRC32C = 0x82f63b78
PAGE = 4096


def crc32c(data):
    crc = 0xffffffff
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (CRC32C if crc & 1 else 0)
    return crc ^ 0xffffffff


class Files:
    """Those of one snapshot, in a folder of the server's machine."""

    def __init__(self, folder):
        self.folder, self.before = folder, []

    def shell(self, script):
        done = HOST.run(["sh", "-c", f"cd {self.folder} && {{ {script}; }}"])
        if done.returncode != 0:
            raise AssertionError(f"{script}: {done}")
        return done.stdout

    def keep(self, name):
        """A link stays the link it was: what it leads to belongs to the template. A disk is too large
        to be copied."""
        self.shell(f"rm -rf kept && mkdir kept && if [ -L {name} ]; then cp -dp {name} kept/; "
                   f"else ln {name} kept/; fi")

    def restore(self, name):
        before, self.before = self.before, []
        for at, data in reversed(before):
            self.put(name, at, data)
        self.shell(f"rm -f {name} && mv kept/{name} . && rmdir kept")

    def size(self, name):
        return int(self.shell(f"stat -L -c %s {name}"))

    def read(self, name, at, count):
        text = self.shell(f"od -An -v -tx1 -j {at} -N {count} {name}")
        return bytes.fromhex("".join(text.split()))

    def write(self, name, at, data):
        self.before.append((at, self.read(name, at, len(data))))
        self.put(name, at, data)

    def put(self, name, at, data):
        octal = "".join(f"\\{byte:03o}" for byte in data)
        self.shell(f"printf '{octal}' | dd of={name} bs=1 seek={at} conv=notrunc 2>/dev/null")

    def flip(self, name, at):
        self.write(name, at, bytes([self.read(name, at, 1)[0] ^ 4]))

    def cut(self, name, size):
        self.shell(f"head -c {size} {name} >{name}.cut && mv {name}.cut {name}")

    def header(self, name, at, data, size, crc):
        """Writes into a header whose last four bytes are its sum, which is right afterwards."""
        header = bytearray(self.read(name, 0, size - 4))
        header[at:at + len(data)] = data
        self.write(name, 0, bytes(header) + crc(header).to_bytes(4, "little"))


def number(value):
    return value.to_bytes(4, "little")


def of_state(at, data):
    return lambda files: files.header("state", at, data, 96, zlib.crc32)


def of_memory(at, data):
    return lambda files: files.header("memory", at, data, 80, crc32c)


def of_overlay(at, data):
    return lambda files: files.header("overlay", at, data, 64, zlib.crc32)


# The file, what is done to it, the reason that the client reads.
DAMAGE = (
    ("state", lambda f: f.flip("state", 20), "state file is damaged"),
    ("state", lambda f: f.flip("state", 200), "state file is damaged"),
    ("state", lambda f: f.cut("state", f.size("state") - 1), "state file is damaged"),
    ("state", lambda f: f.cut("state", 0), "no possible size"),
    ("state", lambda f: f.write("state", 0, b"X"), "not a snapshot"),
    ("state", of_state(8, number(4)), "has version 4, not"),
    ("state", of_state(12, number(7)), "on another CPU"),
    ("state", of_state(72, bytes(16)), "another snapshot|base"),
    ("memory", lambda f: f.flip("memory", 40), "difference"),
    ("memory", lambda f: f.flip("memory", PAGE + 2), "difference"),
    ("memory", lambda f: f.flip("memory", f.size("memory") - 100), "difference"),
    ("memory", lambda f: f.cut("memory", f.size("memory") - PAGE), "difference"),
    ("memory", of_memory(8, number(9)), "has version 9, not"),
    ("memory", of_memory(40, b"of another one.."), "difference"),
    ("overlay", lambda f: f.flip("overlay", 16), "overlay is damaged"),
    ("overlay", lambda f: f.cut("overlay", PAGE), "overlay is damaged"),
    ("overlay", of_overlay(8, number(3)), "overlay has another version"),
    ("overlay", of_overlay(40, b"of another one.."), "disk is not that of the snapshot"),
    ("base", lambda f: f.shell("rm base && head -c 65536 state >base"), "base"),
    ("base", lambda f: f.shell("rm base && touch base"), "base"),
    ("disk", lambda f: f.shell("rm disk && head -c 65536 /dev/urandom >disk"), "another disk image"),
)


@unittest.skipUnless(ISOLATION == "kvm", "a container has no files when it is paused")
class Damage(ApiTest):
    options = ("--pool-size", "0")

    def refused(self, files, ask):
        for name, damage, reason in DAMAGE:
            with self.subTest(file=name, reason=reason):
                files.keep(name)
                damage(files)
                answer = ask()
                files.restore(name)
                self.assert_error(answer, 500, "snapshot_unusable")
                self.assertRegex(answer.json["error"]["message"], reason)

    def test_of_a_paused_one(self):
        box = self.create(timeout=1800)
        self.api.code(box, "kept = 'as it was'")
        self.api.run(box, "echo kept > file; sync")
        self.assert_json(self.api.post(f"/sandboxes/{box}/pause"), 200)
        files = Files(f"{self.server.state}/sandboxes/{box}/stored")

        def resume():
            answer = self.api.post(f"/sandboxes/{box}/resume")
            self.assertEqual(self.status_of(box), "stopped")
            return answer

        self.refused(files, resume)
        self.assertEqual(HOST.list(f"{self.server.state}/sandboxes/{box}"), ["stored"])
        self.assert_json(self.api.post(f"/sandboxes/{box}/resume"), 200)
        got = self.api.code(box, "kept + open('file').read()")["results"]["result"]["data"]["text/plain"]
        self.assertEqual(got, r"'as it waskept\n'")

    def test_of_a_snapshot(self):
        box = self.create(timeout=1800)
        self.api.run(box, "echo kept > file; sync")
        made = self.assert_json(self.api.post(f"/sandboxes/{box}/snapshots", {}), 201)["snapshot_id"]
        files = Files(f"{self.server.state}/snapshots/{made}")
        self.refused(files, lambda: self.api.post("/sandboxes", {
            "provider": "a", "region": "b", "template": made}))
        child = self.create(template=made)
        self.assertEqual(self.api.run(child, "cat file")["stdout"], "kept\n")
        self.assertEqual(self.api.run(box, "cat file")["stdout"], "kept\n")


if __name__ == "__main__":
    unittest.main()
