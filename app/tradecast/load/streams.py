"""The streams of numbered events: what is published, who asked for it, and what is in an event."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, get_args

EventKind = Literal["watchlist:quote", "trade:executed", "portfolio:update", "notification"]
KINDS: tuple[EventKind, ...] = get_args(EventKind)

BODY: dict[EventKind, str] = {
    "watchlist:quote": "quote",
    "trade:executed": "trade",
    "portfolio:update": "portfolio",
    "notification": "notification",
}
"""The key of the payload that holds the publisher's object."""


LATEST_WINS: frozenset[EventKind] = frozenset({"watchlist:quote"})
"""Of these streams, a client that reconnects gets the newest event only."""

_KIND: dict[str, EventKind] = {kind: kind for kind in KINDS}


class Stream(NamedTuple):
    """Events of one kind for one key: a symbol, or a user's id."""

    kind: EventKind
    key: str


def stream_of(event: str, payload: Any) -> tuple[Stream, Mapping[str, Any]] | None:
    """The stream that a received event belongs to, and the publisher's object in it; None if it is of no stream."""
    kind = _KIND.get(event)
    if kind is None or not isinstance(payload, dict):
        return None
    body = payload.get(BODY[kind])
    key = payload.get("symbol" if kind == "watchlist:quote" else "userId")
    if not isinstance(body, dict) or not isinstance(key, str):
        return None
    return Stream(kind, key), body


@dataclass(frozen=True, slots=True)
class Planned:
    """One event to publish."""

    stream: Stream
    seq: int

    def body(self, run: str, sent_at: float) -> dict[str, Any]:
        """The event as `POST /api/emit` accepts it. `sent_at` is Unix time in milliseconds."""
        inner: dict[str, Any] = {"seq": self.seq, "sentAt": sent_at, "run": run}
        key = "symbol" if self.stream.kind == "watchlist:quote" else "userId"
        return {"event": self.stream.kind, key: self.stream.key, BODY[self.stream.kind]: inner}


class Plan:
    """Which event is published next.

    The kinds follow their weights evenly (not by chance), the streams of a kind take turns, and each stream counts
    from 1.
    """

    def __init__(self, streams: Sequence[Stream], mix: Mapping[EventKind, float]) -> None:
        by_kind = {kind: [stream for stream in streams if stream.kind == kind] for kind in KINDS}
        self._weights = {kind: mix.get(kind, 0.0) for kind in KINDS if by_kind[kind] and mix.get(kind, 0.0) > 0}
        self._turns: dict[EventKind, Iterator[Stream]] = {
            kind: itertools.cycle(by_kind[kind]) for kind in self._weights
        }
        self._credit: dict[EventKind, float] = dict.fromkeys(self._weights, 0.0)
        self.last: dict[Stream, int] = {}

    @property
    def empty(self) -> bool:
        """Whether there is nothing to publish."""
        return not self._weights

    def next(self) -> Planned:
        """The next event. Raises ValueError if the plan is empty."""
        if self.empty:
            raise ValueError("nothing to publish")
        for kind, weight in self._weights.items():
            self._credit[kind] += weight
        kind = max(self._credit, key=lambda candidate: self._credit[candidate])
        self._credit[kind] -= sum(self._weights.values())
        stream = next(self._turns[kind])
        seq = self.last.get(stream, 0) + 1
        self.last[stream] = seq
        return Planned(stream, seq)
