"""What tests of brokers in trouble share."""

from __future__ import annotations

from kit.waiting import eventually
from tradecast.delivery.redis.broker import RedisBroker
from tradecast.delivery.retention import Retention

FEW = Retention(window=60, dead_after=10, refresh=5, events_per_room=200)


MANY = Retention(window=60, dead_after=10, refresh=5, events_per_room=100_000)


PREFIX = "tradecast:events:0:{0}:"


async def not_heard(broker: RedisBroker) -> None:
    await eventually(lambda: not broker.is_subscribed)
