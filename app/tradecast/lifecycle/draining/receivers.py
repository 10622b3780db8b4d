"""How fast other servers accept the clients that a drain disconnects."""

from __future__ import annotations

from typing import Protocol

from tradecast.lifecycle.rollout import Rollout


class Fleet(Protocol):
    """The servers that share a broker.

    Attributes:
        servers: Their number, this server included.
    """

    @property
    def servers(self) -> int: ...


class FleetReceivers:
    """The other servers of the fleet, as far as they are known (`Receivers`).

    Each accepts ACCEPT_RATE clients per second and lets others wait. All servers have the same settings.

    Args:
        fleet: All servers.
        rollout: Knows how many of them accept new clients, if servers report that to each other.
        accept_rate: Clients that one server accepts per second.
    """

    def __init__(self, fleet: Fleet, rollout: Rollout, accept_rate: float) -> None:
        self._fleet = fleet
        self._rollout = rollout
        self._accept_rate = accept_rate

    def compute_accept_rate(self) -> float:
        """See `Receivers`. Without other servers, one is assumed: it is about to start."""
        takers = self._rollout.takers
        return self._accept_rate * max(1, self._fleet.servers - 1 if takers is None else takers)
