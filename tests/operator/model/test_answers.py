from __future__ import annotations

import pytest

from tradecast_operator.model.answers import (
    parse_json,
    read_boolean,
    read_field,
    read_integer,
    read_name,
    read_number,
    read_object,
    read_text,
)

INFINITE = float("inf")


@pytest.mark.parametrize(
    "told",
    [b"", b"{", b"\xff", b"NaN", b"[-Infinity]", b"[" * 100_000, b'{"a":' * 100_000, b"9" * 5_000, b"\xef\xbb\xbf{}"],
)
def test_what_is_no_json_is_an_error(told: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 any of its kinds
        parse_json(told)


def test_json() -> None:
    assert parse_json('{"a": ["ä", 1.5, null]}'.encode()) == {"a": ["ä", 1.5, None]}


@pytest.mark.parametrize("wrong", [INFINITE, -INFINITE, float("nan"), True, "1", None, [], 10**400, -1, 101, 100.5])
def test_what_is_no_number_within_bounds(wrong: object) -> None:
    with pytest.raises(ValueError, match="number"):
        read_number(wrong, 0, 100)
    with pytest.raises(ValueError, match="integer"):
        read_integer(wrong, 100)


def test_numbers() -> None:
    assert (read_number(0, 0, 1), read_number(0.5, 0, 1), read_number(10**300, 0, INFINITE)) == (0, 0.5, 10**300)
    assert read_integer(100, 100) == 100
    with pytest.raises(ValueError, match="finite"):
        read_number(INFINITE, 0, INFINITE)
    with pytest.raises(ValueError, match="integer"):
        read_integer(1.0, 100)


def test_other_types() -> None:
    assert read_boolean(True)
    wrong: object
    for wrong in (1, "true", None, []):
        with pytest.raises(ValueError, match="true"):
            read_boolean(wrong)
    assert read_object({"a": 1}) == {"a": 1}
    for wrong in (None, [], "x", 1):
        with pytest.raises(ValueError, match="object"):
            read_object(wrong)
    assert read_name("x" * 253) == "x" * 253
    for wrong in ("", "x" * 254, None, ["x"]):
        with pytest.raises(ValueError, match="name"):
            read_name(wrong)


def test_a_text_is_one_line_and_not_too_long() -> None:
    assert read_text("x" * 10, 4) == "xxxx"
    assert read_text("a\nb\x1b[31m\u202ec", 100) == "a b [31m c"
    with pytest.raises(ValueError, match="string"):
        read_text(7, 100)


def test_an_error_says_of_which_field() -> None:
    assert read_field({"a": True}, "a", read_boolean)
    with pytest.raises(ValueError, match="a: neither"):
        read_field({}, "a", read_boolean)
