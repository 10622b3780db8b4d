"""The id of a user, in the one form that everything here knows it by. Pure.

Applications store ids as they like: passport often as a number, Node then as a double, MongoDB as an ObjectId. Here an
id is text, wherever it came from: a claim, a stored session, a payload, a request, an argument.
"""

from __future__ import annotations

import operator
import unicodedata
from typing import Final

# Characters of the longest id.
LONGEST: Final = 256
# Whole numbers up to those of 64 bits, as MongoDB and JSON libraries have them.
_NUMBERS: Final = 1 << 64
# Beyond it a double is not the number that was meant.
_EXACT: Final = 1 << 53
# What no text here has: control characters, lone surrogates, line ends, what is no character, and characters that turn
# the direction of writing around, which make a log line say something else.
_BARRED: Final = ("Cc", "Cs", "Cn", "Zl", "Zp")
_TURNING: Final = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
RULE: Final = f"a user id is a string of 1 to {LONGEST} characters without control characters, or an integer"


def read_user_id(value: object) -> str | None:
    """Read a user's id as text; None for what cannot be one.

    Args:
        value: A text, or a whole number: 5, and 5.0, which is how BSON and some JSON libraries give a whole number;
            numpy's too. Everything else is none: booleans, other numbers, lists, objects.
    """
    if type(value) is str:
        return value if is_plain(value, LONGEST) else None
    if isinstance(value, float) and value.is_integer() and abs(value) < _EXACT:
        value = int(value)
    if isinstance(value, str):
        return read_user_id(str(value))
    if isinstance(value, bool | float):
        return None
    try:
        number = operator.index(value)  # type: ignore[arg-type]  # whatever is a whole number: numpy's too
    except TypeError:
        return None
    return str(number) if abs(number) < _NUMBERS else None


def require_user_id(value: object) -> str:
    """Read a user's id that a program passes.

    Raises:
        ValueError: It cannot be one.
    """
    user_id = read_user_id(value)
    if user_id is None:
        raise ValueError(RULE)
    return user_id


def format_user_id(value: str | int | float) -> str:
    """A user's id as text, for what is sent to the user. A text that cannot be an id is returned as it is.

    Raises:
        ValueError: It is neither a string nor an integer.
    """
    return value if type(value) is str else require_user_id(value)


def is_plain(text: str, longest: int) -> bool:
    """Whether a text from outside may be an id: it has no more than so many characters, and each can be shown."""
    if not 0 < len(text) <= longest:
        return False
    if text.isprintable() and text.isascii():
        return True
    return not any(char in _TURNING or unicodedata.category(char) in _BARRED for char in text)
