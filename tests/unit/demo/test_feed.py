from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from tradecast.demo.feed import Feed, next_slot
from tradecast.demo.prices import Bar, PricesUnavailable, Series
from tradecast.demo.users import DEMO_USERS

FIRST = date(2020, 1, 6)


@dataclass
class FeedSettings:
    demo_day_seconds: float = 20
    demo_tick_seconds: float = 0.5
    demo_start: str = "2020-01-06"


class Recorder:
    """Emitters that note what they are given; `broken` ones raise, `hung` ones do not return."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, Any, Any]] = []
        self.broken: set[str] = set()
        self.hung: set[str] = set()
        self.arrived = asyncio.Event()

    async def _note(self, event: str, key: Any, payload: Any) -> None:
        if event in self.broken:
            raise ConnectionError("no way")
        if event in self.hung:
            await asyncio.Event().wait()
        self.seen.append((event, key, payload))
        self.arrived.set()

    async def emit_portfolio_update(self, user_id: str, portfolio: Mapping[str, Any]) -> None:
        await self._note("portfolio:update", user_id, portfolio)

    async def emit_trade_executed(self, user_id: str, trade: Mapping[str, Any]) -> None:
        await self._note("trade:executed", user_id, trade)

    async def emit_trade_failed(self, user_id: str, failure: Mapping[str, Any]) -> None:
        await self._note("trade:failed", user_id, failure)

    async def emit_position_closed(self, user_id: str, position: Mapping[str, Any]) -> None:
        await self._note("position:closed", user_id, position)

    async def emit_notification(self, user_id: str, notification: Mapping[str, Any]) -> None:
        await self._note("notification", user_id, notification)

    async def emit_watchlist_quote(self, symbol: str, quote: Mapping[str, Any]) -> None:
        await self._note("watchlist:quote", symbol, quote)

    async def emit_market_status(self, status: Mapping[str, Any]) -> None:
        await self._note("market:status", None, status)

    def count(self) -> Counter[str]:
        return Counter(event for event, _, _ in self.seen)


PRICES = {
    "X": Series("X", [Bar(FIRST + timedelta(days=n), 1000 + n, 1100 + n, 900 + n, 1050 + n, 1_000) for n in range(5)]),
    "Y": Series("Y", [Bar(FIRST + timedelta(days=n), 2000, 2100, 1900, 2050, 1_000) for n in range(5)]),
}


def make(recorder: Recorder, **settings: Any) -> Feed:
    return Feed(recorder, FeedSettings(**settings), DEMO_USERS, prices=PRICES)


async def test_an_open_market_gives_each_symbol_a_quote_a_tick_and_each_user_a_portfolio_a_second() -> None:
    recorder = Recorder()
    feed = make(recorder)
    for _ in range(4):  # two seconds, the first of them before the market opens
        await feed.tick()
    recorder.seen.clear()

    for _ in range(10):
        await feed.tick()

    count = recorder.count()
    assert count["watchlist:quote"] == 2 * 10
    assert count["portfolio:update"] == 5 * len(DEMO_USERS)
    assert count["market:status"] in (2, 3)
    assert {key for event, key, _ in recorder.seen if event == "portfolio:update"} == {d.id for d in DEMO_USERS}


async def test_the_market_status_is_sent_at_every_change_and_quotes_rest_while_it_is_closed() -> None:
    recorder = Recorder()
    feed = make(recorder, demo_tick_seconds=0.25, demo_start="2020-01-07")
    for number in range(80):
        before = recorder.count()["market:status"]
        await feed.tick()
        if number in (0, 4, 72):  # it opens after 1 s and closes after 18 s: told at once
            assert recorder.count()["market:status"] == before + 1

    phases = [payload["phase"] for event, _, payload in recorder.seen if event == "market:status"]
    assert [phase for n, phase in enumerate(phases) if n == 0 or phases[n - 1] != phase] == [
        "pre-open",
        "open",
        "closed",
    ]
    # 4 ticks before it opens, 68 open, 8 closed: once a second and at each change where it is not open
    assert recorder.count()["watchlist:quote"] == 2 * (1 + 68 + 2)


async def test_what_happens_is_emitted_to_its_user_by_its_event() -> None:
    recorder = Recorder()
    feed = Feed(recorder, FeedSettings(demo_start="2012-05-21"), DEMO_USERS)
    for _ in range(140):
        await feed.tick()

    assert set(recorder.count()) == {
        "portfolio:update",
        "trade:executed",
        "trade:failed",
        "position:closed",
        "notification",
        "watchlist:quote",
        "market:status",
    }
    for event, key, payload in recorder.seen:
        if event in ("trade:executed", "trade:failed", "position:closed", "notification"):
            assert payload["id"].startswith(f"{key}-")
    assert all("code" in payload for event, _, payload in recorder.seen if event == "trade:failed")
    assert all("averagePrice" in payload for event, _, payload in recorder.seen if event == "position:closed")


async def test_the_same_start_gives_the_same_events() -> None:
    one, other = Recorder(), Recorder()
    for recorder in (one, other):
        feed = make(recorder)
        for _ in range(100):
            await feed.tick()

    assert one.seen == other.seen


async def test_a_failing_emit_is_logged_once_and_stops_nothing() -> None:
    recorder = Recorder()
    feed = make(recorder)
    recorder.broken = {"watchlist:quote"}
    with capture_logs() as logs:
        for _ in range(6):
            await feed.tick()
        recorder.broken = set()
        await feed.tick()

    assert recorder.count()["portfolio:update"] > 0
    assert [(entry["log_level"], entry["event"], entry["event_name"]) for entry in logs] == [
        ("warning", "demo event not emitted", "watchlist:quote"),
        ("info", "demo events are emitted again", "watchlist:quote"),
    ]
    assert logs[0]["error"] == "ConnectionError"


async def test_an_emit_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tradecast.demo.feed.EMIT_TIMEOUT", 0.01)
    recorder = Recorder()
    recorder.hung = {"market:status"}
    feed = make(recorder, demo_start="2020-01-07")

    await asyncio.wait_for(feed.tick(), 20)

    assert recorder.count()["watchlist:quote"] == 2
    assert "market:status" not in recorder.count()


async def test_it_runs_until_it_is_cancelled() -> None:
    recorder = Recorder()
    feed = make(recorder, demo_tick_seconds=0.05, demo_day_seconds=2)
    running = asyncio.create_task(feed.run())
    async with asyncio.timeout(20):
        while recorder.count()["watchlist:quote"] < 20:
            recorder.arrived.clear()
            await recorder.arrived.wait()

    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert feed.moment.state == "open"


async def test_a_cancellation_during_an_emit_is_not_swallowed() -> None:
    recorder = Recorder()
    recorder.hung = {"market:status"}
    running = asyncio.create_task(make(recorder).run())
    await asyncio.sleep(0)  # it is in the emit that hangs now

    running.cancel()

    with pytest.raises(asyncio.CancelledError):
        await running
    assert recorder.seen == []


@pytest.mark.parametrize(
    ("slot", "elapsed", "following"),
    [
        (0, 0.01, 1),
        (3, 1.99, 4),  # on time: the grid's next, however long the tick took
        (3, 2.0, 4),
        (3, 2.01, 5),  # behind: slot 4 is past and left out
        (3, 61.2, 123),  # asleep for a minute: none of the 118 is made up for
    ],
)
def test_slots_keep_to_the_grid_and_those_that_are_past_are_left_out(slot: int, elapsed: float, following: int) -> None:
    assert next_slot(slot, elapsed, 0.5) == following


async def test_a_slow_tick_leaves_wall_clock_ticks_out_but_no_replay_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten slow ticks advance the replay by ten ticks, not by the time they took, and none follows in a burst."""
    sleeps: list[float] = []
    recorder = Recorder()
    feed = make(recorder)
    loop = asyncio.get_running_loop()
    now = 100.0
    monkeypatch.setattr(loop, "time", lambda: now)

    async def sleep(seconds: float) -> None:
        nonlocal now
        sleeps.append(round(seconds, 6))
        now += seconds
        if len(sleeps) == 10:
            raise asyncio.CancelledError

    async def slow(symbol: str, quote: Mapping[str, Any]) -> None:
        nonlocal now
        now += 0.35  # two symbols: 0.7 s a tick of 0.5 s

    monkeypatch.setattr("tradecast.demo.feed.asyncio.sleep", sleep)
    monkeypatch.setattr(recorder, "emit_watchlist_quote", slow)
    monkeypatch.setattr("tradecast.demo.feed.EMIT_TIMEOUT", None)

    with pytest.raises(asyncio.CancelledError):
        await feed.run()

    assert feed._ticks == 10
    assert all(0 <= seconds <= 0.5 for seconds in sleeps)
    assert sum(seconds > 0 for seconds in sleeps) >= 9
    assert (now - 100.0) % 0.5 == pytest.approx(0, abs=1e-6)  # still on the grid


def test_a_start_without_prices_is_refused() -> None:
    with pytest.raises(PricesUnavailable):
        make(Recorder(), demo_start="2020-02-01")
    with pytest.raises(ValueError, match=r"DEMO_START: 2020-13-45"):
        make(Recorder(), demo_start="2020-13-45")
