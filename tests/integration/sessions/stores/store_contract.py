"""The contract of `tradecast.sessions.stores.base.SessionStore` as tests. A store's own test module inherits it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from tradecast.sessions.stores.base import SessionChange, SessionRecord, SessionStore

DAY = 86_400.0
DATA: dict[str, Any] = {
    "cookie": {"originalMaxAge": 86_400_000, "expires": None, "httpOnly": True, "path": "/"},
    "passport": {"user": {"id": "u1", "name": "Zoë ☃", "isAdmin": False, "subscriptionTier": "premium"}},
}


class StoreContract:
    """What every store passes. The module that inherits it has a fixture `store`: an empty store."""

    name: str
    has_changes: bool

    async def test_saved_is_loaded(self, store: SessionStore) -> None:
        end = time.time() + DAY
        await store.save("a", DATA, end)
        found = await store.load(["a"])
        assert found == {"a": SessionRecord("a", DATA, found["a"].expires_at)}
        assert found["a"].expires_at == pytest.approx(end, abs=1)

    async def test_what_is_saved_is_a_copy(self, store: SessionStore) -> None:
        data = {"passport": {"user": {"id": "u1"}}}
        await store.save("a", data, time.time() + DAY)
        data["passport"]["user"]["id"] = "u2"
        first = (await store.load(["a"]))["a"].data
        assert first == {"passport": {"user": {"id": "u1"}}}

    async def test_missing(self, store: SessionStore) -> None:
        await store.save("a", DATA, time.time() + DAY)
        assert set(await store.load(["a", "b"])) == {"a"}
        assert await store.load(["b"]) == {}
        assert await store.load([]) == {}
        assert await store.existing(["a", "b"]) == {"a"}
        assert await store.existing(["b"]) == set()
        assert await store.existing([]) == set()

    async def test_ids_named_twice(self, store: SessionStore) -> None:
        await store.save("a", DATA, time.time() + DAY)
        assert set(await store.load(["a", "a", "b", "b"])) == {"a"}
        assert await store.existing(["a", "a"]) == {"a"}
        assert await store.existing(["a", "a", "b"]) == {"a"}

    async def test_many_at_once(self, store: SessionStore) -> None:
        ids = [f"s{n}" for n in range(600)]
        for start in range(0, len(ids), 50):
            await asyncio.gather(*(store.save(one, {"n": one}, time.time() + DAY) for one in ids[start : start + 50]))
        found = await store.load(ids)
        assert {one: stored.data for one, stored in found.items()} == {one: {"n": one} for one in ids}
        assert await store.existing([*ids, "more"]) == set(ids)
        listed = [stored async for stored in store.list()]
        assert sorted(stored.id for stored in listed) == sorted(ids)
        assert all(stored.data == {"n": stored.id} for stored in listed)
        assert sum([await store.delete(ids[start : start + 50]) for start in range(0, len(ids), 50)]) == len(ids)
        assert [stored async for stored in store.list()] == []

    async def test_strange_ids(self, store: SessionStore) -> None:
        ids = ["*", "?[a-z]", "$ne", "a.b", "ключ", "a b", "'\"\\", "x" * 512, "{a}"]
        for one in ids:
            await store.save(one, {"n": one}, time.time() + DAY)
        assert {one: stored.data for one, stored in (await store.load(ids)).items()} == {one: {"n": one} for one in ids}
        assert await store.existing(ids) == set(ids)
        assert {stored.id async for stored in store.list()} == set(ids)
        assert await store.delete(["*"]) == 1
        assert await store.existing(ids) == set(ids[1:])

    async def test_replaced(self, store: SessionStore) -> None:
        await store.save("a", {"v": 1}, time.time() + DAY)
        end = time.time() + 2 * DAY
        await store.save("a", {"v": 2}, end)
        stored = (await store.load(["a"]))["a"]
        assert stored.data == {"v": 2}
        assert stored.expires_at == pytest.approx(end, abs=1)

    async def test_deleted(self, store: SessionStore) -> None:
        for one in "abc":
            await store.save(one, DATA, time.time() + DAY)
        assert await store.delete(["a", "b", "nobody"]) == 2
        assert await store.delete(["a"]) == 0
        assert await store.delete([]) == 0
        assert await store.existing("abc") == {"c"}

    async def test_over_is_gone_or_says_so(self, store: SessionStore) -> None:
        await store.save("a", DATA, time.time() - 5)
        stored = (await store.load(["a"])).get("a")
        assert stored is None or (stored.expires_at is not None and stored.expires_at < time.time() + 0.1)

    async def test_list_left_early(self, store: SessionStore) -> None:
        for one in "abc":
            await store.save(one, DATA, time.time() + DAY)
        listed = store.list()
        assert isinstance(listed, AsyncGenerator)
        async with contextlib.aclosing(listed):
            async for stored in listed:
                assert stored.id in "abc"
                break
        assert await store.existing("abc") == set("abc")

    async def test_answers(self, store: SessionStore) -> None:
        await store.ping()
        assert store.name == self.name

    async def test_says_whether_it_reports_changes(self, store: SessionStore) -> None:
        assert await store.supports_changes() is self.has_changes

    async def test_changes(self, store: SessionStore) -> None:
        if not self.has_changes:
            with pytest.raises(NotImplementedError):
                store.changes()
            return
        await store.save("before", DATA, time.time() + DAY)
        async with asyncio.timeout(60), contextlib.aclosing(store.changes()) as changes:
            assert await anext(changes) == SessionChange(None, "updated")
            await store.save("a", DATA, time.time() + DAY)  # nobody can be connected with a session that is new
            await store.save("a", DATA, time.time() + 2 * DAY)
            await store.delete(["a", "nobody", "before"])
            seen = [await anext(changes) for _ in range(3)]
        assert seen[0] == SessionChange("a", "updated")
        assert set(seen[1:]) == {SessionChange("a", "deleted"), SessionChange("before", "deleted")}

    async def test_changes_are_reported_to_everyone(self, store: SessionStore) -> None:
        if not self.has_changes:
            return
        async with (
            asyncio.timeout(60),
            contextlib.aclosing(store.changes()) as first,
            contextlib.aclosing(store.changes()) as second,
        ):
            assert (await anext(first)).id is (await anext(second)).id is None
            await store.save("a", DATA, time.time() + DAY)
            await store.delete(["a"])
            assert await anext(first) == await anext(second) == SessionChange("a", "deleted")
