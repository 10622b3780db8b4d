from __future__ import annotations

import random

import pytest

from tradecast.load.numbering import Reservoir, SequenceCheck


def taken(*numbers: int) -> SequenceCheck:
    check = SequenceCheck()
    for number in numbers:
        check.take(number)
    return check


@pytest.mark.parametrize(
    ("numbers", "last", "losses", "doubles", "out_of_order"),
    [
        ([], 0, 0, 0, 0),
        ([], 3, 3, 0, 0),
        ([1, 2, 3], 3, 0, 0, 0),
        ([1, 3], 3, 1, 0, 0),
        ([2, 3], 3, 1, 0, 0),
        ([1, 2], 5, 3, 0, 0),
        ([1, 2, 2, 3, 1], 3, 0, 2, 0),
        ([1, 3, 2], 3, 0, 0, 1),
        ([3, 1, 2, 2], 3, 0, 1, 2),
        ([5], 7, 6, 0, 0),
    ],
)
def test_counts(numbers: list[int], last: int, losses: int, doubles: int, out_of_order: int) -> None:
    check = taken(*numbers)
    assert (check.losses(last), check.doubles, check.out_of_order) == (losses, doubles, out_of_order)
    assert check.received == len(set(numbers))


@pytest.mark.parametrize(
    ("before", "after", "superseded", "losses", "doubles"),
    [
        ([1, 2], [3, 4], 0, 0, 0),
        ([1, 2], [5, 6], 2, 0, 0),  # the newest stands for those that were missed
        ([1, 2], [2, 3], 0, 0, 0),  # there was no newer one
        ([], [4], 3, 0, 0),
        ([1, 2], [5, 7], 2, 1, 0),  # and after it, all are to come
        ([1, 2], [2, 2], 0, 0, 1),
        ([1, 2], [1], 0, 0, 1),
    ],
)
def test_of_streams_where_the_latest_wins_the_newest_is_enough(
    before: list[int], after: list[int], superseded: int, losses: int, doubles: int
) -> None:
    check = taken(*before)
    check.resume()
    for number in after:
        check.take(number)
    assert (check.superseded, check.losses(check.highest), check.doubles) == (superseded, losses, doubles)


def test_uncertain_numbers_are_not_lost_and_count_once_if_they_came() -> None:
    check = taken(1, 4)
    assert check.losses(6) == 4
    assert check.losses(6, {2, 4, 6}) == 2
    assert check.losses(6, {2, 3, 5, 6}) == 0


@pytest.mark.parametrize("seed", range(20))
def test_against_a_plain_count(seed: int) -> None:
    draw = random.Random(seed)
    numbers = [draw.randint(1, 60) for _ in range(draw.randint(0, 120))]
    check = taken(*numbers)
    came: set[int] = set()
    late = 0
    for number in numbers:
        late += number not in came and any(other > number for other in came)
        came.add(number)
    uncertain = {draw.randint(1, 60) for _ in range(10)}
    assert check.losses(60, uncertain) == len(set(range(1, 61)) - came - uncertain)
    assert check.doubles == len(numbers) - len(came)
    assert check.out_of_order == late


@pytest.mark.parametrize("number", [0, -1, 2_000_000])
def test_numbers_that_cannot_be_are_refused(number: int) -> None:
    check = taken(1)
    with pytest.raises(ValueError, match="sequence number"):
        check.take(number)
    assert check.losses(1) == 0


def test_percentiles_are_exact_while_all_is_kept() -> None:
    reservoir = Reservoir(100)
    for value in range(100, 0, -1):
        reservoir.add(value)
    assert reservoir.percentiles((0, 0.5, 0.95, 0.99, 1)) == [1, 50, 95, 99, 100]
    assert (reservoir.count, reservoir.maximum) == (100, 100)


def test_sample_of_a_long_series_is_fair() -> None:
    reservoir = Reservoir(2_000)
    for value in range(100_000):
        reservoir.add(value)
    (median,) = reservoir.percentiles((0.5,))
    assert median == pytest.approx(50_000, rel=0.1)
    assert (reservoir.count, reservoir.maximum) == (100_000, 99_999)


def test_empty_reservoir_has_no_percentiles() -> None:
    assert Reservoir().percentiles((0.5, 0.99)) == [None, None]


def test_maximum_of_negative_values() -> None:
    reservoir = Reservoir()
    reservoir.add(-5)
    assert reservoir.maximum == -5
