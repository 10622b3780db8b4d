"""Publishes numbered events at a rate, through `POST /api/emit` or through Redis."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import Any, Protocol

import httpx
import orjson

from tradecast.causes import SERVER, SOME_REDIS, Place, explain_error
from tradecast.delivery.errors import AdapterUnavailable
from tradecast.events.emit_requests import parse_events
from tradecast.events.emitters import Emitters
from tradecast.load.streams import Plan, Planned, Stream

TICK = 0.05
MAX_BATCH = 200


class PublishRefused(Exception):
    """The server does not take the events, and will not take them later: token, route or schema. No secret inside."""


class Uncertain(Exception):
    """Nobody knows whether the events were taken; the text is a kind for the report."""


class Outlet(Protocol):
    """Where events go."""

    async def send(self, bodies: list[dict[str, Any]]) -> None:
        """Publish events as `POST /api/emit` takes them, in their order.

        Raises:
            Uncertain: It may not have worked.
            PublishRefused: It will not work later either.
        """


class HttpOutlet:
    """`POST /api/emit`.

    Args:
        http: The client that posts.
        url: Of `/api/emit`.
        token: Its bearer token.
    """

    def __init__(self, http: httpx.AsyncClient, url: str, token: str) -> None:
        self._http = http
        self._url = url
        self._headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}

    async def send(self, bodies: list[dict[str, Any]]) -> None:
        content = orjson.dumps({"events": bodies})
        try:
            response = await self._http.post(self._url, content=content, headers=self._headers)
        except httpx.HTTPError as error:
            raise Uncertain(f"publish: {explain_error(error, Place(SERVER)).code}") from None
        if response.is_success:
            return
        if response.status_code >= 500 or response.status_code in (408, 429):
            raise Uncertain(f"publish: HTTP {response.status_code}")
        raise PublishRefused(f"POST {httpx.URL(self._url).path} answered {response.status_code}")


class RedisOutlet:
    """Redis, as `events.publisher.Publisher` uses it: no server needs to take part."""

    def __init__(self, emitters: Emitters) -> None:
        self._emitters = emitters

    async def send(self, bodies: list[dict[str, Any]]) -> None:
        try:
            for event in parse_events({"events": bodies}):
                await event.emit(self._emitters)
        except AdapterUnavailable as error:
            raise Uncertain(f"publish: Redis: {explain_error(error, SOME_REDIS).code}") from None


class Publisher:
    """Publishes a plan. Batches go one after the other, so that events are published in the order of their numbers.

    Args:
        outlet: Where to.
        plan: What to publish.
        run: Name of the run, in each event.
        rate: Events per second. A server that does not keep up gets fewer; nothing piles up.

    Attributes:
        published: Events that the server took.
        uncertain: Numbers of events, by stream, of which nobody knows whether the server took them.
        errors: Failed posts by kind.
    """

    def __init__(self, outlet: Outlet, plan: Plan, run: str, rate: float) -> None:
        self._outlet = outlet
        self._plan = plan
        self._run = run
        self._rate = rate
        self.published = 0
        self.uncertain: dict[Stream, set[int]] = {}
        self.errors: Counter[str] = Counter()

    @property
    def last(self) -> dict[Stream, int]:
        """The highest number published, by stream."""
        return self._plan.last

    async def run(self, duration: float) -> None:
        """Publish for `duration` seconds.

        Raises:
            PublishRefused: The server refuses such posts finally.
        """
        if self._plan.empty:
            return
        start = time.monotonic()
        total = max(1, round(self._rate * duration))
        taken = 0  # published or, where the server does not keep up, given up
        while taken < total:
            elapsed = time.monotonic() - start
            due = total if elapsed >= duration else min(total, 1 + int(elapsed * self._rate))
            taken = max(taken, due - max(1, int(self._rate)))  # no more than a second's worth waits
            batch = min(due - taken, MAX_BATCH)
            if batch:
                taken += batch
                await self._post([self._plan.next() for _ in range(batch)])
            else:
                await asyncio.sleep(min(max(TICK, 1 / self._rate), duration - elapsed))

    async def _post(self, batch: list[Planned]) -> None:
        now = round(time.time() * 1000, 3)
        try:
            await self._outlet.send([planned.body(self._run, now) for planned in batch])
        except Uncertain as error:
            self._not_sure(batch, str(error))
        else:
            self.published += len(batch)

    def _not_sure(self, batch: list[Planned], kind: str) -> None:
        self.errors[kind] += 1
        for planned in batch:
            self.uncertain.setdefault(planned.stream, set()).add(planned.seq)
