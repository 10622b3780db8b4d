"""What connections count of their users' quotas."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tradecast.config.settings import load_settings
from tradecast.connections.connection import Connection
from tradecast.delivery.clients.resumption import QuotaReservation, Resumed
from tradecast.gateway.quotas import ANONYMOUS, ConnectionQuotas, RecoveryQuota, identify_client
from tradecast.limits.limiter import RateLimiter
from tradecast.sessions.models import Session, Tier, User
from unit.connections.connecting import Recorder

RECOVERED = ("user:u", "portfolio:u", "trades:u", "watchlist:AAPL")


def connection(tier: Tier | None = "premium") -> Connection:
    made = Connection("sid", "new", Recorder(), claims=None, connected_at=0.0)
    if tier is not None:
        made.attach(Session("s", User("u", "Name", "name@example.com", is_admin=False, tier=tier), 1.0))
    return made


class Hub:
    """Resumes a connection of the id `old` (`Resume`), unless its quotas or `is_lost` stand against it."""

    def __init__(self, *, is_lost: bool = False) -> None:
        self.is_lost = is_lost
        self.user = ""
        self.permitted: list[str] = []

    async def __call__(
        self, user: str, permitted: Callable[[str], bool], reserve_quota: QuotaReservation
    ) -> Resumed | None:
        self.user, self.permitted = user, [room for room in RECOVERED if permitted(room)]
        if not await reserve_quota("old", RECOVERED) or self.is_lost:
            return None
        return Resumed("sid of before", "old", frozenset(RECOVERED))


@pytest.fixture
def limiter() -> RateLimiter:
    return RateLimiter(load_settings({"MAX_SUBSCRIPTIONS_PER_USER": "3"}), None)


@pytest.fixture
def quotas(limiter: RateLimiter) -> ConnectionQuotas:
    return ConnectionQuotas(limiter)


async def test_what_is_resumed_is_counted_under_the_id_of_before(
    quotas: ConnectionQuotas, limiter: RateLimiter
) -> None:
    counted: list[str] = []
    made, hub = connection(), Hub()
    assert await quotas.resume(made, hub, counted) is not None
    assert (made.id, counted) == ("old", ["portfolio:u", "trades:u", "watchlist:AAPL"])
    assert await limiter.get_subscription_count("u") == 3
    assert hub.user == "user:u"
    await quotas.release(made, counted)
    assert await limiter.get_subscription_count("u") == 0


async def test_a_room_of_another_tier_is_neither_resumed_nor_counted(
    quotas: ConnectionQuotas, limiter: RateLimiter
) -> None:
    counted: list[str] = []
    hub = Hub()
    assert await limiter.increment_subscription("u", "old|watchlist:AAPL")
    await quotas.resume(connection("free"), hub, counted)
    assert hub.permitted == ["user:u", "portfolio:u", "trades:u"]
    assert counted == ["portfolio:u", "trades:u"]
    assert await limiter.get_subscription_count("u") == 2


@pytest.mark.parametrize("why", ["full", "lost"])
async def test_what_is_not_resumed_is_not_counted(quotas: ConnectionQuotas, limiter: RateLimiter, why: str) -> None:
    counted: list[str] = []
    made = connection()
    if why == "full":
        assert await limiter.increment_subscription("u", "another one")
    before = await limiter.get_subscription_count("u")
    assert await quotas.resume(made, Hub(is_lost=why == "lost"), counted) is None
    assert (made.id, counted) == ("new", [])
    assert await limiter.get_subscription_count("u") == before


async def test_one_that_is_handed_over_is_not_counted_here(quotas: ConnectionQuotas, limiter: RateLimiter) -> None:
    made = connection()
    assert await limiter.acquire_connection("u", made.id)
    quotas.hand_over(made, [])
    assert await limiter.get_connection_count("u") == 0


async def test_anonymous_clients_count_for_nobody(quotas: ConnectionQuotas) -> None:
    counted: list[str] = []
    made = connection(None)
    hub = Hub()
    assert identify_client(made) == ANONYMOUS
    assert await quotas.resume(made, hub, counted) is not None
    assert (hub.user, hub.permitted, counted) == (ANONYMOUS, list(RECOVERED), [])
    await quotas.release(made, RECOVERED)
    await quotas.release_recoverable(made, RECOVERED)


def test_recoveries_of_anonymous_clients_are_counted_by_pid_and_those_of_users_together(limiter: RateLimiter) -> None:
    quota = RecoveryQuota(limiter)
    tries = {
        user: sum(quota.may_recover(user, f"pid {n}", blind=True) for n in range(400)) for user in (ANONYMOUS, "user:u")
    }
    assert tries[ANONYMOUS] == 400
    assert tries["user:u"] < 400
