"""The one form of a user's id."""

from __future__ import annotations

import enum
import math
from decimal import Decimal

import pytest

from tradecast.user_id import LONGEST, format_user_id, is_plain, read_user_id, require_user_id


class Code(enum.IntEnum):
    FIVE = 5


class Scalar:
    """A whole number that is no int, as numpy's are."""

    def __index__(self) -> int:
        return 5


class Name(str):
    __slots__ = ()


@pytest.mark.parametrize(
    ("value", "user_id"),
    [
        *((0, "0"), (5, "5"), (-5, "-5"), (2**53 + 1, "9007199254740993"), (2**63, "9223372036854775808")),
        *((5.0, "5"), (-0.0, "0"), (2.0**52, "4503599627370496"), (Code.FIVE, "5"), (Name("u1"), "u1")),
        (Scalar(), "5"),
        *(("u1", "u1"), ("5", "5"), ("05", "05"), (" 5", " 5"), ("5.0", "5.0"), ("a:b*c?[d]{e}", "a:b*c?[d]{e}")),
        *(
            ("Zoë", "Zoë"),
            ("ключ", "ключ"),
            ("a\u00a0b", "a\u00a0b"),
            ("می\u200cخواهم", "می\u200cخواهم"),
            ("👩‍💻", "👩‍💻"),
        ),
        ("x" * LONGEST, "x" * LONGEST),
    ],
)
def test_ids(value: object, user_id: str) -> None:
    assert read_user_id(value) == user_id
    assert type(read_user_id(value)) is str
    assert require_user_id(value) == user_id


@pytest.mark.parametrize(
    "value",
    [
        *(None, True, False, 1.5, math.nan, math.inf, -math.inf, 2.0**53, 1e300, 2**64, -(2**64), 10**300),
        *([], ["u1"], {}, {"$ne": None}, b"u1", (1,), Decimal(5), object()),
        *("", "x" * (LONGEST + 1), "a\nb", "a\x00", "\x7f", "\ud800", "a\u2028b", "a\u202eb", "a\u2066b", "\uffff"),
    ],
)
def test_no_ids(value: object) -> None:
    assert read_user_id(value) is None
    with pytest.raises(ValueError, match="a user id is a string"):
        require_user_id(value)


def test_length_of_a_plain_text() -> None:
    assert is_plain("abc", 3)
    assert not is_plain("abcd", 3)
    assert not is_plain("", 3)


def test_a_text_names_whomever_it_names() -> None:
    assert [format_user_id(value) for value in ("u1", "", "a\nb", 5, 5.0)] == ["u1", "", "a\nb", "5", "5"]
    for value in (True, 1.5, None, ["u1"]):
        with pytest.raises(ValueError, match="a user id"):
            format_user_id(value)  # type: ignore[arg-type]  # what a program may give
