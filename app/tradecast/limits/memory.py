"""Rate limits and quotas of this server alone, in memory."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import lru_cache

from tradecast.limits.quota import Kind, Lease
from tradecast.limits.rates import Check
from tradecast.limits.windows import SlidingWindow

Clock = Callable[[], float]


class MemoryRateStore:
    """`RateStore` in a dict. Call `cleanup` from time to time.

    Args:
        clock: Monotonic, in seconds.
    """

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        # By the limit's name and the window's length in one text, which is made once.
        self._users: dict[str, dict[str, SlidingWindow]] = {}

    def __len__(self) -> int:
        """How many users have windows."""
        return len(self._users)

    async def hit(self, user_id: str, checks: Sequence[Check], window_ms: int) -> str | None:
        return self.count(user_id, checks, window_ms)

    def count(self, user_id: str, checks: Sequence[Check], window_ms: int) -> str | None:
        """As `hit`, at once."""
        now = int(self._clock() * 1000)
        windows = self._users.setdefault(user_id, {})
        counted = []
        for name, limit in checks:
            key = _window_key(name, window_ms)
            window = windows.get(key)
            if window is None:
                window = windows[key] = SlidingWindow(window_ms)
            if window.advance(now) >= limit:
                return name
            counted.append(window)
        for window in counted:
            window.add(now)
        return None

    def cleanup(self) -> int:
        """Forget windows without events; how many users have none left."""
        now = int(self._clock() * 1000)
        gone = []
        for user_id, windows in self._users.items():
            for key in [key for key, window in windows.items() if not window.advance(now)]:
                del windows[key]
            if not windows:
                gone.append(user_id)
        for user_id in gone:
            del self._users[user_id]
        return len(gone)


@lru_cache(maxsize=1_000)
def _window_key(name: str, window_ms: int) -> str:
    return f"{name}:{window_ms}"


class MemoryQuotaStore:
    """`QuotaStore` in a dict.

    Args:
        lease: Seconds; endless by default, since what is in memory dies with its server.
        clock: Monotonic, in seconds.
    """

    def __init__(self, lease: float = math.inf, clock: Clock = time.monotonic) -> None:
        self._lease = lease
        self._clock = clock
        self._ends = False  # whether any lease has an end
        # By user. Where leases are endless and there is one member, it stands alone: 200 bytes less than in a dict.
        self._held: dict[Kind, dict[str, str | dict[str, float]]] = {"subscriptions": {}, "connections": {}}

    def __iter__(self) -> Iterator[Lease]:
        """All that is held, while the store stays unchanged."""
        for kind, users in self._held.items():
            for user_id, members in users.items():
                for member in (members,) if isinstance(members, str) else members:
                    yield Lease(kind, user_id, member)

    def __contains__(self, lease: Lease) -> bool:
        return lease.member in self._live(lease.kind, lease.user_id)

    async def acquire(self, kind: Kind, user_id: str, member: str, limit: int) -> bool:
        return await self.acquire_all(kind, user_id, (member,), limit)

    async def acquire_all(self, kind: Kind, user_id: str, members: Sequence[str], limit: int) -> bool:
        held = self._live(kind, user_id)
        fresh = {member for member in members if member not in held}
        if fresh and len(held) + len(fresh) > limit:
            return False
        for member in members:
            self.hold(Lease(kind, user_id, member))
        return True

    async def release(self, leases: Iterable[Lease]) -> None:
        for lease in leases:
            self.drop(lease)

    async def lose(self, leases: Iterable[Lease], seconds: float) -> None:
        for lease in leases:
            if lease in self:
                self.hold(lease, self._clock() + seconds)

    async def count(self, kind: Kind, user_id: str) -> int:
        return len(self._live(kind, user_id))

    async def renew(self, leases: Iterable[Lease]) -> None:
        for lease in leases:
            self.hold(lease)

    def hold(self, lease: Lease, until: float | None = None) -> None:
        """Hold it, whatever the limit; `until` in place of the end of a lease, by the store's clock."""
        users = self._held[lease.kind]
        members = users.get(lease.user_id)
        end = self._clock() + self._lease if until is None else until
        if end != math.inf:
            self._ends = True
        elif members is None or members == lease.member:
            users[lease.user_id] = lease.member
            return
        if not isinstance(members, dict):
            members = users[lease.user_id] = {} if members is None else {members: math.inf}
        members[lease.member] = end

    def drop(self, lease: Lease) -> None:
        """Hold it no longer."""
        users = self._held[lease.kind]
        members = users.get(lease.user_id)
        if members == lease.member or (
            isinstance(members, dict) and members.pop(lease.member, None) is not None and not members
        ):
            del users[lease.user_id]

    def _live(self, kind: Kind, user_id: str) -> Collection[str]:
        members = self._held[kind].get(user_id, ())
        if not isinstance(members, dict):
            return (members,) if isinstance(members, str) else members
        if self._ends:
            now = self._clock()
            for member in [member for member, end in members.items() if end <= now]:
                self.drop(Lease(kind, user_id, member))
        return members

    def cleanup(self) -> None:
        """Forget members whose lease has expired."""
        for kind, users in self._held.items():
            for user_id in list(users):
                self._live(kind, user_id)
