"""The benchmark's processes: servers, publisher and clients of one system, and its Redis."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

from fleet.lines import LIMIT
from kit.processes.parent import end_with_parent
from kit.servers.process import environment
from kit.servers.redis_server import RedisServer
from single.machine import cpu_of

NODE = Path(__file__).parent / "node"
BUILD = Path(__file__).parents[2] / "build"
BASE, STREAMS, OURS = "redis-adapter", "streams-adapter", "tradecast"
SYSTEMS = (BASE, STREAMS, OURS)
WAIT = 60.0
OUR_SETTINGS = {
    "HOST": "127.0.0.1",
    "PORT": "0",
    "ADMIN_HOST": "127.0.0.1",
    "ADMIN_PORT": "0",
    "AUTH_REQUIRED": "false",
    "LOG_LEVEL": "warning",
    # as the Node servers
    "PING_INTERVAL": "25",
    "PING_TIMEOUT": "20",
}


class Worker:
    """One process of the benchmark, which says when it is ready and then answers each line by one.

    Attributes:
        told: What it said when it was ready.
    """

    def __init__(self, process: asyncio.subprocess.Process, name: str, log: Path) -> None:
        if process.stdout is None or process.stdin is None:
            raise TypeError("a process with pipes")
        self._process = process
        self._lines = process.stdout
        self._orders = process.stdin
        self._name = name
        self._log = log
        self.told: dict[str, Any] = {}

    @property
    def cpu(self) -> float:
        """Processor seconds, of all its threads, so far."""
        return cpu_of(self._process.pid)

    async def answer(self) -> dict[str, Any]:
        """Its next line."""
        async with asyncio.timeout(WAIT):
            line = await self._lines.readline()
        if not line:
            raise SystemExit(f"{self._name} has ended:\n{self._log.read_text(errors='replace')[-2000:]}")
        found: dict[str, Any] = json.loads(line)
        return found

    async def ask(self, op: str, **options: Any) -> dict[str, Any]:
        """Have something done."""
        self._orders.write(json.dumps({"op": op, **options}).encode() + b"\n")
        return await self.answer()

    async def kill(self) -> None:
        """SIGKILL."""
        if self._process.returncode is None:
            self._process.send_signal(signal.SIGKILL)
        await self._process.wait()


class MeasuredSystem:
    """One system's processes, and its Redis. All are ended with it."""

    def __init__(self, system: str, stack: contextlib.AsyncExitStack, redis: RedisServer) -> None:
        self.system = system
        self.redis = redis
        self._stack = stack
        self._count = 0

    @property
    def redis_cpu(self) -> float:
        """Processor seconds of Redis so far."""
        return cpu_of(self.redis.pid)

    async def server(self) -> tuple[Worker, int]:
        """One more server, and its port."""
        worker = await self._start("server", self._command("server"))
        return worker, worker.told["port"]

    async def publisher(self) -> Worker:
        """The process that publishes."""
        return await self._start("publisher", self._command("publisher"))

    async def clients(self) -> Worker:
        """The process of the plain clients."""
        return await self._start("clients", _python("clients"))

    async def crowd(self) -> Worker:
        """The process of the stock clients."""
        return await self._start("crowd", self._node("crowd"))

    def _command(self, role: str) -> list[str]:
        return _python(role) if self.system == OURS else self._node(role)

    def _node(self, role: str) -> list[str]:
        return ["node", str(NODE / f"{role}.mjs"), self.system, self.redis.url]

    async def _start(self, name: str, command: Sequence[str]) -> Worker:
        self._count += 1
        log = BUILD / "bench-cluster" / f"{self.system}-{name}-{self._count}.log"
        variables = {**OUR_SETTINGS, "REDIS_URL": self.redis.url} if self.system == OURS else {}
        with log.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                *command,
                env=environment(**variables),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=output,
                limit=LIMIT,
                preexec_fn=end_with_parent,
            )
        worker = Worker(process, f"{self.system}'s {name}", log)
        self._stack.push_async_callback(worker.kill)
        worker.told = await worker.answer()
        return worker


def _python(role: str) -> list[str]:
    return [sys.executable, "-m", f"fleet.{role}"]


@contextlib.asynccontextmanager
async def staged(system: str) -> AsyncIterator[MeasuredSystem]:
    """A Redis of one's own, and nothing else yet."""
    async with RedisServer() as redis, contextlib.AsyncExitStack() as stack:
        yield MeasuredSystem(system, stack, redis)
