"""Names of rooms, and the rooms of single clients."""

from __future__ import annotations

from typing import Any

import pytest

from tradecast.engine.ids import make_id
from tradecast.packets.room_names import is_sid_room, qualify_room, room_name, room_names, sid_of


class _Whole:
    def __index__(self) -> int:
        return 8


@pytest.mark.parametrize(
    ("room", "name"), [("x", "x"), ("", ""), (7, "7"), (-1, "-1"), (0, "0"), (2**70, str(2**70)), (_Whole(), "8")]
)
def test_an_integer_is_its_decimal_form(room: Any, name: str) -> None:
    assert room_name(room) == name
    assert room_names(room) == (name,)
    assert room_names([room, name, "other"]) == (name, "other")


@pytest.mark.parametrize("room", [True, False, 1.0, None, b"x", object(), [1], ["x"], {"x": 1}, ("x",)])
def test_nothing_else_is_a_room(room: Any) -> None:
    with pytest.raises(TypeError, match="a room must be a string or an integer"):
        room_name(room)
    with pytest.raises(TypeError, match="a room must be a string or an integer"):
        room_names(["x", room])


@pytest.mark.parametrize("rooms", [b"ab", bytearray(b"ab"), {"x": 1}, memoryview(b"ab"), 1.5])
def test_what_can_be_gone_through_and_is_no_rooms(rooms: Any) -> None:
    with pytest.raises(TypeError, match="a room must be a string or an integer"):
        room_names(rooms)


def test_a_room_that_cannot_be_sent() -> None:
    assert room_name("\U0001f600") == "\U0001f600"
    with pytest.raises(ValueError, match="surrogate"):
        room_name("a\ud83d")


def test_sets_and_generators_of_rooms() -> None:
    assert sorted(room_names({"x", 7})) == ["7", "x"]
    assert room_names(n for n in (1, 2, 1)) == ("1", "2")
    assert room_names(()) == ()


@pytest.mark.parametrize("namespace", ["/", "/desk", "/a/b"])
def test_sids_have_a_form(namespace: str) -> None:
    for _ in range(100):
        sid = make_id()
        assert is_sid_room(qualify_room(namespace, sid))
        assert sid_of(qualify_room(namespace, sid)) == sid


@pytest.mark.parametrize(
    "room",
    ["", "user:abcdefghijklmno", "a" * 19, "a" * 21, "a" * 19 + "\n", "a" * 20 + "\n", "é" * 20, "x," + "a" * 20],
)
def test_most_rooms_have_another(room: str) -> None:
    assert not is_sid_room(room)
