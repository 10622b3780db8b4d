"""This server's position in the history of one partition, and that history's epoch."""

from __future__ import annotations

import secrets
from collections.abc import Mapping


class PartitionCursor:
    """Position and epoch of a partition, as far as this server knows them.

    Attributes:
        epoch: The epoch of the history; None until Redis has answered.
        lineage: Earlier epochs, each with the id up to which the present history still has it.
        position: Up to which id all events for this server have been delivered.
        floor: The last id that this server has published.
        unread_epoch: An epoch in which something was published, and of which nothing was read yet.
        has_gap: Whether an epoch was lost before anything of it was read: then events are missing.
    """

    def __init__(self) -> None:
        self.epoch: str | None = None
        self.lineage: Mapping[str, int] = {}
        self.position = 0
        self.floor = 0
        self.unread_epoch: str | None = None
        self.has_gap = False

    def script_arguments(self, instance: str) -> tuple[str, int, str]:
        """The first arguments of scripts: an epoch, in case a new one must start; the last known id; the instance."""
        return secrets.token_hex(4), max(self.floor, self.position), instance

    def advance(self, event_id: int) -> None:
        """All events up to this id have been delivered."""
        self.position = max(self.position, event_id)

    def enter_epoch(self, epoch: str, lineage: str, since: int) -> int | None:
        """Apply Redis' current epoch.

        Args:
            epoch: Its name.
            lineage: The earlier ones as Redis has them: `epoch:id …`.
            since: The first id of all.

        Returns:
            The id up to which the history is still the one that was known here; None if nothing has changed, or
            nothing was known.
        """
        if self.epoch == epoch:
            return None
        known, self.epoch = self.epoch, epoch
        pairs = (one.partition(":") for one in lineage.split())
        self.lineage = {name: int(top) for name, _, top in pairs if top.isascii() and top.isdigit()}
        if known is None:
            return None
        top = self.lineage.get(known)
        if top is None:
            top = since
            unread = self.unread_epoch
            self.has_gap |= unread is not None and unread != epoch and unread not in self.lineage
            self.unread_epoch = epoch
        # What came after that was taken by an instance that is in charge no more, and is not in the history.
        self.position = min(self.position, top) if known in self.lineage else top
        return top

    def gap_is_repaired(self) -> None:
        """Note that everything that can be read has been read."""
        self.unread_epoch, self.has_gap = None, False
