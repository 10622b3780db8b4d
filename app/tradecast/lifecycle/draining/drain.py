"""Drains a server: readiness fails, new clients are refused, and its own clients are disconnected at a steady rate."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol

import structlog

from tradecast.background.tasks import cancel_and_wait
from tradecast.lifecycle.draining.paced_disconnect import PacedDisconnect
from tradecast.lifecycle.draining.terms import DrainTerms

# Seconds from the end of a drain to the first check for transports that were opened meanwhile, and between later
# checks. A load balancer keeps sending requests for some seconds: handshakes are refused, but an upgrade of another
# server's client is relayed, and would end with this server. A client that is disconnected before the load balancer has
# noticed the drain may connect here once more.
LATE_EVERY: Final = 15.0
log = structlog.stdlib.get_logger("tradecast.lifecycle")


class DrainConflict(Exception):
    """The request conflicts with a drain or a shed in progress; the message says which."""


class Gate(Protocol):
    """Accepts or refuses new clients."""

    def stop_accepting(self) -> None:
        """Refuse new clients."""
        ...

    def resume_accepting(self) -> None:
        """Accept new clients again."""
        ...


class DrainObserver(Protocol):
    """Is notified of urgent and expired drains: the metrics."""

    def drain_hurried(self) -> None:
        """A drain has become urgent: at the rate that all servers share, it would not end in time."""
        ...

    def drain_expired(self) -> None:
        """A drain has ended because it was not renewed in time."""
        ...


class Drain:
    """Drains one server, at a request on the admin port or on SIGTERM; and sheds: disconnects some of its clients.

    The order matters. First the server is not ready, and still accepts clients, because the endpoints of a Service
    follow only after a while; then it stops accepting; then it disconnects its clients. If there is
    too little time to do that at the configured rate, it disconnects them faster.

    Args:
        clients: Disconnects clients.
        gate: Accepts or refuses new clients.
        observer: Is notified of urgent and expired drains.
        delay: Seconds from the beginning until it stops accepting.
        rate: Clients disconnected per second, unless a request has a rate of its own.
        timeout: Seconds for disconnecting them; the transports that are left are then closed at once.
        reserve: Seconds that the process needs after a drain, before it is killed.
        notice: Seconds from SIGTERM until the platform kills the process, whatever else it says; 0: not known.
        clock: Seconds that never go back.
    """

    def __init__(
        self,
        clients: PacedDisconnect,
        gate: Gate,
        observer: DrainObserver,
        *,
        delay: float,
        rate: float,
        timeout: float,
        reserve: float = 0,
        notice: float = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clients = clients
        self._gate = gate
        self._observer = observer
        self._delay = delay
        self._rate = rate
        self._timeout = timeout
        self._reserve = reserve
        self._notice = notice
        self._clock = clock
        self._started = 0.0
        self._terms: DrainTerms | None = None
        self._final = False
        self._renew_within: float | None = None
        self._expiry: asyncio.TimerHandle | None = None
        self._draining: asyncio.Task[None] | None = None
        self._late: asyncio.Task[None] | None = None
        self._limit: asyncio.Timeout | None = None
        self._shedding: asyncio.Task[None] | None = None

    @property
    def active(self) -> bool:
        """Whether this server is draining or drained, and so not ready for more clients."""
        return self._terms is not None

    @property
    def seconds(self) -> float:
        """Seconds since the drain began; 0 when there is none."""
        return 0.0 if self._terms is None else self._clock() - self._started

    @property
    def limit(self) -> float:
        """Maximum duration of the drain in seconds; without a drain, that of one with the configured values."""
        return self._delay + self._timeout if self._terms is None else self._terms.ends - self._started

    @property
    def rate(self) -> float:
        """Clients that the drain disconnects per second, now or once it begins to; 0 without a drain."""
        return 0.0 if self._terms is None else self._terms.expect_rate(self._clients.remaining())

    def stats(self) -> dict[str, Any]:
        """The state of the drain, for `/admin/stats`."""
        terms = self._terms
        under_way = terms is not None and self._draining is not None and not self._draining.done()
        return {
            "active": self.active,
            "final": self._final,
            "seconds": round(self.seconds, 1),
            "remaining": self._clients.remaining() if self.active else 0,
            "rate": round(self._rate if terms is None else self.rate, 3),
            "endsIn": round(terms.seconds_left, 1) if terms is not None and under_way else None,
            "urgent": terms is not None and (terms.urgent or self.rate > terms.rate),
            "renewWithin": self._renew_within,
            "connectionsPerSecond": self._rate,
            "timeoutSeconds": self._timeout,
            "shedding": self._is_shedding(),
        }

    def start(
        self,
        rate: float | None = None,
        timeout: float | None = None,
        *,
        renew_within: float | None = None,
        ends_within: float | None = None,
    ) -> None:
        """Begin to drain. A drain that has begun takes over a larger rate and a sooner end, and is renewed.

        Args:
            rate: Clients disconnected per second; None: as in the settings, or as it is.
            timeout: Seconds for that, after which the rest is closed at once; None: as in the settings, or as it is.
            renew_within: Seconds after which the drain expires, unless this is called again. None: it never expires,
                and a later call does not change that.
            ends_within: Seconds until the process is killed; None: that is not known.
        """
        renewable = self._terms is None or self._expiry is not None
        if self._terms is None:
            self._begin(rate or self._rate, timeout or self._timeout)
        elif self._terms.tighten(rate, timeout):
            self._wake()
        if ends_within is not None:
            self._end_within(ends_within)
        self._renew(renew_within if renewable and not self._final else None)

    def cancel(self) -> bool:
        """End the drain and accept clients again. Returns False if there was no drain.

        Raises:
            DrainConflict: The server is shutting down.
        """
        if self._final:
            raise DrainConflict("The server is shutting down")
        if self._terms is None:
            return False
        self._stop()
        log.info("drain cancelled", connections=self._clients.remaining())
        return True

    def shed(self, count: int, rate: float | None = None) -> int:
        """Disconnect `count` clients of a server that keeps accepting new ones. Returns how many it will be.

        Args:
            count: How many; if there are fewer clients, all of them.
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

    def cancel_shedding(self) -> bool:
        """Disconnect no more clients by `shed`; whether it was under way."""
        if self._shedding is None or self._shedding.done():
            return False
        self._shedding.cancel()
        self._shedding = None
        log.info("shedding cancelled", connections=self._clients.remaining())
        return True

    async def finish(self) -> None:
        """Start a drain that cannot be cancelled, and return when all clients have been disconnected."""
        self._final = True
        self._renew(None)
        if self._terms is None:
            self._begin(self._rate, self._timeout)
        elif self._terms.tighten(self._rate, self._timeout):  # it was started by a request, with that request's values
            self._wake()
        if self._notice:
            self._end_within(self._notice)
        assert self._draining is not None  # noqa: S101 made by `_begin`
        await self._draining

    async def close(self) -> None:
        """Stop the drain or shed in progress."""
        self._renew(None)
        await cancel_and_wait(self._draining, self._late, self._shedding)

    def _begin(self, rate: float, timeout: float) -> None:
        self._started = self._clock()
        self._terms = DrainTerms(rate=rate, delay=self._delay, timeout=timeout, clock=self._clock)
        if self._shedding is not None:
            self._shedding.cancel()
        log.info("draining", connections=self._clients.remaining())
        self._draining = asyncio.create_task(self._run(self._terms), name="drain")

    def _stop(self) -> None:
        for task in (self._draining, self._late):
            if task is not None:
                task.cancel()
        self._renew(None)
        self._terms = None
        self._gate.resume_accepting()

    def _end_within(self, seconds: float) -> None:
        assert self._terms is not None  # noqa: S101 callers have begun
        if self._terms.end_within(seconds, self._reserve):
            self._wake()

    def _renew(self, within: float | None) -> None:
        """Have the drain expire after `within` seconds; None: it never does."""
        if self._expiry is not None:
            self._expiry.cancel()
        self._renew_within = within
        self._expiry = None if within is None else asyncio.get_running_loop().call_later(within, self._expire)

    def _expire(self) -> None:
        log.warning(
            "the drain has ended: whoever asked for it did not renew it",
            seconds=round(self.seconds, 1),
            within=self._renew_within,
            connections=self._clients.remaining(),
        )
        self._stop()
        self._observer.drain_expired()

    def _wake(self) -> None:
        """Make the drain's task read its terms again, which have changed."""
        if self._limit is not None and not self._limit.expired():
            with contextlib.suppress(RuntimeError):  # it has been left already
                self._limit.reschedule(asyncio.get_running_loop().time())

    def _is_shedding(self) -> bool:
        return self._shedding is not None and not self._shedding.done()

    async def _run(self, terms: DrainTerms) -> None:
        haste = _Haste(terms, self._observer)
        await self._interrupt(asyncio.Event().wait, lambda: terms.begins)
        self._gate.stop_accepting()
        if await self._interrupt(
            lambda: self._clients.disconnect("drain", terms.rate, haste=haste), lambda: terms.ends
        ):
            log.info("drained", seconds=round(self.seconds, 1))
        else:
            left = self._clients.disconnect_all("timeout")
            log.warning(
                "drain took too long: closed the rest at once", connections=left, seconds=round(self.seconds, 1)
            )
        self._late = asyncio.create_task(self._disconnect_late(terms), name="drain, late transports")

    async def _interrupt(self, work: Callable[[], Awaitable[Any]], until: Callable[[], float]) -> bool:
        """Do `work` until a deadline, and start it again when the terms change; False if the deadline came first."""
        while (left := until() - self._clock()) > 0:
            limit = self._limit = asyncio.timeout(left)
            try:
                async with limit:
                    await work()
                return True
            except TimeoutError:
                if not limit.expired():
                    raise
        return False

    async def _disconnect_late(self, terms: DrainTerms) -> None:
        """Disconnect clients that still connect, until the drain is cancelled or the process ends."""
        while True:
            await asyncio.sleep(LATE_EVERY)
            await self._clients.disconnect("drain", terms.rate)


class _Haste:
    """`Haste` of a drain: logs and counts the moment at which it becomes urgent."""

    def __init__(self, terms: DrainTerms, observer: DrainObserver) -> None:
        self._terms = terms
        self._observer = observer

    @property
    def urgent(self) -> bool:
        """See `Haste`."""
        return self._terms.urgent

    def compute_need(self, remaining: int) -> float:
        """See `Haste.compute_need`."""
        return self._terms.compute_need(remaining)

    def hurry(self, need: float) -> None:
        """See `Haste.hurry`."""
        if self._terms.hurry(need):
            self._observer.drain_hurried()
            log.warning(
                "the drain is urgent: at the fleet's rate there is too little time for it",
                rate=round(need, 1),
                fleet_rate=self._terms.rate,
                ends_in=round(self._terms.seconds_left, 1),
            )
