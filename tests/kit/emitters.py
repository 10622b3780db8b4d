"""Emitters whose events a test reads."""

from __future__ import annotations

from typing import Any

from tradecast.delivery.event_kinds import KindName
from tradecast.events.emitters import Emitters


class EmittedList(Emitters):
    """Keeps what is emitted.

    Attributes:
        sent: Room, event and payload of each.
        kinds: The kind that was said of each.
    """

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[tuple[str, str, Any]] = []
        self.kinds: list[KindName | None] = []

    async def emit_to_room(self, room: str, event: str, data: Any, /, *, kind: KindName | None = None) -> None:
        """As of `Emitters`."""
        self.kinds.append(kind)
        self.sent.append((room, event, data))
