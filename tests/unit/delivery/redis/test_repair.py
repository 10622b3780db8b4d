"""A gap: what was missed comes first, then what came meanwhile."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from tradecast.delivery.envelope import COUNTED, Envelope
from tradecast.delivery.errors import AdapterUnavailable, SubscriptionDropped
from tradecast.delivery.redis import repair as module
from tradecast.delivery.redis.cursor import PartitionCursor
from tradecast.delivery.redis.history import Found
from tradecast.delivery.redis.repair import GapRepair


def event(event_id: int) -> Envelope:
    return Envelope(COUNTED, "event", ("x",), b'2["event"', event_id=event_id)


class Partition:
    """A history, and a sink that keeps what comes."""

    def __init__(self, *missed: int, position: int = 0, broken: tuple[str, ...] = ()) -> None:
        self.found = Found([event(one) for one in missed], position, set(broken))
        self.delivered: list[int] = []
        self.asked: list[Mapping[str, int]] = []
        self.error: Exception | None = None
        self.cursor = PartitionCursor()
        self.repair = GapRepair(self.cursor, self, self)

    async def read_missed(self, starts: Mapping[str, int]) -> Found:
        self.asked.append(starts)
        if self.error is not None:
            raise self.error
        return self.found

    def deliver_once(self, envelope: Envelope) -> None:
        self.delivered.append(envelope.id)


async def test_what_was_missed_comes_before_what_was_buffered() -> None:
    here = Partition(1, 2, position=3)
    here.repair.buffer(event(4))
    repaired = await here.repair.run({"x": 0})
    assert here.asked == [{"x": 0}]
    assert here.delivered == [1, 2, 4]
    assert (repaired.read_back, repaired.broken, here.cursor.position) == (2, set(), 3)


async def test_what_is_buffered_stays_while_the_history_cannot_be_read() -> None:
    here = Partition(1)
    here.repair.buffer(event(4))
    here.error = AdapterUnavailable("away")
    with pytest.raises(AdapterUnavailable):
        await here.repair.run({"x": 0})
    here.error = None
    await here.repair.run({"x": 0})
    assert here.delivered == [1, 4]


async def test_another_loss_forgets_what_was_buffered() -> None:
    here = Partition(1)
    here.repair.buffer(event(4))
    here.repair.clear()
    await here.repair.run({})
    assert here.delivered == [1]


async def test_rooms_with_gaps_are_reported() -> None:
    assert (await Partition(broken=("x",)).repair.run({"x": 0, "y": 0})).broken == {"x"}


async def test_where_an_epoch_was_lost_unread_all_rooms_have_gaps() -> None:
    here = Partition()
    here.cursor.has_gap = True
    assert (await here.repair.run({"x": 0, "y": 0})).broken == {"x", "y"}
    assert not here.cursor.has_gap


def test_too_many_are_a_new_subscription(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_BUFFERED", 2)
    here = Partition()
    here.repair.buffer(event(1))
    here.repair.buffer(event(2))
    with pytest.raises(SubscriptionDropped):
        here.repair.buffer(event(3))
