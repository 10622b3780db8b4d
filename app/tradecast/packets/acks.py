"""Acknowledgements that clients of this server are asked for."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Collection
from typing import Any

from tradecast.packets.json_values import pack_read

# Above the ids that python-socketio gives for its own callbacks, and within 31 bits: some clients take no more.
FIRST = 2**30
LAST = 2**31 - 1
MAX_ANSWER = 16_384
MAX_ANSWERS = 32_000_000


class Asked:
    """One event that asks several clients for an acknowledgement.

    Attributes:
        ack_id: The packet's.
        waiting: Clients (sids) that have not answered.
        silent: Clients that went without an answer.
        refused: Clients whose answers are too large, or cannot be passed on.
        answers: Of the others, each packed (a list of arguments).
        done: Set when nobody is waited for.
    """

    def __init__(self, ack_id: int, sids: Collection[str]) -> None:
        self.ack_id = ack_id
        self.waiting = set(sids)
        self.silent: list[str] = []
        self.refused: list[str] = []
        self.answers: dict[str, bytes] = {}
        self.done = asyncio.Event()
        self._room = MAX_ANSWERS
        self._check_done()

    def take(self, sid: str, arguments: list[Any]) -> None:
        """A client has answered; only its first answer counts."""
        if sid not in self.waiting:
            return
        self.waiting.discard(sid)
        try:
            packed = pack_read(arguments)
        except TypeError:
            packed = b""
        if not packed or len(packed) > min(MAX_ANSWER, self._room):
            self.refused.append(sid)
        else:
            self._room -= len(packed)
            self.answers[sid] = packed
        self._check_done()

    def forget(self, sid: str) -> None:
        """A client is gone."""
        if sid in self.waiting:
            self.waiting.discard(sid)
            self.silent.append(sid)
            self._check_done()

    def end(self) -> None:
        """Who has not answered by now does not."""
        self.silent += sorted(self.waiting)
        self.waiting.clear()

    def _check_done(self) -> None:
        if not self.waiting:
            self.done.set()


class Acknowledgements:
    """All that are under way."""

    def __init__(self) -> None:
        self._numbers = itertools.cycle(range(FIRST, LAST))
        self._asked: dict[int, Asked] = {}

    def __len__(self) -> int:
        """How many events wait for answers."""
        return len(self._asked)

    def open(self, sids: Collection[str]) -> Asked:
        """Expect answers of these clients."""
        asked = Asked(next(self._numbers), sids)
        self._asked[asked.ack_id] = asked
        return asked

    def close(self, asked: Asked) -> None:
        """Expect none any more."""
        asked.end()
        self._asked.pop(asked.ack_id, None)

    def waits_for(self, sid: str, ack_id: Any) -> bool:
        """Whether this client is asked for this acknowledgement, and has not given it."""
        asked = self._asked.get(ack_id)
        return asked is not None and sid in asked.waiting

    def take(self, sid: str, ack_id: Any, arguments: Any) -> bool:
        """A client acknowledges something; False if it is nothing of ours.

        Raises:
            ValueError: It is no acknowledgement.
        """
        if not isinstance(ack_id, int) or ack_id < FIRST:
            return False
        if not isinstance(arguments, list):
            raise ValueError("not an acknowledgement")
        asked = self._asked.get(ack_id)
        if asked is not None:  # else it comes too late, or was made up
            asked.take(sid, arguments)
        return True

    def forget(self, sid: str) -> None:
        """A client is gone."""
        for asked in self._asked.values():
            asked.forget(sid)
