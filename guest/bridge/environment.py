# SPDX-License-Identifier: Apache-2.0
"""Code that changes the environment of a running kernel without leaving a name in it."""
import hashlib
import json
import os
import re
import shlex

# Runs with `new` (variables to set) and `keep` (remember what they replace) in its namespace.
_PYTHON_SET = """
import os, sys, types
if keep:
    saved = types.ModuleType("_corral_saved")
    saved.values = {name: os.environ.get(name) for name in new}
    sys.modules["_corral_saved"] = saved
os.environ.update(new)
"""

_PYTHON_RESTORE = """
import os, sys
saved = sys.modules.pop("_corral_saved", None)
for name, value in (saved.values if saved else {}).items():
    if value is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = value
"""

# Every generator in user space that a clone of this kernel would share. Modules nobody has
# imported yet take their seed from the operating system when they are.
_PYTHON_RESEED = """
import hashlib, os, sys
def fresh():
    return hashlib.sha512(seed.encode() + os.urandom(64)).digest()
if "random" in sys.modules:
    sys.modules["random"].seed(fresh())
if "numpy.random" in sys.modules:
    words = fresh()
    sys.modules["numpy.random"].seed(
        [int.from_bytes(words[i : i + 4], "little") for i in range(0, 64, 4)])
if "tempfile" in sys.modules:
    sys.modules["tempfile"]._name_sequence = None
if "uuid" in sys.modules:
    # uuid1: its node and sequence come from the generators above, not from the library's state.
    uuid = sys.modules["uuid"]
    uuid._node = uuid._last_timestamp = uuid._generate_time_safe = None
if "multiprocessing.process" in sys.modules:
    sys.modules["multiprocessing.process"].current_process().authkey = fresh()
if "ssl" in sys.modules:
    sys.modules["ssl"].RAND_add(fresh(), 64.0)
if "torch" in sys.modules:
    sys.modules["torch"].seed()
"""

# The end of a warm-up. What is alive now lives as long as the kernel: a later collection that went
# through it would touch, and in a clone copy, every page of it.
_PYTHON_SETTLE = """
import gc
gc.collect()
gc.freeze()
"""

# As one expression without a value. Kept values and the renewal of generators sit behind symbols.
_NODE_SET = """void ((fresh, keep, saved) => {
    if (keep) {
        process[saved] = Object.keys(fresh).map((name) => [name, process.env[name]]);
    }
    Object.assign(process.env, fresh);
})(%s, %s, Symbol.for("corral.saved"))"""

_NODE_RESTORE = """void ((saved) => {
    for (const [name, value] of process[saved] ?? []) {
        value === undefined ? delete process.env[name] : (process.env[name] = value);
    }
    delete process[saved];
})(Symbol.for("corral.saved"))"""

_NODE_RESEED = 'void process[Symbol.for("corral.reseed")]?.()'

_BASH_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


def _python(code, **names):
    # Neither `exec` nor a helper name of ours may collide with what the user has defined.
    return f'__import__("builtins").exec({code!r}, {names!r})'


def _bash_exports(new):
    return [f"export {k}={shlex.quote(v)}" for k, v in new.items() if _BASH_NAME.match(k)]


def _bash_set(new, keep):
    lines = []
    if keep:
        names = " ".join(k for k in new if _BASH_NAME.match(k))
        lines.append(
            f"_corral_saved=$(for _corral_name in {names}; do"
            ' if [ -v "$_corral_name" ]; then declare -p "$_corral_name";'
            ' else echo "unset $_corral_name"; fi; done)'
        )
    return "\n".join(lines + _bash_exports(new) + [":"])


def _bash_reseed(seed):
    digest = hashlib.sha256(seed.encode() + os.urandom(32)).digest()
    return f"RANDOM={int.from_bytes(digest[:4], 'little') & 0x7FFFFFFF}"


class _Python:
    set = staticmethod(lambda new, keep: _python(_PYTHON_SET, new=new, keep=keep))
    restore = staticmethod(lambda: _python(_PYTHON_RESTORE))
    reseed = staticmethod(lambda seed: _python(_PYTHON_RESEED, seed=seed))
    isolated = staticmethod(_python)
    settle = staticmethod(lambda: _python(_PYTHON_SETTLE))


class _Bash:
    set = staticmethod(_bash_set)
    restore = staticmethod(lambda: 'eval "$_corral_saved"; unset _corral_saved')
    reseed = staticmethod(_bash_reseed)
    isolated = staticmethod(lambda code: code)
    settle = staticmethod(lambda: "")


class _Node:
    set = staticmethod(lambda new, keep: _NODE_SET % (json.dumps(new), json.dumps(bool(keep))))
    restore = staticmethod(lambda: _NODE_RESTORE)
    reseed = staticmethod(lambda seed: _NODE_RESEED)
    isolated = staticmethod(lambda code: f"{{\n{code}\n}}")
    settle = staticmethod(lambda: "")


_SUPPORTED = {"python": _Python, "bash": _Bash, "javascript": _Node, "typescript": _Node}


def snippets(language):
    """The snippets for a language, or None: its kernels take variables only when they start."""
    return _SUPPORTED.get(language)


class Base:
    """What every kernel has: the variables, and the last seed of its generators. The versions grow
    when these change."""

    def __init__(self):
        self.variables = {}
        self.version = 1
        self.seed = ""
        self.seed_version = 1

    def update(self, variables, seed=""):
        """A seed that is not empty reseeds this process as well."""
        if variables:
            self.variables.update(variables)
            self.version += 1
        if seed:
            self.seed = seed
            self.seed_version += 1
            exec(_PYTHON_RESEED, {"seed": seed})  # pylint: disable=exec-used


def settle():
    """Of this process, as the snippet of a kernel."""
    exec(_PYTHON_SETTLE, {})  # pylint: disable=exec-used


def parse(pairs):
    """["K=V"] as a dict. ValueError for an entry that is not one."""
    variables = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not name or not equals:
            raise ValueError(f"not a variable assignment: {pair[:64]!r}")
        variables[name] = value
    return variables
