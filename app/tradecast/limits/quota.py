"""The interface of quota stores: what each user holds, over all servers, as leases."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple, Protocol

Kind = Literal["subscriptions", "connections"]
LEASE = 90.0
"""Seconds after which a lease that is not renewed no longer counts: its server is dead."""
RENEW_EVERY = 30.0


class Lease(NamedTuple):
    """One thing that a user holds."""

    kind: Kind
    user_id: str
    member: str


class QuotaStore(Protocol):
    """Counts what users hold. A member is counted once, however often it is acquired."""

    async def acquire(self, kind: Kind, user_id: str, member: str, limit: int) -> bool:
        """Hold one more, unless the user has `limit` already. Always true for what is held; that is renewed."""
        ...

    async def acquire_all(self, kind: Kind, user_id: str, members: Sequence[str], limit: int) -> bool:
        """Hold all of these, or what of them was not held before is not held now either: as `acquire`."""
        ...

    async def release(self, leases: Iterable[Lease]) -> None:
        """Hold these no longer; what was not held is no error."""
        ...

    async def lose(self, leases: Iterable[Lease], seconds: float) -> None:
        """Hold these for so long and no longer, without being renewed; what was not held is no error."""
        ...

    async def count(self, kind: Kind, user_id: str) -> int:
        """How many the user holds."""
        ...

    async def renew(self, leases: Iterable[Lease]) -> None:
        """Hold these for another lease, and again where the store had lost them, whatever the limit."""
        ...
