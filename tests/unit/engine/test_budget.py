"""What a client may send: a burst at once, and a rate in the long run."""

from __future__ import annotations

import pytest

from kit.clock import HandClock
from tradecast.engine.budget import BURST, PER_SECOND, ControlBudget, TokenBucket


def test_a_bucket_fills_at_its_rate_and_no_further_than_the_burst() -> None:
    bucket = TokenBucket(3, now=100.0)
    bucket.left = 0
    assert not bucket.refill(3, 2, now=100.25)
    assert bucket.refill(3, 2, now=100.5)
    assert bucket.left == 1
    assert bucket.refill(3, 2, now=1_000.0)
    assert bucket.left == 3


def test_time_counts_once() -> None:
    bucket = TokenBucket(10, now=0.0)
    bucket.left = 0
    bucket.refill(10, 1, now=5.0)
    bucket.refill(10, 1, now=5.0)
    assert bucket.left == 5


def test_control_frames_have_a_burst_and_then_their_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = HandClock()
    monkeypatch.setattr("tradecast.engine.budget.time.monotonic", clock)
    budget = ControlBudget()
    assert [budget.spend() for _ in range(BURST + 1)] == [True] * BURST + [False]
    clock.now += 1
    assert [budget.spend() for _ in range(PER_SECOND + 1)] == [True] * PER_SECOND + [False]
