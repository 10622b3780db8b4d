"""Whether polling is offered, where the settings leave it to the server.

A polling client's requests come in at any server. So all of them must pass requests on: those of a version, or with
settings, that do not would answer that they know no such session. A server tells the others with each beat
(`adapter.cluster.servers`) that it does. One of an older version does not tell, but has an entry in the directory all
the same if it passes requests on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from typing import Final, Literal, Protocol

import structlog

# Seconds between looks for the log.
LOOK_EVERY: Final = 1.0
# The same while the server starts.
GLANCE: Final = 0.1
# Seconds from the start in which a server counts as one that passes requests on, though it does not serve the internal
# port yet, and in which the log says nothing: else polling would be off everywhere whenever a server starts.
STARTING: Final = 5.0
Reason = Literal["not_served", "redis_away", "other_servers"]
WHY: Final[dict[Reason, str]] = {
    "not_served": "the internal port is not served (embedded under ASGI: see `internal_listening`)",
    "redis_away": "Redis has not answered yet",
    "other_servers": "there are servers that pass no requests on: of an older version, or with TRANSPORTS=websocket",
}
log = structlog.stdlib.get_logger("tradecast.adapter")


def count_others_without(told: Collection[str], known: Collection[str]) -> int:
    """How many of the other live servers pass no requests on.

    Args:
        told: What each has told: its boot id if it passes requests on, else "".
        known: Boot ids in the directory.
    """
    silent = sum(1 for boot in told if not boot)
    return max(0, silent - len(set(known).difference(told)))


class Own(Protocol):
    """What this server knows of itself and of the directory."""

    @property
    def served(self) -> bool:
        """Whether the internal port is served."""
        ...

    @property
    def told(self) -> bool:
        """Whether Redis has this server's address, or had it."""
        ...

    @property
    def known(self) -> Collection[str]:
        """Boot ids of the other servers in the directory."""
        ...


class Offer:
    """Decides it anew for each client, and logs what has changed.

    What is known of the others stays known while Redis is away, and so does the answer.

    Args:
        own: This server's forwarding.
        others: What each other live server has told: its boot id, or ""; None: Redis has not been heard yet.
    """

    def __init__(self, own: Own, others: Callable[[], Collection[str] | None]) -> None:
        self._own = own
        self._others = others
        self._logged: Reason | Literal["none"] | None = None

    def find_reason(self) -> Reason | None:
        """Why polling is not offered now; None: it is."""
        others = self._others()
        if not self._own.served:
            return "not_served"
        if others is None or not self._own.told:
            return "redis_away"
        return "other_servers" if count_others_without(others, self._own.known) else None

    async def run(self) -> None:
        """Log it, and when it changes, until cancelled."""
        for _ in range(round(STARTING / GLANCE)):
            if self.find_reason() != "not_served":
                break
            await asyncio.sleep(GLANCE)
        while True:
            self.note()
            await asyncio.sleep(LOOK_EVERY)

    def note(self) -> None:
        """Log it if it has changed."""
        reason = self.find_reason()
        if (now := reason or "none") == self._logged:
            return
        self._logged = now
        if reason is None:
            log.info("polling is offered")
        else:
            log.warning("polling is not offered: only websocket", why=WHY[reason], reason=reason)
