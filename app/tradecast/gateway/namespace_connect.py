"""What becomes of a client's CONNECT: accepted, resumed, refused, or closed so that the client tries again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

from tradecast.background.stepping import Done, step_coroutine
from tradecast.delivery.clients.resumption import QuotaReservation, Resumed
from tradecast.delivery.errors import ConnectRefused, TryAgain
from tradecast.delivery.hub import Hub
from tradecast.delivery.recovery import Request
from tradecast.engine.server import EngineServer
from tradecast.gateway.application import Accepted, Application
from tradecast.gateway.transport_table import TransportTable
from tradecast.packets.codec import CONNECT, CONNECT_ERROR, BadPacket, Incoming, encode_packet
from tradecast.packets.room_names import NAMESPACE
from tradecast.packets.rooms import LocalManager

# Characters of a namespace that is named in an answer.
MAX_ECHO: Final = 64


class NamespaceConnect:
    """Connects clients to namespaces.

    Refusals that will pass close the transport, since CONNECT_ERROR is final for standard Socket.IO clients.

    Args:
        application: Decides.
        hub: Resumes lost connections, and delivers events once a client is connected.
        engine: Has the transports.
        manager: Has the clients.
        transports: What is kept of transports.
    """

    def __init__(
        self,
        application: Application,
        hub: Hub,
        engine: EngineServer,
        manager: LocalManager,
        transports: TransportTable,
    ) -> None:
        self._application = application
        self._hub = hub
        self._engine = engine
        self._manager = manager
        self._transports = transports

    def handle_packet(self, eio_sid: str, packet: Incoming) -> Awaitable[None] | None:
        """Handle a CONNECT packet; what is still to be awaited of it."""
        namespace = packet.namespace
        if not self._application.has_namespace(namespace):
            if len(namespace) > MAX_ECHO:  # an answer to each would be more than was sent
                raise BadPacket("no namespace")
            if self._transports.spend_packet(eio_sid):
                self._send(eio_sid, CONNECT_ERROR, {"message": "Invalid namespace"}, namespace)
            return None
        if self._manager.sid_from_eio_sid(eio_sid, namespace) is not None:
            self._engine.close_transport(eio_sid)  # as in Node: a client that connects twice is out of step
            return None
        self._transports.unconnected.connect_received(eio_sid)
        work = self._connect(eio_sid, namespace, packet.data)
        if not self._application.connects_at_once:
            return work
        stepped = step_coroutine(work)
        return None if isinstance(stepped, Done) else stepped

    async def _connect(self, eio_sid: str, namespace: str, auth: Any) -> None:
        sid = self._manager.begin_connect(eio_sid, namespace)
        # Only the main namespace recovers; what a client says of recovery elsewhere counts for nothing.
        request = Request.of(auth) if namespace == NAMESPACE else Request(wanted=False)
        resumed: Resumed | None = None

        async def resume(
            user: str, permitted: Callable[[str], bool], reserve_quota: QuotaReservation
        ) -> Resumed | None:
            nonlocal resumed, sid
            resumed = await self._hub.resume(sid, eio_sid, request, user, permitted, reserve_quota)
            if resumed is not None:
                sid = resumed.sid
            return resumed

        accepted: Accepted | None = None
        try:
            transport = self._engine.transport_of(eio_sid) or ""
            note = self._transports.notes.get(eio_sid)
            accepted = await self._application.connecting(sid, auth, note, transport, resume, namespace)
            pid: str | None = None
            if resumed is not None:
                pid = request.valid_pid()
            elif self._is_of(sid, eio_sid, namespace):
                about = (accepted.user, accepted.connection_id, accepted.rooms, request, namespace)
                pid = await self._hub.admit(sid, eio_sid, *about)
        except ConnectRefused as refused:
            self._refuse(eio_sid, sid, namespace, refused)
            return
        except TryAgain:
            self._forget(eio_sid, sid, namespace)
            self._engine.close_transport(eio_sid)
            return
        except BaseException as error:  # a bug, or the server stops: nothing of the client may stay
            self._forget(eio_sid, sid, namespace)
            if accepted is not None:
                self._application.abandoned(accepted, displaced=False, failed=isinstance(error, Exception))
            self._engine.close_transport(eio_sid)
            raise
        ours = self._is_of(sid, eio_sid, namespace)
        if not ours or eio_sid not in self._engine.sockets:
            # Meanwhile its client has reconnected on another transport and continues there, or its transport has
            # closed.
            self._forget(eio_sid, sid, namespace)
            self._application.abandoned(accepted, displaced=not ours)
            return
        self._transports.connected(eio_sid, authenticated=accepted.authenticated)
        self._send(eio_sid, CONNECT, {"sid": sid} if pid is None else {"sid": sid, "pid": pid}, namespace)
        self._manager.finish_connect(sid, namespace)
        self._hub.start_delivery(sid)
        welcome = self._application.connected(sid, accepted, recovered=resumed is not None)
        if welcome is not None:
            await welcome

    def _is_of(self, sid: str, eio_sid: str, namespace: str) -> bool:
        """Whether a sid still belongs to this transport: a client that recovers takes its sid along."""
        return self._manager.eio_sid_from_sid(sid, namespace) == eio_sid

    def _refuse(self, eio_sid: str, sid: str, namespace: str, refused: ConnectRefused) -> None:
        error = {"message": refused.message, "data": {"code": refused.code, "message": refused.message}}
        self._send(eio_sid, CONNECT_ERROR, error, namespace)
        self._forget(eio_sid, sid, namespace)
        self._transports.refused(eio_sid, is_unconnected=not self._manager.namespaces_of(eio_sid))

    def _forget(self, eio_sid: str, sid: str, namespace: str) -> None:
        """Nothing of a client that is not connected may stay."""
        if self._is_of(sid, eio_sid, namespace):
            self._hub.forget(sid, final=False)
            self._manager.basic_disconnect(sid, namespace)

    def _send(self, eio_sid: str, kind: int, data: Any, namespace: str) -> None:
        self._engine.deliver((eio_sid,), encode_packet(kind, data, namespace=namespace))
