"""What this server's clients use of their users' quotas, whether Redis is there or not. No I/O."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from tradecast.limits.memory import MemoryQuotaStore
from tradecast.limits.quota import Kind, Lease

MISSED_RELEASES: Final = 100_000


class QuotaLedger:
    """The leases of this server's clients, those of lost connections, and releases that Redis has not received.

    Args:
        window: Seconds for which a lost connection can be recovered; so long its leases stay counted.
        clock: Monotonic, in seconds.
    """

    def __init__(self, window: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._window = window
        self._clock = clock
        self._held = MemoryQuotaStore()
        self._lost = MemoryQuotaStore(clock=clock)
        self._missed_releases: set[Lease] = set()

    def __iter__(self) -> Iterator[Lease]:
        """The leases of live connections, as long as the ledger stays unchanged."""
        return iter(self._held)

    @property
    def missed_releases(self) -> frozenset[Lease]:
        """Leases that were released while Redis was away."""
        return frozenset(self._missed_releases)

    async def acquire(self, kind: Kind, user_id: str, members: Sequence[str], limit: int) -> bool:
        """Count all of these by this server alone, or none if the user would have more than `limit`.

        Leases of a lost connection that its client resumes are always granted.
        """
        leases = [Lease(kind, user_id, member) for member in members]
        resumed = [lease for lease in leases if lease in self._lost]
        others_lost = await self._lost.count(kind, user_id) - len(resumed)
        fresh = [lease.member for lease in leases if lease not in resumed]
        if fresh and not await self._held.acquire_all(kind, user_id, fresh, limit - others_lost - len(resumed)):
            return False
        self.hold(leases)
        return True

    async def count(self, kind: Kind, user_id: str) -> int:
        """How many a user has on this server, those of lost connections included."""
        return await self._held.count(kind, user_id) + await self._lost.count(kind, user_id)

    def hold(self, leases: Iterable[Lease]) -> None:
        """Count these for a live connection."""
        for lease in leases:
            self._held.hold(lease)
            self._lost.drop(lease)

    def lose(self, leases: Iterable[Lease]) -> None:
        """A connection is lost: count its leases until it can no longer be recovered."""
        for lease in leases:
            if lease in self._held:
                self._held.drop(lease)
                self._lost.hold(lease, self._clock() + self._window)

    def release(self, lease: Lease) -> None:
        """Count it no longer."""
        self._held.drop(lease)
        self._lost.drop(lease)

    def drop_held(self, lease: Lease) -> None:
        """Count it no longer here, and leave it counted in Redis."""
        self._held.drop(lease)

    def miss_release(self, lease: Lease) -> None:
        """Redis has to be sent this release later. Beyond 100,000 of them, they end with their lease instead."""
        if len(self._missed_releases) < MISSED_RELEASES:
            self._missed_releases.add(lease)

    def forget_missed(self, leases: Iterable[Lease]) -> None:
        """These need no release any more: Redis has received it, or they are acquired again."""
        self._missed_releases.difference_update(leases)

    def is_counted(self, lease: Lease) -> bool:
        """Whether it counts here, for a live connection or a lost one."""
        return lease in self._held or lease in self._lost

    def find_released(self, leases: Iterable[Lease]) -> set[Lease]:
        """What Redis must count no longer: those of `leases` that have ended meanwhile, and missed releases."""
        candidates = {lease for lease in leases if lease not in self._held} | self._missed_releases
        return {lease for lease in candidates if not self.is_counted(lease)}

    def has_missed(self) -> bool:
        """Whether there is a missed release of a lease that has not been acquired again."""
        return any(not self.is_counted(lease) for lease in self._missed_releases)

    def cleanup(self) -> None:
        """Forget leases of lost connections that can no longer be recovered."""
        self._lost.cleanup()
