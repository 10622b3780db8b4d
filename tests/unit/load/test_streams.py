from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from tradecast.events.emit_requests import parse_events
from tradecast.load.streams import BODY, KINDS, EventKind, Plan, Planned, Stream, stream_of

QUOTES = [Stream("watchlist:quote", symbol) for symbol in ("AAPL", "IBM")]
TRADES = [Stream("trade:executed", "u1")]


def test_plan_follows_the_weights_and_takes_turns() -> None:
    plan = Plan([*QUOTES, *TRADES], {"watchlist:quote": 3, "trade:executed": 1})
    planned = [plan.next() for _ in range(80)]
    assert Counter(event.stream for event in planned) == {QUOTES[0]: 30, QUOTES[1]: 30, TRADES[0]: 20}
    assert plan.last == {QUOTES[0]: 30, QUOTES[1]: 30, TRADES[0]: 20}
    # evenly: in any eight in a row, six quotes
    for start in range(72):
        kinds = Counter(event.stream.kind for event in planned[start : start + 8])
        assert kinds["watchlist:quote"] == 6


def test_weights_are_kept_exactly_among_several_kinds() -> None:
    mix: dict[EventKind, float] = {"watchlist:quote": 5, "trade:executed": 3, "notification": 1}
    plan = Plan([*QUOTES, *TRADES, Stream("notification", "u1")], mix)
    kinds = Counter(plan.next().stream.kind for _ in range(90))
    assert kinds == {"watchlist:quote": 50, "trade:executed": 30, "notification": 10}


def test_each_stream_counts_from_one_without_gaps() -> None:
    plan = Plan([*QUOTES, *TRADES], {"watchlist:quote": 1, "trade:executed": 1})
    numbers: dict[Stream, list[int]] = {}
    for _ in range(50):
        planned = plan.next()
        numbers.setdefault(planned.stream, []).append(planned.seq)
    assert all(seqs == list(range(1, len(seqs) + 1)) for seqs in numbers.values())


def test_kinds_without_weight_or_stream_are_left_out() -> None:
    assert Plan(QUOTES, {"trade:executed": 1}).empty
    assert Plan(QUOTES, {"watchlist:quote": 0}).empty
    with pytest.raises(ValueError, match="nothing to publish"):
        Plan([], {"watchlist:quote": 1}).next()
    plan = Plan(QUOTES, {"watchlist:quote": 1, "trade:executed": 5})
    assert {plan.next().stream for _ in range(10)} == set(QUOTES)


@pytest.mark.parametrize("kind", KINDS)
def test_events_are_what_the_server_takes_and_come_back_as_their_stream(kind: EventKind) -> None:
    stream = Stream(kind, "AAPL" if kind == "watchlist:quote" else "u1")
    body = Planned(stream, 7).body("run", 1.5)
    (event,) = parse_events({"events": [body]})
    received = {**body, "timestamp": "2026-01-01T00:00:00.000Z"}
    assert event.event == received.pop("event")
    assert stream_of(kind, received) == (stream, {"seq": 7, "sentAt": 1.5, "run": "run"})


@pytest.mark.parametrize(
    ("event", "payload"),
    [
        ("market:status", {"status": "open"}),
        ("trade:executed", None),
        ("trade:executed", {"userId": "u"}),
        ("trade:executed", {"userId": 5, "trade": {}}),
        ("watchlist:quote", {"userId": "u", "quote": {}}),
        ("watchlist:quote", {"symbol": "A", "quote": []}),
    ],
)
def test_other_events_belong_to_no_stream(event: str, payload: Any) -> None:
    assert stream_of(event, payload) is None


def test_every_kind_has_a_body() -> None:
    assert set(BODY) == set(KINDS)
