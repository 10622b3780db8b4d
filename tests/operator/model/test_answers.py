from __future__ import annotations

import pytest

from tradecast_operator.model.answers import field, fields, name, number, parse, text, truth, whole

INFINITE = float("inf")


@pytest.mark.parametrize(
    "told",
    [b"", b"{", b"\xff", b"NaN", b"[-Infinity]", b"[" * 100_000, b'{"a":' * 100_000, b"9" * 5_000, b"\xef\xbb\xbf{}"],
)
def test_what_is_no_json_is_an_error(told: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 any of its kinds
        parse(told)


def test_json() -> None:
    assert parse('{"a": ["ä", 1.5, null]}'.encode()) == {"a": ["ä", 1.5, None]}


@pytest.mark.parametrize("wrong", [INFINITE, -INFINITE, float("nan"), True, "1", None, [], 10**400, -1, 101, 100.5])
def test_what_is_no_number_within_bounds(wrong: object) -> None:
    with pytest.raises(ValueError, match="number"):
        number(wrong, 0, 100)
    with pytest.raises(ValueError, match="number"):
        whole(wrong, 100)


def test_numbers() -> None:
    assert (number(0, 0, 1), number(0.5, 0, 1), number(10**300, 0, INFINITE)) == (0, 0.5, 10**300)
    assert whole(100, 100) == 100
    with pytest.raises(ValueError, match="finite"):
        number(INFINITE, 0, INFINITE)
    with pytest.raises(ValueError, match="whole"):
        whole(1.0, 100)


def test_other_types() -> None:
    assert truth(True)
    wrong: object
    for wrong in (1, "true", None, []):
        with pytest.raises(ValueError, match="true"):
            truth(wrong)
    assert fields({"a": 1}) == {"a": 1}
    for wrong in (None, [], "x", 1):
        with pytest.raises(ValueError, match="object"):
            fields(wrong)
    assert name("x" * 253) == "x" * 253
    for wrong in ("", "x" * 254, None, ["x"]):
        with pytest.raises(ValueError, match="name"):
            name(wrong)


def test_a_text_is_one_line_and_not_too_long() -> None:
    assert text("x" * 10, 4) == "xxxx"
    assert text("a\nb\x1b[31m\u202ec", 100) == "a b [31m c"
    with pytest.raises(ValueError, match="text"):
        text(7, 100)


def test_an_error_says_of_which_field() -> None:
    assert field({"a": True}, "a", truth)
    with pytest.raises(ValueError, match="a: neither"):
        field({}, "a", truth)
