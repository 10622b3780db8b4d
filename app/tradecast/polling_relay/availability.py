"""Whether polling is offered, where the settings leave it to the server.

A polling client's requests come in at any server, so all of them must relay requests: a server of a version, or with
settings, that do not, would answer that it knows no such session. Each server reports in its heartbeat
(`cluster_rpc.heartbeats`) that it does. One of an older version reports nothing, but has an address all the same if it
relays requests.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Final, Literal, Protocol

import structlog

# Seconds between two checks for the log.
CHECK_EVERY: Final = 1.0
# The same while the server starts.
CHECK_EVERY_STARTING: Final = 0.1
# Seconds from the start in which a server counts as one that relays requests, though it does not serve the internal
# port yet, and in which nothing is logged: else polling would be off everywhere whenever a server starts.
STARTING: Final = 5.0
Reason = Literal["not_served", "redis_away", "other_servers"]
WHY: Final[dict[Reason, str]] = {
    "not_served": "the internal port is not served (embedded under ASGI: see `internal_listening`)",
    "redis_away": "Redis has not answered yet",
    "other_servers": "some servers do not relay requests: they are of an older version, or have TRANSPORTS=websocket",
}
log = structlog.stdlib.get_logger("tradecast.adapter")


class OwnRelay(Protocol):
    """What this server knows of its own relaying, and of who has an address."""

    @property
    def is_served(self) -> bool:
        """Whether the internal port is served."""
        ...

    @property
    def is_registered(self) -> bool:
        """Whether Redis has this server's address, or had it."""
        ...

    @property
    def other_boots(self) -> Collection[str]:
        """Boot ids of the other servers that have an address."""
        ...


class OtherServers(Protocol):
    """What the other servers report in their heartbeats."""

    @property
    def boots(self) -> Collection[str] | None:
        """Of each live one, its boot id if it relays requests, else ""; None: no heartbeat was received yet."""
        ...


class PollingAvailability:
    """Decides for each client, and logs changes.

    What is known of the others stays known while Redis is away, and so does the answer.

    Args:
        own: This server's relaying.
        others: The other live servers.
    """

    def __init__(self, own: OwnRelay, others: OtherServers) -> None:
        self._own = own
        self._others = others
        self._logged: Reason | Literal["none"] | None = None

    def is_offered(self) -> bool:
        """Whether a client may begin with polling now (`PollingPolicy`)."""
        return self.find_reason() is None

    def find_reason(self) -> Reason | None:
        """Why polling is not offered now; None: it is."""
        others = self._others.boots
        if not self._own.is_served:
            return "not_served"
        if others is None or not self._own.is_registered:
            return "redis_away"
        return "other_servers" if count_others_without(others, self._own.other_boots) else None

    async def run(self) -> None:
        """Log it, and when it changes, until cancelled."""
        for _ in range(round(STARTING / CHECK_EVERY_STARTING)):
            if self.find_reason() != "not_served":
                break
            await asyncio.sleep(CHECK_EVERY_STARTING)
        while True:
            self.log_change()
            await asyncio.sleep(CHECK_EVERY)

    def log_change(self) -> None:
        """Log it if it has changed."""
        reason = self.find_reason()
        if (now := reason or "none") == self._logged:
            return
        self._logged = now
        if reason is None:
            log.info("polling is offered")
        else:
            log.warning("polling is not offered: only websocket", why=WHY[reason], reason=reason)


def count_others_without(reported: Collection[str], registered: Collection[str]) -> int:
    """How many of the other live servers relay no requests.

    Args:
        reported: Of each, its boot id if it has reported that it relays requests, else "".
        registered: Boot ids of the servers that have an address.
    """
    silent = sum(1 for boot in reported if not boot)
    return max(0, silent - len(set(registered).difference(reported)))
