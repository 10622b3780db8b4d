"""What Redis reports, and whether Redis limits the fleet. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

# Shares of its memory from which Redis is short of memory, and below which it no longer is.
MEMORY_FULL, MEMORY_FREE = 0.85, 0.75
# Shares of its main thread's time from which Redis is busy, and below which it no longer is.
BUSY, IDLE = 0.8, 0.65
# Seconds for which an eviction is reported.
EVICTIONS_REPORTED = 600.0
# The minimum seconds over which the thread's share is measured.
MEASURED_OVER = 20.0


@dataclass(frozen=True, slots=True)
class RedisFacts:
    """Values of Redis' INFO; of a Redis Cluster, in each respect those of the worst node.

    Attributes:
        used_memory: Bytes.
        max_memory: Bytes that it may use; 0: no limit.
        evicted_keys: Keys evicted for want of memory since its start, of all nodes.
        ops_per_second: Commands that it executes.
        clients: Connections to it.
        cpu_seconds: CPU time of its main thread since its start, one value per node; None: not reported.
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
        """The used share of its memory; None without a limit."""
        return self.used_memory / self.max_memory if self.max_memory > 0 else None


@dataclass(frozen=True, slots=True)
class RedisWatch:
    """What is remembered of Redis from one observation to the next; a new operator starts without it.

    Attributes:
        facts: Of the last observation.
        measured_from: CPU seconds of its main threads when the measuring began, by node.
        time: When that was, in seconds since 1970.
        busy: The share of its time that the busiest main thread works; None: unknown yet.
        evicted: When an eviction was last observed, in seconds since 1970.
        limits: In which respects Redis was at its limit at the last observation.
    """

    facts: RedisFacts | None = None
    measured_from: tuple[float, ...] | None = None
    time: float = 0
    busy: float | None = None
    evicted: float | None = None
    limits: Sequence[str] = ()

    @property
    def memory(self) -> float | None:
        """The used share of its memory; None: unknown, or without a limit."""
        return None if self.facts is None else self.facts.memory

    @property
    def is_limit(self) -> bool:
        return bool(self.limits)


def observe_redis(before: RedisWatch, facts: RedisFacts | None, now: float) -> RedisWatch:
    """What is known of Redis after this observation; without facts, nothing changes."""
    if facts is None:
        return before
    old, busy, evicted = before.facts, before.busy, before.evicted
    measured_from, since = before.measured_from, before.time
    if old is not None and facts.evicted_keys > old.evicted_keys:
        evicted = now
    if old is None or now - since >= MEASURED_OVER:
        busy = _compute_share(measured_from, facts.cpu_seconds, now - since)
        measured_from, since = facts.cpu_seconds, now
    return RedisWatch(
        facts, measured_from, since, busy, evicted, _find_limits(before.limits, facts, busy, evicted, now)
    )


def _compute_share(old: tuple[float, ...] | None, new: tuple[float, ...] | None, seconds: float) -> float | None:
    if old is None or new is None or len(old) != len(new):
        return None
    return max((max(0.0, after - earlier) / seconds for earlier, after in zip(old, new, strict=True)), default=None)


def _find_limits(
    before: Sequence[str], facts: RedisFacts, busy: float | None, evicted: float | None, now: float
) -> tuple[str, ...]:
    found = []
    if facts.memory is not None and facts.memory >= (MEMORY_FREE if "Memory" in before else MEMORY_FULL):
        found.append("Memory")
    if evicted is not None and now - evicted < EVICTIONS_REPORTED:
        found.append("Evictions")
    if busy is not None and busy >= (IDLE if "Busy" in before else BUSY):
        found.append("Busy")
    return tuple(found)


def describe_limits(watch: RedisWatch, facts: RedisFacts) -> str:
    """Each limit with its values and a remedy."""
    ways = {
        "Memory": f"{_format_percent(facts.memory)} of its memory is in use: raise maxmemory, lower history_events, or "
        "move to a Redis Cluster",
        "Evictions": "it has evicted keys, so clients that reconnect start new sessions: set maxmemory-policy "
        "noeviction, and raise maxmemory",
        "Busy": f"its main thread is busy {_format_percent(watch.busy)} of the time: give it a faster CPU, "
        "give other users a Redis of their own, or move to a Redis Cluster",
    }
    return "; ".join(ways[limit] for limit in watch.limits)


def _format_percent(share: float | None) -> str:
    """Round to steps of five, so that a condition does not change with every observation."""
    return "?" if share is None else f"{round(share * 20) * 5} %"
