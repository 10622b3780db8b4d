"""Transports that are connected to no namespace: not yet, no longer, or because their client was refused."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Final, Protocol

# Seconds that a transport is given to send CONNECT before it may be closed for somebody else.
GRACE: Final = 5.0
# Seconds in which a refusal reaches its client.
REFUSAL_TIME: Final = 1.0


class TransportCloser(Protocol):
    """Closes transports."""

    def close_transport(self, eio_sid: str, /) -> None:
        """Close one whose time has expired; nothing happens if it is gone."""
        ...


class UnconnectedTransports:
    """Transports without a namespace. Each has the same time to connect to one; a full server closes some earlier.

    Refused clients stay here, as in Node, and are not closed at once: socket.io-client 3.x and 4.0 to 4.3 take that for
    a lost connection, and would reconnect every second or two, for ever.

    Args:
        seconds: How long a transport may stay. They expire in the order in which they came: one timer is enough.
        closer: Closes each one that was not removed in time.
    """

    __slots__ = ("_closer", "_refused", "_seconds", "_silent", "_timer", "_until")

    def __init__(self, seconds: float, closer: TransportCloser) -> None:
        self._seconds = seconds
        self._closer = closer
        # All, oldest first, with the end of their time.
        self._until: dict[str, float] = {}
        # Those that have not sent CONNECT, and those that were refused, oldest first, with the time of it.
        self._silent: dict[str, float] = {}
        self._refused: dict[str, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._until)

    def add(self, eio_sid: str) -> None:
        """Its time starts, or starts again."""
        self.remove(eio_sid)
        loop = asyncio.get_running_loop()
        now = loop.time()
        self._until[eio_sid] = now + self._seconds
        self._silent[eio_sid] = now
        if self._timer is None:
            self._timer = loop.call_later(self._seconds, self._close_expired)

    def connect_received(self, eio_sid: str) -> None:
        """A transport has sent CONNECT: it must not be closed until that is decided."""
        self._silent.pop(eio_sid, None)
        self._refused.pop(eio_sid, None)

    def refuse(self, eio_sid: str) -> None:
        """The client of a transport was refused. It may send CONNECT again; its deadline stays."""
        if eio_sid in self._until:
            self._refused[eio_sid] = asyncio.get_running_loop().time()

    def remove(self, eio_sid: str) -> None:
        """A transport is connected to a namespace, or closed."""
        if self._until.pop(eio_sid, None) is not None:
            self._silent.pop(eio_sid, None)
            self._refused.pop(eio_sid, None)

    def take_oldest_of(self, eio_sids: Collection[str]) -> str | None:
        """As `take_oldest`, of some transports, which are given oldest first."""
        now = asyncio.get_running_loop().time()
        for some, seconds in ((self._refused, REFUSAL_TIME), (self._silent, GRACE)):
            for eio_sid in eio_sids:
                since = some.get(eio_sid)
                if since is not None and since + seconds <= now:
                    self.remove(eio_sid)
                    return eio_sid
        return None

    def take_oldest(self) -> str | None:
        """Remove one that may be closed for somebody else, and return it; None if there is none."""
        now = asyncio.get_running_loop().time()
        for some, seconds in ((self._refused, REFUSAL_TIME), (self._silent, GRACE)):
            eio_sid = next(iter(some), None)
            if eio_sid is not None and some[eio_sid] + seconds <= now:
                self.remove(eio_sid)
                return eio_sid
        return None

    def close(self) -> None:
        """Stop the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _close_expired(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = None
        now = loop.time()
        late = []
        for eio_sid, until in self._until.items():
            if until > now:
                self._timer = loop.call_at(until, self._close_expired)
                break
            late.append(eio_sid)
        for eio_sid in late:
            self.remove(eio_sid)
        for eio_sid in late:
            self._closer.close_transport(eio_sid)
