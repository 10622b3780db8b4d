"""What is declared of each event, and what a latest one is about."""

from __future__ import annotations

from typing import Any

import pytest

from tradecast.delivery.envelope import COUNTED, LATEST, Kind
from tradecast.delivery.shaping.delta_chains import SUFFIX
from tradecast.events.contract import CLIENT_EVENTS, SERVER_EVENTS
from tradecast.events.kinds import KINDS, describe, key_of


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        ("watchlist:quote", LATEST),
        ("market:status", LATEST),
        *((event, COUNTED) for event in ("trade:executed", "trade:failed", "portfolio:update", "notification", "own")),
    ],
)
def test_of_whole_states_the_newest_is_enough(event: str, kind: Kind) -> None:
    assert describe(event).kind == kind


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
