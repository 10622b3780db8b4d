"""The demo's feed: emits what happens in the replay and in the accounts.

It depends on emitters and settings, not on the server: it can run beside a server or as a process of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import date
from typing import Any, Protocol

import structlog

from tradecast.demo.accounts import Account, Event
from tradecast.demo.prices import Series, load_prices
from tradecast.demo.replay import Moment, Replay
from tradecast.demo.users import DEMO_USERS, DemoUser

PORTFOLIO_SECONDS = 1.0
STATUS_SECONDS = 2.0  # newcomers need not wait for the market's next change
IDLE_QUOTE_SECONDS = 1.0  # quotes stand still while the market is closed
EMIT_TIMEOUT = 2.0

log = structlog.stdlib.get_logger("tradecast.demo")

Payload = Mapping[str, Any]


class Emitters(Protocol):
    """What the feed needs of a server, or of a publisher to several."""

    async def emit_portfolio_update(self, user_id: str, portfolio: Payload, /) -> None: ...
    async def emit_trade_executed(self, user_id: str, trade: Payload, /) -> None: ...
    async def emit_trade_failed(self, user_id: str, failure: Payload, /) -> None: ...
    async def emit_position_closed(self, user_id: str, position: Payload, /) -> None: ...
    async def emit_notification(self, user_id: str, notification: Payload, /) -> None: ...
    async def emit_watchlist_quote(self, symbol: str, quote: Payload, /) -> None: ...
    async def emit_market_status(self, status: Payload, /) -> None: ...


class FeedSettings(Protocol):
    """The settings the feed reads."""

    @property
    def demo_day_seconds(self) -> float: ...
    @property
    def demo_tick_seconds(self) -> float: ...
    @property
    def demo_start(self) -> str: ...


class Feed:
    """Replays prices and trades for the demo users.

    Replay time advances by one tick per tick done, so what happens is the same on a fast and on a slow machine: one
    that falls behind, or was asleep, leaves wall-clock ticks out and replays more slowly; it never bursts to catch up.

    Args:
        emitters: Where events go. One that fails is logged, once per spell, and does not stop the feed.
        settings: `demo_day_seconds`, `demo_tick_seconds`, `demo_start`.
        users: Whose accounts trade.
        prices: In place of the package's.

    Raises:
        PricesUnavailable: The package is not installed, or has no prices from `demo_start` on.
        ValueError: `demo_start` is not a date.
    """

    def __init__(
        self,
        emitters: Emitters,
        settings: FeedSettings,
        users: Iterable[DemoUser] = DEMO_USERS,
        *,
        prices: Mapping[str, Series] | None = None,
    ) -> None:
        try:
            start = date.fromisoformat(settings.demo_start)
        except ValueError:
            raise ValueError(f"DEMO_START: {settings.demo_start} is not a date") from None
        self.prices = load_prices() if prices is None else prices
        self.replay = Replay(self.prices, start=start, day_seconds=settings.demo_day_seconds)
        self.accounts = tuple(Account(demo, self.prices) for demo in users)
        self.moment: Moment = self.replay.at(0.0)
        self._emitters = emitters
        self._tick_seconds = settings.demo_tick_seconds
        self._ticks = 0
        self._phase: tuple[object, ...] = ()
        self._failing: set[str] = set()

    @property
    def ticks(self) -> int:
        """How many ticks of the replay are done."""
        return self._ticks

    def go_to(self, ticks: int) -> None:
        """Continue after so many ticks of another feed. Accounts start over with the next tick that is done here."""
        if ticks != self._ticks:
            self._ticks = ticks
            self.moment = self.replay.at(ticks * self._tick_seconds)

    async def run(self) -> None:
        """Tick until cancelled."""
        clock = asyncio.get_running_loop().time
        begin, slot = clock(), 0
        log.info("demo feed started", date=self.moment.day.isoformat(), tick_seconds=self._tick_seconds)
        while True:
            await self.tick()
            slot = next_slot(slot, clock() - begin, self._tick_seconds)
            # A sleep of nothing still lets others run.
            await asyncio.sleep(max(0.0, begin + slot * self._tick_seconds - clock()))

    async def tick(self) -> None:
        """Advance by one tick and emit what happens in it."""
        number, self._ticks = self._ticks, self._ticks + 1
        moment = self.moment = self.replay.at(number * self._tick_seconds)
        happened: list[tuple[Account, Event]] = []
        for account in self.accounts:
            happened += [(account, event) for event in account.step(moment)]

        emit = self._emitters
        phase = (moment.cycle, moment.day, moment.state)
        changed, self._phase = phase != self._phase, phase
        if changed or self._due(number, STATUS_SECONDS):
            await self._emit("market:status", emit.emit_market_status, moment.status())
        if changed or moment.state == "open" or self._due(number, IDLE_QUOTE_SECONDS):
            for symbol, quote in moment.quotes.items():
                await self._emit("watchlist:quote", emit.emit_watchlist_quote, symbol, quote.payload())
        by_kind: dict[str, Callable[[str, Payload], Awaitable[None]]] = {
            "trade:executed": emit.emit_trade_executed,
            "trade:failed": emit.emit_trade_failed,
            "position:closed": emit.emit_position_closed,
            "notification": emit.emit_notification,
        }
        for account, event in happened:
            await self._emit(event.kind, by_kind[event.kind], account.demo.id, event.payload)
        if self._due(number, PORTFOLIO_SECONDS):
            for account in self.accounts:
                portfolio = account.portfolio(moment)
                await self._emit("portfolio:update", emit.emit_portfolio_update, account.demo.id, portfolio)

    def _due(self, number: int, seconds: float) -> bool:
        """Whether something that is done every so many seconds is done at this tick."""
        return number % max(1, round(seconds / self._tick_seconds)) == 0

    async def _emit(self, event: str, emit: Callable[..., Awaitable[None]], *arguments: Any) -> None:
        try:
            async with asyncio.timeout(EMIT_TIMEOUT):
                await emit(*arguments)
        except Exception as error:  # whatever it is, the next event may pass
            if event not in self._failing:
                self._failing.add(event)
                log.warning("demo event not emitted", event_name=event, error=type(error).__name__)
            return
        if event in self._failing:
            self._failing.discard(event)
            log.info("demo events are emitted again", event_name=event)


def next_slot(slot: int, elapsed: float, tick_seconds: float) -> int:
    """The slot of the grid to wait for: the next one, or, for one that is past it already, the first to come.

    Args:
        slot: The slot whose tick is done.
        elapsed: Seconds since slot 0.
        tick_seconds: Seconds between slots.
    """
    following = slot + 1
    if elapsed <= following * tick_seconds:
        return following
    return int(elapsed / tick_seconds) + 1
