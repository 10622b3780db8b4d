"""Brokers on a Redis of their own, to which anything may happen."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from kit.delivery.redis_brokers import Brokers
from kit.network.redis_forwarder import RedisForwarder
from kit.servers.redis_server import RedisServer, started


@pytest.fixture
async def brokers(own_redis: RedisServer) -> AsyncIterator[Brokers]:
    """Brokers on a Redis of their own."""
    async with Brokers(own_redis.url) as made:
        yield made


@pytest.fixture
async def forwarder(own_redis: RedisServer) -> AsyncIterator[RedisForwarder]:
    """What lies between them and that Redis."""
    async with RedisForwarder(own_redis) as made:
        yield made


@pytest.fixture
def ticking(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ticks come quickly."""
    monkeypatch.setattr("tradecast.delivery.redis.control_channel.TICK_EVERY", 0.1)


@pytest.fixture
def replica(own_redis: RedisServer) -> Iterator[RedisServer]:
    """A replica of it."""
    server = started("--replicaof", "127.0.0.1", str(own_redis.port))
    yield server
    server.close()
