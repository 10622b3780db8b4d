"""The broker of a single server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from kit.contracts.broker import RETENTION, SHORT, BrokerContract, MakeBroker, RecordingListener, event, session
from kit.waiting import eventually
from tradecast.delivery.broker import Broker
from tradecast.delivery.memory import MemoryBroker
from tradecast.delivery.retention import Retention


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
