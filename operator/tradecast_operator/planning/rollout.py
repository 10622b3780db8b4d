"""How far a rollout is, and whether the terminating servers have time to disconnect all their clients paced."""

from __future__ import annotations

from dataclasses import dataclass

from tradecast_operator.model.observation import Observation, Pod
from tradecast_operator.planning.conditions import round_count


@dataclass(frozen=True, slots=True)
class Progress:
    """A rollout that is under way.

    Attributes:
        revision: The new revision, as in the label pod-template-hash of its pods.
        phase: Trial: new servers start, and no old one ends; Moving: old ones end; Held: the trial has failed.
        percent: Of the clients, how many are on new servers; without clients, of the servers.
        new_servers: New servers that are ready.
        old_servers: Old servers, terminating ones included.
        old_connections: Their clients, rounded to two digits.
        rate: Clients per second that the terminating ones together disconnect at; 0: not reported.
    """

    revision: str
    phase: str
    percent: int
    new_servers: int
    old_servers: int
    old_connections: int
    rate: float

    def as_status(self) -> dict[str, object]:
        """As `status.rollout`."""
        return {
            "revision": self.revision,
            "phase": self.phase,
            "progress": f"{self.phase} {self.percent}%",
            "newServers": self.new_servers,
            "oldServers": self.old_servers,
            "oldConnections": self.old_connections,
            "connectionsPerSecond": round(self.rate),
        }


def measure_progress(seen: Observation) -> Progress | None:
    """How far the rollout is; None: none is under way, or the new revision is not known yet."""
    if not seen.revision:
        return None
    new, old = _split_revisions(seen)
    if not old:
        return None
    total, moved = seen.total, sum(pod.connections or 0 for pod in new)
    part, whole = (moved, total) if total else (sum(pod.ready for pod in new), len(new) + len(old))
    ending = any(pod.terminating for pod in old)
    rates = [pod.stats.rate for pod in old if pod.terminating and pod.stats is not None]
    return Progress(
        revision=seen.revision,
        phase="Held" if seen.held is not None else "Moving" if ending else "Trial",
        percent=100 * part // whole if whole else 0,
        new_servers=sum(pod.ready for pod in new),
        old_servers=len(old),
        old_connections=round_count(total - moved),
        rate=max(rates, default=0.0),
    )


def describe_too_fast_rollout(seen: Observation) -> str | None:
    """Why the rollout that is under way is too fast; None: it is not."""
    if not seen.rolling or not seen.revision:
        return None
    _, old = _split_revisions(seen)
    return _too_many(seen, sum(pod.connections or 0 for pod in old), "the servers that end have")


def predict_too_fast_rollout(seen: Observation) -> str | None:
    """Why a rollout that began now would be too fast; None: it would not."""
    return _too_many(seen, seen.total, "the servers have")


def _split_revisions(seen: Observation) -> tuple[list[Pod], list[Pod]]:
    return (
        [pod for pod in seen.pods if pod.revision == seen.revision],
        [pod for pod in seen.pods if pod.revision != seen.revision],
    )


def _too_many(seen: Observation, leaving: int, who: str) -> str | None:
    given = [pod.stats for pod in seen.pods if pod.stats is not None and pod.stats.drain_rate and pod.stats.drain_time]
    if not given:
        return None
    rate, time = max(one.drain_rate for one in given), max(one.drain_time for one in given)
    if leaving <= rate * time:
        return None
    then = (
        "so they are disconnected faster than that"
        if all(one.renewable for one in given)
        else "after which the remaining clients are closed abruptly"
    )
    return (
        f"{who} {leaving} clients; to disconnect them takes {leaving / rate:.0f} s at {rate:g}/s, but DRAIN_TIMEOUT is "
        f"{time:g} s, {then}. Raise the servers' DRAIN_TIMEOUT (chart: drain.timeoutSeconds, which sets the grace "
        "period too) or DRAIN_RATE (drain.connectionsPerSecond)"
    )
