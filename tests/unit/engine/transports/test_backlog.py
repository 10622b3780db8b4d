"""The transports for which messages wait: counted, checked by one timer, and closed when that takes too long."""

from __future__ import annotations

import asyncio

import pytest

from kit.clock import HandClock
from kit.waiting import eventually
from tradecast.engine.message import Message
from tradecast.engine.transports import backlog as module
from tradecast.engine.transports.backlog import Backlog, SlowReason
from tradecast.engine.transports.outbox import Outbox


class Transport:
    """A transport that takes no more."""

    def __init__(self, name: str = "websocket") -> None:
        self.name = name
        self.outbox: Outbox | None = Outbox()
        self.reasons: list[SlowReason] = []

    def cut_off(self, reason: SlowReason) -> None:
        self.reasons.append(reason)

    def put(self, backlog: Backlog, text: str, key: str | None = None) -> None:
        message = Message([text])
        message.key = key
        assert self.outbox is not None
        backlog.put(self, self.outbox, self.outbox.put(message, backlog.clock()))


class Waiter:
    """Notes who is drained."""

    def __init__(self) -> None:
        self.drained: list[str] = []

    def on_drained(self, eio_sid: str) -> None:
        self.drained.append(eio_sid)


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def backlog(clock: HandClock, monkeypatch: pytest.MonkeyPatch) -> Backlog:
    monkeypatch.setattr(module, "CHECK_EVERY", 0.01)
    return Backlog(15, clock)


async def test_transport_is_closed_when_its_oldest_message_in_order_has_waited_too_long(
    backlog: Backlog, clock: HandClock
) -> None:
    slow, silent, quotes_only, recent = Transport(), Transport(), Transport(), Transport()
    for transport in (slow, silent):
        transport.put(backlog, "first trade")
        transport.put(backlog, "trade")
    quotes_only.put(backlog, "quote", "AAPL")
    clock.now += 14
    recent.put(backlog, "trade")
    backlog._check()
    assert slow.outbox is not None
    assert len(slow.outbox.take(1)) == 1
    assert slow.reasons == silent.reasons == []
    backlog._due = clock.now = clock.now + 1.5
    backlog._check()
    assert (slow.reasons, silent.reasons, quotes_only.reasons, recent.reasons) == (["slow"], ["silent"], [], [])
    backlog.close()


async def test_it_is_noticed_without_anything_new(monkeypatch: pytest.MonkeyPatch) -> None:
    backlog, slow = Backlog(0.05), Transport()
    slow.put(backlog, "trade")
    await eventually(lambda: slow.reasons != [])
    backlog.close()


async def test_after_a_stall_of_the_loop_sockets_are_asked_first(backlog: Backlog, clock: HandClock) -> None:
    slow = Transport()
    slow.put(backlog, "trade")
    clock.now += 60
    backlog._check()
    assert slow.reasons == [], "it was the loop that did not run"
    backlog._due = clock.now
    backlog._check()
    assert slow.reasons == ["silent"]
    backlog.close()


async def test_timer_runs_only_while_something_waits(backlog: Backlog) -> None:
    def runs() -> bool:
        return backlog._timer is not None

    transport = Transport()
    assert not runs()
    transport.put(backlog, "trade")
    assert runs()
    backlog.drained(transport, "sid")
    await eventually(lambda: not runs())
    transport.put(backlog, "trade")
    assert runs()
    backlog.close()
    assert not runs()


async def test_what_waits_is_counted(backlog: Backlog) -> None:
    one, other, polling = Transport(), Transport(), Transport("polling")
    for text in ("1", "2", "3"):
        one.put(backlog, text, "AAPL")
    other.put(backlog, "trade")
    polling.put(backlog, "trade")
    counted = backlog.count()
    assert (counted.clients, counted.messages, counted.size) == ({"websocket": 2, "polling": 1}, 3, 2 + 6 + 6)
    assert backlog.conflated == 2
    backlog.remove(one)
    other.outbox = None
    assert backlog.count() == ({"polling": 1}, 1, 6)
    backlog.close()


async def test_waiter_is_notified_once_and_in_a_later_turn(backlog: Backlog) -> None:
    transport, waiter = Transport(), Waiter()
    backlog.notify("sid", waiter)
    backlog.drained(transport, "other")
    backlog.drained(transport, "sid")
    assert waiter.drained == []
    await asyncio.sleep(0)
    backlog.drained(transport, "sid")
    await asyncio.sleep(0)
    assert waiter.drained == ["sid"]


async def test_waiter_of_a_client_that_is_gone_is_forgotten(backlog: Backlog) -> None:
    waiter = Waiter()
    backlog.notify("sid", waiter)
    backlog.forget("sid")
    backlog.drained(Transport(), "sid")
    await asyncio.sleep(0)
    assert waiter.drained == []
