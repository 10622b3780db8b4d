"""What each event of the contract does: the answer, its event, and why it is refused."""

from __future__ import annotations

from typing import Any

import pytest

from tradecast.connections.connection import Connection
from tradecast.delivery.errors import AdapterUnavailable, EventRefused, PublishUncertain
from tradecast.events.contract import CLIENT_EVENTS
from tradecast.events.handlers import Handlers
from tradecast.events.subscriptions import Subscriptions
from tradecast.sessions.errors import AuthRefused, StoreUnavailable
from tradecast.sessions.models import Session, User
from unit.events.subscribing import Membership, Quota

USER = User("5", "Name", "name@example.com", is_admin=True, tier="premium")


class Case:
    """The handlers, a client, and what stands below.

    Attributes:
        error: What broadcasting and refreshing raise.
    """

    def __init__(self, *, broadcast_any: bool = False) -> None:
        self.error: Exception | None = None
        self.broadcasted: list[tuple[str, Any]] = []
        self.rooms = Membership()
        self.connection = Connection("sid", "id", self.rooms, claims=None, connected_at=0)
        self.connection.attach(Session("s", USER, 1.0))
        subscriptions = Subscriptions(Quota(10), 10)
        handlers = Handlers(subscriptions, self, self, max_symbols=3, broadcast_any=broadcast_any)
        self.routes = {route.event: route.handler for route in handlers.routes()}

    async def broadcast(self, event: str, data: Any) -> None:
        if self.error is not None:
            raise self.error
        self.broadcasted.append((event, data))

    async def refresh(self, connection: Connection, raw_session_id: object) -> Session:
        if self.error is not None:
            raise self.error
        return Session(str(raw_session_id), USER, 2.5)

    async def ask(self, event: str, data: Any = None) -> Any:
        return await self.routes[event](self.connection, data)

    async def refused(self, event: str, data: Any = None) -> EventRefused:
        with pytest.raises(EventRefused) as raised:
            await self.ask(event, data)
        return raised.value


@pytest.fixture
def case() -> Case:
    return Case()


def test_there_is_a_handler_for_each_event_of_the_contract(case: Case) -> None:
    assert case.routes.keys() == CLIENT_EVENTS.keys()


@pytest.mark.parametrize("topic", ["portfolio", "trades"])
async def test_own_data(case: Case, topic: str) -> None:
    answer = await case.ask(f"subscribe:{topic}", {"userId": 5})
    assert case.rooms.joined == [f"{topic}:5"]
    assert case.rooms.sent == [(f"subscribed:{topic}", answer)]
    assert (answer["success"], answer["userId"]) == (True, "5")
    await case.ask(f"unsubscribe:{topic}")
    assert case.rooms.joined == []


@pytest.mark.parametrize(("data", "reason"), [({"userId": "6"}, "USER_MISMATCH"), ([], "INVALID_PAYLOAD")])
async def test_data_of_somebody_else(case: Case, data: Any, reason: str) -> None:
    for event in ("subscribe:portfolio", "unsubscribe:portfolio", "subscribe:trades", "unsubscribe:trades"):
        assert (await case.refused(event, data)).reason == reason
    assert (case.rooms.joined, case.rooms.sent) == ([], [])


async def test_of_several_symbols_the_answer_says_which_failed(case: Case) -> None:
    answer = await case.ask("subscribe:watchlist", {"symbols": ["AAPL", "nö symbol", "MSFT"]})
    assert answer["symbols"] == ["AAPL", "MSFT"]
    assert [(one["symbol"], one["reason"]) for one in answer["failed"]] == [("nö symbol", "SYMBOL_INVALID")]
    assert case.rooms.joined == ["watchlist:AAPL", "watchlist:MSFT"]
    assert (await case.ask("unsubscribe:watchlist", {"symbol": "AAPL"}))["symbol"] == "AAPL"
    refused = await case.refused("unsubscribe:watchlist", {"symbols": ["AAPL"]})
    assert (refused.reason, refused.extra["symbols"], len(refused.extra["failed"])) == ("NOT_SUBSCRIBED", [], 1)


async def test_a_broadcast(case: Case) -> None:
    answer = await case.ask("admin:broadcast", {"event": "news:flash", "data": {"a": [1]}})
    assert (answer["event"], case.broadcasted) == ("news:flash", [("news:flash", {"a": [1]})])


@pytest.mark.parametrize("event", ["trade:executed", "subscribe:trades", "connect", "error", "1a", "", 5, "a" * 65])
async def test_names_that_nobody_broadcasts(case: Case, event: Any) -> None:
    assert (await case.refused("admin:broadcast", {"event": event})).reason == "INVALID_PAYLOAD"
    assert case.broadcasted == []


async def test_the_contracts_own_names_may_be_allowed_and_reserved_ones_never() -> None:
    case = Case(broadcast_any=True)
    await case.ask("admin:broadcast", {"event": "trade:executed"})
    assert (await case.refused("admin:broadcast", {"event": "connect"})).reason == "INVALID_PAYLOAD"
    assert case.broadcasted == [("trade:executed", None)]


@pytest.mark.parametrize(
    ("error", "message"),
    [(PublishUncertain("late"), "not known whether"), (AdapterUnavailable("away"), "not sent; try again")],
)
async def test_a_broadcast_that_perhaps_was_sent_is_not_reported_as_one_that_was_not(
    case: Case, error: Exception, message: str
) -> None:
    case.error = error
    refused = await case.refused("admin:broadcast", {"event": "e"})
    assert refused.reason == "UNAVAILABLE"
    assert message in refused.message


async def test_another_session(case: Case) -> None:
    answer = await case.ask("session:refresh", {"sessionID": "next"})
    assert answer["expiresAt"] == 2500
    for error, reason in (
        (AuthRefused("SESSION_EXPIRED", "expired"), "SESSION_EXPIRED"),
        (StoreUnavailable("away"), "UNAVAILABLE"),
    ):
        case.error = error
        assert (await case.refused("session:refresh", {"sessionID": "next"})).reason == reason
    assert (await case.refused("session:refresh", {"sessionID": 5})).reason == "INVALID_PAYLOAD"


async def test_without_a_user_nothing_is_done_whatever_stands_before(case: Case) -> None:
    anonymous = Connection("sid", "id", case.rooms, claims=None, connected_at=0)
    for event, handler in case.routes.items():
        with pytest.raises(EventRefused, match="Log in"):
            await handler(anonymous, {"symbol": "AAPL", "event": event, "sessionID": "s"})
    assert (case.rooms.joined, case.broadcasted) == ([], [])
