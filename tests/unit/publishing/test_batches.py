"""Events of a batch, and what is said of those that are none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from kit.emitters import EmittedList
from tradecast.delivery.event_kinds import KindName
from tradecast.events.emit_requests import PAYLOADS, parse_events
from tradecast.packets.room_names import Rooms
from tradecast.publishing.batches import FORMS, BatchEmitter, emit_described


class EmittedBatch(EmittedList, BatchEmitter):
    """Keeps what is emitted; of one's own events in `own`."""

    def __init__(self) -> None:
        super().__init__()
        self.own: list[tuple[str, Any, Rooms, KindName | None]] = []

    async def emit(
        self,
        event: str,
        data: Any = None,
        *,
        to: Rooms,
        except_rooms: Rooms = (),
        skip_sid: str | Sequence[str] = (),
        volatile: bool = False,
        kind: KindName | None = None,
    ) -> None:
        """As of `BatchEmitter`."""
        self.own.append((event, data, to, kind))


@pytest.mark.parametrize("event", PAYLOADS)
async def test_it_is_as_for_the_http_api(event: str) -> None:
    assert list(FORMS) == list(PAYLOADS)
    body = {"event": event, FORMS[event].subject: "AAPL", FORMS[event].payload: {"n": 1}, "kind": "counted"}
    body.pop("", None)
    by_http, by_batch = EmittedBatch(), EmittedBatch()
    await parse_events(body)[0].emit(by_http)
    await emit_described(by_batch, body)
    (http,), (batch,) = by_http.sent, by_batch.sent
    http[2].pop("timestamp")
    batch[2].pop("timestamp")
    assert batch == http
    assert by_batch.kinds == by_http.kinds == ["counted"]


async def test_any_event_goes_to_rooms() -> None:
    emitted = EmittedBatch()
    await emit_described(emitted, {"event": "own", "to": ["a", "b"], "data": 5, "kind": "latest"})
    await emit_described(emitted, {"event": "notification", "to": "vip"})
    assert emitted.own == [("own", 5, ["a", "b"], "latest"), ("notification", None, "vip", None)]


@pytest.mark.parametrize(
    ("event", "why"),
    [
        (None, "is a mapping with its name"),
        ([], "is a mapping with its name"),
        ({}, "is a mapping with its name"),
        ({"event": 5}, "is a mapping with its name"),
        ({"event": ["own"], "to": "a"}, "is a mapping with its name"),
        ({"event": "own", "data": 1}, "says in to which rooms"),
        ({"event": "own", "to": "a", "volatile": True}, "own has no field volatile"),
        ({"event": "notification", "notification": {}}, "notification needs userId"),
        ({"event": "notification", "userId": "u1"}, "notification needs notification"),
        ({"event": "notification", "userId": "u1", "notification": {}, "x" * 1000: 1}, "has no field x{64}$"),
        ({"event": "market:status", "status": "open", "userId": "u1"}, "market:status has no field userId"),
        ({"event": "watchlist:quote", "symbol": "no\nsymbol", "quote": {}}, "a symbol is"),
    ],
)
async def test_what_is_no_event_is_said(event: Any, why: str) -> None:
    emitted = EmittedBatch()
    with pytest.raises(ValueError, match=why):
        await emit_described(emitted, event)
    assert (emitted.sent, emitted.own) == ([], [])
