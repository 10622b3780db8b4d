from __future__ import annotations

from collections.abc import Callable

import pytest

from kit.contracts.limits import MINUTE, QuotaContract, RateContract
from tradecast.limits.memory import MemoryQuotaStore, MemoryRateStore
from tradecast.limits.quota import Lease, QuotaStore


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


class TestMemoryRates(RateContract):
    @pytest.fixture
    def store(self) -> MemoryRateStore:
        return MemoryRateStore()


class TestMemoryQuotas(QuotaContract):
    @pytest.fixture
    def store(self) -> MemoryQuotaStore:
        return MemoryQuotaStore()

    @pytest.fixture
    def short(self) -> Callable[[float], QuotaStore]:
        return lambda lease: MemoryQuotaStore(lease)


async def test_cleanup_forgets_users_whose_windows_are_empty() -> None:
    clock = Clock()
    store = MemoryRateStore(clock)
    await store.hit("early", [("global", 5), ("own", 5)], MINUTE)
    clock.now += 30
    await store.hit("late", [("global", 5)], MINUTE)
    assert store.cleanup() == 0
    clock.now += 31
    assert store.cleanup() == 1
    assert len(store) == 1
    clock.now += 31
    assert store.cleanup() == 1
    assert len(store) == 0


async def test_cleanup_keeps_counts() -> None:
    clock = Clock()
    store = MemoryRateStore(clock)
    await store.hit("u", [("a", 1)], MINUTE)
    clock.now += 59
    store.cleanup()
    assert await store.hit("u", [("a", 1)], MINUTE) == "a"


async def test_memory_of_quotas_is_given_back() -> None:
    store = MemoryQuotaStore()
    for n in range(10):
        await store.acquire("connections", f"u{n}", "m", 1)
    leases = list(store)
    assert len(leases) == 10
    assert all(lease in store for lease in leases)
    await store.release(leases)
    assert list(store) == []
    assert store._held == {"subscriptions": {}, "connections": {}}
    assert Lease("connections", "u1", "m") not in store
