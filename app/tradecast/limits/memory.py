"""Rate limits and quotas of this server alone, in memory."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence

from tradecast.limits.quota import Kind, Lease
from tradecast.limits.rates import Check
from tradecast.limits.windows import SlidingWindow

Clock = Callable[[], float]


class MemoryRateStore:
    """`RateStore` in a dict. `cleanup` is to be called now and then.

    Args:
        clock: Seconds that never go back.
    """

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._users: dict[str, dict[tuple[str, int], SlidingWindow]] = {}

    def __len__(self) -> int:
        """Users about whom something is remembered."""
        return len(self._users)

    async def hit(self, user_id: str, checks: Sequence[Check], window_ms: int) -> str | None:
        return self.count(user_id, checks, window_ms)

    def count(self, user_id: str, checks: Sequence[Check], window_ms: int) -> str | None:
        """As `hit`, at once."""
        now = int(self._clock() * 1000)
        windows = self._users.setdefault(user_id, {})
        counted = []
        for name, limit in checks:
            window = windows.get((name, window_ms))
            if window is None:
                window = windows[name, window_ms] = SlidingWindow(window_ms)
            if window.advance(now) >= limit:
                return name
            counted.append(window)
        for window in counted:
            window.add(now)
        return None

    def cleanup(self) -> int:
        """Forget windows without events; how many users were forgotten wholly."""
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


class MemoryQuotaStore:
    """`QuotaStore` in a dict.

    Args:
        lease: Seconds; endless by default, since what is in memory dies with its server.
        clock: Seconds that never go back.
    """

    def __init__(self, lease: float = math.inf, clock: Clock = time.monotonic) -> None:
        self._lease = lease
        self._clock = clock
        self._held: dict[tuple[Kind, str], dict[str, float]] = {}

    def __iter__(self) -> Iterator[Lease]:
        """All that is held, while the store stays unchanged."""
        for (kind, user_id), members in self._held.items():
            for member in members:
                yield Lease(kind, user_id, member)

    def __contains__(self, lease: Lease) -> bool:
        return lease.member in self._live(lease.kind, lease.user_id)

    async def acquire(self, kind: Kind, user_id: str, member: str, limit: int) -> bool:
        members = self._live(kind, user_id)
        if member not in members and len(members) >= limit:
            return False
        self.hold(Lease(kind, user_id, member))
        return True

    async def release(self, leases: Iterable[Lease]) -> None:
        for lease in leases:
            self.drop(lease)

    async def count(self, kind: Kind, user_id: str) -> int:
        return len(self._live(kind, user_id))

    async def renew(self, leases: Iterable[Lease]) -> None:
        for lease in leases:
            self.hold(lease)

    def hold(self, lease: Lease) -> None:
        """Hold it, whatever the limit."""
        self._held.setdefault((lease.kind, lease.user_id), {})[lease.member] = self._clock() + self._lease

    def drop(self, lease: Lease) -> None:
        """Hold it no longer."""
        members = self._held.get((lease.kind, lease.user_id))
        if members is not None and members.pop(lease.member, None) is not None and not members:
            del self._held[lease.kind, lease.user_id]

    def _live(self, kind: Kind, user_id: str) -> dict[str, float]:
        members = self._held.get((kind, user_id), {})
        if self._lease != math.inf:
            now = self._clock()
            for member in [member for member, end in members.items() if end <= now]:
                self.drop(Lease(kind, user_id, member))
        return members
