"""Server to client: one method per event of the contract."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from tradecast.delivery.event_kinds import KindName
from tradecast.events import rooms
from tradecast.events.symbols import Symbols
from tradecast.iso_time import format_now
from tradecast.observability.logger import get_logger
from tradecast.user_id import format_user_id

if TYPE_CHECKING:  # a program that only publishes need not have pydantic
    from pydantic import BaseModel

log = get_logger("tradecast.events")
EventPayload: TypeAlias = "Mapping[str, Any] | BaseModel"
"""A dict, or one of `payloads`."""


class Emitters(ABC):
    """One method per event that the server sends, each by `emit_to_room`.

    Each raises `AdapterUnavailable` when Redis did not take the event in time: then nobody has it, unless it is a
    `PublishUncertain`. `NotExact`, which is a TypeError and a ValueError, when clients would not read a payload as it
    is (docs/client.md has what is taken). ValueError when a user's id cannot be one (`tradecast.user_id`): it is a
    string, or an integer, which clients get as a string; or when `kind` is none that the event may have: trades,
    positions and notifications are always "counted", a portfolio update may be "latest" where it is the whole
    portfolio, a quote also "counted" or "volatile", a market status also "counted".

    Args:
        symbols: Which symbols there are.
    """

    def __init__(self, symbols: Symbols | None = None) -> None:
        self._symbols = symbols or Symbols()

    @abstractmethod
    async def emit_to_room(self, room: str, event: str, data: Any, /, *, kind: KindName | None = None) -> None:
        """Send an event to a room, on every server, as of a kind; None: as declared of it (`events.kinds`)."""

    async def emit_portfolio_update(
        self, user_id: str | int, portfolio: EventPayload, *, kind: KindName | None = None
    ) -> None:
        """`portfolio:update` to those who are subscribed to this user's portfolio."""
        await self._to_user(rooms.portfolio(user_id), "portfolio:update", user_id, portfolio=portfolio, kind=kind)

    async def emit_trade_executed(
        self, user_id: str | int, trade: EventPayload, *, kind: KindName | None = None
    ) -> None:
        """`trade:executed` to those who are subscribed to this user's trades."""
        await self._to_user(rooms.trades(user_id), "trade:executed", user_id, trade=trade, kind=kind)

    async def emit_trade_failed(
        self, user_id: str | int, failure: EventPayload, *, kind: KindName | None = None
    ) -> None:
        """`trade:failed` to those who are subscribed to this user's trades."""
        await self._to_user(rooms.trades(user_id), "trade:failed", user_id, failure=failure, kind=kind)

    async def emit_position_closed(
        self, user_id: str | int, position: EventPayload, *, kind: KindName | None = None
    ) -> None:
        """`position:closed` to those who are subscribed to this user's trades."""
        await self._to_user(rooms.trades(user_id), "position:closed", user_id, position=position, kind=kind)

    async def emit_notification(
        self, user_id: str | int, notification: EventPayload, *, kind: KindName | None = None
    ) -> None:
        """`notification` to all of this user's connections."""
        await self._to_user(rooms.user(user_id), "notification", user_id, notification=notification, kind=kind)

    async def emit_watchlist_quote(self, symbol: str, quote: EventPayload, *, kind: KindName | None = None) -> None:
        """`watchlist:quote` to those who are subscribed to this symbol. Raises ValueError if it is no symbol."""
        if not self._symbols.has(symbol):
            raise ValueError(f"a symbol is {self._symbols.rule}")
        payload = {"symbol": symbol, "quote": quote, "timestamp": format_now()}
        log.debug("emitted", event_name="watchlist:quote", symbol=symbol)
        await self.emit_to_room(rooms.watchlist(symbol), "watchlist:quote", payload, kind=kind)

    async def emit_market_status(self, status: EventPayload | str, *, kind: KindName | None = None) -> None:
        """`market:status` to everybody, anonymous clients too."""
        log.debug("emitted", event_name="market:status")
        await self.emit_to_room(
            rooms.MARKET_STATUS, "market:status", {"status": status, "timestamp": format_now()}, kind=kind
        )

    async def _to_user(
        self, room: str, event: str, user_id: str | int, *, kind: KindName | None, **payload: EventPayload
    ) -> None:
        who = format_user_id(user_id)
        log.debug("emitted", event_name=event, user_id=who)
        await self.emit_to_room(room, event, {"userId": who, **payload, "timestamp": format_now()}, kind=kind)
