"""Python values as clients read them in JSON: exactly, or refused.

Clients read numbers as doubles, as JavaScript does. So a whole number is sent up to 2^53 either way, a `Decimal`
where a client reads the same digits, and NaN and Infinity never: JSON has none, and `null` would be something else.
"""

from __future__ import annotations

import dataclasses
import json
import math
import operator
import re
import sys
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time
from decimal import Decimal, DecimalException
from enum import Enum
from typing import Any, Final
from uuid import UUID

import orjson

# Of whole numbers beyond it, clients read several as the same one.
LARGEST: Final = 2**53
# orjson writes at most 254 levels, and what is around a value takes some.
MAX_DEPTH: Final = 240
MAX_KEY, MAX_PATH = 64, 256
# For what `to_plain` has not checked: orjson refuses whole numbers from 2^53 on, and keys that are no texts, which
# may become what another key is: it would write both, and clients read one.
OPTIONS: Final = orjson.OPT_STRICT_INTEGER
# A number that perhaps does not survive being read as a double: it has more than 15 digits, or an exponent. Digits in
# texts match as well: then the body is read once more, and nothing else comes of it.
_LONG: Final = re.compile(rb"[0-9][0-9.]{15}|[0-9][eE][-+0-9]|NaN|Infinity")
_LONGEST: Final = 400
_ARRAYS: Final = frozenset("biufOSU")

Path = tuple[str | int, ...]


class NotExact(TypeError, ValueError):
    """A value that cannot be sent as it is.

    Attributes:
        at: Where it is, such as `trade.fills[2].price`; "" for the value itself.
        why: What is wrong with it, in words that do not repeat it.
    """

    def __init__(self, path: Path, why: str) -> None:
        self.at = _write_path(path)
        self.why = why
        super().__init__(f"{self.at}: {why}" if self.at else why)


def dump_exact(value: Any, path: Path = ()) -> bytes:
    """A value as JSON.

    Raises:
        NotExact: It cannot be said, or would not be read as it is.
    """
    try:
        body = orjson.dumps(value, option=OPTIONS)
    except TypeError:
        return orjson.dumps(to_plain(value, path))
    if may_have_lost(value, body):
        to_plain(value, path)
    return body


def may_have_lost(value: Any, body: bytes) -> bool:
    """Whether a null that orjson wrote may stand for NaN: `to_plain` knows."""
    return b"null" in body and not _is_sure([value])


def _is_sure(value: Any) -> bool:
    """Whether there are only JSON's own types below a list, tuple or dict, and only finite numbers."""
    for one in value.values() if type(value) is dict else value:
        kind = type(one)
        if kind is float:
            if one - one != 0.0:  # neither NaN nor an infinity
                return False
        elif kind is dict or kind is list or kind is tuple:
            if not _is_sure(one):
                return False
        elif not (kind is str or kind is int or kind is bool or one is None):
            return False
    return type(value) is not dict or all(type(key) is str for key in value)


def to_plain(value: Any, path: Path = (), *, whole_floats: bool = True) -> Any:
    """A value in dicts, lists, texts, ints, floats, booleans and None; bytes stay.

    Args:
        value: What it is.
        path: Where it is, for errors.
        whole_floats: Whether floats beyond 2^53 pass. Those read from a client's JSON may have been rounded.

    Raises:
        NotExact: It cannot be said, or would not be read as it is.
    """
    return _Reader(whole_floats).read(value, path)


def load_exact(text: bytes | bytearray | str) -> Any:
    """Decoded JSON in which numbers that a double would round are ints and `Decimal`s, for `to_plain` to refuse.

    NaN and Infinity are read as well, as some libraries write them.

    Raises:
        ValueError: It is not JSON, or nested too deeply.
    """
    data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    try:
        if _LONG.search(data) is None:
            return orjson.loads(data)
        return json.loads(data.decode(), parse_int=_read_integer, parse_float=_read_fraction)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except orjson.JSONDecodeError as error:
        if "depth" in error.msg or "recursion" in error.msg:  # the only sign that orjson gives
            raise ValueError("nested too deeply") from None
        raise


class _Reader:
    def __init__(self, whole_floats: bool) -> None:
        self._whole_floats = whole_floats

    def read(self, value: Any, path: Path) -> Any:
        kind = type(value)
        if kind is str:
            return _check_text(value, path)
        if value is None or kind is bool or kind is bytes:
            return value
        if kind is int:
            return _check_int(value, path)
        if kind is float:
            return self._float(value, path)
        if len(path) > MAX_DEPTH:
            raise NotExact(path[:3], f"is nested deeper than {MAX_DEPTH}")
        if kind is dict:
            return self._object(value, path)
        if kind is list or kind is tuple:
            return [self.read(one, (*path, number)) for number, one in enumerate(value)]
        try:
            return self._other(value, path)
        except NotExact:
            raise
        except Exception as error:  # of the value's own methods
            raise NotExact(path, f"{kind.__name__} cannot be read ({type(error).__name__})") from error

    def _object(self, value: Mapping[Any, Any], path: Path) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, one in value.items():
            name = self._key(key, path)
            if name in found:
                raise NotExact((*path, name), "occurs twice, as keys are strings in JSON")
            found[name] = self.read(one, (*path, name))
        return found

    def _key(self, key: Any, path: Path) -> str:
        if type(key) is str:
            return _check_text(key, path)
        if type(key) is int:
            return str(key)
        plain = self.read(key, (*path, "(key)"))
        if isinstance(plain, str):
            return plain
        if plain is None or isinstance(plain, bool | int | float):
            (name,) = orjson.loads(orjson.dumps({plain: 0}, option=orjson.OPT_NON_STR_KEYS))
            return str(name)
        raise NotExact(path, f"a key is a {type(key).__name__}, and not a string")

    def _float(self, value: float, path: Path) -> float:
        if not math.isfinite(value):
            raise NotExact(
                path, "is NaN or infinite, which JSON has no number for: leave it out, or send null or a string"
            )
        if not self._whole_floats and abs(value) > LARGEST:
            raise NotExact(path, _TOO_LARGE)
        return value

    def _other(self, value: Any, path: Path) -> Any:
        """Convert a value that has no type of JSON."""
        if isinstance(value, Enum):
            return self.read(value.value, path)
        if isinstance(value, str):
            return _check_text(str.__str__(value), path)
        if isinstance(value, bytes | bytearray | memoryview):  # bytes of a subclass here, such as BSON's
            return bytes(value)
        if isinstance(value, int):
            return _check_int(int(value), path)
        if isinstance(value, float):
            return self._float(float(value), path)
        if isinstance(value, Decimal):
            return self._decimal(value, path)
        if isinstance(value, datetime | date | time | UUID):
            return _time_or_id(value, path)
        pydantic = sys.modules.get("pydantic")  # where it is not imported, no value is a model
        if pydantic is not None and isinstance(value, pydantic.BaseModel):
            return self.read(value.model_dump(by_alias=True, warnings=False), path)
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            names = [one.name for one in dataclasses.fields(value) if not one.name.startswith("_")]
            return self._object({name: getattr(value, name) for name in names}, path)
        if isinstance(value, Mapping):
            return self._object(value, path)
        kind = getattr(getattr(value, "dtype", None), "kind", None)
        if isinstance(kind, str):
            return self._of_numpy(value, kind, path)
        if isinstance(value, Sequence):
            return [self.read(one, (*path, number)) for number, one in enumerate(value)]
        return self._number(value, path)

    def _decimal(self, value: Decimal, path: Path) -> int | float:
        if not value.is_finite():
            return self._float(math.nan, path)
        if -LARGEST <= value <= LARGEST:  # not abs(), which rounds to the context's digits
            if value == value.to_integral_value():
                return int(value)
            near = float(value)
            if Decimal(repr(near)) == value:
                return near
            raise NotExact(path, "has more digits than clients read of a number: round it, or send it as a string")
        near = float(value)
        if not math.isfinite(near) or value == value.to_integral_value() or Decimal(repr(near)) != value:
            raise NotExact(path, _TOO_LARGE)
        return near

    def _of_numpy(self, value: Any, kind: str, path: Path) -> Any:
        """A scalar or an array of numpy, or of a library that is built as it is. None of them is needed here."""
        is_array = bool(getattr(value, "shape", ()))
        if kind == "M" and is_array:
            return [self.read(one, (*path, number)) for number, one in enumerate(value)]
        if kind == "M":
            return _time_or_id(value, path)
        if kind not in _ARRAYS:
            raise NotExact(path, f"{type(value).__name__} cannot be said in JSON")
        plain = value.tolist()
        return self._number(value, path) if type(plain) is type(value) else self.read(plain, path)

    def _number(self, value: Any, path: Path) -> int | float:
        """What says itself that it is a number."""
        if hasattr(value, "__index__"):
            return _check_int(operator.index(value), path)
        if hasattr(value, "__float__"):
            near = self._float(float(value), path)
            if near == value:
                return near
            raise NotExact(path, "has more digits than clients read of a number: round it, or send it as a string")
        raise NotExact(path, f"{type(value).__name__} cannot be said in JSON")


_TOO_LARGE: Final = "is a number beyond 2^53, which clients would read rounded: send it as a string"


def _check_int(value: int, path: Path) -> int:
    if -LARGEST <= value <= LARGEST:
        return value
    raise NotExact(path, _TOO_LARGE)


def _check_text(value: str, path: Path) -> str:
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise NotExact(path, "is a string with half of a surrogate pair") from None
    return value


def _time_or_id(value: Any, path: Path) -> str:
    """A date or time in ISO 8601, or a UUID."""
    if value != value:
        raise NotExact(path, "is no time (NaT)")
    if isinstance(value, UUID) or not hasattr(value, "isoformat"):
        return str(value)
    try:
        return str(orjson.loads(orjson.dumps(value)))
    except TypeError:  # of a subclass, or with a zone's offset that is not whole minutes
        return str(value.isoformat())


def _read_integer(text: str) -> int | Decimal:
    # int() takes a time that grows with the square of the digits.
    return int(text) if len(text) <= _LONGEST else _decimal_of(text)


def _read_fraction(text: str) -> float | Decimal:
    near = float(text)
    exact = _decimal_of(text)
    if math.isfinite(near) and Decimal(repr(near)) == exact:
        return near
    return exact


def _decimal_of(text: str) -> Decimal:
    try:
        return Decimal(text)
    except DecimalException:  # its exponent is beyond all bounds
        return Decimal("NaN")


def _write_path(path: Path) -> str:
    words: list[str] = []
    for part in path:
        if isinstance(part, int):
            words.append(f"[{part}]")
        else:
            words.append(f"{'.' if words else ''}{part[:MAX_KEY]}")
    written = "".join(words)
    return written if len(written) <= MAX_PATH else f"{written[:MAX_PATH]}…"
