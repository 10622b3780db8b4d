"""What is declared of each event: whether every one counts, or the newest is enough, and what is kept of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from tradecast.delivery.envelope import COUNTED, Kind


@dataclass(frozen=True, slots=True)
class EventKind:
    """How events of one name are delivered.

    Attributes:
        kind: `COUNTED`, `LATEST` or `VOLATILE`, unless the emitter says another one.
        key: Of a `LATEST` event, the field of its payload that says what it is about; "": its room says that.
        recent: How many of the newest ones a room keeps, for those who subscribe later; 0: none.
        deltas: Whether a client may ask for what has changed, in place of the whole payload.
        window: Seconds that it may wait for others, so that they reach a client in one write; 0: it does not wait.
    """

    kind: Kind = COUNTED
    key: str = ""
    recent: int = 0
    deltas: bool = False
    window: float = 0.0


@dataclass(frozen=True, slots=True)
class Feed:
    """What the events of market data are called: `events.kinds` says it.

    Attributes:
        quote: The event with a symbol's quote.
        rooms: What the names of symbols' rooms begin with; the symbol follows.
        market: The event with the market's state, and the room it goes to.
        stale: The event that says that symbols are stale.
    """

    quote: str
    rooms: str
    market: str
    stale: str


class EventKinds(Protocol):
    """Knows what is declared of each event: `events.kinds`."""

    def describe(self, event: str, /) -> EventKind:
        """What is declared of an event; of one that nobody declared, that it counts."""
        ...

    def key_of(self, event: str, arguments: Sequence[Any], rooms: Sequence[str], /) -> str:
        """What a `LATEST` event is about, where its room does not say so; else ""."""
        ...

    def subject_of(self, event: str, room: str, key: str, /) -> str:
        """What an event is about, as patterns in settings say it: its key or its room's, else the event's name."""
        ...
