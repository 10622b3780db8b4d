"""The store in memory."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import pytest

from integration.sessions.stores.store_contract import DATA, DAY, StoreContract
from tradecast.sessions.stores.memory import MemoryStore


@pytest.fixture
async def store() -> AsyncIterator[MemoryStore]:
    store = MemoryStore()
    yield store
    await store.close()


class TestMemoryStore(StoreContract):
    name = "memory"
    has_changes = True


async def test_what_has_expired_does_not_stay_for_ever() -> None:
    clock = [1_000.0]
    store = MemoryStore(clock=lambda: clock[0])
    await store.save("old", DATA, 1_010.0)
    await store.save("new", DATA, 1_000.0 + DAY)
    clock[0] = 1_100.0
    await store.save("newer", DATA, 1_000.0 + DAY)
    assert await store.existing(["old", "new", "newer"]) == {"new", "newer"}


async def test_data_that_is_no_json_is_refused(store: MemoryStore) -> None:
    with pytest.raises(TypeError):
        await store.save("a", {"x": object()}, time.time() + DAY)
    assert await store.existing(["a"]) == set()
