"""Several servers on one Redis, by python-socketio's pub/sub manager.

What it cannot do (routing, replay, surviving a Redis blip) is the adapter's that takes its place.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import orjson
import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError
from socketio.async_pubsub_manager import AsyncPubSubManager

from tradecast.adapter.errors import AdapterUnavailable
from tradecast.adapter.manager import Emitted, LocalManager

CHANNEL = "socketio"
log = structlog.stdlib.get_logger("tradecast.adapter")


def channel_of(redis: Redis) -> str:
    """The channel of the servers on this Redis and database.

    Pub/sub knows no databases: without the number, deployments on one Redis would hear each other.
    """
    database = redis.connection_pool.connection_kwargs.get("db") or 0
    return f"{CHANNEL}:{database}" if database else CHANNEL


class RedisManager(AsyncPubSubManager, LocalManager):
    """Emits locally at once, and to the other servers through a Redis channel.

    Messages have the format of python-socketio's `AsyncRedisManager`, so its write-only clients work beside it, on the
    channel `socketio`, or `socketio:<db>` where the database is not 0.

    Args:
        redis: A client for requests.
        subscriber: A client of its own for the subscription, without a read time-out.
        timeout: Seconds that publishing may take, retries included.
        on_emitted: As of `LocalManager`.
        on_subscribed: Told whether the subscription stands, now and when that changes.
        on_published: Told of each event for other servers whether Redis took it.
        on_message: Called for each message that comes through the subscription.

    Attributes:
        subscribed: Set while the subscription stands. While it is not, events of other servers are missed.
    """

    name = "redis"

    def __init__(
        self,
        redis: Redis,
        subscriber: Redis,
        *,
        timeout: float = 2.0,
        on_emitted: Emitted = lambda event, recipients: None,
        on_subscribed: Callable[[bool], None] = lambda subscribed: None,
        on_published: Callable[[bool], None] = lambda taken: None,
        on_message: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(channel=channel_of(redis))
        self._redis = redis
        self._timeout = timeout
        self._subscriber = subscriber
        self._on_emitted = on_emitted
        self._on_subscribed = on_subscribed
        self._on_published = on_published
        self._on_message = on_message
        self.subscribed = asyncio.Event()
        on_subscribed(False)

    async def _publish(self, data: Any) -> None:
        try:
            async with asyncio.timeout(self._timeout):
                await self._redis.publish(self.channel, orjson.dumps(data, option=orjson.OPT_NON_STR_KEYS))
        except (RedisError, OSError, TimeoutError) as error:
            self._on_published(False)
            raise AdapterUnavailable("Redis did not take the message") from error
        self._on_published(True)

    async def _listen(self) -> AsyncIterator[bytes]:
        attempt = 0
        while True:
            pubsub = self._subscriber.pubsub(ignore_subscribe_messages=False)
            try:
                await pubsub.subscribe(self.channel)
                async for message in pubsub.listen():
                    if message["type"] == "subscribe":
                        attempt = 0
                        self.subscribed.set()
                        self._on_subscribed(True)
                        log.info("subscribed to the other servers' events")
                    elif message["type"] == "message":
                        self._on_message()
                        yield message["data"]
            except (RedisError, OSError) as error:
                if self.subscribed.is_set() or attempt == 0:
                    log.error("subscription lost: events of other servers are missed", error=type(error).__name__)
                self.subscribed.clear()
                self._on_subscribed(False)
                attempt += 1
                await asyncio.sleep(min(attempt * 0.05, 2))
            finally:
                await pubsub.aclose()  # type: ignore[no-untyped-call]  # redis-py leaves it untyped
