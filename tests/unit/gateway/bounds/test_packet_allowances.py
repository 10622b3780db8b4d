"""How many packets a transport may send, on a clock of the test's own."""

from __future__ import annotations

import random

import pytest

from kit.clock import HandClock
from tradecast.gateway.bounds.packet_allowances import BURST, PER_SECOND, PacketAllowances


def spent(allowances: PacketAllowances, tries: int, eio_sid: str = "a") -> int:
    """How many of so many packets pass."""
    return sum(allowances.spend(eio_sid) for _ in range(tries))


def test_a_burst_passes_and_then_so_many_a_second() -> None:
    clock = HandClock()
    allowances = PacketAllowances(20, 8, clock)
    assert spent(allowances, 100) == 20
    clock.now += 1
    assert spent(allowances, 100) == 8
    clock.now += 0.0625
    assert spent(allowances, 100) == 0
    clock.now += 0.0625
    assert spent(allowances, 100) == 1
    clock.now += 3600
    assert spent(allowances, 100) == 20


def test_what_a_client_buffered_while_it_was_away_passes() -> None:
    clock = HandClock()
    assert spent(PacketAllowances(clock=clock), 1_000 + 1_000) == 2_000, "1,000 events, and as many acknowledgements"
    assert (BURST, PER_SECOND) == (2_000, 100)


def test_transports_are_apart_and_one_that_is_gone_is_forgotten() -> None:
    allowances = PacketAllowances(5, 1, HandClock())
    assert len(allowances) == 0
    assert (spent(allowances, 9, "a"), spent(allowances, 9, "b")) == (5, 5)
    allowances.forget("a")
    allowances.forget("never there")
    assert len(allowances) == 1
    assert spent(allowances, 9, "a") == 5


def test_what_was_asked_for_is_given_back() -> None:
    allowances = PacketAllowances(1, 0, HandClock())
    for _ in range(10):
        assert allowances.spend("a")
        allowances.refund("a")
    assert spent(allowances, 9) == 1
    allowances.refund("never there")
    assert len(allowances) == 1


@pytest.mark.parametrize("seed", range(30))
def test_who_keeps_to_the_figures_is_never_cut_off(seed: int) -> None:
    """Whatever the times; compared with a bucket that is filled all the time."""
    chance, clock, burst, rate, allowances = case(seed)
    left, at = float(burst), clock.now
    for _ in range(3_000):
        clock.now += pause(chance, rate)
        left, at = min(burst, left + (clock.now - at) * rate), clock.now
        if left >= 1:
            left -= 1
            assert allowances.spend("a")


@pytest.mark.parametrize("seed", range(30))
def test_no_span_has_more_than_two_bursts_and_the_rate(seed: int) -> None:
    chance, clock, burst, rate, allowances = case(seed)
    passed: list[float] = []
    for _ in range(3_000):
        clock.now += pause(chance, rate)
        if allowances.spend("a"):
            passed.append(clock.now)
    for first in range(0, len(passed), 7):
        for last in range(first, len(passed), 11):
            assert last - first + 1 <= 2 * burst + rate * (passed[last] - passed[first]) + 1


def case(seed: int) -> tuple[random.Random, HandClock, int, float, PacketAllowances]:
    chance, clock = random.Random(seed), HandClock()
    burst, rate = chance.randint(1, 30), chance.choice([0.5, 1, 8, 32])
    return chance, clock, burst, rate, PacketAllowances(burst, rate, clock)


def pause(chance: random.Random, rate: float) -> float:
    """Seconds, as fractions that floats say exactly."""
    return chance.choice([0, 0, 0, 1 / 1024, 1 / 8, 1 / rate, 3, chance.randint(0, 4_000) / 64])
