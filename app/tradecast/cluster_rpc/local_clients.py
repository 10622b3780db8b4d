"""This server's own clients, as requests to all servers see them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from tradecast.cluster_rpc.selection import Selection
from tradecast.delivery.hub import Hub
from tradecast.packets.acks import Asked
from tradecast.packets.rooms import NAMESPACE, LocalManager


@dataclass(frozen=True, slots=True)
class Described:
    """What the application knows of a client; see `RemoteSocket`. There may be more in `data` than can be passed on."""

    connection_id: str
    user_id: str | None
    transport: str
    connected_at: float
    handshake: Mapping[str, Any] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)


async def _probe_nobody(user_id: str, patience: float) -> Sequence[tuple[str, float, bool]]:
    return ()


class Sockets(Protocol):
    """What is needed of the Socket.IO server."""

    async def end(self, sid: str) -> None: ...

    async def ask(self, sids: Collection[str], event: str, arguments: list[Any], timeout: float) -> Asked: ...  # noqa: ASYNC109


class Clients:
    """Those who are connected here.

    Args:
        hub: Their rooms, kept for recovery.
        manager: Their rooms, as they are.
        sockets: Their connections.
        describe: What the application knows of one; None if it knows none of this sid.
        of_user: How many a user has here.
        total: How many there are.
        probe: Asks a user's connections here whether they are alive: connection id, seconds since each was heard of,
            whether it answers.
        replace: Ends one of them, by its connection id, that does not; whether it was there.
    """

    def __init__(
        self,
        hub: Hub,
        manager: LocalManager,
        sockets: Sockets,
        *,
        describe: Callable[[str], Described | None],
        of_user: Callable[[str], int],
        total: Callable[[], int],
        probe: Callable[[str, float], Awaitable[Sequence[tuple[str, float, bool]]]] = _probe_nobody,
        replace: Callable[[str, str], bool] = lambda user_id, connection_id: False,
    ) -> None:
        self.join = hub.join
        self.leave = hub.leave
        self.rooms_of = hub.rooms_of
        self.end = sockets.end
        self.ask = sockets.ask
        self.describe = describe
        self.of_user = of_user
        self.total = total
        self.probe = probe
        self.replace = replace
        self._manager = manager

    def select(self, selection: Selection) -> list[str]:
        """Sids of those who are wholly connected, so that ending one now is seen by it, and by what ends with it."""
        rooms = None if selection.rooms is None else list(selection.rooms)
        excluded = set(selection.skip)
        if selection.except_rooms:
            excluded |= {sid for sid, _ in self._manager.get_participants(NAMESPACE, list(selection.except_rooms))}
        found = self._manager.get_participants(NAMESPACE, rooms)
        return [sid for sid, _ in found if sid not in excluded and self._manager.is_connected(sid, NAMESPACE)]
