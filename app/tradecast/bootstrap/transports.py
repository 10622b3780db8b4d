"""The transports of a server, its own and those that it relays, for the drain and the handshake gate."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from tradecast.engine.server import EngineServer
from tradecast.gateway.server import SocketServer
from tradecast.polling_relay.relay_service import RelayService


class ServerTransports:
    """All transports that end with this server (`OpenTransports`).

    Args:
        engine: Has the server's own.
        relay: Relays WebSockets to other servers; None: there is none.
    """

    def __init__(self, engine: EngineServer, relay: RelayService | None) -> None:
        self._engine = engine
        self._relay = relay

    def connections(self) -> Collection[str]:
        """See `OpenTransports`."""
        # Relayed WebSockets end with this server too: all at once, if they were not closed with the others.
        relays = self._relays()
        return {*self._engine.sockets, *relays} if relays else self._engine.sockets

    def count(self) -> int:
        """See `OpenTransports`."""
        return len(self._engine.sockets) + len(self._relays())

    def close_transport(self, connection: str) -> None:
        """See `OpenTransports`."""
        if self._relay is None or not self._relay.close_relay(connection):
            self._engine.close_transport(connection)

    def _relays(self) -> Collection[str]:
        return () if self._relay is None else self._relay.relays


class ServerCapacity:
    """Bounds the connections of a server (`Capacity`).

    Args:
        server: Has them.
        most: How many there may be.
    """

    def __init__(self, server: SocketServer[Any], most: int) -> None:
        self._server = server
        self._most = most

    def is_full(self) -> bool:
        """See `Capacity`."""
        return self._server.eio.count >= self._most and not self._server.transport_table.make_room()
