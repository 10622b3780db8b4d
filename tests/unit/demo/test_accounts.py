from __future__ import annotations

import json
from dataclasses import replace
from datetime import date, timedelta
from functools import cache
from itertools import pairwise

import pytest

from tradecast.demo.accounts import Account, Event
from tradecast.demo.prices import Bar, Series, load_prices
from tradecast.demo.replay import Moment, Quote, Replay, State
from tradecast.demo.users import DEMO_USERS, DemoUser
from tradecast.sessions.models import User

DAY = date(2020, 2, 3)
DEMO = DemoUser(
    User("u", "U"),
    cash=100_000,
    shares={"X": 10},
    means=(2,),
    order=50_000,
    order_limit=60_000,
    position_limit=0.9,
    stop_loss=0.05,
    take_profit=0.5,
)
# Closes of 100.00 before DAY, highs of 102.50.
FLAT = Series("X", [Bar(DAY - timedelta(days=n), 10_000, 10_250, 10_000, 10_000, 1) for n in range(30, 0, -1)])


def moment(price: int, *, state: State = "open", day: date = DAY, previous: int = 10_000, cycle: int = 0) -> Moment:
    quote = Quote("X", day, price, previous, max(price, previous), min(price, previous), previous, 1, 0.5)
    return Moment(cycle, day, state, {"X": quote}, DAY, DAY + timedelta(days=9))


def holds(account: Account) -> bool:
    return account.cash + account.positions_value == account.start + account.realized + account.unrealized


def start(demo: DemoUser = DEMO, price: int = 9_990) -> Account:
    """An account that has seen the market open just below the mean."""
    account = Account(demo, {"X": FLAT})
    assert account.step(moment(10_000, state="pre-open")) == []
    assert account.step(moment(price)) == []
    return account


def kinds(events: list[Event]) -> list[str]:
    return [event.kind for event in events]


def test_it_begins_with_the_users_cash_and_shares_at_the_first_price() -> None:
    account = start(price=10_000)

    assert (account.start, account.cash, account.positions_value) == (200_000, 100_000, 100_000)
    assert (account.realized, account.unrealized) == (0, 0)


def test_it_buys_when_the_price_rises_through_the_mean() -> None:
    account = start()

    [bought] = account.step(moment(10_050))

    assert bought == Event(
        "trade:executed",
        {
            "id": "u-0-1",
            "symbol": "X",
            "side": "buy",
            "quantity": 4,
            "price": 100.5,
            "amount": 402.0,
            "rule": "mean-2",
            "date": "2020-02-03",
            "replay": True,
            "reason": "Above its 2-day mean, $100.00",
        },
    )
    assert account.cash == 100_000 - 40_200
    assert account.positions["X"].cost == 100_000 + 40_200
    assert account.step(moment(10_060)) == []  # a crossing counts once
    assert holds(account)


def test_a_price_that_rests_at_the_mean_does_not_make_it_trade_to_and_fro() -> None:
    account = start()

    assert account.step(moment(10_050)) != []
    assert [account.step(moment(price)) for price in (9_995, 10_005, 9_985, 10_010)] == [[], [], [], []]


def test_it_sells_when_the_price_falls_through_the_mean_and_realises_the_profit() -> None:
    account = start()
    account.step(moment(10_050))

    [sold] = account.step(moment(9_950))

    assert (sold.kind, sold.payload["side"], sold.payload["quantity"]) == ("trade:executed", "sell", 5)
    # 14 shares cost 1402.00; five of them 500.71 to the cent below
    assert sold.payload["realizedProfit"] == -3.21
    assert (account.realized, account.positions["X"].quantity) == (-321, 9)
    assert holds(account)


def test_a_remainder_of_less_than_half_an_order_is_sold_too_and_the_position_closed() -> None:
    account = start(replace(DEMO, shares={"X": 7}, order=50_500, order_limit=0))
    assert kinds(account.step(moment(10_050))) == ["trade:failed"]

    events = account.step(moment(9_950))

    assert kinds(events) == ["trade:executed", "position:closed"]
    closed = events[1].payload
    assert closed == {
        "id": "u-0-2-closed",
        "symbol": "X",
        "quantity": 7,
        "averagePrice": 100.0,
        "exitPrice": 99.5,
        "realizedProfit": -3.5,
        "realizedPercent": -0.5,
        "openedDate": "2020-02-03",
        "date": "2020-02-03",
        "reason": "Below its 2-day mean, $100.00",
        "replay": True,
    }
    assert account.positions == {}
    assert holds(account)


def test_a_loss_is_stopped() -> None:
    account = start()

    events = account.step(moment(9_500))

    assert kinds(events)[:2] == ["trade:executed", "position:closed"]
    assert events[0].payload["rule"] == "stop-loss"
    assert events[1].payload["realizedProfit"] == -50.0
    assert "trade:failed" not in kinds(events)
    assert holds(account)


def test_half_of_a_large_profit_is_taken_once() -> None:
    account = start(replace(DEMO, take_profit=0.02, means=()))

    events = account.step(moment(10_200))

    assert [(e.payload["rule"], e.payload["quantity"]) for e in events] == [("take-profit", 5)]
    assert account.step(moment(10_210)) == []
    assert (account.realized, account.unrealized) == (1_000, 1_050)


@pytest.mark.parametrize(
    ("change", "code", "text"),
    [
        ({"cash": 30_000}, "INSUFFICIENT_FUNDS", "The order needs $402.00, the account has $300.00"),
        ({"position_limit": 0.6}, "RISK_LIMIT", "The position would be 70% of the account; the limit is 60%"),
        ({"order_limit": 40_000}, "ORDER_LIMIT", "The order of $402.00 is over the limit of $400.00 for one order"),
    ],
)
def test_an_order_fails_with_the_reason_and_changes_nothing(change: dict[str, float], code: str, text: str) -> None:
    account = start(replace(DEMO, **change))  # type: ignore[arg-type]  # the fields' types differ, the values fit
    before = (account.cash, account.positions["X"].quantity, account.realized)

    [failed] = account.step(moment(10_050))

    assert (failed.kind, failed.payload["code"], failed.payload["reason"]) == ("trade:failed", code, text)
    assert failed.payload["trigger"] == "Above its 2-day mean, $100.00"
    assert (account.cash, account.positions["X"].quantity, account.realized) == before
    assert account.step(moment(10_060)) == []  # not tried again


def test_it_trades_only_while_the_market_is_open() -> None:
    account = start()

    assert "trade:executed" not in kinds(account.step(moment(10_050, state="closed")))
    assert "trade:executed" not in kinds(account.step(moment(10_050, state="pre-open")))


def test_a_large_move_is_reported_once_a_day() -> None:
    account = start(replace(DEMO, means=(), stop_loss=0.9))

    [told] = [event for event in account.step(moment(9_690)) if event.payload.get("type") == "big-move"]

    assert told.payload["title"] == "X is down more than 3%"
    assert told.payload["message"] == "$96.90, -3.10% against the last close. You hold it."
    assert account.step(moment(9_600)) == []
    following = account.step(moment(9_690, day=DAY + timedelta(days=1)))
    assert [event.payload["type"] for event in following] == ["big-move"]


def test_a_new_high_is_reported() -> None:
    account = start(replace(DEMO, means=()))

    assert [event.payload["type"] for event in account.step(moment(10_260))] == ["new-high"]
    assert account.step(moment(10_270)) == []


def test_the_days_result_is_reported_when_the_market_closes_and_the_best_day_as_such() -> None:
    account = start(replace(DEMO, means=(), take_profit=9))

    [first] = account.step(moment(10_010, state="closed"))
    assert account.step(moment(10_010, state="closed")) == []
    account.step(moment(10_010, state="pre-open", day=DAY + timedelta(days=1), previous=10_010))
    [second] = account.step(moment(10_100, state="closed", day=DAY + timedelta(days=1), previous=10_010))

    assert (first.payload["type"], first.payload["title"]) == ("day-closed", "Day closed up")
    assert first.payload["message"] == "+$1.00 (+0.05%), the account is worth $2,001.00."
    assert (second.payload["type"], second.payload["level"]) == ("best-day", "success")


def test_the_portfolio_in_dollars() -> None:
    account = start()
    account.step(moment(10_050))

    assert account.portfolio(moment(10_050)) == {
        "value": 2005.0,
        "cash": 598.0,
        "positionsValue": 1407.0,
        "startValue": 2000.0,
        "dayChange": 5.0,
        "dayChangePercent": 0.25,
        "realizedProfit": 0.0,
        "unrealizedProfit": 5.0,
        "positions": [
            {
                "symbol": "X",
                "quantity": 14,
                "averagePrice": 100.14,
                "price": 100.5,
                "value": 1407.0,
                "profit": 5.0,
                "profitPercent": 0.36,
                "dayChangePercent": 0.5,
                "share": 70.2,
            }
        ],
        "date": "2020-02-03",
        "replay": True,
    }


def test_when_the_replay_starts_over_so_does_the_account_and_says_so() -> None:
    account = start()
    account.step(moment(10_050))

    [told] = account.step(moment(10_000, state="pre-open", cycle=1))

    assert told.payload["type"] == "replay-start"
    assert (account.cash, account.value, account.start, account.realized) == (100_000, 200_000, 200_000, 0)


REAL = load_prices()
REPLAY = Replay(REAL, start=date(2012, 5, 21), day_seconds=20)
moment_at = cache(REPLAY.at)


def play(demo: DemoUser, seconds: int) -> list[tuple[float, Event]]:
    """The events of a user's account at the default speed; the invariant is checked at each tick."""
    account, seen = Account(demo, REAL), []
    for tick in range(seconds * 2):
        now = moment_at(tick / 2)
        seen += [(tick / 2, event) for event in account.step(now)]
        assert holds(account)
        assert account.cash >= 0
        assert all(position.quantity > 0 for position in account.positions.values())
        if tick % 20 == 0:
            json.dumps(account.portfolio(now), allow_nan=False)
    return seen


@pytest.mark.parametrize("demo", DEMO_USERS, ids=lambda demo: demo.id)
def test_cash_and_positions_equal_start_and_profits_through_all_of_the_data_and_beyond(demo: DemoUser) -> None:
    events = play(demo, 20 * 200)

    assert sum(event.payload.get("type") == "replay-start" for _, event in events) == 1
    assert len({event.payload["id"] for _, event in events}) == len(events)


@pytest.mark.parametrize("demo", DEMO_USERS, ids=lambda demo: demo.id)
def test_something_happens_soon_and_continues_happening(demo: DemoUser) -> None:
    events = play(demo, 300)
    trades = [at for at, event in events if event.kind in ("trade:executed", "trade:failed")]

    assert trades[0] <= 10
    assert max(b - a for a, b in pairwise(trades)) <= 30
    assert {event.kind for at, event in events if at <= 70} == {
        "trade:executed",
        "trade:failed",
        "position:closed",
        "notification",
    }
    assert len(trades) < 120  # and leaves time to read


def test_the_same_start_gives_the_same_events_and_users_differ() -> None:
    assert play(DEMO_USERS[1], 120) == play(DEMO_USERS[1], 120)
    assert play(DEMO_USERS[1], 120) != play(DEMO_USERS[2], 120)
