# SPDX-License-Identifier: Apache-2.0
"""A server whose templates are built within seconds: the program mmdebstrap that it finds is ours.
It makes a root file system of bash alone, taken from a template that is there, and waits on its way
for a file `go-NAME`, with a mount and a process that a build must not leave behind. All else is real:
recipes, the builder, its scripts and locks."""
import os

from corraltest import HOST, TEMPLATE, Server, wait_until

RECIPE = """# A recipe of one's own.
name="{name}"
aliases="{name}-alias"
description="A template for {name}"
suite="bookworm"
packages="bash"
memory_mb="256"
vcpus="1"
{more}
"""

MMDEBSTRAP = r"""#!/bin/bash
set -eu
for argument in "$@"; do
    case $argument in */rootfs) root=$argument ;; esac
done
echo "I: downloading packages"
mkdir -p "$TMPDIR/mount" && mount -t tmpfs none "$TMPDIR/mount"
sleep 1000 &
echo "$CORRAL_name" >>"$FOLDER/builds"
while [ ! -e "$FOLDER/go-$CORRAL_name" ]; do sleep 0.1; done
if [ -e "$FOLDER/fail-$CORRAL_name" ]; then
    echo "E: the archive has no such package"
    exit 1
fi
umount "$TMPDIR/mount"
mkdir -p "$root"/{proc,sys,dev,tmp,run,etc,opt/corral,home/user,bin}
chmod 1777 "$root/tmp" && chown 1000:1000 "$root/home/user"
cd "$BASE/rootfs"
cp -a --parents usr/bin/bash lib lib64 "$root" 2>/dev/null || true
for library in ld-linux-x86-64.so.2 libc.so.6 libtinfo.so.6; do
    cp -aL --parents usr/lib/x86_64-linux-gnu/$library "$root"
done
# Its own link may be absolute, and lead to the loader of this machine.
mkdir -p "$root/usr/lib64"
cp usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2 "$root/usr/lib64"
rmdir "$root/bin" && ln -s usr/bin "$root/bin" && ln -s bash "$root/usr/bin/sh"
printf 'root:x:0:0::/root:/bin/bash\nuser:x:1000:1000::/home/user:/bin/bash\n' >"$root/etc/passwd"
printf 'root:x:0:\nuser:x:1000:\n' >"$root/etc/group"
python3 - template <"$DESCRIBE" >"$root/template.json"
"""


class RecipeServer(Server):
    """With an empty directory of recipes of its own, and without any built template but the default
    one."""

    def __init__(self, options=(), build=None):
        super().__init__(options, build)
        self.recipes = f"{self.dir}/recipes"
        self.tools = f"{self.dir}/tools"
        os.makedirs(self.recipes)
        os.makedirs(self.tools)
        for name in os.listdir(f"{self.state}/templates"):
            if name != TEMPLATE:
                os.unlink(f"{self.state}/templates/{name}")
        self.options += ["--recipes", self.recipes, "--pool-size", "0"]
        guest = os.path.join(os.path.dirname(os.path.dirname(self.program)), "guest", "tree")
        values = {"FOLDER": self.dir, "BASE": HOST.templates()[TEMPLATE],
                  "DESCRIBE": f"{guest}/templates/tools/describe.py"}
        text = MMDEBSTRAP
        for key, value in values.items():
            text = text.replace("$" + key, value)
        with open(f"{self.tools}/mmdebstrap", "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(file.name, 0o755)

    def start(self):
        path = os.environ["PATH"]
        os.environ["PATH"] = f"{self.tools}:{path}"
        try:
            return super().start()
        finally:
            os.environ["PATH"] = path

    def add(self, name, more=""):
        path = f"{self.recipes}/{name}.recipe"
        with open(path, "w", encoding="utf-8") as file:
            file.write(RECIPE.format(name=name, more=more))
        return path

    def mark(self, name, what="go"):
        with open(f"{self.dir}/{what}-{name}", "w", encoding="utf-8"):
            pass

    def builds(self, name):
        """How often the tools have been started for a template."""
        return HOST.read(f"{self.dir}/builds").decode().split().count(name)

    def await_builds(self, name, number=1):
        wait_until(lambda: self.builds(name) >= number, 60, f"build {number} of {name} has begun")

    def at_work(self, name):
        """Processes and mounts of a template's build, and its half-made directory."""
        partial = f"{self.state}/templates/{name}"
        found = [text for pid, text in HOST.processes()
                 if partial in text and pid != self.process.pid]
        found += [line for line in HOST.read("/proc/mounts").decode().splitlines()
                  if partial in line]
        return found + [file for file in HOST.list(f"{self.state}/templates")
                        if file == f"{name}.partial"]

    def assert_idle(self, name, partial=False):
        """Nothing of the build is left; `partial`: but its directory, which nobody takes for a
        template."""
        left = [f"{name}.partial"] if partial else []
        wait_until(lambda: self.at_work(name) == left, 60, f"nothing is left of {name}")
