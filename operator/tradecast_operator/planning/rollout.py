"""A rollout ends all servers of a generation at once: whether all clients can be sent away in the time given."""

from __future__ import annotations

from collections import Counter

from tradecast_operator.model.observation import Observation


def too_fast(seen: Observation) -> str | None:
    """What is wrong with the rollout that is under way, with the figures; None where all can be sent away in time."""
    if not seen.rolling:
        return None
    held: Counter[str] = Counter()
    for pod in seen.pods:
        held[pod.revision] += pod.connections or 0
    # The new one is that with the fewest, until most have moved.
    leaving = seen.total - (min(held.values()) if len(held) > 1 else 0)
    return _too_many(seen, leaving, "the servers that end hold")


def would_be_too_fast(seen: Observation) -> str | None:
    """The same of a rollout that has not begun."""
    return _too_many(seen, seen.total, "the servers hold")


def _too_many(seen: Observation, leaving: int, who: str) -> str | None:
    given = [pod.stats for pod in seen.pods if pod.stats is not None and pod.stats.drain_rate and pod.stats.drain_time]
    if not given:
        return None
    rate, time = max(one.drain_rate for one in given), max(one.drain_time for one in given)
    if leaving <= rate * time:
        return None
    return (
        f"{who} {leaving} clients, which takes {leaving / rate:.0f} s at {rate:g}/s, and give "
        f"themselves {time:g} s: those who are left then are closed all at once. Raise the servers' DRAIN_TIMEOUT "
        "(chart: drain.timeoutSeconds, which the grace period follows) or DRAIN_RATE (drain.connectionsPerSecond)"
    )
