"""Values that servers pass on: bytes, and objects that look like bytes, come out as they went in."""

from __future__ import annotations

from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from kit.parsing.properties import JSON_LEAVES, TEXTS, json_values
from tradecast.packets.json_values import BYTES, OBJECT, pack_value, unpack_value

LEAVES = JSON_LEAVES | TEXTS | st.binary(max_size=20)
KEYS = st.sampled_from([BYTES, OBJECT, "x"])
VALUES = st.recursive(
    json_values(LEAVES, 4),
    lambda inner: st.dictionaries(KEYS, inner, max_size=3) | st.lists(inner, max_size=3),
    max_leaves=8,
)


@given(VALUES)
def test_what_is_packed_comes_out(value: Any) -> None:
    assert unpack_value(orjson.loads(pack_value(value))) == value


@given(st.recursive(JSON_LEAVES | TEXTS, lambda inner: st.dictionaries(KEYS, inner) | st.lists(inner), max_leaves=8))
def test_what_was_not_packed_is_an_error_or_a_value(value: Any) -> None:
    try:
        found = unpack_value(value)
    except ValueError:
        return
    assert unpack_value(orjson.loads(pack_value(found))) == found
