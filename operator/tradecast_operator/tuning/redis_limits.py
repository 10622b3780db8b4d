"""What Redis says of itself, and whether it is what limits the fleet: pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

# Shares of its memory above which Redis is short of it, and below which it is not any more.
MEMORY_FULL, MEMORY_FREE = 0.85, 0.75
# Shares of its one thread above which Redis is busy, and below which it is not any more.
BUSY, IDLE = 0.8, 0.65
# Seconds for which an eviction is told.
EVICTIONS_TOLD = 600.0
# Seconds at least over which the thread's share is measured.
MEASURED_OVER = 20.0


@dataclass(frozen=True, slots=True)
class RedisFacts:
    """What INFO tells; of a cluster, of the node that is worst off in each respect.

    Attributes:
        used_memory: Bytes.
        max_memory: Bytes that it may use; 0: it has no limit.
        evicted_keys: Keys that it has thrown away for want of memory, since its start; of all nodes.
        ops_per_second: Commands that it carries out.
        clients: Connections to it.
        cpu_seconds: That its main thread has used, since its start; None: it does not tell. One figure for each node.
        cluster: Whether it is a Redis Cluster.
    """

    used_memory: int = 0
    max_memory: int = 0
    evicted_keys: int = 0
    ops_per_second: float = 0
    clients: int = 0
    cpu_seconds: tuple[float, ...] | None = None
    cluster: bool = False

    @property
    def memory(self) -> float | None:
        """The share of its memory that is used; None without a limit."""
        return self.used_memory / self.max_memory if self.max_memory > 0 else None


@dataclass(frozen=True, slots=True)
class Watched:
    """What is remembered of Redis from look to look; a new operator begins without it.

    Attributes:
        facts: Of the last look.
        measured_from: What its main threads had used then, by node, and
        time: when that was, in seconds since 1970.
        busy: The share of a second that its busiest main thread works; None: not known yet.
        evicted: When keys were last seen to be thrown away.
        limits: In which respects Redis was at its limit at the last look.
    """

    facts: RedisFacts | None = None
    measured_from: tuple[float, ...] | None = None
    time: float = 0
    busy: float | None = None
    evicted: float | None = None
    limits: Sequence[str] = ()

    @property
    def memory(self) -> float | None:
        """The share of its memory that is used; None: not known, or without a limit."""
        return None if self.facts is None else self.facts.memory

    @property
    def is_limit(self) -> bool:
        return bool(self.limits)


def watch(before: Watched, facts: RedisFacts | None, now: float) -> Watched:
    """What is known of Redis after this look; without facts, what was."""
    if facts is None:
        return before
    old, busy, evicted = before.facts, before.busy, before.evicted
    measured_from, since = before.measured_from, before.time
    if old is not None and facts.evicted_keys > old.evicted_keys:
        evicted = now
    if old is None or now - since >= MEASURED_OVER:
        busy = _share(measured_from, facts.cpu_seconds, now - since)
        measured_from, since = facts.cpu_seconds, now
    return Watched(facts, measured_from, since, busy, evicted, _limits(before.limits, facts, busy, evicted, now))


def _share(old: tuple[float, ...] | None, new: tuple[float, ...] | None, seconds: float) -> float | None:
    if old is None or new is None or len(old) != len(new):
        return None
    return max((max(0.0, after - earlier) / seconds for earlier, after in zip(old, new, strict=True)), default=None)


def _limits(
    before: Sequence[str], facts: RedisFacts, busy: float | None, evicted: float | None, now: float
) -> tuple[str, ...]:
    found = []
    if facts.memory is not None and facts.memory >= (MEMORY_FREE if "Memory" in before else MEMORY_FULL):
        found.append("Memory")
    if evicted is not None and now - evicted < EVICTIONS_TOLD:
        found.append("Evictions")
    if busy is not None and busy >= (IDLE if "Busy" in before else BUSY):
        found.append("Busy")
    return tuple(found)


def what_to_do(watched: Watched, facts: RedisFacts) -> str:
    """Each limit with its figures and the way out."""
    ways = {
        "Memory": f"{_percent(facts.memory)} of its memory is used: raise maxmemory, lower history_events, or move to "
        "a Redis Cluster",
        "Evictions": "it has thrown keys away, so clients that come back begin anew: set maxmemory-policy noeviction, "
        "and raise maxmemory",
        "Busy": f"its one thread works {_percent(watched.busy)} of the time: give it a faster CPU, give others a Redis "
        "of their own, or move to a Redis Cluster",
    }
    return "; ".join(ways[limit] for limit in watched.limits)


def _percent(share: float | None) -> str:
    """In steps of five: a condition does not change with every look."""
    return "?" if share is None else f"{round(share * 20) * 5} %"
