"""A Redis of one's own, and rounds of retention that come often."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from kit.contracts.broker import MakeBroker, RecordingListener
from kit.contracts.snapshots import RETAINING
from kit.delivery.redis_brokers import Brokers
from kit.servers.redis_server import RedisServer
from tradecast.delivery.broker import Broker
from tradecast.delivery.retention import Retention


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tradecast.delivery.redis.retained.keeper.EVERY", 0.05)


@pytest.fixture
async def brokers(own_redis: RedisServer) -> AsyncIterator[Brokers]:
    async with Brokers(own_redis.url) as made:
        yield made


@pytest.fixture
def make_broker(brokers: Brokers) -> MakeBroker:
    async def make(retention: Retention = RETAINING) -> tuple[Broker, RecordingListener]:
        return await brokers.add(retention=retention)

    return make
