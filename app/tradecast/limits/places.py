"""Places for connections of a user who has too many: one whose client does not answer any more makes room."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Literal, NamedTuple, Protocol

from tradecast.limits.memory import MemoryRateStore
from tradecast.limits.rates import Check

# Of one user in a minute. Each asks all of the user's connections, on all servers.
PER_MINUTE: Final[Sequence[Check]] = (("probes", 6),)
MINUTE_MS: Final = 60_000
# Users about whom is remembered when they were probed, before those are forgotten for whom it is over.
MANY: Final = 10_000
# Seconds that a client may take to answer: a phone that wakes its radio takes two.
PATIENCE: Final = 5.0
Room = Literal["freed", "full", "unknown"]


class Probed(NamedTuple):
    """A user's connection that was probed.

    Attributes:
        connection_id: Its id in logs and quotas.
        silent_for: Seconds since it was last heard of.
        answers: Whether it has answered.
    """

    connection_id: str
    silent_for: float
    answers: bool


class Probe(Protocol):
    """Probes all connections of a user."""

    async def __call__(self, user_id: str, patience: float) -> Sequence[Probed]:
        """What was found, on the servers that have answered."""
        ...


class Places:
    """Frees a place of a user: the connection heard from longest ago, of those that do not answer a probe.

    Args:
        probe: Asks all of a user's connections.
        replace: Ends one of them; whether it was there.
        most: Connections that a user may have.
        on_result: Told what came of each try: `replaced`, `answered` (all are alive), `unknown`, or `limited`.
        clock: Seconds that never go back.
    """

    def __init__(
        self,
        probe: Probe,
        replace: Callable[[str, str], Awaitable[bool]],
        most: int,
        on_result: Callable[[str], None] = lambda result: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._probe = probe
        self._replace = replace
        self._most = most
        self._on_result = on_result
        self._rates = MemoryRateStore(clock)
        self._under_way: set[str] = set()

    async def free(self, user_id: str) -> Room:
        """Free a place.

        Returns:
            `freed`: A connection has been ended. `full`: all are alive. `unknown`: that cannot be told now.
        """
        await asyncio.sleep(0)  # from here on in a task, where the caller was stepped (`tradecast.background.stepping`)
        if len(self._rates) > MANY:
            self._rates.cleanup()
        if user_id in self._under_way or self._rates.count(user_id, PER_MINUTE, MINUTE_MS) is not None:
            self._on_result("limited")
            return "unknown"
        self._under_way.add(user_id)
        try:
            found = await self._probe(user_id, PATIENCE)
            silent = sorted((one for one in found if not one.answers), key=lambda one: -one.silent_for)
            for one in silent:
                if await self._replace(user_id, one.connection_id):
                    self._on_result("replaced")
                    return "freed"
        finally:
            self._under_way.discard(user_id)
        alive = sum(one.answers for one in found)
        full = alive >= self._most
        self._on_result("answered" if full else "unknown")
        return "full" if full else "unknown"
