"""What every store of rate limits and of quotas must do, as tests. Subclass, and give the store."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from kit.waiting import eventually
from tradecast.limits.quota import Lease, QuotaStore
from tradecast.limits.rates import RateStore

MINUTE = 60_000
ODD_IDS = ["", "a}b{c", "ü" * 300, "user:1", "user:1:global", " ", "\0", "{x}"]


class RateContract:
    """The fixture `store` is a `RateStore`, empty."""

    async def test_lets_through_exactly_the_limit(self, store: RateStore) -> None:
        answers = [await store.hit("u", [("global", 5)], MINUTE) for _ in range(8)]
        assert answers == [None] * 5 + ["global"] * 3

    async def test_counts_all_or_nothing(self, store: RateStore) -> None:
        checks = [("global", 10), ("own", 3)]
        assert [await store.hit("u", checks, MINUTE) for _ in range(6)] == [None] * 3 + ["own"] * 3
        # three were counted by the global limit, the refused ones were not
        assert [await store.hit("u", [("global", 10)], MINUTE) for _ in range(8)] == [None] * 7 + ["global"]

    async def test_names_the_first_limit_that_is_used_up(self, store: RateStore) -> None:
        checks = [("global", 1), ("own", 1)]
        assert await store.hit("u", checks, MINUTE) is None
        assert await store.hit("u", checks, MINUTE) == "global"
        assert await store.hit("u", [("own", 1), ("global", 1)], MINUTE) == "own"

    async def test_users_and_limits_are_apart(self, store: RateStore) -> None:
        assert await store.hit("u", [("a", 1)], MINUTE) is None
        assert await store.hit("u", [("b", 1)], MINUTE) is None
        for user_id in ODD_IDS:
            assert await store.hit(user_id, [("a", 1)], MINUTE) is None, user_id
        for user_id in [*ODD_IDS, "u"]:
            assert await store.hit(user_id, [("a", 1)], MINUTE) == "a", user_id

    async def test_a_limit_of_nothing_lets_nothing_through(self, store: RateStore) -> None:
        assert await store.hit("u", [("a", 0)], MINUTE) == "a"

    async def test_slides(self, store: RateStore) -> None:
        """A flood at full speed for some windows: every true window holds at most the limit, and the flow goes on."""
        length, limit = 1_000, 20
        passed: list[tuple[float, float]] = []
        while len(passed) < 5 * limit:
            before = time.monotonic()
            if await store.hit("u", [("a", limit)], length) is None:
                passed.append((before, time.monotonic()))
            await asyncio.sleep(0.002)
        # The store counted an event somewhere between its two times: the longest possible distance must be a window.
        # A millisecond for each clock's rounding.
        spans = zip(passed, passed[limit:], strict=False)
        assert all(last[1] - first[0] >= length / 1000 - 0.002 for first, last in spans)
        # How long each window's first one is behind that of the window before; a busy machine may spoil some.
        windows = [later[0] - first[1] for first, later in zip(passed[::limit], passed[limit::limit], strict=False)]
        assert min(windows) < 1.2 * length / 1000

    async def test_is_exact_under_concurrency(self, store: RateStore) -> None:
        async def hammer() -> int:
            return sum([await store.hit("u", [("a", 100)], MINUTE) is None for _ in range(60)])

        assert sum(await asyncio.gather(*(hammer() for _ in range(8)))) == 100


class QuotaContract:
    """The fixture `store` is a `QuotaStore`, empty; `short` makes one whose leases take that many seconds."""

    async def test_grants_up_to_the_limit(self, store: QuotaStore) -> None:
        assert [await store.acquire("connections", "u", f"m{n}", 3) for n in range(5)] == [True] * 3 + [False] * 2
        assert await store.count("connections", "u") == 3

    async def test_a_member_counts_once(self, store: QuotaStore) -> None:
        assert [await store.acquire("connections", "u", "m", 1) for _ in range(3)] == [True] * 3
        assert await store.count("connections", "u") == 1

    async def test_what_is_held_is_granted_above_the_limit(self, store: QuotaStore) -> None:
        for member in ("a", "b"):
            assert await store.acquire("connections", "u", member, 2)
        assert await store.acquire("connections", "u", "a", 1)
        assert not await store.acquire("connections", "u", "c", 1)

    async def test_release(self, store: QuotaStore) -> None:
        assert await store.acquire("connections", "u", "a", 1)
        await store.release([Lease("connections", "u", "a"), Lease("connections", "u", "never"), *[]])
        await store.release([Lease("connections", "u", "a")])
        await store.release([])
        assert await store.count("connections", "u") == 0
        assert await store.acquire("connections", "u", "b", 1)

    async def test_kinds_and_users_are_apart(self, store: QuotaStore) -> None:
        assert await store.acquire("connections", "u", "a", 1)
        assert await store.acquire("subscriptions", "u", "a", 1)
        for user_id in ODD_IDS:
            assert await store.acquire("connections", user_id, "a", 1), user_id
            assert not await store.acquire("connections", user_id, "b", 1), user_id
        assert await store.count("subscriptions", "u") == 1

    async def test_odd_members(self, store: QuotaStore) -> None:
        members = ["", " ", "c1|watchlist:BRK.B", "ü|x", "0", "\0"]
        assert all([await store.acquire("subscriptions", "u", member, 50) for member in members])
        assert await store.count("subscriptions", "u") == len(members)
        await store.release([Lease("subscriptions", "u", member) for member in members])
        assert await store.count("subscriptions", "u") == 0

    async def test_leases_end(self, short: Callable[[float], QuotaStore]) -> None:
        store = short(0.3)
        assert await store.acquire("connections", "u", "a", 1)
        assert not await store.acquire("connections", "u", "b", 1)
        await _count_becomes(store, 0)
        assert await store.acquire("connections", "u", "b", 1)

    async def test_renewed_leases_do_not_end(self, short: Callable[[float], QuotaStore]) -> None:
        store = short(4.0)
        for member in ("kept", "left"):
            assert await store.acquire("connections", "u", member, 2)
        begun = time.monotonic()
        while await store.count("connections", "u") == 2 or time.monotonic() < begun + 5:
            await store.renew([Lease("connections", "u", "kept")])
            await asyncio.sleep(0.05)
            assert time.monotonic() < begun + 30
        assert await store.count("connections", "u") == 1
        assert await store.acquire("connections", "u", "other", 2)
        assert not await store.acquire("connections", "u", "more", 2)

    async def test_renewing_holds_again_what_was_lost(self, store: QuotaStore) -> None:
        leases = [Lease("subscriptions", f"u{n % 3}", f"m{n}") for n in range(1_500)]
        await store.renew(leases)
        assert [await store.count("subscriptions", f"u{n}") for n in range(3)] == [500, 500, 500]
        await store.release(leases)
        assert [await store.count("subscriptions", f"u{n}") for n in range(3)] == [0, 0, 0]

    async def test_is_exact_under_concurrency(self, store: QuotaStore) -> None:
        granted = await asyncio.gather(*(store.acquire("connections", "u", f"m{n}", 10) for n in range(100)))
        assert sum(granted) == 10
        assert await store.count("connections", "u") == 10


async def _count_becomes(store: QuotaStore, expected: int) -> None:
    async def holds() -> bool:
        return await store.count("connections", "u") == expected

    await eventually(holds, 60, what=f"count is {expected}")
