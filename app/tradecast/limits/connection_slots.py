"""Slots of a user's connection quota: where all are taken, a connection whose client no longer answers is replaced."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Final, Literal, NamedTuple, Protocol

from tradecast.limits.memory import MemoryRateStore
from tradecast.limits.rates import Check

# Of one user in a minute. Each asks all of the user's connections, on all servers.
PER_MINUTE: Final[Sequence[Check]] = (("probes", 6),)
MINUTE_MS: Final = 60_000
# Users whose last probes are remembered before those of more than a minute ago are forgotten.
MANY: Final = 10_000
# Seconds that a client may take to answer: a phone that wakes its radio takes two.
PATIENCE: Final = 5.0
SlotResult = Literal["freed", "full", "unknown"]


class ProbedConnection(NamedTuple):
    """A user's connection that was probed.

    Attributes:
        connection_id: Its id in logs and quotas.
        silent_for: Seconds since its client last sent anything.
        answers: Whether its client has answered the probe.
    """

    connection_id: str
    silent_for: float
    answers: bool


class UserConnections(Protocol):
    """Reaches a user's connections on all servers."""

    async def probe_user(self, user_id: str, patience: float) -> Sequence[tuple[str, float, bool]]:
        """Probe all of them; the fields of a `ProbedConnection` for each, from the servers that have answered."""
        ...

    async def replace(self, user_id: str, connection_id: str) -> bool:
        """End one of them; False if it is gone already."""
        ...


class ProbeObserver(Protocol):
    """Counts what probes have found."""

    def probed(self, result: str) -> None:
        """A probe has ended: `replaced`, `answered` (all clients are alive), `unknown`, or `limited`."""
        ...


class ConnectionSlots:
    """Frees a slot of a user: replaces the connection that is silent for longest, of those that answer no probe.

    Args:
        connections: Reaches the connections of a user.
        most: Connections that a user may have.
        observer: Counts the results.
        clock: Monotonic, in seconds.
    """

    def __init__(
        self,
        connections: UserConnections,
        most: int,
        observer: ProbeObserver,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._connections = connections
        self._most = most
        self._observer = observer
        self._rates = MemoryRateStore(clock)
        self._under_way: set[str] = set()

    async def free_slot(self, user_id: str) -> SlotResult:
        """Free a slot of the user's connection quota.

        Returns:
            `freed`: a connection has been ended. `full`: all clients are alive. `unknown`: neither is known now.
        """
        await asyncio.sleep(0)  # from here on in a task, where the caller was stepped (`tradecast.background.stepping`)
        if len(self._rates) > MANY:
            self._rates.cleanup()
        if user_id in self._under_way or self._rates.count(user_id, PER_MINUTE, MINUTE_MS) is not None:
            self._observer.probed("limited")
            return "unknown"
        self._under_way.add(user_id)
        try:
            answers = await self._connections.probe_user(user_id, PATIENCE)
            found = [ProbedConnection(*one) for one in answers]
            silent = sorted((one for one in found if not one.answers), key=lambda one: -one.silent_for)
            for one in silent:
                if await self._connections.replace(user_id, one.connection_id):
                    self._observer.probed("replaced")
                    return "freed"
        finally:
            self._under_way.discard(user_id)
        alive = sum(one.answers for one in found)
        full = alive >= self._most
        self._observer.probed("answered" if full else "unknown")
        return "full" if full else "unknown"
