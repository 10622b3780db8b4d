"""The wheel of timers, on a clock of the test's own."""

from __future__ import annotations

import asyncio
import random

import pytest

from tradecast.engine.timers import LONGEST_TICK, TimerWheel
from unit.engine.clock import Clock

SHORTEST, LONGEST = 5.0, 60.0


class Entry:
    """Notes when it was called, and whether the loop had stalled."""

    def __init__(self, clock: Clock, wheel: TimerWheel) -> None:
        self.slot = -1
        self.calls: list[float] = []
        self.stalls: list[bool] = []
        self.again: list[float] = []
        self._clock = clock
        self._wheel = wheel

    def on_due(self, *, stalled: bool) -> None:
        self.calls.append(self._clock.now)
        self.stalls.append(stalled)
        if self.again:
            self._wheel.schedule(self, self.again.pop(0))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(asyncio, "get_running_loop", lambda: clock)
    return clock


@pytest.fixture
def wheel(clock: Clock) -> TimerWheel:
    return TimerWheel(SHORTEST, LONGEST)


@pytest.mark.parametrize(("shortest", "tick"), [(25, LONGEST_TICK), (0.2, 0.02), (10, 1.0), (5, 0.5)])
def test_tick_is_a_tenth_of_what_has_to_be_kept_to(shortest: float, tick: float) -> None:
    assert TimerWheel(shortest, 100).tick == pytest.approx(tick)


@pytest.mark.parametrize("delay", [0.5, 1, 5, 25, 60])
@pytest.mark.parametrize("offset", [0, 0.01, 0.25, 0.49])
def test_it_is_called_once_and_up_to_a_tick_early(clock: Clock, wheel: TimerWheel, delay: float, offset: float) -> None:
    wheel.schedule(Entry(clock, wheel), 60)  # the wheel turns already
    clock.advance(offset)
    entry = Entry(clock, wheel)
    began = clock.now
    wheel.schedule(entry, delay)
    clock.advance(200)
    (called,) = entry.calls
    assert delay - wheel.tick - 1e-6 <= called - began <= delay + 1e-6
    assert entry.stalls == [False]
    assert entry.slot == -1


@pytest.mark.parametrize("step", [0.5, 0.001])
def test_many_at_random_times_are_all_called_in_time(clock: Clock, wheel: TimerWheel, step: float) -> None:
    chance = random.Random(1)
    due: list[tuple[Entry, float]] = []
    for _ in range(500):
        delay = step * chance.randint(round(SHORTEST / step), round(LONGEST / step))
        entry = Entry(clock, wheel)
        wheel.schedule(entry, delay)
        due.append((entry, clock.now + delay))
        clock.advance(chance.uniform(0, 0.3))
    clock.advance(LONGEST)
    for entry, when in due:
        (called,) = entry.calls
        assert when - wheel.tick - 1e-6 <= called <= when + 1e-6


def test_scheduling_again_moves_it(clock: Clock, wheel: TimerWheel) -> None:
    entry = Entry(clock, wheel)
    began = clock.now
    wheel.schedule(entry, 5)
    clock.advance(3)
    wheel.schedule(entry, 20)
    clock.advance(100)
    (called,) = entry.calls
    assert 22.5 <= called - began <= 23


def test_it_can_be_moved_forward(clock: Clock, wheel: TimerWheel) -> None:
    entry = Entry(clock, wheel)
    wheel.schedule(entry, 50)
    wheel.schedule(entry, 5)
    clock.advance(5)
    assert len(entry.calls) == 1
    clock.advance(100)
    assert len(entry.calls) == 1


def test_cancelled_entry_is_not_called_and_can_be_scheduled_again(clock: Clock, wheel: TimerWheel) -> None:
    entry, other = Entry(clock, wheel), Entry(clock, wheel)
    wheel.schedule(entry, 10)
    wheel.schedule(other, 10)
    wheel.cancel(entry)
    wheel.cancel(entry)  # of no effect
    clock.advance(30)
    assert (entry.calls, len(other.calls)) == ([], 1)
    wheel.schedule(entry, 10)
    clock.advance(10)
    assert len(entry.calls) == 1
    wheel.cancel(entry)  # called already: of no effect
    assert clock.waiting == 0


def test_entry_may_schedule_itself_when_it_is_called(clock: Clock, wheel: TimerWheel) -> None:
    entry = Entry(clock, wheel)
    entry.again = [10, 20]
    began = clock.now
    wheel.schedule(entry, 5)
    clock.advance(100)
    assert [called - began for called in entry.calls] == pytest.approx([5, 15, 35], abs=3 * wheel.tick)
    for earlier, later, delay in zip(entry.calls, entry.calls[1:], [10, 20], strict=False):
        assert delay - wheel.tick - 1e-6 <= later - earlier <= delay + 1e-6


def test_entry_may_cancel_and_move_others_when_it_is_called(clock: Clock, wheel: TimerWheel) -> None:
    moved, cancelled = Entry(clock, wheel), Entry(clock, wheel)

    class Decides(Entry):
        def on_due(self, *, stalled: bool) -> None:
            super().on_due(stalled=stalled)
            wheel.cancel(cancelled)
            wheel.schedule(moved, 30)

    decides = Decides(clock, wheel)
    wheel.schedule(decides, 5)
    wheel.schedule(moved, 10)
    wheel.schedule(cancelled, 10)
    clock.advance(20)
    assert (len(decides.calls), moved.calls, cancelled.calls) == (1, [], [])
    clock.advance(30)
    assert (len(moved.calls), cancelled.calls) == (1, [])


def test_nothing_runs_while_nobody_waits(clock: Clock, wheel: TimerWheel) -> None:
    assert clock.waiting == 0
    entry = Entry(clock, wheel)
    wheel.schedule(entry, 5)
    assert clock.waiting == 1
    clock.advance(60)
    assert clock.waiting == 0
    wheel.schedule(entry, 5)
    clock.advance(5)
    assert len(entry.calls) == 2


def test_closed_wheel_calls_nobody(clock: Clock, wheel: TimerWheel) -> None:
    entry = Entry(clock, wheel)
    wheel.schedule(entry, 5)
    wheel.close()
    clock.advance(100)
    assert entry.calls == []
    wheel.close()  # of no effect


@pytest.mark.parametrize("stall", [2, 30, 61, 500])
def test_who_fell_due_while_the_loop_stalled_learns_that_and_is_called_once(
    clock: Clock, wheel: TimerWheel, stall: float
) -> None:
    entry = Entry(clock, wheel)
    wheel.schedule(entry, 1)
    clock.stall(stall)
    assert (len(entry.calls), entry.stalls) == (1, [True])
    clock.advance(LONGEST)
    assert len(entry.calls) == 1


def test_late_by_less_than_a_tick_is_no_stall(clock: Clock, wheel: TimerWheel) -> None:
    entry = Entry(clock, wheel)
    wheel.schedule(entry, 0.5)
    clock.stall(0.9)
    assert entry.stalls == [False]


def test_what_is_scheduled_behind_a_stall_waits_for_a_real_tick(clock: Clock, wheel: TimerWheel) -> None:
    """What has come from clients meanwhile is read between two ticks."""
    entry = Entry(clock, wheel)
    entry.again = [0.5]
    wheel.schedule(entry, 5)
    clock.stall(40)
    assert len(entry.calls) == 1, "not for one of the ticks that were missed"
    clock.advance(0.5)
    assert entry.stalls == [True, False]


def test_who_is_not_due_yet_is_not_called_because_of_a_stall(clock: Clock, wheel: TimerWheel) -> None:
    entry = Entry(clock, wheel)
    wheel.schedule(entry, 50)
    clock.stall(20)
    assert entry.calls == []
    clock.advance(30)
    assert entry.stalls == [False]


def test_longer_than_the_longest_is_called_early_and_not_never(clock: Clock, wheel: TimerWheel) -> None:
    entry = Entry(clock, wheel)
    wheel.schedule(entry, 10 * LONGEST)
    clock.advance(LONGEST + 1)
    assert len(entry.calls) == 1


@pytest.mark.parametrize("delay", [0, -1, 0.01])
def test_shorter_than_a_tick_is_the_next_tick(clock: Clock, wheel: TimerWheel, delay: float) -> None:
    entry = Entry(clock, wheel)
    wheel.schedule(entry, delay)
    assert entry.calls == []
    clock.advance(wheel.tick)
    assert len(entry.calls) == 1


def test_entry_that_fails_stops_nobody_else(clock: Clock, wheel: TimerWheel) -> None:
    """One bug in what is called on a heartbeat must not end the heartbeats of all clients."""

    class Fails(Entry):
        def on_due(self, *, stalled: bool) -> None:
            raise RuntimeError("planted")

    other = Entry(clock, wheel)
    wheel.schedule(Fails(clock, wheel), 5)
    wheel.schedule(other, 10)
    try:
        clock.advance(6)
    except RuntimeError:  # the loop's handler of exceptions gets it
        clock.advance(0)
    clock.advance(10)
    assert len(other.calls) == 1
