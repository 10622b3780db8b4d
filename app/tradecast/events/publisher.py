"""The emitters for other processes: a back end, a job, the demo's feed."""

from __future__ import annotations

from typing import Self

from tradecast.adapter.manager import Emitted
from tradecast.adapter.publisher import RedisPublisher
from tradecast.adapter.redis import create_redis
from tradecast.events.emitters import Emitters
from tradecast.settings import Settings, SettingsError, load_settings


class Publisher(Emitters):
    """Emits to the clients of every server on one Redis, without being a server.

    ```python
    async with Publisher() as publisher:
        await publisher.emit_trade_executed("u1", {"symbol": "AAPL", "quantity": 5, "price": 512.4})
    ```

    Each emitter raises `AdapterUnavailable` when Redis did not take the event: then nobody has it.

    Args:
        settings: REDIS_URL and what belongs to it; None: from the environment.
        on_emitted: Told each event that Redis took.

    Raises:
        SettingsError: There is no REDIS_URL.
    """

    def __init__(self, settings: Settings | None = None, on_emitted: Emitted = lambda event, recipients: None) -> None:
        settings = settings or load_settings()
        if settings.redis_url is None:
            raise SettingsError("REDIS_URL: is needed to publish to servers")
        self.redis = create_redis(settings)
        super().__init__(RedisPublisher(self.redis, timeout=settings.redis_timeout, on_emitted=on_emitted).emit_to_room)

    async def close(self) -> None:
        """Let go of the connections to Redis."""
        await self.redis.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()
