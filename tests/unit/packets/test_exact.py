"""Values that clients read exactly, and values that are refused; by every spelling that Python has for them."""

from __future__ import annotations

import json
import math
import random
import uuid
from collections import OrderedDict, deque, namedtuple
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from fractions import Fraction
from types import MappingProxyType
from typing import Any

import orjson
import pytest
from bson.binary import Binary

from tradecast.events.payloads import Trade
from tradecast.packets.codec import encode_event
from tradecast.packets.exact import LARGEST, MAX_DEPTH, NotExact, dump_exact, load_exact, to_plain
from tradecast.packets.json_values import pack_value

numpy = pytest.importorskip("numpy")
pandas = pytest.importorskip("pandas")


class Side(Enum):
    BUY = "buy"
    PRICE = Decimal("1.5")


class Level(IntEnum):
    HIGH = 3


class Word(StrEnum):
    OPEN = "open"


class Sub(str):
    __slots__ = ()


@dataclass
class Fill:
    price: Decimal
    quantity: int
    _secret: str = "x"


Point = namedtuple("Point", "x y")
ID = uuid.UUID("12345678123456781234567812345678")

SAID: list[tuple[Any, Any]] = [
    (LARGEST, LARGEST),
    (-LARGEST, -LARGEST),
    (1.7e308, 1.7e308),
    (0.1 + 0.2, 0.1 + 0.2),
    (1e300, 1e300),
    (Decimal("512.40"), 512.4),
    (Decimal("5"), 5),
    (Decimal("5.000"), 5),
    (Decimal("1E+3"), 1000),
    (Decimal("-0.00000001"), -1e-8),
    (Decimal(LARGEST), LARGEST),
    (Fraction(1, 4), 0.25),
    (numpy.int64(7), 7),
    (numpy.uint8(255), 255),
    (numpy.float64(1.5), 1.5),
    (numpy.float32(0.25), 0.25),
    (numpy.float32(0.1), float(numpy.float32(0.1))),
    (numpy.float16(0.5), 0.5),
    (numpy.longdouble(2.5), 2.5),
    (numpy.bool_(True), True),
    (numpy.str_("x"), "x"),
    (numpy.datetime64("2026-11-29T01:02:03.123456789"), "2026-11-29T01:02:03.123456789"),
    (numpy.array([1.5, 2]), [1.5, 2.0]),
    (numpy.array([[1], [2]]), [[1], [2]]),
    (numpy.array(5), 5),
    (numpy.array(["2026-11-29"], dtype="datetime64[D]"), ["2026-11-29"]),
    (pandas.Series([1, 2]), [1, 2]),
    (pandas.Timestamp("2026-11-29T01:02:03"), "2026-11-29T01:02:03"),
    (datetime(2026, 11, 29, 1, 2, 3, tzinfo=UTC), "2026-11-29T01:02:03+00:00"),
    (datetime(2026, 11, 29, 1, 2, 3), "2026-11-29T01:02:03"),  # noqa: DTZ001 as senders write it
    (date(2026, 11, 29), "2026-11-29"),
    (time(1, 2, 3), "01:02:03"),
    (ID, str(ID)),
    (Side.BUY, "buy"),
    (Side.PRICE, 1.5),
    (Level.HIGH, 3),
    (Word.OPEN, "open"),
    (Sub("x"), "x"),
    (Fill(Decimal("1.25"), 2), {"price": 1.25, "quantity": 2}),
    (Trade(symbol="AAPL", price=Decimal("1.5"), more=1), {"symbol": "AAPL", "price": 1.5, "more": 1}),
    (Point(1, Decimal("2.5")), [1, 2.5]),
    ((1, 2), [1, 2]),
    (deque([1]), [1]),
    (range(3), [0, 1, 2]),
    (OrderedDict(a=1), {"a": 1}),
    (MappingProxyType({"a": Decimal(1)}), {"a": 1}),
    ({1: "a", None: "b", False: "c", ID: "d"}, {"1": "a", "null": "b", "false": "c", str(ID): "d"}),
    ({2**70: "e", 1.5: Decimal(1)}, {str(2**70): "e", "1.5": 1}),
    (None, None),
]
REFUSED: list[Any] = [
    LARGEST + 1,
    -LARGEST - 1,
    2**60,
    2**63,
    2**64,
    10**30,
    123456789012345678901234567890,
    math.nan,
    math.inf,
    -math.inf,
    Decimal("NaN"),
    Decimal("sNaN"),
    Decimal("Infinity"),
    Decimal("0.12345678901234567890"),
    Decimal(2**60),
    Decimal(10**30),
    Decimal("1e400"),
    Decimal("1e-400"),
    Decimal("1e999999"),
    Decimal(LARGEST + 2),
    Decimal("9007199254740993.5"),
    Fraction(1, 3),
    numpy.int64(2**60),
    numpy.uint64(2**64 - 1),
    numpy.float64("nan"),
    numpy.float32("inf"),
    numpy.array([1.0, math.nan]),
    numpy.complex128(1),
    numpy.timedelta64(1, "s"),
    numpy.datetime64("NaT"),
    pandas.NaT,
    pandas.Series([1.0, None]),
    pandas.DataFrame({"a": [1]}),
    timedelta(1),
    1j,
    {1, 2},
    frozenset([1]),
    object(),
    iter([1]),
    int,
    len,
    "\ud83d",
    Sub("\ud83d"),
    {"\ud83d": 1},
    {math.nan: 1},
    {(1, 2): 1},
    {b"x": 1},
    {1: "a", "1": "b", "z": Decimal(1)},
    {1: "a", "1": "b"},
    {True: "a", "true": "b"},
    {ID: "a", str(ID): "b"},
]


@pytest.mark.parametrize(("value", "read"), SAID, ids=lambda one: type(one).__name__)
def test_said_as_clients_read_it(value: Any, read: Any) -> None:
    assert json.loads(dump_exact(value)) == read
    assert json.loads(dump_exact({"a": [value, None]})) == {"a": [read, None]}
    assert to_plain(value) == read
    text = encode_event("e", [{"trade": {"price": value}}, None]).parts[0]
    assert json.loads(str(text)[1:])[1:] == [{"trade": {"price": read}}, None]
    assert json.loads(pack_value([value])) == [read]


@pytest.mark.parametrize("value", REFUSED, ids=lambda one: type(one).__name__)
def test_refused_with_its_place(value: Any) -> None:
    for said in (
        lambda: dump_exact({"trade": {"fills": [0, {"price": value}]}}),
        lambda: encode_event("e", [{"trade": {"fills": [0, {"price": value}]}}]),
        lambda: pack_value({"trade": {"fills": [0, {"price": value}]}}),
    ):
        with pytest.raises(NotExact) as caught:
            said()
        assert caught.value.at.startswith("trade.fills[1].price")
        assert str(caught.value).startswith("trade.fills[1].price")
        assert isinstance(caught.value, TypeError)
        assert isinstance(caught.value, ValueError)


def test_null_itself_is_none_of_the_refused() -> None:
    assert json.loads(dump_exact({"bid": None, "null": "null"})) == {"bid": None, "null": "null"}


def test_bytes_beside_what_orjson_does_not_know_are_attachments() -> None:
    text, *attachments = encode_event(
        "e", [{"file": b"\x00\x01", "price": Decimal("1.5"), "more": [bytearray(b"x")]}]
    ).parts
    said = json.loads(str(text).partition("-")[2])[1]
    assert said["price"] == 1.5
    assert attachments == [b"\x00\x01", b"x"]


class Part(bytes):
    """As `bson.Binary` is, which drivers return."""


@pytest.mark.parametrize("value", [Part(b"\x00\x01"), Binary(b"\x00\x01"), numpy.bytes_(b"\x00\x01")])
def test_bytes_of_a_subclass_are_bytes(value: bytes) -> None:
    text, *attachments = encode_event("e", [{"file": value}]).parts
    assert json.loads(str(text).partition("-")[2])[1] == {"file": {"_placeholder": True, "num": 0}}
    assert attachments == [b"\x00\x01"]


def test_several_arguments_are_told_apart() -> None:
    with pytest.raises(NotExact, match=r"\[1\]\.price"):
        encode_event("e", [1, {"price": math.nan}])


def test_cycles_and_depth_are_refused() -> None:
    cycle: dict[str, Any] = {"price": Decimal(1)}
    cycle["self"] = cycle
    with pytest.raises(NotExact, match="nested deeper"):
        dump_exact(cycle)
    deep: Any = Decimal(1)
    for _ in range(MAX_DEPTH):
        deep = [deep]
    assert dump_exact(deep)
    with pytest.raises(NotExact, match="nested deeper"):
        dump_exact([[deep]])


def test_a_value_that_fails_alone_is_named() -> None:
    class Broken:
        def __float__(self) -> float:
            raise ZeroDivisionError

    with pytest.raises(NotExact, match="a: Broken cannot be read"):
        dump_exact({"a": Broken()})


# -- reading


@pytest.mark.parametrize(
    "text",
    [
        "9007199254740993",
        "123456789012345678901234567890",
        "1" * 5_000,
        "0.1234567890123456789",
        "9007199254740993.0",
        "1e400",
        "1e-400",
        "-1e99999999999999999999",
        "NaN",
        "-Infinity",
    ],
)
def test_what_would_be_rounded_is_refused(text: str) -> None:
    for written in (text, f' {{"a" : [ {text} ] }} '):
        for raw in (written, written.encode(), bytearray(written.encode())):
            with pytest.raises(NotExact):
                to_plain(load_exact(raw))


@pytest.mark.parametrize(
    "text",
    [
        "9007199254740992",
        "-9007199254740992",
        "0.30000000000000004",
        "0.1000000000000000",
        "1e300",
        "1E+2",
        "5e-324",
        "1.7976931348623157e308",
        "512.4000000000000000000",
        '"123456789012345678901234567890"',
        '{"12345678901234567890": "NaN"}',
        "100000.00000000000000000",
    ],
)
def test_what_is_exact_passes(text: str) -> None:
    assert json.loads(dump_exact(load_exact(text))) == json.loads(text)


@pytest.mark.parametrize(
    "text", ["", "{", "nul", "[1,]", "1" * 16 + ",", "[NaN", "NaNs", "[" * 100_000, "[1e5" + "[" * 100_000, b"\xff1e5"]
)
def test_what_is_no_json(text: str | bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 the standard library's and orjson's have nothing else in common
        load_exact(text)


def test_every_double_survives() -> None:
    """What any JSON library writes of a double is read as that double."""
    chance = random.Random(3)
    for _ in range(20_000):
        value = chance.choice(
            [
                chance.random(),
                chance.uniform(-1e6, 1e6),
                chance.random() * 10 ** chance.randint(-300, 300),
                round(chance.uniform(0, 1e5), chance.randint(0, 8)),
            ]
        )
        for text in (json.dumps(value), orjson.dumps(value).decode()):
            assert to_plain(load_exact(text)) == value


def test_numbers_are_exact_or_refused() -> None:
    """Any digits: what passes is what was written."""
    chance = random.Random(4)
    passed = refused = 0
    for _ in range(20_000):
        whole = "".join(chance.choices("0123456789", k=chance.randint(1, 20))).lstrip("0") or "0"
        text = whole + chance.choice(["", "", "." + "".join(chance.choices("0123456789", k=chance.randint(1, 12)))])
        try:
            read = to_plain(load_exact(text))
        except NotExact:
            refused += 1
            continue
        passed += 1
        assert Decimal(repr(read)) == Decimal(text), text
    assert passed > 1_000
    assert refused > 1_000
