"""Live quotes over a client that does as it is told; `tests/protocol/test_deltas.py` has a real one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from kit.clock import HandClock
from kit.waiting import eventually
from tradecast.client.quotes import Answer, Quotes


class Sio:
    """`Socket`: answers what is prepared, else that all is well."""

    def __init__(self) -> None:
        self.connected = False
        self.handlers: dict[str, Callable[..., Any]] = {}
        self.calls: list[tuple[str, list[str]]] = []
        self.answers: list[Any] = []

    def on(self, event: str, handler: Callable[..., Any]) -> None:
        self.handlers[event] = handler

    async def call(self, event: str, data: Any, *, timeout: float) -> Any:  # noqa: ASYNC109
        await asyncio.sleep(0)
        self.calls.append((event, data["symbols"]))
        answer = self.answers.pop(0) if self.answers else {"success": True, "symbols": data["symbols"], "failed": []}
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def connect(self) -> None:
        self.connected = True
        await self.handlers["connect"]()

    def receive(self, event: str, *arguments: Any) -> None:
        self.handlers[event](*arguments)


def quote(price: int, symbol: str = "A", **more: Any) -> dict[str, Any]:
    return {"symbol": symbol, "quote": {"price": price}, "timestamp": "2026-01-01T00:00:00.000Z", **more}


class Seen:
    def __init__(self) -> None:
        self.quotes: list[tuple[str, Any]] = []
        self.stale: list[tuple[str, bool]] = []
        self.statuses: list[Any] = []
        self.connects = 0

    def quote(self, symbol: str, payload: Any) -> None:
        self.quotes.append((symbol, payload["quote"]["price"]))

    def set_stale(self, symbol: str, since: float | None) -> None:
        assert since is None or abs(since - time.time()) < 3600
        self.stale.append((symbol, since is not None))

    def connect(self) -> None:
        self.connects += 1


@pytest.fixture
def sio() -> Sio:
    return Sio()


@pytest.fixture
def seen() -> Seen:
    return Seen()


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
async def quotes(sio: Sio, seen: Seen, clock: HandClock) -> AsyncIterator[Quotes]:
    made = Quotes(
        sio,
        on_quote=seen.quote,
        on_stale=seen.set_stale,
        on_connect=seen.connect,
        on_status=seen.statuses.append,
        max_age=10,
        repair_interval=0,
        clock=clock,
    )
    yield made
    await made.close()


async def test_what_is_wanted_is_subscribed_to_at_each_connect(sio: Sio, seen: Seen, quotes: Quotes) -> None:
    assert await quotes.subscribe(["A", "B", "A"]) == Answer([], {})
    assert sio.calls == []
    await sio.connect()
    assert sio.calls == [("subscribe:watchlist", ["A", "B"])]
    assert await quotes.subscribe(["C"]) == Answer(["C"], {})
    assert await quotes.unsubscribe(["A", "X"]) == Answer(["A"], {})
    assert sio.calls[-1] == ("unsubscribe:watchlist", ["A"])
    await sio.connect()
    assert sio.calls[-1] == ("subscribe:watchlist", ["B", "C"])
    assert quotes.wanted == {"B", "C"}
    assert seen.connects == 2


async def test_many_symbols_are_several_requests(sio: Sio, quotes: Quotes) -> None:
    await sio.connect()
    symbols = [f"S{number}" for number in range(120)]
    assert (await quotes.subscribe(symbols)).symbols == symbols
    assert [len(asked) for _, asked in sio.calls] == [50, 50, 20]


async def test_quotes_and_deltas_are_handed_out(sio: Sio, seen: Seen, quotes: Quotes) -> None:
    await sio.connect()
    await quotes.subscribe(["A"])
    sio.receive("watchlist:quote", quote(1, number=4))
    sio.receive("watchlist:quote:delta", {"symbol": "A", "quote": {"price": 2}, "number": 5}, "an offset")
    assert seen.quotes == [("A", 1), ("A", 2)]
    assert quotes.get("A") == quote(2)
    nothing: tuple[Any, ...] = (None, 1, [], {}, {"symbol": 1})
    for nonsense in nothing:
        sio.receive("watchlist:quote", nonsense)
        sio.receive("watchlist:quote:delta", nonsense)
        sio.receive("watchlist:stale", nonsense)
        sio.receive("market:status", nonsense)
    assert len(seen.quotes) == 2


async def test_a_missing_base_is_asked_for_once(sio: Sio, seen: Seen, quotes: Quotes) -> None:
    await sio.connect()
    await quotes.subscribe(["A", "B"])
    sio.calls.clear()
    for number in range(5):
        sio.receive("watchlist:quote:delta", {"symbol": "A", "number": number})
        sio.receive("watchlist:quote:delta", {"symbol": "B", "number": number})
    await eventually(lambda: sio.calls == [("subscribe:watchlist", ["A", "B"])])
    sio.receive("watchlist:quote", quote(7, number=9))
    assert seen.quotes == [("A", 7)]


async def test_requests_for_whole_quotes_are_rare(sio: Sio, clock: HandClock) -> None:
    quotes = Quotes(sio, repair_interval=3600, clock=clock)
    await sio.connect()
    sio.receive("watchlist:quote:delta", {"symbol": "A", "number": 1})
    await eventually(lambda: len(sio.calls) == 1)
    await asyncio.sleep(0)
    for number in range(50):
        sio.receive("watchlist:quote:delta", {"symbol": f"S{number}", "number": 1})
        await asyncio.sleep(0)
    assert len(sio.calls) == 1
    await quotes.close()


async def test_what_is_refused_is_not_wanted(sio: Sio, quotes: Quotes) -> None:
    await sio.connect()
    refused = {"symbol": "B", "reason": "SYMBOL_INVALID", "message": "…"}
    sio.answers = [{"success": True, "symbols": ["A"], "failed": [refused]}]
    assert await quotes.subscribe(["A", "B"]) == Answer(["A"], {"B": "SYMBOL_INVALID"})
    sio.answers = [TimeoutError()]
    assert await quotes.subscribe(["C"]) == Answer([], {"C": "NO_ANSWER"})
    sio.answers = [{"code": "SUBSCRIPTION_ERROR", "reason": "TIER_REQUIRED", "message": "…"}]
    assert await quotes.subscribe(["D"]) == Answer([], {"D": "TIER_REQUIRED"})
    assert quotes.wanted == {"A"}


async def test_after_a_reconnect_what_cannot_be_answered_now_is_asked_again(sio: Sio, quotes: Quotes) -> None:
    await quotes.subscribe(["A", "B", "C"])
    late = [{"symbol": "B", "reason": "RATE_LIMITED"}, {"symbol": "C", "reason": "QUOTA_EXCEEDED"}]
    sio.answers = [{"success": True, "symbols": ["A"], "failed": late}, TimeoutError()]
    await sio.connect()
    await eventually(lambda: len(sio.calls) == 3)
    assert [asked for _, asked in sio.calls] == [["A", "B", "C"], ["B"], ["B"]]
    assert quotes.wanted == {"A", "B"}


async def test_stale_quotes_are_reported_and_when_they_come_again(
    sio: Sio, seen: Seen, quotes: Quotes, clock: HandClock
) -> None:
    await sio.connect()
    await quotes.subscribe(["A"])
    sio.receive("market:status", {"status": {"state": "open"}})
    assert seen.statuses == [{"status": {"state": "open"}}]
    sio.receive("watchlist:quote", quote(1))
    clock.now += 11
    await eventually(lambda: seen.stale == [("A", True)])  # by the task, within a second
    assert set(quotes.stale) == {"A"}
    sio.receive("watchlist:quote", quote(2))
    said = {"since": "2026-01-01T00:00:00.000Z", "timestamp": "2026-01-01T00:00:00.000Z"}
    sio.receive("watchlist:stale", {"symbols": ["A", "X", 1], "stale": True, **said})
    sio.receive("watchlist:stale", {"symbols": ["A"], "stale": False, **said})
    sio.receive("watchlist:stale", {"symbols": ["A"], "stale": False, **said})
    assert seen.stale == [("A", True), ("A", False)] * 2


async def test_nothing_is_called_once_it_is_closed(sio: Sio, seen: Seen, quotes: Quotes) -> None:
    await sio.connect()
    await quotes.subscribe(["A"])
    await quotes.close()
    sio.receive("watchlist:quote", quote(1))
    sio.receive("watchlist:quote:delta", {"symbol": "B", "number": 1})
    sio.receive("watchlist:stale", {"symbols": ["A"], "since": "2026-01-01T00:00:00.000Z"})
    sio.receive("market:status", {"status": "open"})
    await sio.connect()
    assert seen.quotes == seen.stale == seen.statuses == []
    assert seen.connects == 1


async def test_without_callbacks_the_quotes_are_kept(sio: Sio) -> None:
    quotes = Quotes(sio)
    await sio.connect()
    sio.receive("watchlist:quote", quote(1))
    sio.receive("watchlist:quote", quote(2))
    sio.receive("watchlist:stale", {"symbols": ["A"], "since": "2026-01-01T00:00:00.000Z"})
    quotes.check_ages()
    assert quotes.get("A") == quote(2)
    await quotes.close()
