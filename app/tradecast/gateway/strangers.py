"""Transports that belong to no namespace: not yet, not any more, or because they were refused."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Final, Protocol

# Seconds that a transport is given to send CONNECT before it may be closed for somebody else.
GRACE: Final = 5.0
# Seconds in which a refusal reaches its client.
LAST_WORDS: Final = 1.0


class Late(Protocol):
    """Told of a transport whose time is over."""

    def __call__(self, eio_sid: str, /) -> None: ...


class Strangers:
    """Transports without a namespace. Each has the same time to join one; when the server is full, some go earlier.

    Refused clients are left here, as in Node, and not closed at once: socket.io-client 3.x and 4.0 to 4.3 take that for
    a lost connection, and would be back every second or two, for ever.

    Args:
        seconds: How long a transport may stay. They fall due in the order in which they came: one timer is enough.
        on_late: Called with each one that was not removed in time.
    """

    __slots__ = ("_on_late", "_refused", "_seconds", "_silent", "_timer", "_until")

    def __init__(self, seconds: float, on_late: Late) -> None:
        self._seconds = seconds
        self._on_late = on_late
        # All, oldest first, with the end of their time.
        self._until: dict[str, float] = {}
        # Those that have not sent CONNECT, and those that were refused, oldest first, with the time of it.
        self._silent: dict[str, float] = {}
        self._refused: dict[str, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._until)

    def add(self, eio_sid: str) -> None:
        """Its time begins, anew if it had begun."""
        self.remove(eio_sid)
        loop = asyncio.get_running_loop()
        now = loop.time()
        self._until[eio_sid] = now + self._seconds
        self._silent[eio_sid] = now
        if self._timer is None:
            self._timer = loop.call_later(self._seconds, self._look)

    def ask(self, eio_sid: str) -> None:
        """It has sent CONNECT: as long as that is decided about, it is not closed for somebody else."""
        self._silent.pop(eio_sid, None)
        self._refused.pop(eio_sid, None)

    def refuse(self, eio_sid: str) -> None:
        """It was refused. It may ask again, and its time goes on."""
        if eio_sid in self._until:
            self._refused[eio_sid] = asyncio.get_running_loop().time()

    def remove(self, eio_sid: str) -> None:
        """It has joined a namespace, or is gone."""
        if self._until.pop(eio_sid, None) is not None:
            self._silent.pop(eio_sid, None)
            self._refused.pop(eio_sid, None)

    def take_oldest_of(self, eio_sids: Collection[str]) -> str | None:
        """As `take_oldest`, of some transports, which are given oldest first."""
        now = asyncio.get_running_loop().time()
        for some, seconds in ((self._refused, LAST_WORDS), (self._silent, GRACE)):
            for eio_sid in eio_sids:
                since = some.get(eio_sid)
                if since is not None and since + seconds <= now:
                    self.remove(eio_sid)
                    return eio_sid
        return None

    def take_oldest(self) -> str | None:
        """One that may be closed for somebody else, which is forgotten; None if there is none."""
        now = asyncio.get_running_loop().time()
        for some, seconds in ((self._refused, LAST_WORDS), (self._silent, GRACE)):
            eio_sid = next(iter(some), None)
            if eio_sid is not None and some[eio_sid] + seconds <= now:
                self.remove(eio_sid)
                return eio_sid
        return None

    def close(self) -> None:
        """Call nobody any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = None
        now = loop.time()
        late = []
        for eio_sid, until in self._until.items():
            if until > now:
                self._timer = loop.call_at(until, self._look)
                break
            late.append(eio_sid)
        for eio_sid in late:
            self.remove(eio_sid)
        for eio_sid in late:
            self._on_late(eio_sid)
