"""How the benchmark's processes are told what to do: one JSON object a line in, one out."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

LIMIT = 2**26
Operation = Callable[..., Awaitable[Mapping[str, Any]]]


async def obey(**operations: Operation) -> None:
    """Carry out what standard input says ({"op": …, and its arguments}), until it ends."""
    reader = asyncio.StreamReader(limit=LIMIT)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    say({"ready": True})
    async for line in reader:
        options = json.loads(line)
        say(await operations[options.pop("op")](**options))


def say(message: Mapping[str, Any]) -> None:
    """One line out."""
    print(json.dumps(message), flush=True)
