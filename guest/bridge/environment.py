# SPDX-License-Identifier: Apache-2.0
"""Code that changes the environment of a running kernel without leaving a name in it."""
import hashlib
import json
import os
import re
import shlex

# Its namespace has `new` (the variables to set) and `keep` (remember the values they replace).
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

# Reseeds every generator in user space that a clone of this kernel would share. A module that is
# not imported yet takes its seed from the operating system at its import.
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
    # uuid1() then takes its node and sequence from the generators above, not from libuuid's state.
    uuid = sys.modules["uuid"]
    uuid._node = uuid._last_timestamp = uuid._generate_time_safe = None
if "multiprocessing.process" in sys.modules:
    sys.modules["multiprocessing.process"].current_process().authkey = fresh()
if "ssl" in sys.modules:
    sys.modules["ssl"].RAND_add(fresh(), 64.0)
if "torch" in sys.modules:
    sys.modules["torch"].seed()
"""

# Formats one error. The first parses the source of IPython, whose frame is the outermost, and has a
# lexer compiled for the frames in it: in each sandbox 100 ms, and 6 MiB that clones would not share.
_PYTHON_REHEARSE = """
try:
    import json, sys
    from IPython import get_ipython
    from IPython.core import interactiveshell
    try:
        exec(compile("json.loads('')", interactiveshell.__file__, "exec"), {"json": json})
    except ValueError:
        get_ipython().InteractiveTB.structured_traceback(*sys.exc_info())
except Exception:
    pass  # another kernel, with other ways
"""

# Ends a warm-up. The objects that are alive now live as long as the kernel. A later collection that
# visits them would touch every page of them, and so copy every page in each clone.
_PYTHON_SETTLE = """
import gc
gc.collect()
gc.freeze()
"""

# Each is one expression without a value. The saved values and the function that reseeds are found
# by symbols, which the user's code does not see.
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
    # The user may have redefined `exec`, and no helper may leave a name behind.
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
    settle = staticmethod(lambda: _python(_PYTHON_REHEARSE + _PYTHON_SETTLE))


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
    """What every kernel gets: the variables, and the last seed for its generators. A version grows
    with each change."""

    def __init__(self):
        self.variables = {}
        self.version = 1
        self.seed = ""
        self.seed_version = 1

    def update(self, variables, seed=""):
        """The variables are all there are, as they are for commands: a kernel that starts has no
        others, one that runs keeps what else it has. A seed that is not empty reseeds this process,
        too. Nothing happens twice: several connections may bring the same, and a program that has
        seeded its generators since then keeps them."""
        if not variables.items() <= self.variables.items():
            self.version += 1
        self.variables = variables
        if seed and seed != self.seed:
            self.seed = seed
            self.seed_version += 1
            exec(_PYTHON_RESEED, {"seed": seed})  # pylint: disable=exec-used


def settle():
    """Does in this process what the snippet does in a kernel."""
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
