"""The body of `POST /api/emit`: one event or a list of them, checked, and emitted by `Emitters`.

The models are the schema: `create_emit_schema()` gives it as JSON Schema, and the route serves it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    StrictBool,
    Tag,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WithJsonSchema,
    WrapValidator,
)

from tradecast.events.emitters import Emitters
from tradecast.events.payloads import ClosedPosition, Market, Note, Portfolio, Position, Quote, Trade, TradeFailure
from tradecast.events.symbols import ANY, SYMBOL, Symbols
from tradecast.packets.exact import NotExact, dump_exact
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


def _check_symbol(value: str, info: ValidationInfo) -> str:
    symbols: Symbols = (info.context or {}).get("symbols") or ANY
    if not symbols.has(value):
        raise ValueError(f"a symbol is {symbols.rule}")
    return value


# The pattern is for the schema; the check says what is wrong in words.
Symbol = Annotated[
    str, AfterValidator(_check_symbol), WithJsonSchema({"type": "string", "pattern": f"^{SYMBOL.pattern}$"})
]


def _check_object(value: Any, check: ValidatorFunctionWrapHandler) -> Any:
    """What was sent, unchanged, if it is an object whose known fields have their types."""
    if not isinstance(value, dict):
        raise ValueError("Input should be a valid dictionary")
    level: list[Any] = [value]
    for _ in range(MAX_DEPTH):
        inner = [item.values() if isinstance(item, dict) else item for item in level]
        level = [item for items in inner for item in items if isinstance(item, dict | list)]
        if not level:
            break
    else:
        raise ValueError(f"nested deeper than {MAX_DEPTH}")  # orjson writes at most 254 levels
    check(value)
    return value


# What is emitted is the sender's own dict, and no model: names and order stay as they are.
AsSent = WrapValidator(_check_object)


class _Event(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class PortfolioUpdate(_Event):
    event: Literal["portfolio:update"]
    userId: UserId  # noqa: N815 the wire's name
    portfolio: Annotated[Portfolio, AsSent]
    kind: Literal["counted", "latest"] = "counted"

    async def emit(self, emitters: Emitters) -> None:
        await emitters.emit_portfolio_update(self.userId, self.portfolio, kind=self.kind)


class TradeExecuted(_Event):
    event: Literal["trade:executed"]
    userId: UserId  # noqa: N815
    trade: Annotated[Trade, AsSent]
    kind: Literal["counted"] = "counted"

    async def emit(self, emitters: Emitters) -> None:
        await emitters.emit_trade_executed(self.userId, self.trade, kind=self.kind)


class TradeFailed(_Event):
    event: Literal["trade:failed"]
    userId: UserId  # noqa: N815
    failure: Annotated[TradeFailure, AsSent]
    kind: Literal["counted"] = "counted"

    async def emit(self, emitters: Emitters) -> None:
        await emitters.emit_trade_failed(self.userId, self.failure, kind=self.kind)


class PositionClosed(_Event):
    event: Literal["position:closed"]
    userId: UserId  # noqa: N815
    position: Annotated[ClosedPosition, AsSent]
    kind: Literal["counted"] = "counted"

    async def emit(self, emitters: Emitters) -> None:
        await emitters.emit_position_closed(self.userId, self.position, kind=self.kind)


class Notification(_Event):
    event: Literal["notification"]
    userId: UserId  # noqa: N815
    notification: Annotated[Note, AsSent]
    kind: Literal["counted"] = "counted"

    async def emit(self, emitters: Emitters) -> None:
        await emitters.emit_notification(self.userId, self.notification, kind=self.kind)


class WatchlistQuote(_Event):
    event: Literal["watchlist:quote"]
    symbol: Symbol
    quote: Annotated[Quote, AsSent]
    kind: Literal["counted", "latest", "volatile"] = "latest"

    async def emit(self, emitters: Emitters) -> None:
        await emitters.emit_watchlist_quote(self.symbol, self.quote, kind=self.kind)


StatusText = Annotated[str, Field(min_length=1, max_length=64)]
Status = Annotated[
    Annotated[Market, AsSent, Tag("object")] | Annotated[StatusText, Tag("text")],
    Discriminator(lambda value: "text" if isinstance(value, str) else "object"),
]


class MarketStatus(_Event):
    event: Literal["market:status"]
    status: Status
    kind: Literal["counted", "latest"] = "latest"

    async def emit(self, emitters: Emitters) -> None:
        await emitters.emit_market_status(self.status, kind=self.kind)


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
    skipInvalid: Annotated[  # noqa: N815
        StrictBool, Field(description="Send those that follow the schema, though others do not; those are named")
    ] = False


class _Frame(Batch):
    """A batch whose events are looked at one by one."""

    events: Annotated[list[Any], Field(min_length=1, max_length=MAX_EVENTS)]


_event: TypeAdapter[Event] = TypeAdapter(Event)
_PAYLOAD_MODELS = (Portfolio, Position, Trade, TradeFailure, ClosedPosition, Note, Quote, Market)
_KNOWN = frozenset(name for model in _PAYLOAD_MODELS for name in model.model_fields)
Problem = dict[str, str]


class InvalidEvents(ValueError):
    """The body does not follow the schema. `problems` says where and how, without repeating the values."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("The body does not follow the schema")
        self.problems = problems[:MAX_PROBLEMS]


class Parsed(NamedTuple):
    """What a body asks for.

    Attributes:
        events: Those that follow the schema, each with its number in the body.
        refused: The numbers of the others.
        problems: What is wrong with those, for the first ones.
    """

    events: list[tuple[int, Any]]
    refused: list[int]
    problems: list[Problem]


def parse_events(body: Any, symbols: Symbols | None = None) -> list[Any]:
    """The events in a decoded body: `{event, …}` or `{events: [{event, …}, …]}`.

    Args:
        body: Decoded by `exact.load`, or numbers may have been rounded already.
        symbols: Which symbols there are; None: any.

    Raises:
        InvalidEvents: It is neither, or one of them does not follow the schema.
    """
    return [event for _, event in parse_batch(body, symbols, may_skip=False).events]


def parse_batch(body: Any, symbols: Symbols | None = None, *, may_skip: bool = True) -> Parsed:
    """As `parse_events`; where the body says `skipInvalid`, events that do not follow the schema are left out.

    Raises:
        InvalidEvents: It is neither, or one of them does not follow the schema and may not be left out, or all do not.
    """
    if not (isinstance(body, dict) and "events" in body):
        event, problems = _parse_one(body, symbols)
        if problems:
            raise InvalidEvents([_place_problem(problem, "") for problem in problems])
        return Parsed([(0, event)], [], [])
    try:
        frame = _Frame.model_validate(body)
    except ValidationError as error:
        found = error.errors(include_input=False, include_url=False, include_context=False)
        raise InvalidEvents([{"at": str(one["loc"][0])[:MAX_SHOWN], "message": one["msg"]} for one in found]) from None
    parsed = Parsed([], [], [])
    for number, one in enumerate(frame.events):
        event, problems = _parse_one(one, symbols)
        if not problems:
            parsed.events.append((number, event))
            continue
        parsed.refused.append(number)
        if len(parsed.problems) < MAX_PROBLEMS:
            parsed.problems.extend(_place_problem(problem, f"events.{number}") for problem in problems)
    if parsed.refused and not (frame.skipInvalid and may_skip and parsed.events):
        raise InvalidEvents(parsed.problems)
    return parsed._replace(problems=parsed.problems[:MAX_PROBLEMS])


def _parse_one(value: Any, symbols: Symbols | None) -> tuple[Any, list[Problem]]:
    """An event, or what is wrong with it."""
    try:
        event = _event.validate_python(value, context={"symbols": symbols})
    except ValidationError as error:
        found = error.errors(include_input=False, include_url=False, include_context=False)[:MAX_PROBLEMS]
        return None, [_describe_problem(dict(problem)) for problem in found]
    try:
        dump_exact({PAYLOADS[event.event]: value[PAYLOADS[event.event]]})  # not the user's id, which becomes a text
    except NotExact as error:
        return None, [{"at": error.at, "message": error.why}]
    return event, []


def _describe_problem(problem: dict[str, Any]) -> Problem:
    """Where in an event, and what. Behind its name, the tag of the union, comes the field."""
    field, *deeper = [*problem["loc"][1:2], *problem["loc"][2:]] or [""]
    # What lies deeper has our names where the sender used them; else it is pydantic's words for types.
    words = [field, *(part for part in deeper if isinstance(part, int) or part in _KNOWN)]
    message = str(problem["msg"]).removeprefix("Value error, ")
    if problem["type"] in ("union_tag_invalid", "union_tag_not_found"):  # its text repeats the value
        message = f"event is one of {', '.join(PAYLOADS)}"
    return {"at": ".".join(str(part)[:MAX_SHOWN] for part in words), "message": message}


def _place_problem(problem: Problem, place: str) -> Problem:
    where = ".".join(part for part in (place, problem["at"]) if part)
    return {**problem, "at": where or "body"}


def create_emit_schema() -> dict[str, Any]:
    """JSON Schema of the body."""
    return TypeAdapter(Event | Batch).json_schema()
