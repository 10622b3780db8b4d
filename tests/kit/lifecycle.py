"""What drains, gates and rollouts need of a server, by hand."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection

from tradecast.lifecycle.draining.paced_disconnect import PacedDisconnect
from tradecast.lifecycle.draining.pacing import Pace
from tradecast.lifecycle.draining.terms import DrainTerms
from tradecast.lifecycle.revision_registry import State


class ClientsByHand:
    """Clients of a server that are gone as soon as their transports are closed (`OpenTransports`, `CloseObserver`).

    Attributes:
        here: Those that are connected.
        reasons: Of those that were closed.
    """

    def __init__(self, clients: int) -> None:
        self.here = {f"client-{number}": True for number in range(clients)}
        self.reasons: list[str] = []

    def connections(self) -> Collection[str]:
        """As of `OpenTransports`."""
        return self.here

    def count(self) -> int:
        """As of `OpenTransports`."""
        return len(self.here)

    def close_transport(self, connection: str) -> None:
        """As of `OpenTransports`."""
        self.here.pop(connection, None)

    def connection_closed(self, reason: str) -> None:
        """As of `CloseObserver`."""
        self.reasons.append(reason)


class DrainedClients(ClientsByHand):
    """Clients that are disconnected as the terms of a drain say (`Haste`).

    Attributes:
        terms: The terms.
        left: When each client was disconnected.
    """

    def __init__(
        self,
        clients: int,
        terms: DrainTerms,
        *,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
        pace: Pace | None = None,
        left: list[float] | None = None,
    ) -> None:
        super().__init__(clients)
        self.terms = terms
        self.left: list[float] = [] if left is None else left
        self._clock = clock
        self._disconnects = PacedDisconnect(self, self, pace=pace, clock=clock, sleep=sleep)

    def close_transport(self, connection: str) -> None:
        """As of `OpenTransports`."""
        self.left.append(self._clock())
        super().close_transport(connection)

    @property
    def urgent(self) -> bool:
        """As of `Haste`."""
        return self.terms.urgent

    def compute_need(self, remaining: int) -> float:
        """As of `Haste`."""
        return self.terms.compute_need(remaining)

    def hurry(self, need: float) -> None:
        """As of `Haste`."""
        self.terms.hurry(need)

    async def drain(self) -> None:
        await self._disconnects.disconnect("drain", self.terms.rate, haste=self)


class OpenGate:
    """Lets all clients in (`Gate`)."""

    def stop_accepting(self) -> None:
        """As of `Gate`."""

    def resume_accepting(self) -> None:
        """As of `Gate`."""


class StateByHand:
    """As of `StateSource`. Attributes: now: the state."""

    def __init__(self, now: State = "ready") -> None:
        self.now = now

    def state(self) -> State:
        """As of `StateSource`."""
        return self.now


class ReceiversByHand:
    """As of `Receivers`. Attributes: rate: clients per second that they let in together."""

    def __init__(self, rate: float = 1_000) -> None:
        self.rate = rate

    def compute_accept_rate(self) -> float:
        """As of `Receivers`."""
        return self.rate


class DrainsByHand:
    """As of `DrainObserver`. Attributes: told: what became of drains."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def drain_hurried(self) -> None:
        """As of `DrainObserver`."""
        self.told.append("hurried")

    def drain_expired(self) -> None:
        """As of `DrainObserver`."""
        self.told.append("expired")
