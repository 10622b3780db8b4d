"""The broker that the settings ask for."""

from __future__ import annotations

import pytest

from tradecast.config.settings import load_settings
from tradecast.delivery.create import create_broker
from tradecast.delivery.memory import MemoryBroker
from tradecast.delivery.redis.broker import RedisBroker
from tradecast.delivery.redis.options import NullBrokerObserver

ONE, CLUSTER = "redis://127.0.0.1:1", "redis+cluster://127.0.0.1:2"


def test_without_redis_it_is_in_memory() -> None:
    broker = create_broker(load_settings({}), NullBrokerObserver(), NullBrokerObserver())
    assert isinstance(broker, MemoryBroker)
    assert broker.is_local


@pytest.mark.parametrize(
    ("environ", "at", "partitions", "other"),
    [
        ({"REDIS_URL": ONE}, "127.0.0.1:1", 1, False),
        ({"REDIS_URL": CLUSTER}, "127.0.0.1:2", 16, False),
        ({"REDIS_URL": ONE, "REDIS_CLUSTER_URL": CLUSTER}, "127.0.0.1:1", 1, True),
        ({"REDIS_URL": ONE, "REDIS_CLUSTER_URL": CLUSTER, "ADAPTER_MODE": "sharded"}, "127.0.0.1:2", 16, True),
    ],
)
async def test_each_mode_has_its_redis(environ: dict[str, str], at: str, partitions: int, other: bool) -> None:
    broker = create_broker(load_settings(environ), NullBrokerObserver(), NullBrokerObserver())
    assert isinstance(broker, RedisBroker)
    assert (broker.redis.place.at, broker.partitions) == (at, partitions)
    assert (broker.other is not None) is other
