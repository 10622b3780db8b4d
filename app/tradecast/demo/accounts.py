"""What the demo's accounts do as prices move: orders, stops, profits, and what is worth an event.

Pure: an account gets one moment of the replay after another and returns events. Nothing is random, so the same
moments give the same events. Money is in whole cents, shares are whole, and at all times

    cash + value of the positions == start + realised profit + unrealised profit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

from tradecast.demo.prices import Series
from tradecast.demo.replay import Moment, Quote
from tradecast.demo.users import DemoUser

Kind = Literal["trade:executed", "trade:failed", "position:closed", "notification"]
Side = Literal["buy", "sell"]

BIG_MOVE = 3.0  # per cent in a day
HIGH_DAYS = 20
# A crossing counts when the price is this share of the mean beyond it: no trading to and fro on one that rests there.
BAND = 0.002


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to an account, with the payload for the user's clients."""

    kind: Kind
    payload: dict[str, Any]


@dataclass(slots=True)
class Position:
    """Shares of one symbol, what they cost in cents, and since when they are held."""

    symbol: str
    quantity: int
    cost: int
    opened: date

    @property
    def average(self) -> float:
        """Cost of one share, in cents."""
        return self.cost / self.quantity


@dataclass(frozen=True, slots=True)
class _Order:
    side: Side
    symbol: str
    quantity: int
    rule: str
    reason: str


class Account:
    """One demo user's account.

    It begins with the user's cash and shares, the shares taken at the price of the first moment it sees, and again so
    whenever the replay starts over. It trades while the market is open: it buys when a price rises through the mean of
    its last n closes, sells when it falls through it, sells a position that has lost too much and half of one that has
    gained enough. An order that cash or a limit does not allow fails and is not tried again until the next crossing.
    """

    def __init__(self, demo: DemoUser, prices: Mapping[str, Series]) -> None:
        self.demo = demo
        self.cash = 0
        self.start = 0
        self.realized = 0
        self.positions: dict[str, Position] = {}
        self._prices = prices
        self._cycle: int | None = None
        self._number = 0
        self._begin_empty()

    def _begin_empty(self) -> None:
        self._day: date | None = None
        self._closed = False
        self._day_start = 0
        self._best_day: int | None = None
        self._marks: dict[str, int] = {}  # last known price of each symbol
        self._means: dict[tuple[str, int], int] = {}
        self._highs: dict[str, int] = {}
        self._above: dict[tuple[str, int], bool] = {}
        self._reported: set[tuple[str, str]] = set()
        self._taken: set[str] = set()

    # -- values

    @property
    def positions_value(self) -> int:
        """What the positions are worth, in cents, at the last prices seen."""
        return sum(position.quantity * self._marks[position.symbol] for position in self.positions.values())

    @property
    def value(self) -> int:
        """Cash and positions, in cents."""
        return self.cash + self.positions_value

    @property
    def unrealized(self) -> int:
        """What the positions are worth above their cost, in cents."""
        return self.positions_value - sum(position.cost for position in self.positions.values())

    # -- time

    def step(self, moment: Moment) -> list[Event]:
        """Go on to a later moment; what happened on the way there, in order."""
        events: list[Event] = []
        if moment.cycle != self._cycle:
            events += self._begin(moment)
        if moment.day != self._day:
            self._new_day(moment)
        for quote in moment.quotes.values():
            self._marks[quote.symbol] = quote.price
        if moment.state == "open":
            for quote in moment.quotes.values():
                for order in self._orders(quote):
                    events += self._execute(order, quote)
                events += self._observe(quote)
        elif moment.state == "closed" and not self._closed:
            self._closed = True
            events += self._close_day(moment)
        return events

    def _begin(self, moment: Moment) -> list[Event]:
        over = self._cycle is not None
        self._cycle = moment.cycle
        self._begin_empty()
        self.cash, self.realized, self.positions = self.demo.cash, 0, {}
        for symbol, quantity in self.demo.shares.items():
            quote = moment.quotes.get(symbol)
            if quote is not None:
                self._marks[symbol] = quote.previous_close
                cost = quantity * quote.previous_close
                self.positions[symbol] = Position(symbol, quantity, cost, moment.day)
        self.start = self.value
        if not over:
            return []
        text = "The replay has reached the end of its data. It starts over, and so does this account."
        return [self._notification("info", "replay-start", "The replay starts over", text, moment.day)]

    def _new_day(self, moment: Moment) -> None:
        self._day = moment.day
        self._closed = False
        self._reported.clear()
        self._means.clear()
        self._highs.clear()
        for symbol, quote in moment.quotes.items():
            self._marks[symbol] = quote.previous_close
            series = self._prices[symbol]
            for days in self.demo.means:
                mean = series.mean(moment.day, days)
                if mean is not None:
                    self._means[symbol, days] = mean
                    self._above.setdefault((symbol, days), quote.previous_close > mean)
            before = series.before(moment.day, HIGH_DAYS)
            if len(before) == HIGH_DAYS:
                self._highs[symbol] = max(bar.high for bar in before)
        self._day_start = self.value

    # -- orders

    def _orders(self, quote: Quote) -> list[_Order]:
        symbol, price = quote.symbol, quote.price
        orders = []
        position = self.positions.get(symbol)
        if position is not None and price <= position.average * (1 - self.demo.stop_loss):
            reason = f"Stop-loss: {self.demo.stop_loss:.1%} below its cost, {_format_dollars(position.average)}"
            orders.append(_Order("sell", symbol, position.quantity, "stop-loss", reason))
        elif position is not None and symbol not in self._taken and price >= self._target(position):
            self._taken.add(symbol)
            reason = f"Profit taken: {self.demo.take_profit:.1%} above its cost, {_format_dollars(position.average)}"
            orders.append(_Order("sell", symbol, (position.quantity + 1) // 2, "take-profit", reason))
        for days in self.demo.means:
            mean = self._means.get((symbol, days))
            if mean is None or abs(price - mean) < BAND * mean or (price > mean) == self._above[symbol, days]:
                continue
            self._above[symbol, days] = price > mean
            quantity = max(1, self.demo.order // price)
            if price > mean:
                reason = f"Above its {days}-day mean, {_format_dollars(mean)}"
                orders.append(_Order("buy", symbol, quantity, f"mean-{days}", reason))
            elif position is not None:
                if position.quantity * 2 < quantity * 3:  # no remainder of less than half an order
                    quantity = position.quantity
                reason = f"Below its {days}-day mean, {_format_dollars(mean)}"
                orders.append(_Order("sell", symbol, quantity, f"mean-{days}", reason))
        return orders

    def _target(self, position: Position) -> float:
        return position.average * (1 + self.demo.take_profit)

    def _execute(self, order: _Order, quote: Quote) -> list[Event]:
        position = self.positions.get(order.symbol)
        quantity = order.quantity
        if order.side == "sell":
            if position is None:  # another order of the same moment has sold it
                return []
            quantity = min(quantity, position.quantity)
        amount = quantity * quote.price
        self._number += 1
        ticket = {
            "id": f"{self.demo.id}-{self._cycle}-{self._number}",
            "symbol": order.symbol,
            "side": order.side,
            "quantity": quantity,
            "price": quote.price / 100,
            "amount": amount / 100,
            "rule": order.rule,
            "date": quote.day.isoformat(),
            "replay": True,
        }
        refusal = self._refusal(position, amount, quote.price) if order.side == "buy" else None
        if refusal is not None:
            code, why = refusal
            return [Event("trade:failed", {**ticket, "code": code, "reason": why, "trigger": order.reason})]
        if order.side == "buy":
            self._buy(order.symbol, quantity, amount, quote.day)
            return [Event("trade:executed", {**ticket, "reason": order.reason})]
        return self._sell(order, quantity, amount, ticket, quote)

    def _refusal(self, position: Position | None, amount: int, price: int) -> tuple[str, str] | None:
        """Why a purchase must fail: a code and a text; None where it may proceed."""
        if amount > self.demo.order_limit:
            limit = _format_dollars(self.demo.order_limit)
            return "ORDER_LIMIT", f"The order of {_format_dollars(amount)} is over the limit of {limit} for one order"
        if amount > self.cash:
            return (
                "INSUFFICIENT_FUNDS",
                f"The order needs {_format_dollars(amount)}, the account has {_format_dollars(self.cash)}",
            )
        after = (position.quantity * price if position else 0) + amount
        if after > self.demo.position_limit * self.value:
            share, limit = f"{after / self.value:.0%}", f"{self.demo.position_limit:.0%}"
            return "RISK_LIMIT", f"The position would be {share} of the account; the limit is {limit}"
        return None

    def _buy(self, symbol: str, quantity: int, amount: int, day: date) -> None:
        self.cash -= amount
        position = self.positions.get(symbol)
        if position is None:
            self.positions[symbol] = Position(symbol, quantity, amount, day)
        else:
            position.quantity += quantity
            position.cost += amount
        self._taken.discard(symbol)

    def _sell(self, order: _Order, quantity: int, amount: int, ticket: dict[str, Any], quote: Quote) -> list[Event]:
        position = self.positions[order.symbol]
        # Whole cents; the last share takes what rounding left.
        cost = position.cost * quantity // position.quantity
        profit = amount - cost
        self.cash += amount
        self.realized += profit
        position.quantity -= quantity
        position.cost -= cost
        events = [Event("trade:executed", {**ticket, "reason": order.reason, "realizedProfit": profit / 100})]
        if position.quantity == 0:
            del self.positions[order.symbol]
            self._taken.discard(order.symbol)
            closed = {
                "id": f"{ticket['id']}-closed",
                "symbol": order.symbol,
                "quantity": quantity,
                "averagePrice": round(cost / quantity) / 100,
                "exitPrice": quote.price / 100,
                "realizedProfit": profit / 100,
                "realizedPercent": round(100 * profit / cost, 2) if cost else 0.0,
                "openedDate": position.opened.isoformat(),
                "date": quote.day.isoformat(),
                "reason": order.reason,
                "replay": True,
            }
            events.append(Event("position:closed", closed))
        return events

    # -- notifications

    def _observe(self, quote: Quote) -> list[Event]:
        """Notify about large moves and new highs of a price, once a day each."""
        symbol, day = quote.symbol, quote.day
        events = []
        move = quote.change_percent
        held = "You hold it." if symbol in self.positions else "You do not hold it."
        if abs(move) > BIG_MOVE and self._first_today("move", symbol):
            word, level = ("up", "success") if move > 0 else ("down", "warning")
            title = f"{symbol} is {word} more than {BIG_MOVE:.0f}%"
            text = f"{_format_dollars(quote.price)}, {move:+.2f}% against the last close. {held}"
            events.append(self._notification(level, "big-move", title, text, day, symbol))
        high = self._highs.get(symbol)
        if high is not None and quote.price > high and self._first_today("high", symbol):
            text = f"{_format_dollars(quote.price)} is above {_format_dollars(high)}. {held}"
            events.append(
                self._notification("info", "new-high", f"{symbol}: highest in {HIGH_DAYS} days", text, day, symbol)
            )
        return events

    def _close_day(self, moment: Moment) -> list[Event]:
        gain = self.value - self._day_start
        percent = 100 * gain / self._day_start if self._day_start else 0.0
        sign = "+" if gain >= 0 else "-"
        text = (
            f"{sign}{_format_dollars(abs(gain))} ({percent:+.2f}%), the account is worth {_format_dollars(self.value)}."
        )
        best = self._best_day is not None and gain > max(self._best_day, 0)
        if self._best_day is None or gain > self._best_day:
            self._best_day = gain
        if best:
            return [self._notification("success", "best-day", "Best day so far", text, moment.day)]
        level = "info" if gain >= 0 else "warning"
        title = f"Day closed {'up' if gain >= 0 else 'down'}"
        return [self._notification(level, "day-closed", title, text, moment.day)]

    def _first_today(self, what: str, symbol: str) -> bool:
        if (what, symbol) in self._reported:
            return False
        self._reported.add((what, symbol))
        return True

    def _notification(
        self, level: str, kind: str, title: str, message: str, day: date, symbol: str | None = None
    ) -> Event:
        self._number += 1
        payload: dict[str, Any] = {
            "id": f"{self.demo.id}-{self._cycle}-{self._number}",
            "type": kind,
            "level": level,
            "title": title,
            "message": message,
            "date": day.isoformat(),
            "replay": True,
        }
        if symbol is not None:
            payload["symbol"] = symbol
        return Event("notification", payload)

    # -- portfolio

    def portfolio(self, moment: Moment) -> dict[str, Any]:
        """The payload of `portfolio:update`, in dollars; `step` has seen the moment."""
        value = self.value
        gain = value - self._day_start
        rows = []
        for symbol in sorted(self.positions):
            position, price = self.positions[symbol], self._marks[symbol]
            worth = position.quantity * price
            profit = worth - position.cost
            quote = moment.quotes.get(symbol)
            rows.append(
                {
                    "symbol": symbol,
                    "quantity": position.quantity,
                    "averagePrice": round(position.average) / 100,
                    "price": price / 100,
                    "value": worth / 100,
                    "profit": profit / 100,
                    "profitPercent": round(100 * profit / position.cost, 2) if position.cost else 0.0,
                    "dayChangePercent": round(quote.change_percent, 2) if quote else 0.0,
                    "share": round(100 * worth / value, 1) if value else 0.0,
                }
            )
        return {
            "value": value / 100,
            "cash": self.cash / 100,
            "positionsValue": self.positions_value / 100,
            "startValue": self.start / 100,
            "dayChange": gain / 100,
            "dayChangePercent": round(100 * gain / self._day_start, 2) if self._day_start else 0.0,
            "realizedProfit": self.realized / 100,
            "unrealizedProfit": self.unrealized / 100,
            "positions": rows,
            "date": moment.day.isoformat(),
            "replay": True,
        }


def _format_dollars(cents: float) -> str:
    return f"${cents / 100:,.2f}"
