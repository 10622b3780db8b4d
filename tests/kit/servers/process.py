"""`tradecast` as a process of its own: commands, and servers on ports of the system's choice."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

WAIT = 60.0
LOOPBACK = {f"{name}HOST": "127.0.0.1" for name in ("", "ADMIN_", "INTERNAL_")}
LOOPBACK |= {f"{name}PORT": "0" for name in ("", "ADMIN_", "INTERNAL_")}


@dataclass(frozen=True, slots=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str


def environment(**variables: str) -> dict[str, str]:
    """Only what a program needs, this tree's code, and these variables: nothing of this process's settings."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR", "PYTHONPATH") if name in os.environ}
    return {**kept, **variables}


async def tradecast(*arguments: str, stdin: str = "", **variables: str) -> Done:
    """Run one command to its end."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tradecast", *arguments),
        env=environment(**variables),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(WAIT):
            out, err = await process.communicate(stdin.encode())
    finally:
        await _kill(process)
    assert process.returncode is not None
    return Done(process.returncode, out.decode(), err.decode())


class ServeProcess:
    """A server in a process of its own, and what it has written so far.

    Attributes:
        out: Lines on standard output.
        err: Lines on standard error, where the log is.
    """

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.out: list[str] = []
        self.err: list[str] = []
        self._changed = asyncio.Event()
        self._readers = [
            asyncio.create_task(self._read(stream, lines))
            for stream, lines in ((process.stdout, self.out), (process.stderr, self.err))
            if stream is not None
        ]
        self.url = ""
        self.admin_url = ""
        self.internal_url = ""

    async def log(self, event: str, within: float = WAIT) -> dict[str, Any]:
        """The first log line of this sentence, as soon as it is there."""
        while True:
            for line in self.err:
                found = _decoded(line)
                if found is not None and found.get("event") == event:
                    return found
            await self._wait(f"no {event!r}", within)

    async def line(self, pattern: str, within: float = WAIT) -> re.Match[str]:
        """The first match in standard output, as soon as it is there."""
        while True:
            for line in self.out:
                if found := re.search(pattern, line):
                    return found
            await self._wait(f"no {pattern!r}", within)

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    async def ended(self, within: float = WAIT) -> int:
        """Its exit code, as soon as it has ended and all that it wrote has been read."""
        try:
            async with asyncio.timeout(within):
                code = await self.process.wait()
                await asyncio.gather(*self._readers)
                return code
        except TimeoutError:
            raise AssertionError(f"it did not end in {within:g} s\n{self._tail()}") from None

    async def close(self) -> None:
        """End it, whatever it does."""
        await _kill(self.process)
        await asyncio.gather(*self._readers)

    async def _wait(self, what: str, within: float) -> None:
        self._changed.clear()
        assert not all(reader.done() for reader in self._readers), f"{what}: it has ended\n{self._tail()}"
        try:
            async with asyncio.timeout(within):
                await self._changed.wait()
        except TimeoutError:
            raise AssertionError(f"{what} in {within:g} s\n{self._tail()}") from None

    async def _read(self, stream: asyncio.StreamReader, lines: list[str]) -> None:
        async for line in stream:
            lines.append(line.decode(errors="replace").rstrip("\n"))
            self._changed.set()
        self._changed.set()

    def _tail(self) -> str:
        return "\n".join([*self.out[-20:], *self.err[-40:]])


@contextlib.asynccontextmanager
async def start(
    *arguments: str, program: Sequence[str] = ("-m", "tradecast"), **variables: str
) -> AsyncIterator[ServeProcess]:
    """Start a command that goes on, with loopback ports of the system's choice."""
    running = ServeProcess(
        await asyncio.create_subprocess_exec(
            *(sys.executable, *program, *arguments),
            env=environment(**{**LOOPBACK, **variables}),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=2**24,
        )
    )
    try:
        yield running
    finally:
        await running.close()


@contextlib.asynccontextmanager
async def serving(*, program: Sequence[str] = ("-m", "tradecast"), **variables: str) -> AsyncIterator[ServeProcess]:
    """`tradecast serve`, listening; or another program that takes its place."""
    async with start("serve", program=program, **variables) as running:
        listening = await running.log("listening")
        scheme = "https" if "SSL_CERTFILE" in variables else "http"
        running.url = f"{scheme}://127.0.0.1:{listening['public_port']}"
        running.admin_url = f"http://127.0.0.1:{listening['admin_port']}"
        if "internal_port" in listening:
            running.internal_url = f"http://127.0.0.1:{listening['internal_port']}"
        yield running


def _decoded(line: str) -> dict[str, Any] | None:
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


async def _kill(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
