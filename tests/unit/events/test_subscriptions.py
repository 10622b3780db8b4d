"""Joining and leaving rooms that count towards a user's quota."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tradecast.connections.connection import Connection
from tradecast.delivery.errors import AdapterUnavailable, EventRefused
from tradecast.events.subscriptions import Subscriptions, count_subscriptions, is_subscription, may_be_in
from tradecast.sessions.models import Session, Tier, User
from unit.connections.connecting import connection
from unit.events.subscribing import Membership, Quota

ROOM, WATCHLIST = "portfolio:u", "watchlist:AAPL"


def user(tier: Tier = "premium") -> User:
    return User("u", "Name", "name@example.com", is_admin=False, tier=tier)


class Case:
    """A user's connection, and a quota of two."""

    def __init__(self) -> None:
        self.quota = Quota(2)
        self.rooms = Membership()
        self.user = user()
        self.connection = Connection("sid", "id", self.rooms, claims=None, connected_at=0)
        self.connection.attach(Session("s", self.user, 1.0))
        self.subscriptions = Subscriptions(self.quota, 2)

    async def refused(self, room: str) -> str:
        with pytest.raises(EventRefused) as raised:
            await self.subscriptions.join(self.connection, self.user, room)
        return raised.value.reason


@pytest.fixture
def case() -> Case:
    return Case()


async def test_a_room_is_counted_as_long_as_the_connection_is_in_it(case: Case) -> None:
    for _ in range(2):
        await case.subscriptions.join(case.connection, case.user, ROOM)
    assert (case.rooms.joined, case.quota.members) == ([ROOM], {f"id|{ROOM}"})
    await case.subscriptions.leave(case.connection, case.user, ROOM)
    assert (case.rooms.joined, case.quota.members) == ([], set())
    with pytest.raises(EventRefused, match="no such subscription"):
        await case.subscriptions.leave(case.connection, case.user, ROOM)


async def test_beyond_the_quota_nothing_is_joined(case: Case) -> None:
    for room in (ROOM, WATCHLIST):
        await case.subscriptions.join(case.connection, case.user, room)
    assert await case.refused("trades:u") == "QUOTA_EXCEEDED"
    assert case.rooms.joined == [ROOM, WATCHLIST]


def end(case: Case) -> None:
    case.connection.closed = True


def lose_tier(case: Case) -> None:
    case.connection.attach(Session("s", user("free"), 1.0))


def lose_redis(case: Case) -> None:
    case.rooms.error = AdapterUnavailable("away")


@pytest.mark.parametrize(
    ("happens", "reason"), [(end, "UNAVAILABLE"), (lose_tier, "TIER_REQUIRED"), (lose_redis, "UNAVAILABLE")]
)
async def test_what_happens_while_the_quota_is_asked_gives_it_back(
    case: Case, happens: Callable[[Case], None], reason: str
) -> None:
    case.quota.meanwhile = lambda: happens(case)
    assert await case.refused(WATCHLIST) == reason
    assert (case.rooms.joined, case.quota.members) == ([], set())


async def test_after_a_change_of_tier_what_it_does_not_allow_is_left(case: Case) -> None:
    for room in (ROOM, WATCHLIST):
        await case.subscriptions.join(case.connection, case.user, room)
    lose_tier(case)
    await case.subscriptions.leave_unpermitted(case.connection)
    assert (case.rooms.joined, case.quota.members) == ([ROOM], {f"id|{ROOM}"})
    await case.subscriptions.leave_unpermitted(connection())  # of an anonymous client: nothing


@pytest.mark.parametrize(
    ("tier", "room", "allowed"),
    [("free", WATCHLIST, False), ("premium", WATCHLIST, True), ("enterprise", WATCHLIST, True), ("free", ROOM, True)],
)
def test_tiers(tier: Tier, room: str, allowed: bool) -> None:
    assert may_be_in(user(tier), room) is allowed


class Rooms:
    def room_sizes(self) -> list[tuple[str, int]]:
        return [(ROOM, 2), ("portfolio:v", 1), (WATCHLIST, 5), ("user:u", 9), ("market:status", 9), ("portfolios", 9)]


def test_subscriptions_are_counted_by_topic() -> None:
    assert count_subscriptions(Rooms()) == {"portfolio": 3, "trades": 0, "watchlist": 5}  # type: ignore[arg-type]
    assert [room for room, _ in Rooms().room_sizes() if is_subscription(room)] == [ROOM, "portfolio:v", WATCHLIST]
