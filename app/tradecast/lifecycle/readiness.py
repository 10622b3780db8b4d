"""Whether this server accepts clients: for probes, and for the other servers of the fleet."""

from __future__ import annotations

import time
from typing import Protocol

from tradecast.lifecycle.revision_registry import State
from tradecast.lifecycle.rollout import Rollout


class DrainState(Protocol):
    """A drain.

    Attributes:
        active: Whether the server is draining or drained.
    """

    @property
    def active(self) -> bool: ...


class Readiness:
    """Whether this server accepts clients.

    Args:
        drain: Of this server.
        rollout: Whether this server is superseded.
        delay: Seconds that the endpoints of a Service take to follow a pod.
    """

    def __init__(self, drain: DrainState, rollout: Rollout, delay: float) -> None:
        self._drain = drain
        self._rollout = rollout
        self._delay = delay
        self._listening_since: float | None = None

    def start_listening(self) -> None:
        """The public port accepts connections from now on."""
        self._listening_since = time.monotonic()

    def is_ready(self) -> bool:
        """Whether readiness probes are to succeed."""
        return not self._drain.active

    def is_superseded(self) -> bool:
        """Whether new clients should go to servers of a newer revision."""
        return self._rollout.superseded

    def state(self) -> State:
        """The state to report to the other servers: `ready` once clients can reach this server."""
        if not self.is_ready():
            return "leaving"
        since = self._listening_since
        # Endpoints follow a new pod as late as one that terminates.
        reached = since is not None and time.monotonic() - since >= self._delay
        return "ready" if reached else "starting"
