# SPDX-License-Identifier: Apache-2.0
"""Languages: the names clients use, and the Jupyter kernelspec that runs each."""
import asyncio
import json
import os
import shutil

from jupyter_client.kernelspec import KernelSpecManager

from wire import E_LANGUAGE, WireError

ALIASES = {
    "": "python",
    "py": "python",
    "python3": "python",
    "ipython": "python",
    "sh": "bash",
    "shell": "bash",
    "js": "javascript",
    "node": "javascript",
    "nodejs": "javascript",
    "ts": "typescript",
}

# Kernelspecs are tried in this order. A language that is not here gets the first kernelspec, by
# name, that claims it.
PREFERRED = {
    "python": ["ipython", "python3"],
    "bash": ["bash"],
    "javascript": ["javascript"],
    "typescript": ["typescript"],
}

# Kernels that speak zmq over unix sockets. The rest get TCP on the loopback.
IPC_KERNELSPECS = {"ipython", "python3", "bash", "javascript", "typescript"}


class Languages:
    """The kernelspecs of this sandbox. They are read again when a language is missing."""

    def __init__(self):
        self._specs = {}

    async def find(self, name):
        """(language, kernelspec name) or WireError(E_LANGUAGE)."""
        language = ALIASES.get(name.strip().lower(), name.strip().lower())
        spec = self._spec_of(language)
        if spec is None:
            await asyncio.get_running_loop().run_in_executor(None, self._scan)
            spec = self._spec_of(language)
        if spec is None:
            known = ", ".join(sorted(set(self._specs.values()))) or "none"
            raise WireError(E_LANGUAGE, f"no kernel for language {name[:64]!r}; available: {known}")
        return language, spec

    def _spec_of(self, language):
        for spec in PREFERRED.get(language, []):
            if spec in self._specs:
                return spec
        return min((s for s, known in self._specs.items() if known == language), default=None)

    def _scan(self):
        folders = spec_manager().find_kernel_specs()
        languages = {name: _language_of(name, folder) for name, folder in folders.items()}
        self._specs = {name: known for name, known in languages.items() if known is not None}


def spec_manager():
    """Leaves out Jupyter's entry for this Python, which would load ipykernel into the bridge."""
    return KernelSpecManager(ensure_native_kernel=False)


def _language_of(name, folder):
    """None for a kernel whose program is not installed."""
    try:
        with open(os.path.join(folder, "kernel.json"), encoding="utf-8") as file:
            spec = json.load(file)
        program = shutil.which(spec["argv"][0])
        return str(spec.get("language") or name).lower() if program else None
    except (OSError, ValueError, AttributeError, LookupError, TypeError):
        return None
