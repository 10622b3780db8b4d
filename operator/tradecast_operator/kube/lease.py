"""Which operator may act on a fleet: a Lease of coordination.k8s.io, by the rules of client-go's leader election.

Clocks of different machines are not compared: what counts is for how long the observer, by its own clock, has seen the
Lease unchanged. Pure; `leaseholder` reads and writes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

# Seconds; client-go's defaults. A Lease that was observed unchanged for so long is free.
DURATION: Final = 15.0
# A holder that could not renew the Lease for so long begins nothing more: what has begun by then ends before the Lease
# is free.
DEADLINE: Final = 10.0
# Between two attempts.
RETRY: Final = 2.0


class NotHeld(Exception):
    """Another operator may act on the fleet now."""


@dataclass(frozen=True, slots=True)
class Record:
    """A Lease as it was read.

    Attributes:
        version: Its resource version.
        holder: Its holder; empty: nobody.
        seconds: For how long it is valid after a change.
        transitions: How many times it went to another holder.
        acquired: Since when the holder has had it, by the holder's clock.
        renewed: When it was last renewed, by the holder's clock.
    """

    version: str
    holder: str
    seconds: float
    transitions: int
    acquired: str
    renewed: str

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Record:
        """Parse a Lease, whoever wrote it."""
        spec = body.get("spec") or {}
        return cls(
            version=body["metadata"]["resourceVersion"],
            holder=str(spec.get("holderIdentity") or ""),
            # A shorter Lease could be acquired while its holder still acts.
            seconds=max(DURATION, float(spec.get("leaseDurationSeconds") or 0)),
            transitions=int(spec.get("leaseTransitions") or 0),
            acquired=str(spec.get("acquireTime") or ""),
            renewed=str(spec.get("renewTime") or ""),
        )


@dataclass(frozen=True, slots=True)
class Tenure:
    """What a candidate knows of the Lease. Times are of one monotonic clock, in seconds.

    Attributes:
        me: The candidate's identity, which nobody else may have.
        record: The Lease as it was last observed; None: there is none.
        since: When it was first observed in this form.
        renewed: When the request began that acquired or last renewed it; None: the candidate does not hold it.
    """

    me: str
    record: Record | None = None
    since: float = 0.0
    renewed: float | None = None

    def observe(self, record: Record | None, now: float) -> Tenure:
        """The Lease was read. If somebody else holds it, the candidate no longer does, whatever the time."""
        renewed = self.renewed if record is not None and record.holder == self.me else None
        if record == self.record:
            return replace(self, renewed=renewed)
        return replace(self, record=record, since=now, renewed=renewed)

    def acquire(self, record: Record, began: float) -> Tenure:
        """The Lease was acquired or renewed by a request that began then."""
        return replace(self, record=record, since=began, renewed=began)

    def may_take(self, now: float) -> bool:
        """Whether the candidate may acquire or renew it: it is the candidate's, or free."""
        if self.record is None or self.record.holder in ("", self.me):
            return True
        return now - self.since >= self.record.seconds

    def holds(self, now: float) -> bool:
        """Whether anything may be begun."""
        return self.renewed is not None and 0 <= now - self.renewed < DEADLINE

    def left(self, now: float) -> float:
        """Seconds until somebody else may acquire it; what has begun has to end by then."""
        return 0.0 if self.renewed is None else max(0.0, self.renewed + DURATION - now)


def claim_lease(tenure: Tenure, now: str) -> dict[str, Any]:
    """The spec that acquires or renews a Lease.

    Args:
        tenure: What is known of the Lease.
        now: The wall-clock time, for people.
    """
    record = tenure.record
    mine = record is not None and record.holder == tenure.me
    before = record.transitions if record is not None else 0
    return {
        "holderIdentity": tenure.me,
        "leaseDurationSeconds": round(DURATION),
        "acquireTime": record.acquired if record is not None and mine else now,
        "renewTime": now,
        # As client-go counts: acquiring a released Lease is a transition as well.
        "leaseTransitions": before if mine or record is None else before + 1,
    }
