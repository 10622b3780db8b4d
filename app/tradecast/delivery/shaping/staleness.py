"""Which symbols are stale: no quote has come for longer than their maximum age, while the market is open. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple


class Changes(NamedTuple):
    """What one sweep has found.

    Attributes:
        stale: Rooms that have become stale.
        live: Rooms that were stale, and have had a quote.
    """

    stale: Sequence[str]
    live: Sequence[str]

    def __bool__(self) -> bool:
        return bool(self.stale or self.live)


class _Feed(NamedTuple):
    max_age: float
    watched_since: float


class Staleness:
    """Judges the rooms of symbols by when this server received their quotes.

    No room becomes stale while the market is closed or its state is unknown, and the time until it opens does not
    count. A room that is stale stays so until a quote comes.

    Attributes:
        stale: The rooms that are stale, each with the time since which nothing has come.
    """

    def __init__(self) -> None:
        self.stale: dict[str, float] = {}
        self._received: dict[str, float] = {}
        self._feeds: dict[str, _Feed] = {}
        self._open_since: float | None = None

    @property
    def is_market_open(self) -> bool:
        """Whether the market is known to be open."""
        return self._open_since is not None

    @property
    def rooms(self) -> Iterable[str]:
        """The rooms that are watched."""
        return self._feeds.keys()

    def watch(self, room: str, max_age: float, now: float) -> None:
        """A room has a subscriber. Its age begins now, if it had none before.

        Args:
            room: Its name.
            max_age: Seconds after which it is stale.
            now: Seconds that never go back, as in all methods.
        """
        if room not in self._feeds:
            self._feeds[room] = _Feed(max_age, now)
            self._received[room] = now

    def forget(self, room: str) -> None:
        """A room has no subscriber any more."""
        if self._feeds.pop(room, None) is not None:
            del self._received[room]
            self.stale.pop(room, None)

    def receive(self, room: str, now: float) -> None:
        """A quote has come. This is called for every one, so nothing is decided here."""
        if room in self._received:
            self._received[room] = now

    def receive_retained(self, room: str, published: float) -> None:
        """The newest quote of before is known: if nothing has come since the first subscription, its age counts."""
        feed = self._feeds.get(room)
        if feed is not None and self._received[room] == feed.watched_since:
            self._received[room] = min(published, feed.watched_since)

    def received(self, room: str, now: float) -> float:
        """When the last quote came; now, if the room is not watched."""
        return self._received.get(room, now)

    def set_market(self, is_open: bool | None, now: float) -> None:
        """The market is open, closed, or (None) in a state that nobody knows."""
        if not is_open:
            self._open_since = None
        elif self._open_since is None:
            self._open_since = now

    def sweep(self, now: float) -> Changes:
        """Find what has changed since the sweep before."""
        received, stale = self._received, self.stale
        live = [room for room, since in stale.items() if received[room] > since]
        for room in live:
            del stale[room]
        found: list[str] = []
        begin = self._open_since
        if begin is not None:
            for room, feed in self._feeds.items():
                since = max(received[room], begin)
                if now - since > feed.max_age and room not in stale:
                    stale[room] = since
                    found.append(room)
        return Changes(found, live)
