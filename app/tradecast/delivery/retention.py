"""How much of what was published is kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

# Of a room: keys of latest events, and counted events.
MAX_KEYS = 1_000
MAX_RECENT = 20


@dataclass(frozen=True, slots=True)
class RetainLimits:
    """How much stays for those who subscribe later, after recovery needs it no more.

    Attributes:
        seconds: How long a value stays after it was published; 0: nothing stays.
        value_bytes: The largest value that stays.
        budget_bytes: What all of it may take, in all partitions; the oldest goes first.
        recent: The counted events that stay, each with how many of the newest.
    """

    seconds: float = 0
    value_bytes: int = 16_384
    budget_bytes: int = 268_435_456
    recent: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def most_recent(self) -> int:
        """How many counted events of a room stay."""
        return min(MAX_RECENT, max(self.recent.values(), default=0))


NOT_RETAINED = RetainLimits()


@dataclass(frozen=True, slots=True)
class Retention:
    """How much history is kept for clients that reconnect within the window. All times are in seconds.

    Attributes:
        window: Seconds after the loss of its connection within which a client can recover.
        dead_after: How long a dead connection may go unnoticed: PING_INTERVAL and PING_TIMEOUT.
        refresh: How often sessions are kept with the positions confirmed by heartbeats.
        events_per_room: Events that are kept of a room at least.
        retain: What stays for those who subscribe later.
    """

    window: float
    dead_after: float
    refresh: float
    events_per_room: int
    retain: RetainLimits = NOT_RETAINED

    @property
    def session_seconds(self) -> float:
        """How long a session stays after its last refresh."""
        return self.window + self.dead_after + 2 * self.refresh

    @property
    def seconds(self) -> float:
        """How long a room's events stay: a quiet client's confirmed position is a heartbeat and a refresh old."""
        return self.window + 2 * self.dead_after + 4 * self.refresh
