"""The body of `POST /api/emit`: what is read from it, and what is said of one that is wrong."""

from __future__ import annotations

import json
from typing import Any, get_args

import pytest

from kit.emitters import EmittedList
from tradecast.delivery.event_kinds import NAMES
from tradecast.events.emit_requests import (
    MAX_DEPTH,
    MAX_EVENTS,
    MAX_PROBLEMS,
    PAYLOADS,
    Event,
    InvalidEvents,
    create_emit_schema,
    parse_events,
)
from tradecast.events.kinds import describe_event
from tradecast.packets.codec import encode_event

PLANTED = "planted-value"
OF_A_USER = {
    "portfolio:update": "portfolio",
    "trade:executed": "trade",
    "trade:failed": "failure",
    "position:closed": "position",
    "notification": "notification",
}
GOOD: list[dict[str, Any]] = [
    *({"event": event, "userId": "u1", field: {"n": [1, None, True, "x"]}} for event, field in OF_A_USER.items()),
    {"event": "watchlist:quote", "symbol": "BRK.B", "quote": {"price": 1.5}},
    {"event": "market:status", "status": "open"},
    {"event": "market:status", "status": {"open": True}},
]
ROOMS = {
    "portfolio:update": "portfolio:u1",
    "trade:executed": "trades:u1",
    "trade:failed": "trades:u1",
    "position:closed": "trades:u1",
    "notification": "user:u1",
    "watchlist:quote": "watchlist:BRK.B",
    "market:status": "market:status",
}


def problems(body: Any) -> list[dict[str, str]]:
    """What is said of a body that is wrong."""
    with pytest.raises(InvalidEvents) as caught:
        parse_events(body)
    found = list(caught.value.problems)
    assert found
    assert all(set(problem) == {"at", "message"} for problem in found)
    assert PLANTED not in json.dumps(found)
    assert len(json.dumps(found)) < 10_000
    return found


@pytest.mark.parametrize("body", GOOD)
async def test_each_event_is_emitted(body: dict[str, Any]) -> None:
    emitters = EmittedList()
    (event,) = parse_events(body)
    await event.emit(emitters)
    ((room, name, data),) = emitters.sent
    assert (room, name) == (ROOMS[body["event"]], body["event"])
    del data["timestamp"]
    assert data == {key: value for key, value in body.items() if key != "event"}


def test_several_keep_their_order() -> None:
    parsed = parse_events({"events": GOOD + GOOD[::-1]})
    assert [event.event for event in parsed] == [body["event"] for body in GOOD + GOOD[::-1]]


def test_names_are_the_models() -> None:
    models = get_args(get_args(Event)[0])
    fields = {get_args(model.model_fields["event"].annotation)[0]: set(model.model_fields) for model in models}
    assert list(fields) == list(PAYLOADS)
    assert {event: names - {"event", "userId", "symbol", "kind"} for event, names in fields.items()} == {
        event: {payload} for event, payload in PAYLOADS.items()
    }


NO_EVENTS: list[Any] = [None, [], PLANTED, 5, True, {}, {"event": PLANTED}, {"event": None}]
NO_SYMBOLS: list[Any] = ["", "A" * 65, "AAPL\n", " AAPL", "AAPL ", "É", None, 5, f"{PLANTED}\x7f"]
NO_STATUSES: list[Any] = ["", "x" * 65, 5, None, [], True]


@pytest.mark.parametrize(
    ("body", "at"),
    [
        *((body, "body") for body in NO_EVENTS),
        ({"event": [PLANTED]}, "body"),
        ({"events": []}, "events"),
        ({"events": {}}, "events"),
        ({"events": PLANTED}, "events"),
        ({"events": [{"event": PLANTED}]}, "events.0"),
        ({"events": [GOOD[0], PLANTED]}, "events.1"),
        ({"events": [GOOD[0]], "event": "notification"}, "event"),
        ({"event": "notification", "notification": {}}, "userId"),
        ({"event": "notification", "userId": "", "notification": {}}, "userId"),
        ({"event": "notification", "userId": True, "notification": {}}, "userId"),
        ({"event": "notification", "userId": 5.5, "notification": {}}, "userId"),
        ({"event": "notification", "userId": PLANTED * 20, "notification": {}}, "userId"),
        ({"event": "notification", "userId": "u1"}, "notification"),
        ({"event": "notification", "userId": "u1", "notification": PLANTED}, "notification"),
        ({"event": "notification", "userId": "u1", "notification": [PLANTED]}, "notification"),
        ({"event": "notification", "userId": "u1", "notification": None}, "notification"),
        ({"event": "notification", "userId": "u1", "notification": {}, "trade": PLANTED}, "trade"),
        ({"event": "trade:executed", "userId": "u1", "notification": {}}, "trade"),
        ({"events": [GOOD[0], {"event": "trade:executed", "userId": "u1", "trade": 5}]}, "events.1.trade"),
        *(({"event": "watchlist:quote", "symbol": symbol, "quote": {}}, "symbol") for symbol in NO_SYMBOLS),
        ({"event": "watchlist:quote", "quote": {}}, "symbol"),
        *(({"event": "market:status", "status": status}, "status") for status in NO_STATUSES),
    ],
)
def test_what_is_wrong_is_located(body: Any, at: str) -> None:
    assert at in {problem["at"] for problem in problems(body)}


def test_wrong_event_gets_the_right_ones() -> None:
    for body in ({"event": PLANTED}, {}, {"events": [{"event": PLANTED}]}):
        (problem,) = problems(body)
        assert all(name in problem["message"] for name in PAYLOADS)


def test_long_names_are_cut_short() -> None:
    found = problems({"event": "notification", "userId": "u1", "notification": {}, "x" * 100_000: 1})
    assert found[0]["at"] == "x" * 64


def test_many_problems_are_a_short_answer() -> None:
    assert len(problems({"events": [{"event": "notification"}] * 500})) == MAX_PROBLEMS


def test_no_more_than_the_limit_at_once() -> None:
    assert len(parse_events({"events": [GOOD[0]] * MAX_EVENTS})) == MAX_EVENTS
    assert problems({"events": [GOOD[0]] * (MAX_EVENTS + 1)})[0]["at"] == "events"


@pytest.mark.parametrize("level", [lambda inner: {"a": inner}, lambda inner: [inner]])
@pytest.mark.parametrize("depth", [MAX_DEPTH, 150, 240, 252, 300, 900])
def test_nesting_is_limited(level: Any, depth: int) -> None:
    value: Any = {}
    for _ in range(depth):
        value = level(value)
    assert problems({"event": "notification", "userId": "u1", "notification": {"x": value}})[0]["at"] == "notification"


@pytest.mark.parametrize("level", [lambda inner: {"a": inner}, lambda inner: [inner]])
def test_what_passes_can_be_encoded(level: Any) -> None:
    value: Any = 1
    for _ in range(MAX_DEPTH - 1):
        value = level(value)
    (event,) = parse_events({"event": "notification", "userId": "u1", "notification": {"x": value}})
    assert encode_event("notification", [{"notification": event.notification}]).parts


def test_schema_is_json_schema_of_all_events() -> None:
    schema = json.dumps(create_emit_schema())
    assert all(f'"{name}"' in schema for name in PAYLOADS)
    assert f'"maxItems": {MAX_EVENTS}' in schema


@pytest.mark.parametrize("body", GOOD, ids=lambda body: str(body["event"]))
async def test_a_publisher_may_say_the_kinds_that_are_declared(body: dict[str, Any]) -> None:
    declared = describe_event(body["event"])
    for name, kind in NAMES.items():
        if kind != declared.kind and kind not in declared.alternatives:
            with pytest.raises(InvalidEvents) as caught:
                parse_events({"events": [body, {**body, "kind": name}]})
            ((problem),) = caught.value.problems
            assert problem["at"] == "events.1.kind"
            assert problem["message"].startswith("Input should be 'counted'")
            continue
        emitted = EmittedList()
        (event,) = parse_events({**body, "kind": name})
        await event.emit(emitted)
        assert emitted.kinds == [name]


@pytest.mark.parametrize("body", GOOD, ids=lambda body: str(body["event"]))
async def test_without_a_kind_it_is_as_declared(body: dict[str, Any]) -> None:
    emitted = EmittedList()
    await parse_events(body)[0].emit(emitted)
    assert [NAMES[kind] for kind in emitted.kinds if kind] == [describe_event(body["event"]).kind]


@pytest.mark.parametrize("kind", [None, "", "LATEST", 5, True, [], {}, float("nan"), "x" * 100_000])
def test_what_is_no_kind_is_refused_with_its_place(kind: Any) -> None:
    with pytest.raises(InvalidEvents) as caught:
        parse_events({**GOOD[0], "kind": kind})
    assert caught.value.problems == [{"at": "kind", "message": "Input should be 'counted' or 'latest'"}]


def test_the_schema_says_the_kinds() -> None:
    models = create_emit_schema()["$defs"]
    assert models["PortfolioUpdate"]["properties"]["kind"]["enum"] == ["counted", "latest"]
    assert models["WatchlistQuote"]["properties"]["kind"]["default"] == "latest"
    assert models["TradeExecuted"]["properties"]["kind"]["const"] == "counted"
