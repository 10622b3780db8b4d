"""How fast the clients that a drain disconnects are let in elsewhere."""

from __future__ import annotations

from typing import Protocol

from tradecast.lifecycle.rollout import Rollout


class Fleet(Protocol):
    """The servers that share a broker.

    Attributes:
        servers: How many there are, this one included.
    """

    @property
    def servers(self) -> int: ...


class FleetReceivers:
    """The other servers, as this one knows them (`Receivers`).

    Each lets ACCEPT_RATE clients in per second, and holds others for a while: all servers have the same settings.

    Args:
        fleet: All servers.
        rollout: Knows which of them take new clients, where servers tell each other.
        accept_rate: Clients that one server lets in per second.
    """

    def __init__(self, fleet: Fleet, rollout: Rollout, accept_rate: float) -> None:
        self._fleet = fleet
        self._rollout = rollout
        self._accept_rate = accept_rate

    def compute_accept_rate(self) -> float:
        """As of `Receivers`; where there are no others, new ones are to come: as if there was one."""
        takers = self._rollout.takers
        return self._accept_rate * max(1, self._fleet.servers - 1 if takers is None else takers)
