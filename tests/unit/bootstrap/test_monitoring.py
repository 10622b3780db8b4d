"""The health of Redis, as a server depends on it."""

from __future__ import annotations

import contextlib
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tradecast.bootstrap import monitoring as module
from tradecast.bootstrap.components import Components
from tradecast.bootstrap.monitoring import RedisDependency
from tradecast.causes import Code, Failed
from tradecast.redis_client.client import RedisClient


class Redis:
    """A Redis that is asked whether it answers."""

    def __init__(self) -> None:
        self.checks = 0

    async def check(self) -> None:
        self.checks += 1


class Eviction:
    """Finds that nothing is evicted (`EvictionWatch`)."""

    found = SimpleNamespace(may_evict=False, evicted=0)

    async def check(self, name: str, redis: Redis) -> Any:
        return self.found


class Case:
    """A server's Redis, and that of its events."""

    def __init__(self, adapter_url: str) -> None:
        self.redis, self.of_events = Redis(), Redis()
        self.evictions: list[bool] = []
        self.broker = SimpleNamespace(
            redis=self.of_events, is_subscribed=True, trouble=None, set_eviction=self.evictions.append
        )
        metrics = SimpleNamespace(redis=SimpleNamespace(redis_eviction=lambda may_evict, evicted: None))
        foundation = SimpleNamespace(metrics=metrics, settings=SimpleNamespace(adapter_url=adapter_url))
        components = SimpleNamespace(broker=self.broker, foundation=foundation)
        self.dependency = RedisDependency(cast(Components, components), cast(RedisClient, self.redis))


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "EvictionWatch", Eviction)
    monkeypatch.setattr(module, "mark_place", lambda redis: contextlib.nullcontext())


@pytest.mark.parametrize(("adapter_url", "checks"), [("REDIS_URL", 0), ("REDIS_CLUSTER_URL", 1)])
async def test_the_redis_of_events_is_checked_where_it_is_another(adapter_url: str, checks: int) -> None:
    case = Case(adapter_url)
    await case.dependency.check()
    assert (case.redis.checks, case.of_events.checks, case.evictions) == (1, checks, [False])


async def test_without_its_subscription_it_is_not_healthy() -> None:
    case = Case("REDIS_URL")
    case.broker.is_subscribed, case.broker.trouble = False, ConnectionError("refused")
    with pytest.raises(Failed) as raised:
        await case.dependency.check()
    assert raised.value.code is Code.NOT_SUBSCRIBED
    assert raised.value.__cause__ is case.broker.trouble
