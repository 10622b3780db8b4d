"""What acts from outside the cluster: it makes sessions, and publishes numbered quotes through Redis."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import threading
from typing import Any, Self

from pymongo import MongoClient

from e2e.crowd import SYMBOL
from tradecast.adapter.errors import AdapterUnavailable
from tradecast.events.publisher import Publisher
from tradecast.settings import load_settings

REDIS_URL = "redis://127.0.0.1:30079/0"
MONGODB_URI = "mongodb://127.0.0.1:30017/tradecast?directConnection=true"
URL = "http://127.0.0.1:30080"


def make_sessions(count: int) -> list[dict[str, str]]:
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
    client: MongoClient[dict[str, Any]] = MongoClient(MONGODB_URI, serverSelectionTimeoutMS=60_000)
    with client:
        client["tradecast"]["sessions"].insert_many(documents)
    return made


class Numbers:
    """Publishes quotes numbered from 1, in a thread of its own. While Redis is away a number waits its turn."""

    def __init__(self, per_second: float = 5) -> None:
        self.last = 0
        self._pause = 1 / per_second
        self._end = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._publish()), name="numbers")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def stop(self) -> int:
        """Publish no more; the last number."""
        self._end.set()
        self._thread.join()
        return self.last

    async def _publish(self) -> None:
        async with Publisher(load_settings({"REDIS_URL": REDIS_URL})) as publisher:
            while not self._end.is_set():
                with contextlib.suppress(AdapterUnavailable):
                    await publisher.emit_watchlist_quote(SYMBOL, {"seq": self.last + 1})
                    self.last += 1
                await asyncio.sleep(self._pause)
