"""Whether a rollout, which ends all servers of a template at once, leaves time to disconnect all clients paced."""

from __future__ import annotations

from collections import Counter

from tradecast_operator.model.observation import Observation


def describe_too_fast_rollout(seen: Observation) -> str | None:
    """Why the rollout that is under way is too fast; None: it is not."""
    if not seen.rolling:
        return None
    clients: Counter[str] = Counter()
    for pod in seen.pods:
        clients[pod.revision] += pod.connections or 0
    # The new template is the one with fewer clients, until most have moved.
    leaving = seen.total - (min(clients.values()) if len(clients) > 1 else 0)
    return _too_many(seen, leaving, "the terminating servers have")


def predict_too_fast_rollout(seen: Observation) -> str | None:
    """Why a rollout that began now would be too fast; None: it would not."""
    return _too_many(seen, seen.total, "the servers have")


def _too_many(seen: Observation, leaving: int, who: str) -> str | None:
    given = [pod.stats for pod in seen.pods if pod.stats is not None and pod.stats.drain_rate and pod.stats.drain_time]
    if not given:
        return None
    rate, time = max(one.drain_rate for one in given), max(one.drain_time for one in given)
    if leaving <= rate * time:
        return None
    return (
        f"{who} {leaving} clients; to disconnect them takes {leaving / rate:.0f} s at {rate:g}/s, but DRAIN_TIMEOUT is "
        f"{time:g} s, after which the remaining clients are closed abruptly. Raise the servers' DRAIN_TIMEOUT (chart: "
        "drain.timeoutSeconds, which sets the grace period too) or DRAIN_RATE (drain.connectionsPerSecond)"
    )
