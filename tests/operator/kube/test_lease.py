"""Who may act on a fleet, by what was seen and when."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tradecast_operator.kube.lease import DEADLINE, DURATION, Record, Tenure, claim_lease

FREE = Record("1", "", 15, 3, "then", "then")
OTHERS = replace(FREE, holder="other")
MINE = replace(FREE, holder="me")


def test_what_is_nobodys_can_be_taken() -> None:
    assert Tenure("me").may_take(0)
    assert Tenure("me").observe(FREE, 5).may_take(5)


def test_what_is_somebodys_can_be_taken_when_it_has_not_changed_for_its_time() -> None:
    tenure = Tenure("me").observe(OTHERS, 100).observe(OTHERS, 110)
    assert not tenure.may_take(100 + DURATION - 0.1)
    assert tenure.may_take(100 + DURATION)
    renewed = tenure.observe(replace(OTHERS, version="2"), 114)
    assert not renewed.may_take(114 + DURATION - 0.1)


def test_the_holders_clock_counts_for_nothing() -> None:
    long_ago = replace(OTHERS, renewed="1999-01-01T00:00:00.000000Z")
    assert not Tenure("me").observe(long_ago, 100).may_take(101)


@pytest.mark.parametrize(("seconds", "taken"), [(60, DURATION), (1, 1), (None, 1)])
def test_a_lease_holds_as_long_as_it_says_but_not_shorter_than_ours(seconds: int | None, taken: float) -> None:
    spec = {"holderIdentity": "other", "leaseDurationSeconds": seconds}
    record = Record.of({"metadata": {"resourceVersion": "1"}, "spec": spec})
    assert not Tenure("me").observe(record, 0).may_take(taken)


def test_it_is_acted_on_until_the_deadline() -> None:
    tenure = Tenure("me").acquire(MINE, 100)
    assert tenure.holds(100)
    assert tenure.holds(100 + DEADLINE - 0.1)
    assert not tenure.holds(100 + DEADLINE)
    assert tenure.left(100 + DEADLINE) == DURATION - DEADLINE
    assert tenure.left(200) == 0


def test_what_others_may_take_is_not_acted_on() -> None:
    """Whenever the other one saw the last renewal, which was after it began."""
    mine, other = Tenure("me").acquire(MINE, 100), Tenure("other").observe(MINE, 100)
    for now in range(100, 130):
        assert not (mine.left(now) > 0 and other.may_take(now))


def test_to_see_it_is_not_to_have_it() -> None:
    assert not Tenure("me").observe(MINE, 100).holds(100)
    tenure = Tenure("me").acquire(MINE, 100)
    assert tenure.observe(MINE, 105).holds(109)
    assert not tenure.observe(MINE, 109).holds(110), "what was read was taken for a renewal"


@pytest.mark.parametrize("record", [OTHERS, FREE, None])
def test_it_is_lost_at_once_when_it_is_seen_to_be_anothers(record: Record | None) -> None:
    tenure = Tenure("me").acquire(MINE, 100).observe(record, 101)
    assert not tenure.holds(101)
    assert not tenure.observe(MINE, 102).holds(102)


def test_what_is_written() -> None:
    made = claim_lease(Tenure("me"), "now")
    assert made == {
        "holderIdentity": "me",
        "leaseDurationSeconds": 15,
        "acquireTime": "now",
        "renewTime": "now",
        "leaseTransitions": 0,
    }
    taken = claim_lease(Tenure("me").observe(OTHERS, 0), "now")
    assert (taken["acquireTime"], taken["leaseTransitions"]) == ("now", 4)
    renewed = claim_lease(Tenure("me").acquire(MINE, 0), "now")
    assert (renewed["acquireTime"], renewed["renewTime"], renewed["leaseTransitions"]) == ("then", "now", 3)


def test_what_others_have_made_of_it_is_read() -> None:
    assert Record.of({"metadata": {"resourceVersion": "1"}}) == Record("1", "", 15, 0, "", "")
