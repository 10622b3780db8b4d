"""Server processes behind a balancer: started, drained, killed, frozen and started again."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shlex
import signal
import sys
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import httpx

from kit.network.balancer import Balancer
from kit.processes.parent import end_with_parent
from kit.servers.process import LOOPBACK, WAIT, environment

API_TOKEN = "token-of-the-tests"
COMMAND = shlex.split(os.environ.get("FAULTS_SERVER", "")) or [sys.executable, "-m", "tradecast", "serve"]
"""What is started; FAULTS_SERVER names another build's."""
SET = "FAULTS_SET_"
"""Variables of this prefix go to every server without it: FAULTS_SET_LOG_LEVEL=debug."""

SETTINGS = {
    "API_TOKEN": API_TOKEN,
    "RECOVERY_WINDOW": "120",
    # the dead are noticed soon
    "PING_INTERVAL": "2",
    "PING_TIMEOUT": "2",
    # a drain takes no longer than it must
    "DRAIN_DELAY": "0",
    "DRAIN_RATE": "1000",
    "DRAIN_TIMEOUT": "10",
    "SHUTDOWN_TIMEOUT": "3",
    # what is done with quotes on their way
    "THROTTLE": "*=8",
    "WEBSOCKET_COMPRESSION": "true",
    # clients that come back all the time are no abuse here
    "MAX_CONNECTIONS_PER_USER": "10000",
    "MAX_SUBSCRIPTIONS_PER_USER": "100000",
    "RATE_LIMIT_GLOBAL": "1000000",
    "RATE_LIMIT_SUBSCRIBE": "100000",
    "RATE_LIMIT_UNSUBSCRIBE": "100000",
}


class FleetServer:
    """One server process; each start is on new ports.

    Args:
        name: What it is called here.
        log: The file that gets all that it writes, over all starts.
        adapter_file: The file from which it takes the adapter's figures, if there is one.
        variables: Its environment.
    """

    def __init__(self, name: str, log: Path, adapter_file: Path, variables: Mapping[str, str]) -> None:
        self.name = name
        self.adapter_file = adapter_file
        self.port = 0
        self.admin_port = 0
        self._log = log
        self._variables = {**variables, "ADAPTER_FILE": str(adapter_file)}
        self._process: asyncio.subprocess.Process | None = None
        self._meant_to_run = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def admin_url(self) -> str:
        return f"http://127.0.0.1:{self.admin_port}"

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    @property
    def crashed(self) -> bool:
        """Whether it ended and nobody ended it."""
        return self._meant_to_run and not self.running

    async def start(self) -> None:
        """Start it, and wait until it listens.

        Raises:
            AssertionError: It ended instead, or did not listen in time; with the end of its log.
        """
        with self._log.open("ab") as log:
            offset = log.tell()
            self._process = await asyncio.create_subprocess_exec(
                *COMMAND,
                env=environment(**{**LOOPBACK, **self._variables}),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=end_with_parent,
            )
        deadline = time.monotonic() + WAIT
        while (told := self._listening(offset)) is None:
            assert self.running, f"{self.name} ended\n{self.tail()}"
            assert time.monotonic() < deadline, f"{self.name} does not listen\n{self.tail()}"
            await asyncio.sleep(0.05)
        self.port, self.admin_port = told["public_port"], told["admin_port"]
        self._meant_to_run = True

    async def terminate(self) -> float:
        """End it as Kubernetes does (SIGTERM); how many seconds it took."""
        begun = time.monotonic()
        await self._end(signal.SIGTERM)
        return time.monotonic() - begun

    async def kill(self) -> None:
        """End it by SIGKILL."""
        await self._end(signal.SIGKILL)

    def freeze(self) -> None:
        """SIGSTOP."""
        self._send(signal.SIGSTOP)

    def go_on(self) -> None:
        """SIGCONT."""
        self._send(signal.SIGCONT)

    def tail(self, lines: int = 30) -> str:
        """The end of its log."""
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-lines:])

    def _send(self, number: signal.Signals) -> None:
        if self._process is not None and self.running:
            self._process.send_signal(number)

    async def _end(self, number: signal.Signals) -> None:
        self._meant_to_run = False
        self._send(number)
        if self._process is not None:
            try:
                async with asyncio.timeout(WAIT):
                    await self._process.wait()
            except TimeoutError:
                self._process.kill()
                await self._process.wait()
                raise AssertionError(f"{self.name} did not end in {WAIT:g} s\n{self.tail()}") from None

    def _listening(self, offset: int) -> dict[str, Any] | None:
        with self._log.open("rb") as log:
            log.seek(offset)
            for line in log:
                if b'"listening"' in line:
                    with contextlib.suppress(ValueError):
                        told = json.loads(line)
                        if isinstance(told, dict) and told.get("event") == "listening":
                            return told
        return None


class Fleet:
    """Servers behind a balancer.

    Args:
        count: How many.
        balancer: Told which servers take new clients.
        folder: For the servers' logs.
        variables: The servers' environment, besides `SETTINGS`.
    """

    def __init__(self, count: int, balancer: Balancer, folder: Path, **variables: str) -> None:
        extra = {name.removeprefix(SET): value for name, value in os.environ.items() if name.startswith(SET)}
        self._variables = {**SETTINGS, **variables, **extra}
        self._balancer = balancer
        self.servers = [
            FleetServer(f"s{number}", folder / f"s{number}.log", folder / f"s{number}.adapter.yaml", self._variables)
            for number in range(1, count + 1)
        ]

    @property
    def window(self) -> float:
        """RECOVERY_WINDOW."""
        return float(self._variables["RECOVERY_WINDOW"])

    @property
    def live(self) -> list[FleetServer]:
        """Those that take new clients, as far as the balancer knows."""
        return [server for server in self.servers if server.name in self._balancer.servers]

    async def start(self, server: FleetServer) -> None:
        """Start one, and let clients come."""
        await server.start()
        self._balancer.servers[server.name] = server.port

    async def terminate(self, server: FleetServer) -> float:
        """Send no more clients and drain it; how many seconds it took."""
        self._balancer.servers.pop(server.name, None)
        return await server.terminate()

    async def kill(self, server: FleetServer) -> None:
        """SIGKILL; the balancer finds out by itself."""
        await server.kill()
        self._balancer.servers.pop(server.name, None)

    async def session(self, user: str) -> dict[str, str]:
        """Make a session through the admin port of a server; what a client passes as `auth`."""
        async with httpx.AsyncClient(trust_env=False, timeout=30) as http:
            answer = await http.post(
                f"{self.live[0].admin_url}/admin/sessions", json={"userId": user, "tier": "premium", "maxAge": 86_400}
            )
            answer.raise_for_status()
            made = answer.json()
        return {"sessionID": made["sessionID"], "userId": made["userId"]}

    def crashes(self) -> list[str]:
        """The names of servers that ended by themselves."""
        return [server.name for server in self.servers if server.crashed]


@contextlib.asynccontextmanager
async def running(count: int, balancer: Balancer, folder: Path, **variables: str) -> AsyncIterator[Fleet]:
    """A fleet, listening."""
    fleet = Fleet(count, balancer, folder, **variables)
    try:
        await asyncio.gather(*(fleet.start(server) for server in fleet.servers))
        yield fleet
    finally:
        for server in fleet.servers:
            server.go_on()
            await server.kill()
