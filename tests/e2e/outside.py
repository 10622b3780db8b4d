"""What acts from outside the cluster: it makes sessions, and publishes numbered events through Redis."""

from __future__ import annotations

import asyncio
import itertools
import secrets
import threading
from dataclasses import dataclass
from typing import Any, Self

from pymongo import MongoClient

from e2e.crowd import EVENT, SYMBOL
from tradecast.config.settings import load_settings
from tradecast.delivery.errors import AdapterUnavailable, PublishUncertain
from tradecast.publishing.publisher import Publisher


@dataclass(frozen=True)
class Ports:
    """Where a fleet is reached from outside the cluster (k8s/kind.yaml)."""

    servers: int
    redis: int
    mongodb: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.servers}"

    @property
    def redis_url(self) -> str:
        return f"redis://127.0.0.1:{self.redis}/0"

    @property
    def mongodb_uri(self) -> str:
        return f"mongodb://127.0.0.1:{self.mongodb}/tradecast?directConnection=true"


SHARED = Ports(servers=30080, redis=30079, mongodb=30017)
TUNED = Ports(servers=31080, redis=31079, mongodb=31017)
POLLED = Ports(servers=32080, redis=32079, mongodb=32017)
URL = SHARED.url


def make_sessions(count: int, ports: Ports = SHARED) -> list[dict[str, str]]:
    """Sessions as connect-mongo writes them, each of a user of its own; `{sessionID, userId}` for clients."""
    import json
    from datetime import UTC, datetime, timedelta

    expires = datetime.now(UTC) + timedelta(hours=2)
    made = [{"sessionID": secrets.token_urlsafe(24), "userId": f"e2e-{secrets.token_hex(6)}"} for _ in range(count)]
    documents: list[dict[str, Any]] = [
        {
            "_id": one["sessionID"],
            "expires": expires,
            "session": json.dumps(
                {"cookie": {}, "passport": {"user": {"id": one["userId"], "subscriptionTier": "premium"}}}
            ),
        }
        for one in made
    ]
    client: MongoClient[dict[str, Any]] = MongoClient(ports.mongodb_uri, serverSelectionTimeoutMS=60_000)
    with client:
        client["tradecast"]["sessions"].insert_many(documents)
    return made


class Prices:
    """An open market with one symbol, whose quotes are published in a thread of their own; closed at the end.

    Args:
        per_second: Quotes. Servers measure the age of one in a hundred.
    """

    def __init__(self, per_second: float = 50) -> None:
        self._pause = 1 / per_second
        self._end = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._publish()), name="prices")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._end.set()
        self._thread.join()

    async def _publish(self) -> None:
        async with Publisher(load_settings({"REDIS_URL": SHARED.redis_url})) as publisher:
            await publisher.emit_market_status("open")
            for cents in itertools.cycle(range(50_000, 60_000)):
                if self._end.is_set():
                    break
                await publisher.emit_watchlist_quote(SYMBOL, {"price": cents / 100})
                await asyncio.sleep(self._pause)
            await publisher.emit_market_status("closed")


class Numbers:
    """Publishes numbered events that count, in a thread of its own; a number that Redis did not take is tried again.

    Attributes:
        accepted: The numbers that Redis has taken.
        uncertain: Those of which nobody knows; clients may have them or not.
    """

    def __init__(self, per_second: float = 5, ports: Ports = SHARED) -> None:
        self.accepted: list[int] = []
        self.uncertain: set[int] = set()
        self._redis_url = ports.redis_url
        self._pause = 1 / per_second
        self._end = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._publish()), name="numbers")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Publish no more."""
        self._end.set()
        self._thread.join()

    async def _publish(self) -> None:
        number = 1
        async with Publisher(load_settings({"REDIS_URL": self._redis_url})) as publisher:
            while not self._end.is_set():
                try:
                    await publisher.emit_to_room(f"watchlist:{SYMBOL}", EVENT, {"seq": number})
                    self.accepted.append(number)
                    number += 1
                except PublishUncertain:
                    self.uncertain.add(number)
                    number += 1
                except AdapterUnavailable:
                    pass
                await asyncio.sleep(self._pause)
