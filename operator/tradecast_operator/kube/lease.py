"""Which operator may act on a fleet: a Lease of coordination.k8s.io, decided as client-go's leader election does.

Clocks of different machines are not compared: what counts is for how long the Lease has been seen unchanged, by the
clock of the one who looks. Pure; `leaseholder` reads and writes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

# Seconds; the defaults of client-go. A Lease that has not been seen to change for so long is free.
DURATION: Final = 15.0
# One that its holder could not renew for so long is not acted on any more: what has begun by then ends before it is
# free.
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
        holder: Who has it; nobody where it is empty.
        seconds: For how long it holds after it has changed.
        transitions: How many times it went to another holder.
        acquired: Since when it is the holder's, in the holder's words.
        renewed: When it was renewed last, in the holder's words.
    """

    version: str
    holder: str
    seconds: float
    transitions: int
    acquired: str
    renewed: str

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Record:
        """What a Lease says, whoever wrote it."""
        spec = body.get("spec") or {}
        return cls(
            version=body["metadata"]["resourceVersion"],
            holder=str(spec.get("holderIdentity") or ""),
            # One that says less could be taken while its holder acts.
            seconds=max(DURATION, float(spec.get("leaseDurationSeconds") or 0)),
            transitions=int(spec.get("leaseTransitions") or 0),
            acquired=str(spec.get("acquireTime") or ""),
            renewed=str(spec.get("renewTime") or ""),
        )


@dataclass(frozen=True, slots=True)
class Tenure:
    """What one who wants the Lease knows of it. Times are of one monotonic clock, in seconds.

    Attributes:
        me: Who wants it; nobody else may have the same name.
        record: The Lease as it was last; None: there is none.
        since: When it was seen first to be so.
        renewed: When the request began by which it was made mine or renewed last; None: it is not mine.
    """

    me: str
    record: Record | None = None
    since: float = 0.0
    renewed: float | None = None

    def saw(self, record: Record | None, now: float) -> Tenure:
        """The Lease is so. Somebody else's, it is mine no longer, whatever the time."""
        renewed = self.renewed if record is not None and record.holder == self.me else None
        if record == self.record:
            return replace(self, renewed=renewed)
        return replace(self, record=record, since=now, renewed=renewed)

    def wrote(self, record: Record, began: float) -> Tenure:
        """It is mine by a request that began then."""
        return replace(self, record=record, since=began, renewed=began)

    def may_take(self, now: float) -> bool:
        """Whether it is mine, or nobody's by now."""
        if self.record is None or self.record.holder in ("", self.me):
            return True
        return now - self.since >= self.record.seconds

    def holds(self, now: float) -> bool:
        """Whether anything may be begun."""
        return self.renewed is not None and 0 <= now - self.renewed < DEADLINE

    def left(self, now: float) -> float:
        """Seconds until somebody else may have it; what has begun has to end by then."""
        return 0.0 if self.renewed is None else max(0.0, self.renewed + DURATION - now)


def claim(tenure: Tenure, now: str) -> dict[str, Any]:
    """What to write into a Lease's spec to have it.

    Args:
        tenure: What is known.
        now: The time by the calendar, for people.
    """
    record = tenure.record
    mine = record is not None and record.holder == tenure.me
    before = record.transitions if record is not None else 0
    return {
        "holderIdentity": tenure.me,
        "leaseDurationSeconds": round(DURATION),
        "acquireTime": record.acquired if record is not None and mine else now,
        "renewTime": now,
        # As client-go counts: one that was let go is another holder's as well.
        "leaseTransitions": before if mine or record is None else before + 1,
    }
