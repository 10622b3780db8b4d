"""Which clients a request is about: as callers say it, and as servers send it to each other."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from tradecast.cluster_rpc.selection import Selection
from tradecast.delivery.envelope import Malformed


@pytest.mark.parametrize(
    ("selection", "rooms", "except_rooms", "skip"),
    [
        (Selection.of(None), None, (), ()),
        (Selection.of("a"), ("a",), (), ()),
        (Selection.of(["a", 5], except_rooms=6, skip="sid"), ("a", "5"), ("6",), ("sid",)),
        (Selection.of([]), (), (), ()),
    ],
)
def test_rooms_of_a_caller(
    selection: Selection, rooms: tuple[str, ...] | None, except_rooms: tuple[str, ...], skip: tuple[str, ...]
) -> None:
    assert (selection.rooms, selection.except_rooms, selection.skip) == (rooms, except_rooms, skip)


@pytest.mark.parametrize(
    ("selection", "body"),
    [
        (Selection(), {"r": None}),
        (Selection(()), {"r": []}),
        (Selection(("a", "b"), ("c",), ("d",)), {"r": ["a", "b"], "x": ["c"], "s": ["d"]}),
    ],
)
def test_it_comes_out_as_it_was(selection: Selection, body: dict[str, Any]) -> None:
    sent = orjson.loads(orjson.dumps(selection.body()))
    assert sent == body
    assert Selection.parse(sent) == selection


@pytest.mark.parametrize(
    "body", [None, [], {}, {"x": []}, {"r": "a"}, {"r": [5]}, {"r": [], "x": None}, {"r": [], "s": [0]}]
)
def test_what_is_no_selection(body: Any) -> None:
    with pytest.raises(Malformed):
        Selection.parse(body)
