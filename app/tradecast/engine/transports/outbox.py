"""What waits for one client whose link takes no more: in order, or only the newest of each key."""

from __future__ import annotations

import sys
from collections import OrderedDict, deque
from collections.abc import Collection, Hashable
from typing import Literal

from tradecast.engine.message import Message

Outcome = Literal["queued", "replaced", "dropped"]
"""What became of a message: it waits, it waits in place of an older one, or it is gone since it was volatile."""


class Outbox:
    """Messages that wait for one client, which is too slow for them.

    Those without a key stay in order, and go first; what waits of a key that such a one follows (`Message.follows`)
    goes right before it. Of each key only the newest message waits (conflation); it takes the place of the one that it
    replaces, so a key is served again only after all that were waiting. Messages are shared by all of their recipients,
    so nothing is written on them.

    An outbox exists only as long as something waits.

    Attributes:
        size: Bytes of all that waits, without what a transport adds.
        has_moved: Whether the client's link has taken anything of what waited here.
    """

    __slots__ = ("_latest", "_ordered", "has_moved", "size")

    def __init__(self) -> None:
        # With the time at which each was put here.
        self._ordered: deque[tuple[Message, float]] = deque()
        # In the order in which the keys came; a new value does not move its key.
        # Its first entry is found at once, however many were taken; a dict would look through their places.
        self._latest: OrderedDict[Hashable, Message] = OrderedDict()
        self.size = 0
        self.has_moved = False

    def __len__(self) -> int:
        """Messages that wait."""
        return len(self._ordered) + len(self._latest)

    @property
    def oldest(self) -> float | None:
        """When the oldest of the messages that stay in order was put here; None if none waits."""
        return self._ordered[0][1] if self._ordered else None

    def growth(self, message: Message) -> int | None:
        """By how many bytes a message is larger than the one whose place it would take; None: it would take none."""
        older = None if message.key is None else self._latest.get(message.key)
        return None if older is None else (message.whole or message).size - older.size

    def put(self, message: Message, now: float, free: int = 0) -> Outcome:
        """Let a message wait, in its form that is of use alone; what became of it.

        Args:
            message: The newest one.
            now: Seconds of a clock that never goes back.
            free: Bytes up to which every message waits in order and in its own form, as if it were sent.
        """
        if self.size < free and not self._latest:
            self._ordered.append((message, now))
            self.size += message.size
            return "queued"
        if message.whole is not None:
            message = message.whole
        key = message.key
        if key is None:
            if message.is_volatile:
                return "dropped"
            if self._latest and message.follows:
                for older_key in message.follows:
                    if (followed := self._latest.pop(older_key, None)) is not None:
                        self._ordered.append((followed, now))
            self._ordered.append((message, now))
        else:
            older = self._latest.get(key)
            self._latest[key] = message
            if older is not None:
                self.size += message.size - older.size
                return "replaced"
        self.size += message.size
        return "queued"

    def take(self, size: int, packets: int = sys.maxsize) -> list[Message]:
        """The next messages, one at least, and further ones as long as all are within bounds; none if none wait.

        Those that stay in order come first.

        Args:
            size: Bytes of all.
            packets: How many packets they are.
        """
        self.has_moved = True
        taken: list[Message] = []
        room = size
        while len(self):
            message = self._ordered[0][0] if self._ordered else next(iter(self._latest.values()))
            room -= message.size
            packets -= message.packet_count
            if taken and (room < 0 or packets < 0):
                break
            if self._ordered:
                self._ordered.popleft()
            else:
                self._latest.popitem(last=False)
            self.size -= message.size
            taken.append(message)
        return taken

    def take_all(self) -> list[Message]:
        """All that waits."""
        taken = [*(message for message, _ in self._ordered), *self._latest.values()]
        self._ordered.clear()
        self._latest.clear()
        self.size = 0
        return taken

    def discard(self, left: Collection[str], still_in: Collection[str]) -> int:
        """Drop what a client must not get any more, since it has left rooms; how many messages that were.

        A message stays if it was sent to no room, or to one that the client is still in.

        Args:
            left: The rooms that it has left.
            still_in: The rooms that it is in.
        """
        before = len(self)
        ordered = [one for one in self._ordered if not _is_for(one[0], left, still_in)]
        if len(ordered) < len(self._ordered):
            self._ordered = deque(ordered)
        for key in [key for key, message in self._latest.items() if _is_for(message, left, still_in)]:
            del self._latest[key]
        dropped = before - len(self)
        if dropped:
            self.size = sum(message.size for message, _ in self._ordered)
            self.size += sum(message.size for message in self._latest.values())
        return dropped


def _is_for(message: Message, left: Collection[str], still_in: Collection[str]) -> bool:
    """Whether a message was for those who left these rooms only."""
    rooms = message.rooms
    return any(room in left for room in rooms) and not any(room in still_in for room in rooms)
