"""How far a run is, and who is notified."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

Phase = Literal["connecting", "publishing", "draining", "closing"]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is.

    Attributes:
        phase: What it does now.
        seconds: Since it began.
        clients: How many were asked for.
        started: How many have begun to connect.
        connected: How many are connected now.
        published: Events so far.
        deliveries: Numbered events received so far.
    """

    phase: Phase
    seconds: float
    clients: int
    started: int
    connected: int
    published: int
    deliveries: int


class ProgressObserver(Protocol):
    """Whoever waits for a run."""

    def on_progress(self, progress: Progress) -> None:
        """About twice a second, and at each change of phase."""
        ...


class NullObserver:
    """Nobody waits."""

    def on_progress(self, progress: Progress) -> None:
        """Ignore it."""
