# SPDX-License-Identifier: Apache-2.0
"""Starts the kernels that a template wants before the first request."""
import asyncio
import json

import environment

PATH = "/etc/corral/warmup.json"


async def warm_up(contexts, path=PATH):
    """Raises when a kernel does not start or its code fails. Without the file it does nothing."""
    try:
        with open(path, encoding="utf-8") as file:
            plan = json.load(file)
    except FileNotFoundError:
        return
    codes = plan.get("code", {})
    await asyncio.gather(
        *[_warm(contexts, name, codes.get(name, "")) for name in plan.get("languages", [])]
    )
    environment.settle()


async def _warm(contexts, language, code):
    context = await contexts.default(language)
    await context.prepare(code, warm=True)
