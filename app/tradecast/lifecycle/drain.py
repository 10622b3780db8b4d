"""A server that empties itself: readiness off, new clients elsewhere, those who are here sent away at a steady pace."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Any

import structlog

from tradecast.background.tasks import cancel_and_wait
from tradecast.lifecycle.paced_disconnect import PacedDisconnect

log = structlog.stdlib.get_logger("tradecast.lifecycle")


class DrainConflict(Exception):
    """What was asked for cannot be done while something else is under way; the text says what."""


class Drain:
    """The drain of one server, asked for on the admin port or begun by SIGTERM, and shedding, which is a part of it.

    The order matters: first readiness goes off while clients are still let in, because the endpoints of a Service
    follow only after a while; then the door is closed; then clients are sent away.

    Args:
        departures: How clients are sent away.
        remaining: How many are here.
        close_door: Told whether new clients are to be refused.
        delay: Seconds between readiness off and the closed door.
        rate: Clients sent away per second, where a request does not say.
        timeout: Seconds for sending them away; those who are left are then closed at once.
        clock: Seconds that never go back.
    """

    def __init__(
        self,
        departures: PacedDisconnect,
        remaining: Callable[[], int],
        close_door: Callable[[bool], None],
        *,
        delay: float,
        rate: float,
        timeout: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._departures = departures
        self._remaining = remaining
        self._close_door = close_door
        self._delay = delay
        self._rate = rate
        self._timeout = timeout
        self._clock = clock
        self._started: float | None = None
        self._final = False
        self._draining: asyncio.Task[None] | None = None
        self._limit: asyncio.Timeout | None = None
        self._shedding: asyncio.Task[None] | None = None

    @property
    def active(self) -> bool:
        """Whether this server is draining or drained: it is not ready for more clients."""
        return self._started is not None

    @property
    def seconds(self) -> float:
        """Seconds since the drain began; 0 when there is none."""
        return 0.0 if self._started is None else self._clock() - self._started

    def stats(self) -> dict[str, Any]:
        """How it stands, for `/admin/stats`."""
        return {
            "active": self.active,
            "final": self._final,
            "seconds": round(self.seconds, 1),
            "remaining": self._remaining() if self.active else 0,
            "connectionsPerSecond": self._rate,
            "timeoutSeconds": self._timeout,
            "shedding": self._is_shedding(),
        }

    def start(self, rate: float | None = None, timeout: float | None = None) -> None:
        """Begin to drain; one that has begun goes on as it is.

        Args:
            rate: Clients sent away per second; None: as the settings say.
            timeout: Seconds for that, after which those who are left are closed at once; None: as the settings say.
        """
        if self._started is not None:
            return
        self._started = self._clock()
        if self._shedding is not None:
            self._shedding.cancel()
        log.info("draining", connections=self._remaining())
        self._draining = asyncio.create_task(self._run(rate or self._rate, timeout or self._timeout), name="drain")

    def cancel(self) -> bool:
        """Take clients again; whether there was a drain to end.

        Raises:
            DrainConflict: The server is shutting down.
        """
        if self._final:
            raise DrainConflict("The server is shutting down")
        if self._started is None:
            return False
        if self._draining is not None:
            self._draining.cancel()
        self._started = None
        self._close_door(False)
        log.info("drain cancelled", connections=self._remaining())
        return True

    def shed(self, count: int, rate: float | None = None) -> int:
        """Send `count` clients away while the server goes on; how many it will be.

        Args:
            count: How many; no more than are here.
            rate: As for `start`.

        Raises:
            DrainConflict: It is draining, or shedding already.
        """
        if self.active:
            raise DrainConflict("The server is draining")
        if self._is_shedding():
            raise DrainConflict("The server is shedding already")
        count = min(count, self._remaining())
        log.info("shedding", connections=count)
        self._shedding = asyncio.create_task(self._departures.send_away("shed", rate or self._rate, count), name="shed")
        return count

    async def finish(self) -> None:
        """Drain for good, and return when everybody has been sent away."""
        self._final = True
        self.start()
        self._hurry()
        assert self._draining is not None  # noqa: S101 made by start
        await self._draining

    async def close(self) -> None:
        """End what is under way."""
        await cancel_and_wait(self._draining, self._shedding)

    def _hurry(self) -> None:
        """Give a drain that was begun with more time only what a process that ends has."""
        if self._limit is None:
            return
        end, until = asyncio.get_running_loop().time() + self._timeout, self._limit.when()
        if not self._limit.expired() and (until is None or end < until):
            with contextlib.suppress(RuntimeError):  # it is over
                self._limit.reschedule(end)

    def _is_shedding(self) -> bool:
        return self._shedding is not None and not self._shedding.done()

    async def _run(self, rate: float, timeout: float) -> None:  # noqa: ASYNC109 not of this call, but of what it does
        await asyncio.sleep(self._delay)
        self._close_door(True)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout) as self._limit:
                await self._departures.send_away("drain", rate)
                log.info("drained", seconds=round(self.seconds, 1))
                return
        left = self._departures.send_all("timeout")
        log.warning("drain took too long: closed the rest at once", connections=left, seconds=round(self.seconds, 1))
