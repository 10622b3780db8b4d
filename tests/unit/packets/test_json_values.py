"""Values that servers pass on."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from tradecast.packets.json_values import pack_value, unpack_value


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        "é☃",
        {"a": [1, 2.5, True, None]},
        b"\x00\xff",
        {"file": b"", "more": [b"x", {"deep": b"y"}]},
        {"$bytes": "not base64"},
        {"$bytes": "AAAA"},
        {"$bytes": b"real"},
        {"$object": {"$bytes": "AAAA"}},
        {"$object": 7, "other": 1},
    ],
)
def test_comes_out_as_it_was(value: Any) -> None:
    assert unpack_value(orjson.loads(pack_value(value))) == value


def test_a_tuple_is_a_list() -> None:
    assert unpack_value(orjson.loads(pack_value((1, (2,))))) == [1, [2]]


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize("value", [object(), {1j: 1}, nested(300), nested(100_000)])
def test_what_cannot_be_said(value: Any) -> None:
    with pytest.raises(TypeError):
        pack_value(value)


@pytest.mark.parametrize(
    "value", [{"$bytes": "?"}, {"$bytes": 1}, {"$bytes": None}, {"$object": 1}, [{"$object": []}], nested(900)]
)
def test_what_was_not_packed(value: Any) -> None:
    if value == nested(900):
        assert unpack_value(nested(100)) == nested(100)
        value = nested(100_000)
    with pytest.raises(ValueError, match=r"no|deep"):
        unpack_value(value)
