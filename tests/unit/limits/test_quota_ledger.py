"""What one server counts of its clients' quotas."""

from __future__ import annotations

import pytest

from kit.clock import HandClock
from tradecast.limits import quota_ledger
from tradecast.limits.quota import Lease
from tradecast.limits.quota_ledger import QuotaLedger

WINDOW = 120.0


def lease(member: str) -> Lease:
    return Lease("subscriptions", "u", member)


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def ledger(clock: HandClock) -> QuotaLedger:
    return QuotaLedger(WINDOW, clock)


async def test_what_is_lost_counts_until_it_cannot_be_recovered(ledger: QuotaLedger, clock: HandClock) -> None:
    assert await ledger.acquire("subscriptions", "u", ["a", "b"], 2)
    ledger.lose([lease("a"), lease("never held")])
    assert list(ledger) == [lease("b")]
    assert await ledger.count("subscriptions", "u") == 2
    assert not await ledger.acquire("subscriptions", "u", ["c"], 2)
    clock.now += WINDOW + 1
    ledger.cleanup()
    assert await ledger.count("subscriptions", "u") == 1
    assert await ledger.acquire("subscriptions", "u", ["c"], 2)


async def test_what_was_lost_is_always_granted_to_who_resumes(ledger: QuotaLedger) -> None:
    assert await ledger.acquire("subscriptions", "u", ["a", "b"], 2)
    ledger.lose([lease("a"), lease("b")])
    assert await ledger.acquire("subscriptions", "u", ["a", "b"], 1)
    assert sorted(ledger) == [lease("a"), lease("b")]


def test_missed_releases_are_sent_unless_acquired_again(ledger: QuotaLedger) -> None:
    ledger.hold([lease("a"), lease("b")])
    ledger.release(lease("a"))
    ledger.miss_release(lease("a"))
    assert ledger.has_missed()
    assert ledger.find_released([lease("b")]) == {lease("a")}
    ledger.hold([lease("a")])
    assert not ledger.has_missed()
    assert ledger.find_released([]) == set()
    ledger.release(lease("b"))
    assert ledger.find_released([lease("b")]) == {lease("b")}, "released while it was being renewed"
    ledger.forget_missed([lease("a")])
    assert not ledger.missed_releases


def test_missed_releases_are_bounded(ledger: QuotaLedger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quota_ledger, "MISSED_RELEASES", 2)
    for name in "abc":
        ledger.miss_release(lease(name))
    assert ledger.missed_releases == {lease("a"), lease("b")}
