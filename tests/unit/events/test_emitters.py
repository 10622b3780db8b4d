from __future__ import annotations

import re
from typing import Any

import pytest

from kit.emitters import EmittedList

ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


@pytest.mark.parametrize(
    ("emitter", "arguments", "room", "event", "payload"),
    [
        (
            "emit_portfolio_update",
            ("u1", {"v": 1}),
            "portfolio:u1",
            "portfolio:update",
            {"userId": "u1", "portfolio": {"v": 1}},
        ),
        ("emit_trade_executed", ("u1", {"v": 1}), "trades:u1", "trade:executed", {"userId": "u1", "trade": {"v": 1}}),
        ("emit_trade_failed", ("u1", {"v": 1}), "trades:u1", "trade:failed", {"userId": "u1", "failure": {"v": 1}}),
        (
            "emit_position_closed",
            ("u1", {"v": 1}),
            "trades:u1",
            "position:closed",
            {"userId": "u1", "position": {"v": 1}},
        ),
        ("emit_notification", ("u1", {"v": 1}), "user:u1", "notification", {"userId": "u1", "notification": {"v": 1}}),
        (
            "emit_watchlist_quote",
            ("AAPL", {"v": 1}),
            "watchlist:AAPL",
            "watchlist:quote",
            {"symbol": "AAPL", "quote": {"v": 1}},
        ),
        ("emit_market_status", ({"v": 1},), "market:status", "market:status", {"status": {"v": 1}}),
        ("emit_market_status", ("open",), "market:status", "market:status", {"status": "open"}),
    ],
)
async def test_each_emitter_has_its_room_event_and_payload(
    emitter: str, arguments: tuple[Any, ...], room: str, event: str, payload: dict[str, Any]
) -> None:
    emitters = EmittedList()
    await getattr(emitters, emitter)(*arguments)
    ((to, name, data),) = emitters.sent
    assert ISO.fullmatch(data.pop("timestamp"))
    assert (to, name, data) == (room, event, payload)
