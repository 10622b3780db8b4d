"""What is declared of each event: whether every one counts, or the newest is enough, and what is kept of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol

from tradecast.delivery.envelope import COUNTED, LATEST, VOLATILE, Kind

KindName = Literal["counted", "latest", "volatile"]
"""As emitters and `POST /api/emit` say it."""
NAMES: Final[Mapping[KindName, Kind]] = {"counted": COUNTED, "latest": LATEST, "volatile": VOLATILE}


@dataclass(frozen=True, slots=True)
class EventKind:
    """How events of one name are delivered.

    Attributes:
        kind: `COUNTED`, `LATEST` or `VOLATILE`, unless the emitter says another one.
        alternatives: Which others an emitter may say.
        key: Of a `LATEST` event, the field of its payload that says what it is about; "": its room says that.
        recent: How many of the newest ones a room keeps, for those who subscribe later; 0: none.
        deltas: Whether a client may ask for what has changed, in place of the whole payload.
        window: Seconds that it may wait for others, so that they reach a client in one write; 0: it does not wait.
    """

    kind: Kind = COUNTED
    alternatives: Collection[Kind] = ()
    key: str = ""
    recent: int = 0
    deltas: bool = False
    window: float = 0.0


@dataclass(frozen=True, slots=True)
class Feed:
    """The names of market data events; `events.kinds` defines them.

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


def choose_kind(event: str, declared: EventKind, said: KindName | None) -> Kind | None:
    """Validate the kind that an emitter chose for an event; None if it chose none.

    Args:
        event: The event's name.
        declared: What is declared of it.
        said: What the emitter says.

    Raises:
        ValueError: That is no kind, or not one that this event may have.
    """
    if said is None:
        return None
    kind = next((kind for name, kind in NAMES.items() if name == said), None)  # whatever was said, it may be no key
    if kind is None:
        raise ValueError(f"kind is one of {', '.join(NAMES)}")
    if kind != declared.kind and kind not in declared.alternatives:
        allowed = [name for name, one in NAMES.items() if one == declared.kind or one in declared.alternatives]
        raise ValueError(f"kind of {event} is {' or '.join(allowed)}, and not {said}")
    return kind


class EventKinds(Protocol):
    """Knows what is declared of each event: `events.kinds`."""

    def describe_event(self, event: str, /) -> EventKind:
        """How events of this name are delivered; an event that is not declared is durable."""
        ...

    def key_of(self, event: str, arguments: Sequence[Any], rooms: Sequence[str], /) -> str:
        """The key of a `LATEST` event whose room does not identify its subject; else ""."""
        ...

    def subject_of(self, event: str, room: str, key: str, /) -> str:
        """What an event is about, as patterns in settings say it: its key or its room's, else the event's name."""
        ...
