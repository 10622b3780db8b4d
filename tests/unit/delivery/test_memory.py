"""The broker of a single server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from kit.clock import HandClock
from kit.contracts.broker import (
    RETENTION,
    SHORT,
    BrokerContract,
    MakeBroker,
    RecordingListener,
    event,
    numbers,
    session,
)
from kit.waiting import eventually
from tradecast.delivery.broker import Broker
from tradecast.delivery.ids import id_span, now_id
from tradecast.delivery.memory import MemoryBroker
from tradecast.delivery.retention import RetainLimits, Retention


@pytest.fixture
async def make_broker(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[MakeBroker]:
    monkeypatch.setattr("tradecast.delivery.memory.CLEAN_EVERY", 0.02)
    made: list[tuple[Broker, RecordingListener]] = []

    async def make(retention: Retention = RETENTION) -> tuple[Broker, RecordingListener]:
        if not made:
            made.append((MemoryBroker(retention), RecordingListener()))
            made[0][0].add_control_listener(made[0][1])
            await made[0][0].start(made[0][1])
        return made[0]

    yield make
    for broker, _ in made:
        await broker.close()


class TestMemoryBroker(BrokerContract):
    shared = False

    async def expired(self, broker: Broker, pid: str) -> bool:
        assert isinstance(broker, MemoryBroker)
        _, deadline = broker._sessions.get(pid, (None, 0.0))
        return deadline < asyncio.get_running_loop().time()


async def test_nothing_stays_behind(make_broker: MakeBroker) -> None:
    broker, _ = await make_broker(SHORT)
    assert isinstance(broker, MemoryBroker)
    for n in range(100):
        await broker.publish(event(n, f"room{n}"))
        await broker.save(session())
    assert len(broker._rooms) == len(broker._sessions) == 100
    await eventually(lambda: not broker._rooms and not broker._sessions)


async def test_another_start_is_another_history(make_broker: MakeBroker) -> None:
    broker, _ = await make_broker()
    assert MemoryBroker(RETENTION).epoch != broker.epoch


async def test_a_room_that_continues_forgets_what_nobody_needs(
    make_broker: MakeBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, begun = HandClock(0), now_id()
    monkeypatch.setattr("tradecast.delivery.memory.now_id", lambda: begun + id_span(clock.now))
    retention = replace(SHORT, retain=RetainLimits(60, recent={"trade": 2}))
    broker, _ = await make_broker(retention)
    assert isinstance(broker, MemoryBroker)
    for number in range(3):
        await broker.publish(event(number, "r", name="trade"))
        await broker.publish(event(number, "r", name="other"))
    old = broker.positions[0]
    clock.now = retention.seconds - 0.1
    last = [await broker.publish(event(number, "r", name="other")) for number in range(1, 4)][-1]
    clock.now = retention.seconds + 0.1
    history = broker._rooms["r"]
    await eventually(lambda: history.events[0].id > old)
    # All of the last 0.7 s is there, and nothing is missing after what went last.
    replay = await broker.read({"r": history.trimmed})
    assert numbers(replay.envelopes) == [1, 2, 3]
    assert not replay.broken
    # A client that has seen no more than the first ones cannot come back.
    assert (await broker.read({"r": old - 1})).broken == {"r"}
    # Those who subscribe get the trades all the same.
    assert numbers((await broker.read_snapshots({"r": 2}))["r"].recent) == [1, 2]
    assert last == broker.positions[0]


async def test_a_silence_is_no_gap(make_broker: MakeBroker) -> None:
    """Of two events with a long silence between, the first one goes: who has seen more than it misses nothing."""
    broker, _ = await make_broker(SHORT)
    assert isinstance(broker, MemoryBroker)
    await broker.publish(event(1, "r"))
    seen = broker.positions[0] + 1
    broker._rooms["r"].touched = 1 << 62  # it goes on
    await eventually(lambda: not broker._rooms["r"].events)
    await broker.publish(event(2, "r"))
    assert numbers((await broker.read({"r": seen})).envelopes) == [2]
    assert not (await broker.read({"r": seen})).broken
