"""Those who have sent more than their share are read by turns."""

from __future__ import annotations

import asyncio

import pytest

from kit.clock import HandClock
from tradecast.engine.turns import Turns

TURN = 0.25


class Flood:
    """Has so many shares left; each takes so long on the clock."""

    def __init__(self, name: str, shares: int, read: list[str], clock: HandClock, seconds: float = 0.0) -> None:
        self.name, self.shares, self.read, self.clock, self.seconds = name, shares, read, clock, seconds

    def read_on(self) -> bool:
        self.read.append(self.name)
        self.clock.now += self.seconds
        self.shares -= 1
        return self.shares > 0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> HandClock:
    clock = HandClock()
    monkeypatch.setattr("tradecast.engine.turns.time.monotonic", clock)
    monkeypatch.setattr("tradecast.engine.turns.SECONDS_PER_TURN", TURN)
    return clock


async def test_each_reads_one_share_in_a_round(clock: HandClock) -> None:
    turns, read = Turns(), list[str]()
    for name, shares in (("a", 2), ("b", 1), ("c", 2)):
        turns.wait(Flood(name, shares, read, clock))
    assert (read, len(turns)) == ([], 3), "not in the turn that is under way"
    await asyncio.sleep(0)
    assert (read, len(turns)) == (["a", "b", "c"], 2)
    await asyncio.sleep(0)
    assert (read, len(turns)) == (["a", "b", "c", "a", "c"], 0)


async def test_a_turn_ends_with_its_time_and_the_next_begins_with_who_waits(clock: HandClock) -> None:
    turns, read = Turns(), list[str]()
    for name in ("a", "b"):
        turns.wait(Flood(name, 2, read, clock, TURN))
    for expected in (["a"], ["a", "b"], ["a", "b", "a"], ["a", "b", "a", "b"]):
        await asyncio.sleep(0)
        assert read == expected
    assert len(turns) == 0


async def test_all_together_have_the_time_of_one_turn(clock: HandClock) -> None:
    turns = Turns()
    assert turns.has_time()
    clock.now += TURN
    assert not turns.has_time()
    await asyncio.sleep(0)
    assert turns.has_time(), "another turn"
