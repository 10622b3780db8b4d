"""What is declared of each event, and what a latest one is about."""

from __future__ import annotations

from typing import Any

import pytest

from tradecast.delivery.envelope import COUNTED, LATEST, VOLATILE, Kind
from tradecast.delivery.event_kinds import NAMES, KindName, choose_kind
from tradecast.delivery.shaping.delta_chains import SUFFIX
from tradecast.events import rooms
from tradecast.events.contract import CLIENT_EVENTS, SERVER_EVENTS
from tradecast.events.kinds import FEED, KINDS, describe_event, key_of, subject_of


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        ("watchlist:quote", LATEST),
        ("market:status", LATEST),
        *((event, COUNTED) for event in ("trade:executed", "trade:failed", "portfolio:update", "notification", "own")),
    ],
)
def test_of_whole_states_the_newest_is_enough(event: str, kind: Kind) -> None:
    assert describe_event(event).kind == kind


def test_every_event_that_is_emitted_is_declared_beside_its_model() -> None:
    answers = {request.confirmation for request in CLIENT_EVENTS.values()} | {"error"}
    deltas = {f"{event}{SUFFIX}" for event, declared in KINDS.items() if declared.deltas}
    assert set(KINDS) == set(SERVER_EVENTS) - answers - deltas
    assert deltas <= set(SERVER_EVENTS)


@pytest.mark.parametrize(
    ("event", "arguments", "rooms", "key"),
    [
        ("watchlist:quote", [{"symbol": "AAPL"}], ["watchlist:AAPL"], ""),
        ("watchlist:quote", [{"symbol": "AAPL"}], ["vip"], "AAPL"),
        ("watchlist:quote", [{"symbol": "AAPL"}], ["watchlist:MSFT"], "AAPL"),
        ("watchlist:quote", [{"symbol": "AAPL"}], ["watchlist:AAPL", "vip"], "AAPL"),
        ("watchlist:quote", [{"symbol": 5}], ["vip"], ""),
        ("watchlist:quote", [{}], ["vip"], ""),
        ("watchlist:quote", [], ["vip"], ""),
        ("watchlist:quote", ["AAPL"], ["vip"], ""),
        ("market:status", [{"symbol": "AAPL"}], ["market:status"], ""),
        ("own", [{"symbol": "AAPL"}], ["vip"], ""),
    ],
)
def test_the_key_says_what_a_room_does_not(event: str, arguments: list[Any], rooms: list[str], key: str) -> None:
    assert key_of(event, arguments, rooms) == key


@pytest.mark.parametrize(
    ("event", "room", "key", "subject"),
    [
        ("watchlist:quote", "watchlist:AAPL", "", "AAPL"),
        ("watchlist:quote", "watchlist:A:B", "", "A:B"),
        ("watchlist:quote", "vip", "AAPL", "AAPL"),
        ("watchlist:quote", "vip", "", "watchlist:quote"),
        ("market:status", "market:status", "", "market:status"),
        ("own", "watchlist:AAPL", "", "own"),
        ("portfolio:update", "portfolio:u1", "", "portfolio:update"),
    ],
)
def test_patterns_are_of_symbols_or_else_of_events(event: str, room: str, key: str, subject: str) -> None:
    assert subject_of(event, room, key) == subject


def test_what_staleness_goes_by_is_in_the_contract() -> None:
    assert {FEED.quote, FEED.market, FEED.stale} <= set(KINDS)
    assert rooms.watchlist("AAPL") == f"{FEED.rooms}AAPL"
    assert FEED.market == rooms.MARKET_STATUS


MAY_BE: dict[str, set[Kind]] = {
    "portfolio:update": {COUNTED, LATEST},
    "trade:executed": {COUNTED},
    "trade:failed": {COUNTED},
    "position:closed": {COUNTED},
    "notification": {COUNTED},
    "watchlist:quote": {COUNTED, LATEST, VOLATILE},
    "market:status": {COUNTED, LATEST},
    "watchlist:stale": {VOLATILE},
    "own": {COUNTED, LATEST, VOLATILE},
}


@pytest.mark.parametrize("event", MAY_BE)
@pytest.mark.parametrize("name", NAMES)
def test_what_must_not_be_lost_is_of_no_other_kind(event: str, name: KindName) -> None:
    assert choose_kind(event, describe_event(event), None) is None
    if NAMES[name] in MAY_BE[event]:
        assert choose_kind(event, describe_event(event), name) == NAMES[name]
    else:
        with pytest.raises(ValueError, match=f"kind of {event} is (counted|volatile).*, and not {name}"):
            choose_kind(event, describe_event(event), name)


@pytest.mark.parametrize("name", ["", "L", "LATEST", "C", 1, True, [], {}, b"latest"])
def test_what_is_no_kind_is_said(name: Any) -> None:
    with pytest.raises(ValueError, match="kind is one of counted, latest, volatile"):
        choose_kind("own", describe_event("own"), name)


def test_every_declared_event_is_here() -> None:
    assert {*KINDS, "own"} == set(MAY_BE)
