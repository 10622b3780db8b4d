"""Client to server: what each event of the contract does.

A handler gets the connection and the payload, carries the event out, confirms it by an event of its own, and returns
the same confirmation for the acknowledgement. What it refuses it raises as `EventRefused`; the server answers that.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import structlog

from tradecast.connections.connection import Connection, Recent
from tradecast.connections.guards import require_admin, require_subscription_tier, require_user
from tradecast.delivery.errors import AdapterUnavailable, EventRefused, PublishUncertain
from tradecast.events import rooms
from tradecast.events.contract import CONTRACT_EVENTS
from tradecast.events.dispatcher import Route
from tradecast.events.kinds import RECENT
from tradecast.events.subscriptions import WATCHLIST_TIERS, Subscriptions
from tradecast.events.symbols import Symbols, read_requested_symbols, shorten_symbol
from tradecast.iso_time import format_now
from tradecast.packets.exact import NotExact, to_plain
from tradecast.sessions.errors import AuthRefused, StoreUnavailable
from tradecast.sessions.models import Session, User
from tradecast.user_id import read_user_id

Answer = dict[str, Any]

EVENT_NAME = re.compile(r"[A-Za-z][A-Za-z0-9:._-]{0,63}", re.ASCII)
# Names that socket.io clients treat in their own way, and the contract's answers, which only a server gives.
RESERVED_EVENTS = frozenset(
    ("connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener", "error")
)
log = structlog.stdlib.get_logger("tradecast.events")


class Broadcaster(Protocol):
    """Sends events to everybody."""

    async def broadcast(self, event: str, data: Any) -> None: ...


class SessionRefresher(Protocol):
    """Puts a live connection on another session of the same user."""

    async def refresh(self, connection: Connection, raw_session_id: object) -> Session: ...


class Handlers:
    """The contract's handlers.

    Args:
        subscriptions: Joins and leaves rooms.
        broadcaster: Sends what admins broadcast.
        refresher: Puts connections on other sessions.
        max_symbols: In one request.
        symbols: Which symbols there are; None: any.
        broadcast_any: Whether admins may broadcast events of the contract's own names.
    """

    def __init__(
        self,
        subscriptions: Subscriptions,
        broadcaster: Broadcaster,
        refresher: SessionRefresher,
        *,
        max_symbols: int,
        symbols: Symbols | None = None,
        broadcast_any: bool = False,
    ) -> None:
        self._subscriptions = subscriptions
        self._broadcaster = broadcaster
        self._refresher = refresher
        self._max_symbols = max_symbols
        self._symbols = symbols or Symbols()
        self._broadcast_any = broadcast_any

    def routes(self) -> Sequence[Route]:
        """All of them, with the checks that stand before them."""
        user = (require_user(),)
        premium = (*user, require_subscription_tier(WATCHLIST_TIERS))
        return (
            Route("subscribe:portfolio", self.subscribe_portfolio, user, steps=True),
            Route("unsubscribe:portfolio", self.unsubscribe_portfolio, user, steps=True),
            Route("subscribe:trades", self.subscribe_trades, user, steps=True),
            Route("unsubscribe:trades", self.unsubscribe_trades, user, steps=True),
            Route("subscribe:watchlist", self.subscribe_watchlist, premium, steps=True),
            # A user who has lost the tier may still leave.
            Route("unsubscribe:watchlist", self.unsubscribe_watchlist, user, steps=True),
            Route("notifications:recent", self.notifications_recent, user, steps=True),
            Route("admin:broadcast", self.admin_broadcast, (*user, require_admin())),
            Route("session:refresh", self.session_refresh, user),
        )

    async def subscribe_portfolio(self, connection: Connection, data: Any) -> Answer:
        """Join the room of one's own portfolio."""
        user = _require_own(connection, data)
        recent = await self._subscriptions.join(connection, user, rooms.portfolio(user.id), recent=RECENT)
        return _confirm_subscription(connection, "subscribed:portfolio", user, **_answer_recent(recent))

    async def unsubscribe_portfolio(self, connection: Connection, data: Any) -> Answer:
        """Leave the room of one's own portfolio."""
        user = _require_own(connection, data)
        await self._subscriptions.leave(connection, user, rooms.portfolio(user.id))
        return _confirm_subscription(connection, "unsubscribed:portfolio", user)

    async def subscribe_trades(self, connection: Connection, data: Any) -> Answer:
        """Join the room of one's own trades."""
        user = _require_own(connection, data)
        recent = await self._subscriptions.join(connection, user, rooms.trades(user.id), recent=RECENT)
        return _confirm_subscription(connection, "subscribed:trades", user, **_answer_recent(recent))

    async def unsubscribe_trades(self, connection: Connection, data: Any) -> Answer:
        """Leave the room of one's own trades."""
        user = _require_own(connection, data)
        await self._subscriptions.leave(connection, user, rooms.trades(user.id))
        return _confirm_subscription(connection, "unsubscribed:trades", user)

    async def notifications_recent(self, connection: Connection, data: Any) -> Answer:
        """Answer one's own newest notifications, so that nobody gets one twice who does not ask."""
        user = _require_own(connection, data)
        recent = await connection.read_recent(rooms.user(user.id), RECENT)
        if recent is None:
            raise EventRefused("UNAVAILABLE", "The newest notifications cannot be read now; try again")
        notifications = [one for one in recent if one["event"] == "notification"]
        return _confirm_subscription(connection, "notifications:recent", user, recent=notifications)

    async def subscribe_watchlist(self, connection: Connection, data: Any) -> Answer:
        """Join the rooms of one symbol or several; several get one answer with what failed."""
        return await self._change_watchlist(connection, data, "subscribed:watchlist", joins=True)

    async def unsubscribe_watchlist(self, connection: Connection, data: Any) -> Answer:
        """Leave the rooms of one symbol or several."""
        return await self._change_watchlist(connection, data, "unsubscribed:watchlist", joins=False)

    async def admin_broadcast(self, connection: Connection, data: Any) -> Answer:
        """Send an event to every authenticated client."""
        user = _require_user(connection)
        if not isinstance(data, dict):
            raise EventRefused("INVALID_PAYLOAD", "The payload is an object with event and data")
        event = data.get("event")
        if not isinstance(event, str) or not EVENT_NAME.fullmatch(event):
            raise EventRefused(
                "INVALID_PAYLOAD", "event is 1 to 64 of A-Z, a-z, 0-9 and : . _ -, starting with a letter"
            )
        if event in RESERVED_EVENTS:
            raise EventRefused("INVALID_PAYLOAD", f"{event} is reserved")
        # An admin's page must not be able to forge trades on everybody's.
        if event in CONTRACT_EVENTS and not self._broadcast_any:
            raise EventRefused("INVALID_PAYLOAD", f"{event} comes from the server alone; take a name of your own")
        try:
            content = to_plain(data.get("data"), ("data",), whole_floats=False)
            await self._broadcaster.broadcast(event, content)
        except NotExact as error:
            raise EventRefused("INVALID_PAYLOAD", str(error)) from None
        except PublishUncertain:
            raise EventRefused("UNAVAILABLE", "It is not known whether the event was sent") from None
        except AdapterUnavailable:
            raise EventRefused("UNAVAILABLE", "The event was not sent; try again") from None
        log.info("admin broadcast", user_id=user.id, event_name=event)
        return _confirm_subscription(connection, "admin:broadcasted", user, event=event)

    async def session_refresh(self, connection: Connection, data: Any) -> Answer:
        """Put the connection on another session of the same user."""
        user = _require_user(connection)
        if not isinstance(data, dict) or not isinstance(data.get("sessionID"), str):
            raise EventRefused("INVALID_PAYLOAD", "The payload is an object with sessionID")
        try:
            session = await self._refresher.refresh(connection, data["sessionID"])
        except AuthRefused as refused:
            raise EventRefused(refused.code, str(refused)) from None
        except StoreUnavailable:
            raise EventRefused("UNAVAILABLE", "Sessions cannot be checked now; try again") from None
        return _confirm_subscription(connection, "session:refreshed", user, expiresAt=round(session.expires_at * 1000))

    async def _change_watchlist(self, connection: Connection, data: Any, confirmation: str, *, joins: bool) -> Answer:
        user = _require_user(connection)
        requested, several = read_requested_symbols(data, self._max_symbols)
        if joins and several:
            return await self._join_watchlists(connection, user, requested, confirmation)
        done: list[str] = []
        failed: list[Mapping[str, str]] = []
        for value in requested:
            try:
                symbol = self._symbols.check(value)
                # Written out: a call in between would cost each subscription a coroutine more.
                if joins:
                    await self._subscriptions.join(connection, user, rooms.watchlist(symbol))
                else:
                    await self._subscriptions.leave(connection, user, rooms.watchlist(symbol))
            except EventRefused as refused:
                if not several:
                    raise
                failed.append({"symbol": shorten_symbol(value), "reason": refused.reason, "message": refused.message})
            else:
                done.append(symbol)
        return _confirm_symbols(connection, confirmation, user, done, failed, several=several)

    async def _join_watchlists(
        self, connection: Connection, user: User, requested: Sequence[object], confirmation: str
    ) -> Answer:
        """Join the rooms of several symbols in one step."""
        refused: dict[int, EventRefused] = {}
        symbols: dict[int, str] = {}
        for number, value in enumerate(requested):
            try:
                symbols[number] = self._symbols.check(value)
            except EventRefused as error:
                refused[number] = error
        results = await self._subscriptions.join_all(
            connection, user, [rooms.watchlist(symbol) for symbol in symbols.values()]
        )
        for number, symbol in symbols.items():
            result = results[rooms.watchlist(symbol)]
            if result is not None:
                refused[number] = result
        done = [symbol for number, symbol in symbols.items() if number not in refused]
        failed = [
            {"symbol": shorten_symbol(requested[number]), "reason": error.reason, "message": error.message}
            for number, error in sorted(refused.items())
        ]
        return _confirm_symbols(connection, confirmation, user, done, failed, several=True)


def _confirm_symbols(
    connection: Connection,
    confirmation: str,
    user: User,
    done: Sequence[str],
    failed: Sequence[Mapping[str, str]],
    *,
    several: bool,
) -> Answer:
    if not several:
        return _confirm_subscription(connection, confirmation, user, symbol=done[0])
    if not done:
        raise EventRefused(failed[0]["reason"], failed[0]["message"], symbols=[], failed=failed)
    return _confirm_subscription(connection, confirmation, user, symbols=done, failed=failed)


def _answer_recent(recent: Recent | None) -> Mapping[str, Any]:
    """The recent events in an answer; nothing where they are not known: an empty list would say there are none."""
    return {} if recent is None else {"recent": recent}


def _require_user(connection: Connection) -> User:
    if connection.user is None:  # the guard stands before; this is for handlers registered without it
        raise EventRefused("AUTH_REQUIRED", "Log in to use this event")
    return connection.user


def _require_own(connection: Connection, data: Any) -> User:
    """The user. A payload is not needed here; one that names somebody else is an error, not a way in."""
    user = _require_user(connection)
    if data is None:
        return user
    if not isinstance(data, dict):
        raise EventRefused("INVALID_PAYLOAD", "The payload is an object or absent")
    if "userId" in data and read_user_id(data["userId"]) != user.id:
        raise EventRefused("USER_MISMATCH", "You can subscribe to your own data only")
    return user


def _confirm_subscription(connection: Connection, confirmation: str, user: User, **more: Any) -> Answer:
    answer = {"success": True, "userId": user.id, **more, "timestamp": format_now()}
    connection.send(confirmation, answer)
    # How many, and not which: a client can write anything there, an address too.
    symbols = len(more["symbols"]) if "symbols" in more else 1 if "symbol" in more else None
    log.info("done", event_name=confirmation, user_id=user.id, connection_id=connection.id, symbols=symbols)
    return answer
