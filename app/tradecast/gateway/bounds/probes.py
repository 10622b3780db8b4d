"""Finds out which transports still have a client at the other end."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping

from tradecast.engine.connection import Connection


class Probes:
    """Sends heartbeats out of turn, and waits for their answers.

    Args:
        sockets: The connections by their sids.
    """

    def __init__(self, sockets: Mapping[str, Connection]) -> None:
        self._sockets = sockets
        self._waiting: dict[str, asyncio.Future[None]] = {}

    def answered(self, eio_sid: str) -> None:
        """A client has answered a heartbeat."""
        if self._waiting and (waiter := self._waiting.get(eio_sid)) is not None and not waiter.done():
            waiter.set_result(None)

    async def find_silent(self, eio_sids: Collection[str], patience: float) -> list[str]:
        """Find the transports that do not answer within `patience` seconds, and are still open."""
        waiters: dict[str, asyncio.Future[None]] = {}
        for eio_sid in eio_sids:
            connection = self._sockets.get(eio_sid)
            if connection is None or not connection.probe():
                continue
            waiters[eio_sid] = self._waiting.setdefault(eio_sid, asyncio.get_running_loop().create_future())
        if waiters:
            await asyncio.wait(waiters.values(), timeout=patience)
        for eio_sid, waiter in waiters.items():
            if self._waiting.get(eio_sid) is waiter:
                del self._waiting[eio_sid]
        return [one for one, waiter in waiters.items() if not waiter.done() and one in self._sockets]
