"""What drains, gates and rollouts need of a server, by hand."""

from __future__ import annotations

from collections.abc import Collection

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
