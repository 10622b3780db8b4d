"""Payloads of events: known fields, all of them optional, beside any others that the sender adds.

A field that is given has its type, or is null. Amounts are numbers, or decimal numbers as text for those with more
digits than clients read of a number. The models may be passed to emitters in place of dicts, and take the same values:
what has another type in Python counts as what clients read of it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, SerializerFunctionWrapHandler, WithJsonSchema
from pydantic import model_serializer as serializer

from tradecast.packets.exact import to_plain

DECIMAL = re.compile(r"[+-]?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?", re.ASCII)


def _check_amount(value: Any) -> Any:
    if isinstance(value, str) and DECIMAL.fullmatch(value):
        return value
    plain = value if isinstance(value, Decimal) else _to_plain_json(value)
    if isinstance(plain, int | float | Decimal) and not isinstance(plain, bool):
        return plain
    raise ValueError("must be a number, or a decimal number as a string")


def _check_id(value: Any) -> Any:
    plain = _to_plain_json(value)
    if isinstance(plain, str) or (isinstance(plain, int) and not isinstance(plain, bool)):
        return plain
    raise ValueError("must be a string or an integer")


def _check_time(value: Any) -> Any:
    plain = value if isinstance(value, datetime | date) else _to_plain_json(value)
    if isinstance(plain, str | datetime | date) or (isinstance(plain, int | float) and not isinstance(plain, bool)):
        return plain
    raise ValueError("must be a string in ISO 8601, or milliseconds since 1970")


def _check_text(value: Any) -> Any:
    plain = _to_plain_json(value)
    if isinstance(plain, str):
        return plain
    raise ValueError("must be a string")


def _to_plain_json(value: Any) -> Any:
    """What clients read of a value that has no type of JSON, such as numpy's numbers, a UUID, an Enum."""
    return value if value is None or (isinstance(value, _JSON) and not isinstance(value, Enum)) else to_plain(value)


_JSON = (str, int, float, dict, list)
Amount = Annotated[
    int | float | str | Decimal,
    PlainValidator(_check_amount),
    WithJsonSchema({"anyOf": [{"type": "number"}, {"type": "string", "pattern": f"^{DECIMAL.pattern}$"}]}),
]
Id = Annotated[
    str | int, PlainValidator(_check_id), WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "integer"}]})
]
Time = Annotated[
    str | int | float | datetime | date,
    PlainValidator(_check_time),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "number"}]}),
]
Text = Annotated[str, PlainValidator(_check_text), WithJsonSchema({"type": "string"})]


class Payload(BaseModel):
    """Fields that are not named here are let through as they are."""

    model_config = ConfigDict(extra="allow", hide_input_in_errors=True)

    @serializer(mode="wrap")
    def _leave_out_unset(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        given: Mapping[str, Any] = handler(self)
        return {name: value for name, value in given.items() if name in self.model_fields_set}


class Trade(Payload):
    """A trade that was executed."""

    id: Id | None = Field(None, description="Id of the trade")
    orderId: Id | None = Field(None, description="Id of the order that it belongs to")  # noqa: N815 the wire's name
    symbol: Text | None = Field(None, description="What was traded")
    side: Text | None = Field(None, description="buy or sell")
    quantity: Amount | None = Field(None, description="How many")
    price: Amount | None = Field(None, description="For how much each")
    amount: Amount | None = Field(None, description="For how much in all")
    fee: Amount | None = Field(None, description="What it cost beside that")
    currency: Text | None = Field(None, description="Of price, amount and fee, such as USD")
    realizedProfit: Amount | None = Field(None, description="Profit of a sale; a loss is negative")  # noqa: N815
    reason: Text | None = Field(None, description="Why, for people")
    executedAt: Time | None = Field(None, description="When")  # noqa: N815


class TradeFailure(Payload):
    """A trade that was not executed."""

    id: Id | None = Field(None, description="Id of the trade")
    orderId: Id | None = Field(None, description="Id of the order that it belongs to")  # noqa: N815
    symbol: Text | None = Field(None, description="What was to be traded")
    side: Text | None = Field(None, description="buy or sell")
    quantity: Amount | None = Field(None, description="How many")
    price: Amount | None = Field(None, description="For how much each")
    code: Id | None = Field(None, description="Why, for programs")
    reason: Text | None = Field(None, description="Why, for people")
    failedAt: Time | None = Field(None, description="When")  # noqa: N815


class ClosedPosition(Payload):
    """A position that is closed."""

    id: Id | None = Field(None, description="Id of the position")
    symbol: Text | None = Field(None, description="What it was in")
    quantity: Amount | None = Field(None, description="How many")
    averagePrice: Amount | None = Field(None, description="For how much each was bought")  # noqa: N815
    exitPrice: Amount | None = Field(None, description="For how much each was sold")  # noqa: N815
    realizedProfit: Amount | None = Field(None, description="Profit; a loss is negative")  # noqa: N815
    realizedPercent: Amount | None = Field(None, description="Profit in percent of what was paid")  # noqa: N815
    currency: Text | None = Field(None, description="Of prices and profit, such as USD")
    reason: Text | None = Field(None, description="Why, for people")
    openedAt: Time | None = Field(None, description="When it was opened")  # noqa: N815
    closedAt: Time | None = Field(None, description="When it was closed")  # noqa: N815


class Position(Payload):
    """A position that is open."""

    symbol: Text | None = Field(None, description="What it is in")
    quantity: Amount | None = Field(None, description="How many")
    averagePrice: Amount | None = Field(None, description="For how much each was bought")  # noqa: N815
    price: Amount | None = Field(None, description="What each is worth")
    value: Amount | None = Field(None, description="What all are worth")
    profit: Amount | None = Field(None, description="Profit if they were sold; a loss is negative")
    profitPercent: Amount | None = Field(None, description="That in percent of what was paid")  # noqa: N815


class Portfolio(Payload):
    """A user's portfolio as it is now."""

    value: Amount | None = Field(None, description="What all of it is worth, cash included")
    cash: Amount | None = Field(None, description="Money that is in no position")
    positions: list[Position] | None = Field(None, description="Open positions")
    dayChange: Amount | None = Field(None, description="Change of value since the day began")  # noqa: N815
    dayChangePercent: Amount | None = Field(None, description="That in percent")  # noqa: N815
    realizedProfit: Amount | None = Field(None, description="Profit of what was sold")  # noqa: N815
    unrealizedProfit: Amount | None = Field(None, description="Profit of what is open")  # noqa: N815
    currency: Text | None = Field(None, description="Of the amounts, such as USD")


class Note(Payload):
    """Something for the user to read."""

    id: Id | None = Field(None, description="Id of the notification")
    type: Text | None = Field(None, description="What it is about, for programs")
    level: Text | None = Field(None, description="info, success, warning or error")
    title: Text | None = Field(None, description="Heading")
    message: Text | None = Field(None, description="Text")
    url: Text | None = Field(None, description="Where it leads")


class Quote(Payload):
    """What a symbol is quoted at."""

    price: Amount | None = Field(None, description="Last price")
    bid: Amount | None = Field(None, description="Highest price that a buyer offers")
    ask: Amount | None = Field(None, description="Lowest price that a seller asks")
    bidSize: Amount | None = Field(None, description="How many at the bid")  # noqa: N815
    askSize: Amount | None = Field(None, description="How many at the ask")  # noqa: N815
    open: Amount | None = Field(None, description="First price of the day")
    high: Amount | None = Field(None, description="Highest price of the day")
    low: Amount | None = Field(None, description="Lowest price of the day")
    previousClose: Amount | None = Field(None, description="Last price of the day before")  # noqa: N815
    change: Amount | None = Field(None, description="price less previousClose")
    changePercent: Amount | None = Field(None, description="That in percent")  # noqa: N815
    volume: Amount | None = Field(None, description="How many were traded on the day")
    currency: Text | None = Field(None, description="Of the prices, such as USD")
    time: Time | None = Field(None, description="When it was quoted")


class Market(Payload):
    """How the market is."""

    state: Text | None = Field(None, description="open or closed")
    phase: Text | None = Field(None, description="pre-open, open, closed, …")
    market: Text | None = Field(None, description="Which one")
    message: Text | None = Field(None, description="For people")
    opensAt: Time | None = Field(None, description="When it opens next")  # noqa: N815
    closesAt: Time | None = Field(None, description="When it closes next")  # noqa: N815
