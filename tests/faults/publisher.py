"""Publishes numbered events, and notes for each whether it was accepted, refused for sure, or nobody knows."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import httpx
from redis.exceptions import ResponseError

from faults.proof import IMPLIED, Outcome, Published
from tradecast.config.settings import load_settings
from tradecast.delivery.errors import AdapterUnavailable
from tradecast.publishing.publisher import Publisher

ROOMS = ("portfolio", "trades", IMPLIED)
ANSWER_WITHIN = 10.0
TRY_AGAIN_AFTER = 0.2


class NotAccepted(Exception):
    """The event was refused for sure, or nobody knows; the text is a kind for the report."""

    def __init__(self, kind: str, *, sure: bool) -> None:
        super().__init__(kind)
        self.sure = sure


class Outlet(Protocol):
    """Where events go."""

    async def send(self, event: str, user: str, body: dict[str, Any]) -> None:
        """Publish one.

        Raises:
            NotAccepted: It may not have worked.
            Exception: Another than those that are promised.
        """

    async def send_quote(self, symbol: str, quote: dict[str, Any]) -> None:
        """Publish a quote. Raises as `send`."""

    async def close(self) -> None: ...


FIELDS = {
    "portfolio:update": "portfolio",
    "trade:executed": "trade",
    "trade:failed": "failure",
    "position:closed": "position",
    "notification": "notification",
}
EVENTS: dict[str, tuple[str, ...]] = {
    "portfolio": ("portfolio:update",),
    "trades": ("trade:executed", "trade:failed", "position:closed"),
    IMPLIED: ("notification",),
}
"""What is published to each room, in turn."""


class RedisOutlet:
    """`tradecast.publishing.publisher.Publisher`.

    Args:
        url: REDIS_URL.
    """

    def __init__(self, url: str) -> None:
        self._publisher = Publisher(load_settings({"REDIS_URL": url}))
        self._emit: dict[str, Callable[[str, dict[str, Any]], Any]] = {
            "portfolio:update": self._publisher.emit_portfolio_update,
            "trade:executed": self._publisher.emit_trade_executed,
            "trade:failed": self._publisher.emit_trade_failed,
            "position:closed": self._publisher.emit_position_closed,
            "notification": self._publisher.emit_notification,
        }

    async def open(self) -> None:
        await self._publisher.__aenter__()

    async def send(self, event: str, user: str, body: dict[str, Any]) -> None:
        await _accepted(self._emit[event](user, body))

    async def send_quote(self, symbol: str, quote: dict[str, Any]) -> None:
        await _accepted(self._publisher.emit_watchlist_quote(symbol, quote))

    async def close(self) -> None:
        await self._publisher.close()


class HttpOutlet:
    """`POST /api/emit`, at the servers in turn.

    Args:
        urls: Of the servers that are there now.
        token: Bearer token.
    """

    def __init__(self, urls: Callable[[], Sequence[str]], token: str) -> None:
        self._urls = urls
        self._turn = itertools.count()
        self._http = httpx.AsyncClient(
            trust_env=False, timeout=ANSWER_WITHIN, headers={"authorization": f"Bearer {token}"}
        )

    async def send(self, event: str, user: str, body: dict[str, Any]) -> None:
        await self._post({"event": event, "userId": user, FIELDS[event]: body})

    async def send_quote(self, symbol: str, quote: dict[str, Any]) -> None:
        await self._post({"event": "watchlist:quote", "symbol": symbol, "quote": quote})

    async def _post(self, event: dict[str, Any]) -> None:
        urls = self._urls()
        if not urls:
            raise NotAccepted("no server", sure=True)
        url = urls[next(self._turn) % len(urls)]
        try:
            answer = await self._http.post(f"{url}/api/emit", json=event)
        except httpx.ConnectError:
            raise NotAccepted("connection refused", sure=True) from None
        except httpx.HTTPError as error:
            raise NotAccepted(type(error).__name__, sure=False) from None
        if not answer.is_success:
            # 503: "only this server's clients have it"
            raise NotAccepted(f"HTTP {answer.status_code}", sure=answer.status_code < 500)

    async def close(self) -> None:
        await self._http.aclose()


async def _accepted(publishing: Awaitable[None]) -> None:
    try:
        await publishing
    except AdapterUnavailable as error:
        raise NotAccepted(f"{type(error).__name__}: {error}", sure=_redis_said_no(error)) from None


def _redis_said_no(error: BaseException | None) -> bool:
    """Whether Redis answered, and with an error: then it did not do it. Where there was no answer nobody knows."""
    while error is not None:
        if isinstance(error, ResponseError):
            return True
        error = error.__cause__
    return False


class NumberedPublisher:
    """Publishes to each user at a rate, one event after the other: a number is never used again.

    Args:
        outlets: By user, where the user's events go.
        rates: By user, events per second; nothing piles up where publishing is slow.
        run: Name of the run, in each event's id.
        draw: For the rooms.
        journal: Where every event is kept.

    Attributes:
        published: All so far, in the order of their answers.
        padding: Characters that each event gets besides, to make it large.
        errors: Kinds of failures.
        unclear: Exceptions other than those that are promised; empty if all is well.
    """

    def __init__(
        self, outlets: Mapping[str, Outlet], rates: Mapping[str, float], run: str, draw: random.Random, journal: Path
    ) -> None:
        self.published: list[Published] = []
        self.padding = 0
        self.errors: Counter[str] = Counter()
        self.unclear: Counter[str] = Counter()
        self._outlets = outlets
        self._rates = rates
        self._run = run
        self._draw = draw
        self._journal = journal.open("w", encoding="utf-8")
        self._locks = {user: asyncio.Lock() for user in outlets}
        self._numbers: Counter[str] = Counter()
        self._seqs: Counter[tuple[str, str]] = Counter()
        self._events: dict[tuple[str, str], Iterator[str]] = {}
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def prefix(self) -> str:
        """How every id of this run begins."""
        return f"{self._run}:"

    def start(self) -> None:
        """Publish from now on."""
        rates = self._rates.items()
        self._tasks = [asyncio.create_task(self._lane(user, rate), name=user) for user, rate in rates if rate > 0]

    async def stop(self) -> None:
        """Publish no more; what is under way is finished."""
        for task in self._tasks:
            # between two events: what happens to one that is interrupted nobody would know
            async with self._locks[task.get_name()]:
                task.cancel()
        ended = await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        for error in ended:
            if isinstance(error, Exception):
                raise error

    async def close(self) -> None:
        await self.stop()
        self._journal.close()

    async def publish(self, user: str, room: str) -> Published:
        """Publish one event; what became of it."""
        async with self._locks[user]:
            self._numbers[user] += 1
            self._seqs[user, room] += 1
            number, seq = self._numbers[user], self._seqs[user, room]
            kinds = self._events.setdefault((user, room), itertools.cycle(EVENTS[room]))
            identity = f"{self.prefix}{user}:{number}"
            body = {"proof": identity, "room": room, "seq": seq, "number": number, "padding": "x" * self.padding}
            outcome: Outcome = "accepted"
            started = time.time()
            try:
                await self._outlets[user].send(next(kinds), user, body)
            except NotAccepted as error:
                self.errors[str(error)] += 1
                outcome = "refused" if error.sure else "unknown"
            except Exception as error:  # the run goes on, and is told of it in the end
                self.unclear[repr(error)] += 1
                outcome = "unknown"
            event = Published(identity, user, room, seq, number, started, time.time(), outcome)
            self.published.append(event)
            line = [event.id, event.room, event.seq, event.started, event.ended, event.outcome]
            self._journal.write(json.dumps(line) + "\n")
        return event

    async def publish_surely(self, user: str, room: str, within: float) -> Published:
        """Publish, with new numbers, until one is accepted.

        Raises:
            AssertionError: None was within that many seconds.
        """
        deadline = time.monotonic() + within
        while True:
            event = await self.publish(user, room)
            if event.outcome == "accepted":
                return event
            assert time.monotonic() < deadline, f"nothing is accepted for {within:g} s: {self.errors}"
            await asyncio.sleep(TRY_AGAIN_AFTER)

    async def _lane(self, user: str, rate: float) -> None:
        due = time.monotonic() + self._draw.random() / rate
        while True:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            await self.publish(user, self._draw.choice(ROOMS))
            due = max(due + 1 / rate, time.monotonic() - 1 / rate)
