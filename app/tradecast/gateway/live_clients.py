"""What requests to all servers need to know of the clients here, and may do with them."""

from __future__ import annotations

import structlog

from tradecast.cluster_rpc.local_clients import Described
from tradecast.connections.registry import ConnectionRegistry
from tradecast.engine.server import EngineServer
from tradecast.gateway.transport_table import TransportTable
from tradecast.packets.room_names import NAMESPACE
from tradecast.packets.rooms import LocalManager
from tradecast.user_id import format_user_id

log = structlog.stdlib.get_logger("tradecast.server")


class LiveClients:
    """The clients that are connected here.

    Args:
        registry: Their connections.
        manager: Has their transports.
        engine: Has the transports.
        transports: Ends those that do not answer.
    """

    def __init__(
        self, registry: ConnectionRegistry, manager: LocalManager, engine: EngineServer, transports: TransportTable
    ) -> None:
        self._registry = registry
        self._manager = manager
        self._engine = engine
        self._transports = transports

    def describe(self, sid: str) -> Described | None:
        """A client as it is reported to other servers; None: there is none of this sid."""
        connection = self._registry.get(sid)
        if connection is None:
            return None
        user = connection.user
        eio_sid = self._manager.eio_sid_from_sid(sid, NAMESPACE)
        transport = self._engine.transport_of(eio_sid) if eio_sid is not None else None
        return Described(
            connection.id,
            user.id if user else None,
            transport or "",
            connection.connected_at,
            connection.public_handshake,
            connection.data if connection.has_data else {},
        )

    def count(self) -> int:
        """How many clients are connected here."""
        return len(self._registry)

    def count_user(self, user_id: str) -> int:
        """How many connections a user has here."""
        return len(self._registry.of_user(format_user_id(user_id)))

    async def probe(self, user_id: str, patience: float) -> list[tuple[str, float, bool]]:
        """Send a heartbeat to all of a user's clients here: id, seconds of silence before it, whether it answers."""
        connections = self._registry.of_user(user_id)
        silent = await self._transports.find_silent({one.transport_sid for one in connections}, patience)
        return [
            (one.id, silent.get(one.transport_sid, 0.0), one.transport_sid not in silent)
            for one in connections
            if not one.closed
        ]

    def replace(self, user_id: str, connection_id: str) -> bool:
        """End a user's connection whose client does not answer; whether it was here."""
        for one in self._registry.of_user(user_id):
            if one.id == connection_id:
                log.info("connection replaced: its client does not answer", connection_id=connection_id)
                return self._transports.end_silent(one.transport_sid)
        return False
