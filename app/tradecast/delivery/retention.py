"""How much of what was published is kept."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Retention:
    """What a client that comes back within the window can rely on. All times in seconds.

    Attributes:
        window: How long after its connection was lost a client may come back.
        dead_after: How long a dead connection may go unnoticed: PING_INTERVAL and PING_TIMEOUT.
        refresh: How often sessions are kept with the positions confirmed by heartbeats.
        events_per_room: Events that are kept of a room at least.
    """

    window: float
    dead_after: float
    refresh: float
    events_per_room: int

    @property
    def session_seconds(self) -> float:
        """How long a session stays after its last refresh."""
        return self.window + self.dead_after + 2 * self.refresh

    @property
    def seconds(self) -> float:
        """How long a room's events stay: a quiet client's confirmed position is a heartbeat and a refresh old."""
        return self.window + 2 * self.dead_after + 4 * self.refresh
