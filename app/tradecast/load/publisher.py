"""Publishes numbered events at a rate through `POST /api/emit`."""

from __future__ import annotations

import asyncio
import time
from collections import Counter

import httpx
import orjson

from tradecast.load.streams import Plan, Planned, Stream

TICK = 0.05
MAX_BATCH = 200


class PublishRefused(Exception):
    """The server does not take the events, and will not take them later: token, route or schema. No secret inside."""


class Publisher:
    """Publishes a plan. Batches go one after the other, so that events are published in the order of their numbers.

    Args:
        http: The client that posts.
        url: Of `/api/emit`.
        token: Its bearer token.
        plan: What to publish.
        run: Name of the run, in each event.
        rate: Events per second. A server that does not keep up gets fewer; nothing piles up.

    Attributes:
        published: Events that the server took.
        uncertain: Numbers of events, by stream, of which nobody knows whether the server took them.
        errors: Failed posts by kind.
    """

    def __init__(self, http: httpx.AsyncClient, url: str, token: str, plan: Plan, run: str, rate: float) -> None:
        self._http = http
        self._url = url
        self._headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
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
            PublishRefused: The server refuses such posts for good.
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
        content = orjson.dumps({"events": [planned.body(self._run, now) for planned in batch]})
        try:
            response = await self._http.post(self._url, content=content, headers=self._headers)
        except httpx.HTTPError as error:
            self._not_sure(batch, f"publish: {type(error).__name__}")
            return
        if response.is_success:
            self.published += len(batch)
        elif response.status_code >= 500 or response.status_code in (408, 429):
            self._not_sure(batch, f"publish: HTTP {response.status_code}")
        else:
            raise PublishRefused(f"POST {httpx.URL(self._url).path} answered {response.status_code}")

    def _not_sure(self, batch: list[Planned], kind: str) -> None:
        self.errors[kind] += 1
        for planned in batch:
            self.uncertain.setdefault(planned.stream, set()).add(planned.seq)
