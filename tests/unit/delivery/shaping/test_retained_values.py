"""What stays in a single server's memory for those who join later."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from kit.contracts.broker import MakeBroker, RecordingListener
from kit.contracts.snapshots import RETAINING, SnapshotContract
from tradecast.delivery.broker import Broker
from tradecast.delivery.memory import MemoryBroker
from tradecast.delivery.retention import Retention


@pytest.fixture
async def make_broker(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[MakeBroker]:
    monkeypatch.setattr("tradecast.delivery.memory.CLEAN_EVERY", 0.02)
    made: list[Broker] = []

    async def make(retention: Retention = RETAINING) -> tuple[Broker, RecordingListener]:
        broker, listener = MemoryBroker(retention), RecordingListener()
        made.append(broker)
        await broker.start(listener)
        return broker, listener

    yield make
    for broker in made:
        await broker.close()


class TestRetainedValues(SnapshotContract):
    """The contract, in memory."""
