"""Emitters whose events a test reads."""

from __future__ import annotations

from typing import Any

from tradecast.events.emitters import Emitters


class EmittedList(Emitters):
    """Keeps what is emitted.

    Attributes:
        sent: Room, event and payload of each.
    """

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[tuple[str, str, Any]] = []

    async def emit_to_room(self, room: str, event: str, data: Any, /) -> None:
        """As of `Emitters`."""
        self.sent.append((room, event, data))
