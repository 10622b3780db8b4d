from __future__ import annotations

import random

import pytest

from tradecast.limits.windows import BUCKETS, SlidingWindow, bucket_width


@pytest.mark.parametrize(("window", "width"), [(60_000, 1000), (1_000, 17), (60_001, 1001), (3_600_000, 60_000)])
def test_sixty_buckets_cover_the_window(window: int, width: int) -> None:
    assert bucket_width(window) == width
    assert width * BUCKETS >= window


def test_an_event_counts_for_its_window_and_at_most_a_bucket_more() -> None:
    for start in (0, 1, 999, 1_700_000_000_123):
        window = SlidingWindow(60_000)
        window.add(start)
        assert window.advance(start + 59_999) == 1
        assert window.advance(start + 60_000) == 1
        assert window.advance(start + 61_000) == 0


def test_a_clock_that_steps_back_stands_still() -> None:
    window = SlidingWindow(60_000)
    window.add(100_000)
    window.add(50_000)
    assert window.advance(20_000) == 2
    assert window.advance(160_000) == 2
    assert window.advance(161_000) == 0
    window.add(110_000)
    assert window.advance(200_000) == 1
    assert window.advance(222_000) == 0


def test_memory_is_constant() -> None:
    window = SlidingWindow(60_000)
    for now in range(0, 600_000, 10):
        window.add(now)
    assert window._older is not None
    assert len(window._older) <= BUCKETS


@pytest.mark.parametrize("seed", range(60))
def test_never_more_than_the_limit_in_any_true_window(seed: int) -> None:
    """Against a log of every event that was let through, and a brute-force count of the buckets."""
    rng = random.Random(seed)
    length = rng.choice([1_000, 1_234, 10_000, 60_000])
    limit = rng.choice([1, 2, 5, 50])
    window = SlidingWindow(length)
    width = bucket_width(length)
    now = rng.randrange(10**12)
    passed: list[int] = []
    refused_wrongly = 0
    for _ in range(3_000):
        now += rng.choice([0, 0, 1, rng.randrange(width), rng.randrange(1, 3 * length // limit + 2)])
        let_through = window.advance(now) < limit
        recent = [at for at in passed[-limit - 1 :] if at // width >= now // width - BUCKETS]
        assert let_through == (len(recent) < limit)
        if not let_through:
            refused_wrongly += sum(at > now - (BUCKETS + 1) * width for at in passed[-limit:]) < limit
            continue
        window.add(now)
        passed.append(now)
        assert window.total <= limit
    assert len(passed) > limit
    assert refused_wrongly == 0
    # any span of the true length that holds limit+1 events would start and end with one of them
    spans = zip(passed, passed[limit:], strict=False)
    assert all(last - first >= length for first, last in spans)
