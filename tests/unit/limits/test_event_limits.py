"""Which limits an event counts against."""

from __future__ import annotations

import pytest

from tradecast.config.settings import load_settings
from tradecast.limits.event_limits import event_checks
from tradecast.limits.limiter import RateLimiter
from unit.limits.limiting import passed


@pytest.fixture
def limiter() -> RateLimiter:
    return RateLimiter(load_settings({}), None)


@pytest.mark.parametrize("topic", ["portfolio", "trades", "watchlist"])
@pytest.mark.parametrize("verb", ["subscribe", "unsubscribe"])
async def test_subscribe_and_unsubscribe_have_a_hundred_each(limiter: RateLimiter, verb: str, topic: str) -> None:
    event = f"{verb}:{topic}"
    assert await passed(limiter, event) == 100
    assert (await limiter.check_limit("u", event)).exceeded == event
    assert await limiter.check_limit("other", event)


@pytest.mark.parametrize(
    ("event", "limit"), [("admin:broadcast", 1_000), ("session:refresh", 10), ("anything else", 1_000), ("", 1_000)]
)
async def test_the_other_limits(limiter: RateLimiter, event: str, limit: int) -> None:
    assert await passed(limiter, event) == limit


async def test_all_events_together_are_a_thousand(limiter: RateLimiter) -> None:
    events = [*event_checks(load_settings({})), "custom"]
    counts = [await passed(limiter, event, 300) for event in events]
    assert sum(counts) == 1_000
    assert (await limiter.check_limit("u", "custom")).exceeded == "global"


async def test_names_made_up_by_clients_share_one_limit(limiter: RateLimiter) -> None:
    for verb in ("subscribe", "unsubscribe"):
        allowed = sum([bool(await limiter.check_limit("u", f"{verb}:made-up-{n}")) for n in range(300)])
        assert allowed == 100
        assert (await limiter.check_limit("u", f"{verb}:made-up")).exceeded == f"{verb}:*"
    assert await limiter.check_limit("u", "subscribe:trades")
    assert len(limiter._memory_rates._users["u"]) <= 4
