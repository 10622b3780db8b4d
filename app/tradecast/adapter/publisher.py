"""The write-only twin of `RedisManager`: for processes that emit events and have no clients."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import orjson
from redis.asyncio import Redis
from redis.exceptions import RedisError

from tradecast.adapter.errors import AdapterUnavailable
from tradecast.adapter.manager import Emitted
from tradecast.adapter.redis_manager import channel_of


class RedisPublisher:
    """Writes to the channel that the servers read, in python-socketio's format.

    Args:
        redis: A client for requests.
        timeout: Seconds that publishing may take, retries included.
        on_emitted: Told each event that Redis took, with 0 recipients: they are on the servers.
    """

    def __init__(
        self, redis: Redis, *, timeout: float = 2.0, on_emitted: Emitted = lambda event, recipients: None
    ) -> None:
        self._redis = redis
        self._timeout = timeout
        self._on_emitted = on_emitted
        self._channel = channel_of(redis)
        self._host_id = uuid.uuid4().hex

    async def emit_to_room(self, room: str, event: str, data: Any) -> None:
        """Send an event to a room on every server.

        Raises:
            AdapterUnavailable: Redis did not take it; nobody has the event.
            TypeError: The data cannot be said in JSON.
        """
        message = {
            "method": "emit",
            "event": event,
            "data": [data],
            "binary": False,
            "namespace": "/",
            "room": room,
            "skip_sid": None,
            "callback": None,
            "host_id": self._host_id,
        }
        body = orjson.dumps(message, option=orjson.OPT_NON_STR_KEYS)
        try:
            async with asyncio.timeout(self._timeout):
                await self._redis.publish(self._channel, body)
        except (RedisError, OSError, TimeoutError) as error:
            raise AdapterUnavailable("Redis did not take the message") from error
        self._on_emitted(event, 0)
