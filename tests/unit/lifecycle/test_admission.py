"""How fast new connections are let in."""

from __future__ import annotations

from tradecast.lifecycle.admission import Admission


def test_burst_then_the_rate() -> None:
    admission = Admission(rate=10, burst=3, longest_wait=100)
    waits = [admission.reserve(0.0) for _ in range(6)]
    assert [round(wait, 6) for wait in waits if wait is not None] == [0, 0, 0, 0.1, 0.2, 0.3]


def test_quiet_time_fills_the_bucket_no_further_than_the_burst() -> None:
    admission = Admission(rate=10, burst=2, longest_wait=0)
    assert [admission.reserve(0.0) for _ in range(3)] == [0, 0, None]
    assert [admission.reserve(1000.0) for _ in range(3)] == [0, 0, None]


def test_who_would_wait_too_long_reserves_nothing() -> None:
    admission = Admission(rate=1, burst=1, longest_wait=2)
    assert [admission.reserve(0.0) for _ in range(3)] == [0, 1, 2]
    assert [admission.reserve(0.0) for _ in range(100)] == [None] * 100
    assert admission.reserve(1.0) == 2, "the hundred before it left the queue as it was"


def test_never_more_than_the_rate_whatever_comes() -> None:
    admission = Admission(rate=50, burst=10, longest_wait=5)
    let_in = []
    for step in range(2_000):
        now = step * 0.001
        wait = admission.reserve(now)
        if wait is not None:
            let_in.append(now + wait)
    assert let_in == sorted(let_in)
    for start in (0.0, 0.5, 1.0, 3.0):
        assert sum(start <= moment < start + 1 for moment in let_in) <= 60
    assert len(let_in) > 300
