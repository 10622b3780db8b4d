"""Stores the recovery states of this server's clients, for as long as they are connected."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine, Iterator, Sequence
from typing import Any, Protocol

from tradecast.background.stepping import Done, step_coroutine
from tradecast.background.tasks import TaskSet
from tradecast.delivery.broker import Broker, RecoveryState
from tradecast.delivery.clients.client import Client
from tradecast.delivery.clients.table import ClientTable
from tradecast.delivery.errors import AdapterUnavailable

REFRESHED_AT_ONCE = 500
LAST_UPDATES = 2.0


class ClaimListener(Protocol):
    """Ends the connection of a client whose recovery state another server has claimed: the hub."""

    def on_claimed_elsewhere(self, sid: str, client: Client) -> None:
        """The recovery state has been claimed by another server."""
        ...


class StateKeeper:
    """Refreshes, saves and deletes recovery states.

    Attributes:
        tasks: Updates under way.

    Args:
        broker: Stores them.
        clients: Whose they are.
        listener: Learns which of them another server has claimed.
        refresh: Seconds between refreshes.
    """

    def __init__(self, broker: Broker, clients: ClientTable, listener: ClaimListener, refresh: float) -> None:
        self._broker = broker
        self._clients = clients
        self._listener = listener
        self._refresh = refresh
        self.tasks = TaskSet()

    async def close(self) -> None:
        """Wait a moment for the last updates of recovery states to be stored."""
        await self.tasks.wait(LAST_UPDATES)
        await self.tasks.close()

    async def run(self) -> None:
        """Refresh them until the task is cancelled."""
        while True:
            await asyncio.sleep(self._refresh)
            stored = [(sid, client) for sid, client in self._clients.by_sid.items() if client.stored]
            for some in _split_chunks(stored, REFRESHED_AT_ONCE):
                with contextlib.suppress(AdapterUnavailable):  # in the next round
                    await self.touch([pair for pair in some if not pair[1].dirty])
            await self.save_dirty()

    async def touch(self, some: Sequence[tuple[str, Client]]) -> None:
        """Extend the TTL of some of them. Raises AdapterUnavailable."""
        done = await self._broker.touch([client.session for _, client in some])
        for (sid, client), is_ours in zip(some, done, strict=True):
            if not is_ours and client.stored and self._clients.by_sid.get(sid) is client:
                self._listener.on_claimed_elsewhere(sid, client)

    async def save_dirty(self) -> None:
        """Save the states that have changed since they were stored."""
        for sid, client in list(self._clients.by_sid.items()):
            if not (client.dirty and client.stored) or self._clients.by_sid.get(sid) is not client:
                continue
            with contextlib.suppress(AdapterUnavailable):
                client.dirty = False
                if not await self._broker.save(client.session):
                    self._listener.on_claimed_elsewhere(sid, client)
                continue
            client.dirty = True

    async def drop(self, session: RecoveryState) -> None:
        """Delete a state; if the broker cannot be reached, the state expires later."""
        with contextlib.suppress(AdapterUnavailable):
            await self._broker.drop(session)

    def drop_later(self, session: RecoveryState) -> None:
        """Delete a state in the background."""
        self.tasks.spawn(self.drop(session))

    def finish(self, client: Client, *, final: bool) -> None:
        """Delete or store the state of a client that has left; at once if the broker is local.

        Args:
            client: The client.
            final: Whether it cannot recover.
        """
        work: Coroutine[Any, Any, None] = self.drop(client.session) if final else self._store_last(client)
        stepped = step_coroutine(work) if self._broker.is_local else work
        if not isinstance(stepped, Done):
            self.tasks.spawn(stepped)

    async def _store_last(self, client: Client) -> None:
        with contextlib.suppress(AdapterUnavailable):
            if client.dirty:
                await self._broker.save(client.session)
            else:
                await self._broker.touch([client.session])


def _split_chunks(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
