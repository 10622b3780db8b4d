"""Merge patches: what is made of a payload by what has changed is the payload, exactly."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kit.parsing.properties import JSON, TEXTS
from tradecast.delivery.shaping.deltas import apply_patch, make_patch

OBJECTS = st.dictionaries(TEXTS, JSON, max_size=5)


@st.composite
def pairs(draw: st.DrawFn) -> tuple[dict[str, Any], dict[str, Any]]:
    """Two payloads that have much in common."""
    before = draw(OBJECTS)
    after = {key: value for key, value in before.items() if draw(st.integers(0, 9))}
    return before, {**after, **draw(OBJECTS)} if draw(st.booleans()) else draw(OBJECTS)


def write(value: Any) -> bytes:
    """As clients get it, whatever the order of fields."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


@given(pairs())
@example(({"a": 1}, {"a": 1.0}))
@example(({"a": 0.0}, {"a": -0.0}))
@example(({"a": True}, {"a": 1}))
@example(({"a": [{"b": 1}]}, {"a": [{"b": 1.0}]}))
@example(({"a": {"b": None}}, {"a": {"b": None, "c": 1}}))
@example(({"a": 1}, {"a": {}}))
@example(({"a": {"b": 1}}, {"a": {}}))
@example(({"a": {"b": 1}}, {"a": [None]}))
@example(({"a": 9007199254740993}, {"a": 9007199254740992}))
@example(({"a": "0.10"}, {"a": "0.1"}))
def test_a_patch_makes_the_one_of_the_other(pair: tuple[dict[str, Any], dict[str, Any]]) -> None:
    before, after = pair
    text = write(before)
    patch = make_patch(before, after)
    if patch is not None:
        assert write(apply_patch(before, orjson.loads(orjson.dumps(patch)))) == write(after)
    assert write(before) == text


@given(OBJECTS)
def test_nothing_has_changed_between_a_payload_and_itself(payload: dict[str, Any]) -> None:
    assert make_patch(payload, orjson.loads(orjson.dumps(payload))) == {}


@pytest.mark.parametrize(
    ("before", "after", "patch"),
    [
        ({"a": 1, "b": 2}, {"a": 1, "b": 3}, {"b": 3}),
        ({"a": 1, "b": 2}, {"a": 1}, {"b": None}),
        ({"a": None, "b": 1}, {"a": None, "b": 2}, {"b": 2}),
        ({"a": {"b": 1, "c": {"d": [1]}}}, {"a": {"b": 1, "c": {"d": [2]}}}, {"a": {"c": {"d": [2]}}}),
        ({"a": 1}, {"a": [None]}, {"a": [None]}),
        ({"a": 1}, {"a": None}, None),
        ({}, {"a": {"b": {"c": None}}}, None),
        ({"a": 1}, [1], None),
        ("a", {"a": 1}, None),
    ],
)
def test_what_a_patch_says(before: Any, after: Any, patch: Any) -> None:
    assert make_patch(before, after) == patch


def test_what_is_nested_deeply_is_sent_whole() -> None:
    for nest in (lambda inner: {"a": inner}, lambda inner: [inner]):
        before: Any = 1
        after: Any = 2
        for _ in range(900):
            before, after = nest(before), nest(after)
        assert make_patch({"a": before}, {"a": after}) is None
        assert make_patch({}, {"a": {"b": after}}) is None or isinstance(after, list)


@pytest.mark.parametrize(
    ("before", "patch", "after"),
    [  # RFC 7396, appendix A
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "b"}, ["c"], ["c"]),
        ({"a": "foo"}, None, None),
        ({"a": "foo"}, "bar", "bar"),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_the_rfc_s_examples(before: Any, patch: Any, after: Any) -> None:
    assert apply_patch(before, patch) == after
