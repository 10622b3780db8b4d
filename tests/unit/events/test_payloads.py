"""The payload models take what a dict in their place may hold, and say what clients read of it."""

from __future__ import annotations

import json
import uuid
import warnings
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from typing import Any

import pytest
from pydantic import ValidationError

from tradecast.events.payloads import Portfolio, Position, Quote, Trade
from tradecast.packets.exact import dump_exact

numpy = pytest.importorskip("numpy")
pandas = pytest.importorskip("pandas")
ID = uuid.UUID(int=7)


class Side(Enum):
    BUY = "buy"
    NONE = 0


@pytest.mark.parametrize(
    "fields",
    [
        {"id": ID, "orderId": numpy.int64(5), "side": Side.BUY, "symbol": numpy.str_("AAPL")},
        {"price": numpy.int64(5), "quantity": numpy.float32(1.5), "amount": numpy.array(7), "fee": Fraction(1, 4)},
        {"price": Decimal("512.40"), "fee": "0.12345678901234567890", "amount": pandas.Series([2.5]).iloc[0]},
        {"executedAt": numpy.datetime64("2026-11-29T01:02:03")},
        {"executedAt": pandas.Timestamp("2026-11-29T01:02:03")},
        {"executedAt": datetime(2026, 11, 29, tzinfo=UTC)},
        {"executedAt": numpy.int64(1_796_000_000_000), "price": None, "mine": numpy.int64(3), "more": ID},
    ],
    ids=str,
)
def test_they_take_what_a_dict_may_hold(fields: dict[str, Any]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert json.loads(dump_exact(Trade(**fields))) == json.loads(dump_exact(fields))


def test_what_is_put_in_later_or_lies_deeper_is_said_as_well() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        quote = Quote()
        quote.price = numpy.int64(5)
        assert json.loads(dump_exact({"quote": quote})) == {"quote": {"price": 5}}
        portfolio = Portfolio(cash=numpy.float32(0.5), positions=[Position(quantity=numpy.int16(3))])
        assert json.loads(dump_exact(portfolio)) == {"cash": 0.5, "positions": [{"quantity": 3}]}


@pytest.mark.parametrize(
    "fields",
    [
        {"id": 5.0},
        {"id": numpy.float64(5)},
        {"id": True},
        {"id": numpy.bool_(True)},
        {"symbol": 5},
        {"side": Side.NONE},
        {"price": numpy.bool_(True)},
        {"price": numpy.array([1.5])},
        {"price": numpy.int64(2**60)},
        {"price": numpy.datetime64("2026")},
        {"price": 1j},
        {"price": "NaN"},
        {"price": {"amount": 1}},
        {"executedAt": True},
        {"executedAt": [2026]},
        {"executedAt": numpy.datetime64("NaT")},
    ],
    ids=str,
)
def test_what_clients_would_read_as_something_else_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Trade(**fields)
