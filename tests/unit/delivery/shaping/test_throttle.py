"""At most so many events a second of each key; the first at once, the newest at the end."""

from __future__ import annotations

import itertools
from collections import defaultdict
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradecast.delivery.envelope import LATEST, Envelope
from tradecast.delivery.shaping.throttle import MOST_REMEMBERED, StateKey, Throttle

# Seconds, in whole numbers, so that nothing is rounded.
SLOW, FAST = 100.0, 10.0


class Every:
    """`Intervals`: those of `slow` and `fast` events; others are not throttled."""

    def __init__(self) -> None:
        self.asked = 0

    def interval_of(self, name: StateKey) -> float | None:
        self.asked += 1
        return {"slow": SLOW, "fast": FAST}.get(name[1])


def event(event_id: int, room: str = "r", name: str = "slow", key: str = "") -> Envelope:
    return Envelope(LATEST, name, (room,), b"", event_id=event_id)


def admit(throttle: Throttle, envelope: Envelope, now: float) -> bool:
    name = envelope.state_key
    assert name is not None
    return throttle.admit(envelope, name, now)


def ids(envelopes: object) -> list[int]:
    assert isinstance(envelopes, list)
    return [envelope.id for envelope in envelopes]


def test_the_first_is_sent_at_once_and_the_newest_at_the_end_of_the_interval() -> None:
    throttle = Throttle(Every())
    assert admit(throttle, event(1), 0)
    assert [admit(throttle, event(n), n) for n in (2, 3, 4)] == [False] * 3
    assert (throttle.buffered, throttle.replaced, throttle.next_due) == (1, 2, SLOW)
    assert ids(throttle.take_due(SLOW - 1)) == []
    assert ids(throttle.take_due(SLOW)) == [4]
    assert not admit(throttle, event(5), SLOW + 1)
    assert ids(throttle.take_due(2 * SLOW)) == [5]


def test_one_that_comes_after_the_interval_is_sent_at_once() -> None:
    throttle = Throttle(Every())
    assert admit(throttle, event(1), 0)
    assert admit(throttle, event(2), SLOW)
    assert throttle.replaced == 0


def test_if_the_timer_is_late_the_newest_is_sent_and_the_older_one_never() -> None:
    throttle = Throttle(Every())
    admit(throttle, event(1), 0)
    admit(throttle, event(2), 1)
    assert admit(throttle, event(3), SLOW + 5)
    assert (throttle.buffered, throttle.replaced) == (0, 1)
    assert ids(throttle.take_due(SLOW + 6)) == []
    assert not admit(throttle, event(4), SLOW + 7)  # and the interval counts from the one that was sent
    assert ids(throttle.take_due(2 * SLOW + 5)) == [4]


def test_keys_are_independent_and_others_are_not_throttled() -> None:
    throttle = Throttle(Every())
    admit(throttle, event(1), 0)
    admit(throttle, event(2), 1)
    assert admit(throttle, event(3, room="other"), 1)
    assert admit(throttle, event(4, name="fast"), 1)
    assert not admit(throttle, event(5, name="fast"), 2)
    assert all(admit(throttle, event(n, name="free"), 2) for n in (6, 7, 8))
    assert throttle.next_due == 1 + FAST
    assert ids(throttle.take_due(1 + FAST)) == [5]


def test_a_buffered_event_can_be_taken_out_of_turn() -> None:
    throttle = Throttle(Every())
    admit(throttle, event(1), 0)
    admit(throttle, event(2), 1)
    admit(throttle, event(3, room="other"), 1)
    name = event(2).state_key
    assert name is not None
    taken = throttle.take(name)
    assert taken is not None
    assert taken.id == 2
    assert throttle.take(name) is None
    assert throttle.take(("nobody", "slow", "")) is None
    assert (throttle.buffered, ids(throttle.take_due(SLOW))) == (0, [])


def test_all_can_be_taken_in_their_order() -> None:
    throttle = Throttle(Every())
    for n, room in enumerate(("b", "a", "a", "b")):
        admit(throttle, event(n, room=room), n)
    assert ids(throttle.take_all()) == [2, 3]
    assert throttle.buffered == 0


def test_a_million_keys_are_not_kept() -> None:
    throttle = Throttle(Every())
    most = 0
    for n in range(1_000_000):
        now = n / 1000
        if n % 1000 == 0:
            throttle.take_due(now)
        admit(throttle, event(n, room=f"r{n}", name="fast"), now)
        most = max(most, len(throttle))
    assert most <= (FAST + 1) * 1000 + 1
    throttle.take_due(1_000_000)
    assert (len(throttle), throttle.next_due, throttle.buffered) == (0, None, 0)
    assert len(throttle._intervals) <= MOST_REMEMBERED


def test_beyond_the_most_keys_events_are_not_throttled() -> None:
    throttle = Throttle(Every(), most_keys=2)
    for n in range(2):
        admit(throttle, event(n, room=f"r{n}"), 0)
    assert all(admit(throttle, event(n, room="third"), 1) for n in range(3))
    assert len(throttle) == 2
    assert not admit(throttle, event(9, room="r0"), 1)


def test_the_interval_of_a_key_is_searched_for_once() -> None:
    intervals = Every()
    throttle = Throttle(intervals)
    for n in range(10):
        admit(throttle, event(n, name="free"), n)
        admit(throttle, event(n), n * SLOW)
    assert intervals.asked == 2


class Sent(NamedTuple):
    at: float
    id: int


ROOMS = st.sampled_from([("a", "slow"), ("b", "slow"), ("c", "fast")])
ARRIVALS = st.lists(st.tuples(ROOMS, st.integers(0, 60)), max_size=80)


def play(
    arrivals: list[tuple[tuple[str, str], int]], lateness: int
) -> tuple[dict[str, list[Sent]], dict[str, list[Sent]], Throttle]:
    """What is sent of each room and when, as of a loop whose timer is late by so much; and what came."""
    throttle = Throttle(Every())
    sent: dict[str, list[Sent]] = defaultdict(list)
    came: dict[str, list[Sent]] = defaultdict(list)

    def run_timer(until: float) -> None:
        while (due := throttle.next_due) is not None and due + lateness <= until:
            for envelope in throttle.take_due(due + lateness):
                sent[envelope.rooms[0]].append(Sent(due + lateness, envelope.id))

    now = 0.0
    for number, ((room, name), wait) in enumerate(arrivals, 1):
        now += wait
        run_timer(now)
        came[room].append(Sent(now, number))
        if admit(throttle, event(number, room=room, name=name), now):
            sent[room].append(Sent(now, number))
    run_timer(float("inf"))
    return sent, came, throttle


@given(ARRIVALS, st.sampled_from([0, 0, 3, 150]))
def test_the_rate_is_bounded_and_the_newest_always_comes(
    arrivals: list[tuple[tuple[str, str], int]], lateness: int
) -> None:
    sent, came, throttle = play(arrivals, lateness)
    for room, received in came.items():
        interval = FAST if room == "c" else SLOW
        times = [one.at for one in sent[room]]
        # never more than one in an interval: so at most N in any second
        assert all(later - earlier >= interval for earlier, later in itertools.pairwise(times))
        # the newest wins, and nothing older follows
        for one in sent[room]:
            assert one.id == max(arrival.id for arrival in received if arrival.at <= one.at and arrival.id <= one.id)
        order = [one.id for one in sent[room]]
        assert order == sorted(set(order))
        for arrival in received:
            before = [one.at for one in sent[room] if one.id < arrival.id]
            reached = min(one.at for one in sent[room] if one.id >= arrival.id)
            if not before or arrival.at - before[-1] >= interval:
                assert reached == arrival.at  # the first at once
            assert reached <= arrival.at + interval + lateness  # and nobody waits longer
        assert sent[room][-1].id == received[-1].id
    total = sum(map(len, sent.values()))
    assert total + throttle.replaced == len(arrivals)
    assert (len(throttle), throttle.buffered) == (0, 0)


@pytest.mark.parametrize("interval", [1 / 3, 0.1, 1 / 7])
def test_no_second_has_more_than_its_rate(interval: float) -> None:
    """With intervals that a double does not have exactly."""

    class Fixed:
        def interval_of(self, name: StateKey) -> float | None:
            return interval

    throttle = Throttle(Fixed())
    times: list[float] = []
    for n in range(5000):
        now = n / 1000
        times += [now for _ in throttle.take_due(now)]
        if admit(throttle, event(n), now):
            times.append(now)
    for start in times:
        assert sum(start <= at < start + 0.999 for at in times) <= round(1 / interval)
