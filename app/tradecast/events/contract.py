"""The contract with clients as models: what each event carries, from the server and to it.

docs/events.schema.json, docs/events.d.ts and docs/asyncapi.yaml are made from it; docs/client.md has it in words.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from tradecast.events.kinds import RECENT
from tradecast.events.payloads import ClosedPosition, Market, Note, Portfolio, Quote, Trade, TradeFailure
from tradecast.events.symbols import SYMBOL

Timestamp = Annotated[str, Field(description="When the server said it: ISO 8601 in UTC with milliseconds")]
UserId = Annotated[str, Field(description="Whose it is")]
Symbol = Annotated[str, Field(pattern=f"^{SYMBOL.pattern}$", description="Case counts: aapl is not AAPL")]
QuoteNumber = Annotated[
    int, Field(description="The next delta for this symbol has the next number; only for clients that want deltas")
]


class _Message(BaseModel):
    """A message of the next version may have more fields."""

    model_config = ConfigDict(extra="allow")


# -- server to client


class PortfolioMessage(_Message):
    """A user's portfolio has changed."""

    userId: UserId  # noqa: N815 the wire's name
    portfolio: Portfolio
    timestamp: Timestamp


class TradeMessage(_Message):
    """A trade was executed."""

    userId: UserId  # noqa: N815
    trade: Trade
    timestamp: Timestamp


class TradeFailureMessage(_Message):
    """A trade was not executed."""

    userId: UserId  # noqa: N815
    failure: TradeFailure
    timestamp: Timestamp


class PositionMessage(_Message):
    """A position is closed."""

    userId: UserId  # noqa: N815
    position: ClosedPosition
    timestamp: Timestamp


class NotificationMessage(_Message):
    """Something for the user to read."""

    userId: UserId  # noqa: N815
    notification: Note
    timestamp: Timestamp


class QuoteMessage(_Message):
    """A symbol's newest quote."""

    symbol: Symbol
    quote: Quote
    timestamp: Timestamp
    number: QuoteNumber | None = None


class QuoteDeltaMessage(_Message):
    """What has changed since the quote with the number before: a JSON merge patch (RFC 7396); null removes a field."""

    symbol: Symbol
    number: QuoteNumber
    quote: Quote | None = None
    timestamp: Timestamp | None = None


class StaleMessage(_Message):
    """Symbols of which this server has had no quote for longer than their maximum age; or has one again."""

    symbols: list[Symbol] = Field(description="Those of the client's subscriptions that have changed")
    since: str = Field(
        description="When the newest quote of any of them came, or if `stale` is false, the first new one; as timestamp"
    )
    stale: bool = Field(description="False: quotes come again")
    timestamp: Timestamp


class MarketMessage(_Message):
    """How the market is now."""

    status: Market | str
    timestamp: Timestamp


class Done(_Message):
    """What the client asked for is done."""

    success: Literal[True]
    userId: UserId  # noqa: N815
    timestamp: Timestamp


class RecentEvent(_Message):
    """An event of before, as it was sent then."""

    event: str = Field(description="Its name")
    data: Any = Field(description="What it carried")


class Subscribed(Done):
    """The subscription is made, and what there was in it before."""

    recent: list[RecentEvent] | None = Field(
        None,
        max_length=RECENT,
        description="The newest events of before, the newest last. Absent where that is not known, and from an answer "
        "about a subscription that there was already",
    )


class RecentNotifications(Done):
    """A user's newest notifications."""

    recent: list[RecentEvent] = Field(max_length=RECENT, description="The newest last")


class FailedSymbol(_Message):
    """One symbol of several that was refused."""

    symbol: str = Field(description="As it was sent, cut at 64 characters")
    reason: str
    message: str


class WatchlistDone(Done):
    """The same for symbols: `symbol` for one, `symbols` and `failed` for a list."""

    symbol: Symbol | None = None
    symbols: list[Symbol] | None = None
    failed: list[FailedSymbol] | None = None


class Broadcasted(Done):
    """The event was sent to every authenticated client."""

    event: str


class SessionRefreshed(Done):
    """The connection is on the other session."""

    expiresAt: int = Field(description="When that session ends, in milliseconds since 1970")  # noqa: N815


class Failure(_Message):
    """What the client asked for is refused, or its session has ended (then there is no `reason`)."""

    code: str = Field(description="SUBSCRIPTION_ERROR, or why the session has ended")
    reason: str | None = Field(None, description="One of the reasons in docs/client.md")
    message: str = Field(description="For people")
    symbols: list[Symbol] | None = None
    failed: list[FailedSymbol] | None = None


# -- client to server


class OwnData(_Message):
    """Nothing is needed; a userId has to be one's own."""

    userId: str | int | None = None  # noqa: N815


class WatchlistRequest(_Message):
    """Either one symbol or several."""

    symbol: Symbol | None = None
    symbols: list[Symbol] | None = None


class Broadcast(_Message):
    """An event for every authenticated client."""

    event: str = Field(
        pattern="^[A-Za-z][A-Za-z0-9:._-]{0,63}$", description="A name of one's own, and none of this contract's"
    )
    data: Any = None


class SessionRefresh(_Message):
    """Another session of the same user."""

    sessionID: str  # noqa: N815


@dataclass(frozen=True, slots=True)
class Request:
    """What a client may ask for.

    Attributes:
        payload: What it sends.
        required: Whether it has to.
        answer: What it gets if all is well, by an event of its own and by the acknowledgement; else `Failure`.
        confirmation: The name of that event.
        does: What comes of it.
    """

    payload: type[BaseModel]
    required: bool
    answer: type[BaseModel]
    confirmation: str
    does: str


SERVER_EVENTS: dict[str, type[BaseModel]] = {
    "portfolio:update": PortfolioMessage,
    "trade:executed": TradeMessage,
    "trade:failed": TradeFailureMessage,
    "position:closed": PositionMessage,
    "notification": NotificationMessage,
    "watchlist:quote": QuoteMessage,
    "watchlist:quote:delta": QuoteDeltaMessage,
    "watchlist:stale": StaleMessage,
    "market:status": MarketMessage,
    "subscribed:portfolio": Subscribed,
    "unsubscribed:portfolio": Done,
    "subscribed:trades": Subscribed,
    "unsubscribed:trades": Done,
    "subscribed:watchlist": WatchlistDone,
    "unsubscribed:watchlist": WatchlistDone,
    "notifications:recent": RecentNotifications,
    "admin:broadcasted": Broadcasted,
    "session:refreshed": SessionRefreshed,
    "error": Failure,
}
CLIENT_EVENTS: dict[str, Request] = {
    "subscribe:portfolio": Request(OwnData, False, Subscribed, "subscribed:portfolio", "Get one's portfolio"),
    "unsubscribe:portfolio": Request(OwnData, False, Done, "unsubscribed:portfolio", "Get it no longer"),
    "subscribe:trades": Request(
        OwnData, False, Subscribed, "subscribed:trades", "Get one's trades and closed positions"
    ),
    "unsubscribe:trades": Request(OwnData, False, Done, "unsubscribed:trades", "Get them no longer"),
    "subscribe:watchlist": Request(WatchlistRequest, True, WatchlistDone, "subscribed:watchlist", "Get quotes"),
    "unsubscribe:watchlist": Request(
        WatchlistRequest, True, WatchlistDone, "unsubscribed:watchlist", "Get them no longer"
    ),
    "notifications:recent": Request(
        OwnData, False, RecentNotifications, "notifications:recent", "Get one's newest notifications"
    ),
    "admin:broadcast": Request(
        Broadcast, True, Broadcasted, "admin:broadcasted", "Send an event to everybody (admins)"
    ),
    "session:refresh": Request(
        SessionRefresh,
        True,
        SessionRefreshed,
        "session:refreshed",
        "Move the connection to another session of the same user",
    ),
}
REFUSAL_REASONS = (
    *("ADMIN_REQUIRED", "AUTH_REQUIRED", "INVALID_PAYLOAD", "NOT_SUBSCRIBED", "QUOTA_EXCEEDED", "RATE_LIMITED"),
    *("SYMBOL_INVALID", "SYMBOL_REQUIRED", "TIER_REQUIRED", "UNAVAILABLE", "UNKNOWN_EVENT", "USER_MISMATCH"),
)
"""The reasons in a `Failure`; docs/client.md has what each means. Handlers of one's own may give others."""
# What clients rely on to come from the server, and what they ask: nobody broadcasts events of these names.
CONTRACT_EVENTS = frozenset((*SERVER_EVENTS, *CLIENT_EVENTS))
