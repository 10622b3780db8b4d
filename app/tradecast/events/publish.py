"""`POST /api/emit`: the emitters for other programs, one event or a list of them.

The models are the schema: `publish_schema()` gives it as JSON Schema, and the route serves it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    TypeAdapter,
    ValidationError,
)

from tradecast.events.emitters import Emitters
from tradecast.events.symbols import SYMBOL
from tradecast.user_id import LONGEST, require_user_id

MAX_EVENTS = 1_000
MAX_PROBLEMS = 20
MAX_SHOWN = 64
MAX_DEPTH = 100
UserId = Annotated[
    str,
    Field(min_length=1, max_length=LONGEST),
    BeforeValidator(require_user_id, json_schema_input_type=Annotated[str, Field(max_length=LONGEST)] | int),
]
Symbol = Annotated[str, Field(pattern=f"^(?:{SYMBOL.pattern})$")]


def _not_too_deep(value: dict[str, JsonValue]) -> dict[str, JsonValue]:
    level: list[Any] = [value]
    for _ in range(MAX_DEPTH):
        inner = [item.values() if isinstance(item, dict) else item for item in level]
        level = [item for items in inner for item in items if isinstance(item, dict | list)]
        if not level:
            return value
    raise ValueError(f"nested deeper than {MAX_DEPTH}")  # orjson writes at most 254 levels


Object = Annotated[dict[str, JsonValue], AfterValidator(_not_too_deep)]


class _Event(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class PortfolioUpdate(_Event):
    event: Literal["portfolio:update"]
    userId: UserId  # noqa: N815 the wire's name
    portfolio: Object

    async def emit(self, emitters: Emitters) -> None:
        await emitters.emit_portfolio_update(self.userId, self.portfolio)


class TradeExecuted(_Event):
    event: Literal["trade:executed"]
    userId: UserId  # noqa: N815
    trade: Object

    async def emit(self, emitters: Emitters) -> None:
        await emitters.emit_trade_executed(self.userId, self.trade)


class TradeFailed(_Event):
    event: Literal["trade:failed"]
    userId: UserId  # noqa: N815
    failure: Object

    async def emit(self, emitters: Emitters) -> None:
        await emitters.emit_trade_failed(self.userId, self.failure)


class PositionClosed(_Event):
    event: Literal["position:closed"]
    userId: UserId  # noqa: N815
    position: Object

    async def emit(self, emitters: Emitters) -> None:
        await emitters.emit_position_closed(self.userId, self.position)


class Notification(_Event):
    event: Literal["notification"]
    userId: UserId  # noqa: N815
    notification: Object

    async def emit(self, emitters: Emitters) -> None:
        await emitters.emit_notification(self.userId, self.notification)


class WatchlistQuote(_Event):
    event: Literal["watchlist:quote"]
    symbol: Symbol
    quote: Object

    async def emit(self, emitters: Emitters) -> None:
        await emitters.emit_watchlist_quote(self.symbol, self.quote)


class MarketStatus(_Event):
    event: Literal["market:status"]
    status: Object | Annotated[str, Field(min_length=1, max_length=64)]

    async def emit(self, emitters: Emitters) -> None:
        await emitters.emit_market_status(self.status)


Event = Annotated[
    PortfolioUpdate | TradeExecuted | TradeFailed | PositionClosed | Notification | WatchlistQuote | MarketStatus,
    Field(discriminator="event"),
]


PAYLOADS = {
    "portfolio:update": "portfolio",
    "trade:executed": "trade",
    "trade:failed": "failure",
    "position:closed": "position",
    "notification": "notification",
    "watchlist:quote": "quote",
    "market:status": "status",
}
"""Each event with the field that holds its payload."""


class Batch(BaseModel):
    """Several events; they are sent in their order."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)
    events: Annotated[list[Event], Field(min_length=1, max_length=MAX_EVENTS)]


_event: TypeAdapter[Event] = TypeAdapter(Event)


class InvalidEvents(ValueError):
    """The body does not follow the schema. `problems` says where and how, without repeating the values."""

    def __init__(self, problems: Sequence[dict[str, str]]) -> None:
        super().__init__("The body does not follow the schema")
        self.problems = problems


def parse_events(body: Any) -> list[Any]:
    """The events in a decoded body: `{event, …}` or `{events: [{event, …}, …]}`.

    Raises:
        InvalidEvents: It is neither.
    """
    try:
        if isinstance(body, dict) and "events" in body:
            return list(Batch.model_validate(body).events)
        return [_event.validate_python(body)]
    except ValidationError as error:
        several = isinstance(body, dict) and "events" in body
        found = error.errors(include_input=False, include_url=False, include_context=False)[:MAX_PROBLEMS]
        raise InvalidEvents([_problem(dict(problem), several) for problem in found]) from None


def _problem(problem: dict[str, Any], several: bool) -> dict[str, str]:
    location = [str(part) for part in problem["loc"]]
    # Behind the event's place comes its name, as the tag of the union, and then the field. What lies deeper is the
    # sender's own, and pydantic's words for types.
    head, tail = (location[:2], location[3:4]) if several else ([], location[1:2])
    where = ".".join(part[:MAX_SHOWN] for part in (*head, *tail)) or "body"
    message = str(problem["msg"])
    if problem["type"] in ("union_tag_invalid", "union_tag_not_found"):  # its text repeats the value
        message = f"event is one of {', '.join(PAYLOADS)}"
    return {"at": where, "message": message}


def publish_schema() -> dict[str, Any]:
    """JSON Schema of the body."""
    return TypeAdapter(Event | Batch).json_schema()
