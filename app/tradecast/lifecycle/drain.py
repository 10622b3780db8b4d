"""Drains a server: it is not ready, new clients go elsewhere, and its own are disconnected at a steady pace."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Any, Final, Protocol

import structlog

from tradecast.background.tasks import cancel_and_wait
from tradecast.lifecycle.paced_disconnect import PacedDisconnect

# Seconds after a drain, and between the later looks, for transports that were opened meanwhile. A load balancer keeps
# sending requests for some seconds: handshakes are refused, but an upgrade of another server's client is relayed, and
# would end with this server. Whoever is closed sooner than the load balancer has noticed may come here once more.
LATE_EVERY: Final = 15.0
log = structlog.stdlib.get_logger("tradecast.lifecycle")


class DrainConflict(Exception):
    """The request is in conflict with what is under way; the text says with what."""


class Gate(Protocol):
    """Lets new clients in, or does not."""

    def stop_accepting(self) -> None:
        """Refuse new clients."""
        ...

    def resume_accepting(self) -> None:
        """Let new clients in again."""
        ...


class Drain:
    """Drains one server, at a request on the admin port or on SIGTERM; and sheds: disconnects some of its clients.

    The order matters. First the server is not ready, and still accepts clients, because the endpoints of a Service
    follow only after a while; then it stops accepting; then it disconnects its clients.

    Args:
        clients: Disconnects clients.
        gate: Lets new clients in, or does not.
        delay: Seconds from the beginning until it stops accepting.
        rate: Clients disconnected per second, where a request has no rate.
        timeout: Seconds for disconnecting them; the transports that are left are then closed at once.
        clock: Seconds that never go back.
    """

    def __init__(
        self,
        clients: PacedDisconnect,
        gate: Gate,
        *,
        delay: float,
        rate: float,
        timeout: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clients = clients
        self._gate = gate
        self._delay = delay
        self._rate = rate
        self._timeout = timeout
        self._clock = clock
        self._started: float | None = None
        self._final = False
        self._draining: asyncio.Task[None] | None = None
        self._late: asyncio.Task[None] | None = None
        self._limit: asyncio.Timeout | None = None
        self._shedding: asyncio.Task[None] | None = None

    @property
    def active(self) -> bool:
        """Whether this server is draining or drained, and so not ready for more clients."""
        return self._started is not None

    @property
    def seconds(self) -> float:
        """Seconds since the drain began; 0 when there is none."""
        return 0.0 if self._started is None else self._clock() - self._started

    def stats(self) -> dict[str, Any]:
        """The state of the drain, for `/admin/stats`."""
        return {
            "active": self.active,
            "final": self._final,
            "seconds": round(self.seconds, 1),
            "remaining": self._clients.remaining() if self.active else 0,
            "connectionsPerSecond": self._rate,
            "timeoutSeconds": self._timeout,
            "shedding": self._is_shedding(),
        }

    def start(self, rate: float | None = None, timeout: float | None = None) -> None:
        """Begin to drain; a drain that has begun continues unchanged.

        Args:
            rate: Clients disconnected per second; None: as in the settings.
            timeout: Seconds for that, after which the rest is closed at once; None: as in the settings.
        """
        if self._started is not None:
            return
        self._started = self._clock()
        if self._shedding is not None:
            self._shedding.cancel()
        log.info("draining", connections=self._clients.remaining())
        self._draining = asyncio.create_task(self._run(rate or self._rate, timeout or self._timeout), name="drain")

    def cancel(self) -> bool:
        """End the drain and accept clients again; whether there was a drain.

        Raises:
            DrainConflict: The server is shutting down.
        """
        if self._final:
            raise DrainConflict("The server is shutting down")
        if self._started is None:
            return False
        for task in (self._draining, self._late):
            if task is not None:
                task.cancel()
        self._started = None
        self._gate.resume_accepting()
        log.info("drain cancelled", connections=self._clients.remaining())
        return True

    def shed(self, count: int, rate: float | None = None) -> int:
        """Disconnect `count` clients of a server that keeps accepting new ones; how many it will be.

        Args:
            count: How many; no more than are here.
            rate: As for `start`.

        Raises:
            DrainConflict: The server is draining, or shedding already.
        """
        if self.active:
            raise DrainConflict("The server is draining")
        if self._is_shedding():
            raise DrainConflict("The server is shedding already")
        count = min(count, self._clients.remaining())
        log.info("shedding", connections=count)
        self._shedding = asyncio.create_task(self._clients.disconnect("shed", rate or self._rate, count), name="shed")
        return count

    async def finish(self) -> None:
        """Drain for good, and return when all clients have been disconnected."""
        self._final = True
        self.start()
        self._hurry()
        assert self._draining is not None  # noqa: S101 made by start
        await self._draining

    async def close(self) -> None:
        """End what is under way."""
        await cancel_and_wait(self._draining, self._late, self._shedding)

    def _hurry(self) -> None:
        """Give a drain that was begun with more time only what a process that ends has."""
        if self._limit is None:
            return
        end, until = asyncio.get_running_loop().time() + self._timeout, self._limit.when()
        if not self._limit.expired() and (until is None or end < until):
            with contextlib.suppress(RuntimeError):  # it has ended
                self._limit.reschedule(end)

    def _is_shedding(self) -> bool:
        return self._shedding is not None and not self._shedding.done()

    async def _run(self, rate: float, timeout: float) -> None:  # noqa: ASYNC109 not of this call, but of what it does
        await asyncio.sleep(self._delay)
        self._gate.stop_accepting()
        try:
            async with asyncio.timeout(timeout) as self._limit:
                await self._clients.disconnect("drain", rate)
            log.info("drained", seconds=round(self.seconds, 1))
        except TimeoutError:
            left = self._clients.disconnect_all("timeout")
            log.warning(
                "drain took too long: closed the rest at once", connections=left, seconds=round(self.seconds, 1)
            )
        self._late = asyncio.create_task(self._disconnect_late(rate), name="drain, late transports")

    async def _disconnect_late(self, rate: float) -> None:
        """Disconnect whoever still comes, until the drain is cancelled or the process ends."""
        while True:
            await asyncio.sleep(LATE_EVERY)
            await self._clients.disconnect("drain", rate)
