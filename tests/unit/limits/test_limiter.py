from __future__ import annotations

import asyncio
from typing import Any

import pytest
import structlog

from tradecast.config.settings import load_settings
from tradecast.limits.limiter import RateLimiter
from unit.limits.limiting import passed


@pytest.fixture
def limiter() -> RateLimiter:
    return RateLimiter(load_settings({}), None)


async def test_settings_are_the_limits() -> None:
    settings = load_settings(
        {
            "RATE_LIMIT_GLOBAL": "20",
            "RATE_LIMIT_SUBSCRIBE": "3",
            "RATE_LIMIT_UNSUBSCRIBE": "4",
            "RATE_LIMIT_BROADCAST": "5",
            "RATE_LIMIT_REFRESH": "2",
            "MAX_SUBSCRIPTIONS_PER_USER": "2",
            "MAX_CONNECTIONS_PER_USER": "1",
        }
    )
    limiter = RateLimiter(settings, None)
    assert await passed(limiter, "subscribe:trades", 10) == 3
    assert await passed(limiter, "unsubscribe:trades", 10) == 4
    assert await passed(limiter, "admin:broadcast", 10) == 5
    assert await passed(limiter, "session:refresh", 10) == 2
    assert await passed(limiter, "x", 30) == 20 - 14
    assert [await limiter.increment_subscription("u", f"m{n}") for n in range(3)] == [True, True, False]
    assert [await limiter.acquire_connection("u", f"m{n}") for n in range(3)] == [True, False, False]


@pytest.mark.parametrize(("connections", "most"), [(1, 60), (10, 60), (100, 600)])
def test_recoveries_of_a_user_in_a_minute(connections: int, most: int) -> None:
    limiter = RateLimiter(load_settings({"MAX_CONNECTIONS_PER_USER": str(connections)}), None)
    tries = [limiter.may_recover("u", f"pid {n % 7}", blind=False) for n in range(1_000)]
    assert tries == [True] * most + [False] * (1_000 - most)
    assert limiter.may_recover("other", "pid 1", blind=False)
    assert limiter.check_limit_here("u", "anything"), "they are no events"


def test_recoveries_without_an_offset_are_five_a_minute_for_each_connection(limiter: RateLimiter) -> None:
    assert sum(limiter.may_recover("u", "pid", blind=True) for _ in range(20)) == 5
    assert limiter.may_recover("u", "pid", blind=False)
    assert limiter.may_recover("u", "another pid", blind=True)


def test_recoveries_of_anonymous_clients_are_counted_by_pid(limiter: RateLimiter) -> None:
    assert sum(limiter.may_recover(None, "pid", blind=False) for _ in range(100)) == 60
    assert limiter.may_recover(None, "another pid", blind=False)


async def test_quotas_without_redis(limiter: RateLimiter) -> None:
    assert sum([await limiter.increment_subscription("u", f"m{n}") for n in range(60)]) == 50
    assert await limiter.get_subscription_count("u") == 50
    await limiter.decrement_subscription("u", "m0")
    await limiter.decrement_subscription("u", "never")
    assert await limiter.get_subscription_count("u") == 49
    assert await limiter.get_connection_count("u") == 0
    assert not limiter._ledger.missed_releases


async def test_if_limiting_fails_the_event_passes_and_one_line_reports(
    limiter: RateLimiter, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: Any) -> None:
        raise KeyError("a bug")

    monkeypatch.setattr(limiter._memory_rates, "count", broken)
    with structlog.testing.capture_logs() as lines:
        assert await passed(limiter, "session:refresh", 50) == 50
    assert [line["event"] for line in lines] == ["limiting failed: the event passes"]
    assert lines[0]["log_level"] == "error"
    assert lines[0]["error"] == "KeyError"


async def test_cancelling_is_not_swallowed(limiter: RateLimiter, monkeypatch: pytest.MonkeyPatch) -> None:
    async def endless(*args: Any) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(limiter, "_rates", limiter._memory_rates)
    monkeypatch.setattr(limiter._failover, "ask", endless)
    task = asyncio.create_task(limiter.check_limit("u", "x"))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_memory_is_cleaned_up_periodically(limiter: RateLimiter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tradecast.limits.limiter.CLEANUP_EVERY", 0.01)
    cleaned = asyncio.Event()

    def cleanup() -> int:
        cleaned.set()
        return 0

    monkeypatch.setattr(limiter._memory_rates, "cleanup", cleanup)
    await limiter.start()
    async with asyncio.timeout(30):
        await cleaned.wait()
    await limiter.close()
