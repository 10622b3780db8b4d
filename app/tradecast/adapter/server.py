"""The Socket.IO server below the application: packets in, decisions by the application, packets out."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import socketio
import structlog
from socketio import packet

from tradecast.adapter.cluster.acks import Acknowledgements, Asked
from tradecast.adapter.codec import Packet, TooDeep, encode, encode_event
from tradecast.adapter.errors import ConnectRefused, TryAgain
from tradecast.adapter.hub import Hub, Resumed
from tradecast.adapter.manager import LocalManager
from tradecast.adapter.recovery import Request
from tradecast.engine import EngineServer

NAMESPACE = "/"
# A client that was ended keeps its transport this long, so that the last packets reach it.
LINGER = 1.0
MAX_ATTACHMENTS = 10
MAX_ECHO = 64
DISPLACED = "displaced"
log = structlog.stdlib.get_logger("tradecast.adapter")


class Resume(Protocol):
    """Lets a client go on where its connection was lost; called once the application knows who it is."""

    async def __call__(self, user: str, permitted: Callable[[str], bool]) -> Resumed | None:
        """What goes on, or None: the client begins anew. See `Hub.resume`."""
        ...


@dataclass(frozen=True, slots=True)
class Accepted:
    """A client that the application lets in.

    Attributes:
        user: Who it is; only the same user can recover the connection.
        connection_id: Its id in logs and quotas.
        rooms: Its rooms from the beginning.
    """

    user: str
    connection_id: str
    rooms: Collection[str] = ()


class Application(Protocol):
    """What the application above decides."""

    async def connecting(self, sid: str, auth: Any, transport: str, resume: Resume) -> Accepted:
        """Let a client in, or raise `ConnectRefused` or `TryAgain`."""
        ...

    async def connected(self, sid: str, *, recovered: bool) -> None:
        """The client has been told that it is in; from here events reach it."""
        ...

    async def event(self, sid: str, name: str, arguments: list[Any]) -> Any:
        """Carry out an event; what is returned goes to the acknowledgement. Never raises."""
        ...

    async def disconnected(self, sid: str, reason: str) -> None:
        """The client is gone, or was not let in after all."""
        ...

    def malformed(self) -> None:
        """A packet was no Socket.IO packet."""
        ...


@dataclass(frozen=True, slots=True)
class Options:
    """Engine.IO's and Socket.IO's figures; times in seconds."""

    transports: list[str]
    cors_origins: list[str] | str | None = None
    ping_interval: float = 25
    ping_timeout: float = 60
    upgrade_timeout: float = 10
    connect_timeout: float = 45
    max_http_buffer_size: int = 1_000_000
    send_queue_limit: int = 10_000
    send_buffer_limit: int = 4_000_000


class SocketServer(socketio.AsyncServer):
    """python-socketio's server with these differences.

    - Refusals that will pass close the transport, since CONNECT_ERROR is final for stock clients.
    - Handlers of one client run in order, in the task that reads its packets: a flood slows its sender only.
    - Reserved names (`connect`, …) sent as events reach no handler: python-socketio would call the connect handler.
    - A malformed packet closes the transport, as in Node; one nested too deeply is answered. An event has at most 10
      attachments, of `max_http_buffer_size` bytes together.
    - A transport without a namespace is closed after `connect_timeout`, and one that was refused a second later.
    """

    def __init__(
        self,
        application: Application,
        manager: LocalManager,
        options: Options,
        on_slow_client: Callable[[], None],
        make_sid: Callable[[], str | None] = lambda: None,
    ) -> None:
        self._application = application
        self._options = options
        super().__init__(
            client_manager=manager,
            logger=logging.getLogger("socketio"),  # theirs by name: what they log is scrubbed more thoroughly
            engineio_logger=logging.getLogger("engineio"),
            serializer=Packet,
            async_handlers=False,
            transports=options.transports,
            cors_allowed_origins=options.cors_origins,
            cors_credentials=True,
            ping_interval=options.ping_interval,
            ping_timeout=options.ping_timeout,
            upgrade_timeout=options.upgrade_timeout,
            max_http_buffer_size=options.max_http_buffer_size,
            send_queue_limit=options.send_queue_limit,
            send_buffer_limit=options.send_buffer_limit,
            on_slow_client=on_slow_client,
            on_malformed=application.malformed,
            make_sid=make_sid,
        )
        self._refused: set[str] = set()
        # Clients that are gone for good: told so by us, or by themselves.
        self._ended: set[str] = set()
        self._transport_lost: set[str] = set()
        self._acks = Acknowledgements()
        self.hub: Hub

    def bind(self, hub: Hub) -> None:
        """Use this hub; it needs the server's engine, so the server is made first."""
        self.hub = hub
        self.eio.on_ping = hub.pinged
        self.eio.on_pong = hub.ponged

    def _engineio_server_class(self) -> type[EngineServer]:
        return EngineServer

    # -- for the application

    def send(self, sid: str, event: str, data: Any) -> None:
        """Send an event to one client of this server; nothing happens if it is gone."""
        eio_sid = self.manager.eio_sid_from_sid(sid, NAMESPACE)
        if eio_sid is not None:
            arguments = [data]
            # A stock client takes a text at the end for an offset, whatever it says.
            if isinstance(data, str) and (position := self.hub.position(sid)) is not None:
                arguments.append(position)
            self.eio.deliver((eio_sid,), encode_event(event, arguments))

    async def ask(self, sids: Collection[str], event: str, arguments: list[Any], timeout: float) -> Asked:  # noqa: ASYNC109
        """Send an event to clients of this server, and wait until each has acknowledged it, `timeout` seconds at most.

        Raises:
            TypeError: The arguments cannot be said in JSON.
        """
        asked = self._acks.open(sids)
        try:
            eio_sids = (self.manager.eio_sid_from_sid(sid, NAMESPACE) for sid in sids)
            message = encode(packet.EVENT, [event, *arguments], ack_id=asked.ack_id)
            self.eio.deliver([eio_sid for eio_sid in eio_sids if eio_sid is not None], message)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout):
                    await asked.done.wait()
        finally:
            self._acks.close(asked)
        return asked

    async def end(self, sid: str) -> None:
        """End a client for good: it gets DISCONNECT, and a stock client does not come back by itself."""
        eio_sid = self.manager.eio_sid_from_sid(sid, NAMESPACE)
        if eio_sid is None:
            return
        self._ended.add(sid)
        await self.disconnect(sid, namespace=NAMESPACE, ignore_queue=True)
        asyncio.get_running_loop().call_later(LINGER, self.eio.hang_up, eio_sid)

    async def displace(self, sid: str) -> None:
        """Close a connection whose client goes on with another one.

        No DISCONNECT, which is final for stock clients: the other one may be older and dead, and only have waited for
        Redis with its claim. So whoever is alive comes back, and claims again.
        """
        eio_sid = self.manager.eio_sid_from_sid(sid, NAMESPACE)
        if eio_sid is None:
            return
        await self.manager.disconnect(sid, NAMESPACE, ignore_queue=True)
        self._acks.forget(sid)
        await self._application.disconnected(sid, DISPLACED)
        self.eio.hang_up(eio_sid)

    def hang_up(self, sid: str) -> None:
        """Close a client's transport; a stock client comes back by itself."""
        eio_sid = self.manager.eio_sid_from_sid(sid, NAMESPACE)
        if eio_sid is not None:
            self.eio.hang_up(eio_sid)

    def transports(self) -> Mapping[str, int]:
        """How many clients use which transport now."""
        clients = self.manager.get_participants(NAMESPACE, None)
        return Counter(name for _, eio_sid in clients if (name := self.eio.transport_of(eio_sid)) is not None)

    # -- from the engine

    async def _handle_eio_connect(self, eio_sid: str, environ: Any) -> None:
        # The environ is not kept: nothing reads it, and it holds the request for as long as the client stays.
        await super()._handle_eio_connect(eio_sid, None)
        self._expect_connect(eio_sid)

    def _expect_connect(self, eio_sid: str) -> None:
        asyncio.get_running_loop().call_later(self._options.connect_timeout, self._close_if_idle, eio_sid)

    def _close_if_idle(self, eio_sid: str) -> None:
        if eio_sid in self.environ and self.manager.sid_from_eio_sid(eio_sid, NAMESPACE) is None:
            self.eio.hang_up(eio_sid)

    async def _handle_eio_message(self, eio_sid: str, data: Any) -> None:
        try:
            self._check_attachments(eio_sid, data)
            await super()._handle_eio_message(eio_sid, data)
            pending = self._binary_packet.get(eio_sid)
            if pending is not None and pending.attachment_count > MAX_ATTACHMENTS:
                raise ValueError("too many attachments")
        except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
            # Only decoding raises here: `Application.event` does not. The text may quote the client: not logged.
            self._application.malformed()
            log.info("malformed packet", error=type(error).__name__)
            too_deep = isinstance(error, TooDeep | RecursionError)
            self._binary_packet.pop(eio_sid, None)
            sid = self.manager.sid_from_eio_sid(eio_sid, NAMESPACE)
            if sid is not None and self.manager.is_connected(sid, NAMESPACE):
                message = "The payload is nested too deeply" if too_deep else "The packet is malformed"
                answer = {"code": "SUBSCRIPTION_ERROR", "reason": "INVALID_PAYLOAD", "message": message}
                self.send(sid, "error", answer)
            if not too_deep:
                self.eio.hang_up(eio_sid)

    def _check_attachments(self, eio_sid: str, data: Any) -> None:
        pending = self._binary_packet.get(eio_sid)
        if pending is None:
            return
        if not isinstance(data, bytes):
            raise TypeError("a text where an attachment is due")
        if sum(map(len, pending.attachments)) + len(data) > self._options.max_http_buffer_size:
            raise ValueError("the attachments are too large")

    async def _handle_eio_disconnect(self, eio_sid: str, reason: str) -> None:
        self._binary_packet.pop(eio_sid, None)
        self._refused.discard(eio_sid)
        self._transport_lost.add(eio_sid)
        try:
            await super()._handle_eio_disconnect(eio_sid, reason)
        finally:
            self._transport_lost.discard(eio_sid)

    # -- from the client

    async def _handle_connect(self, eio_sid: str, namespace: str | None, data: Any) -> None:
        namespace = namespace or NAMESPACE
        if eio_sid in self._refused:
            return
        if namespace != NAMESPACE:
            if len(namespace) > MAX_ECHO:  # an answer to each would be more than was sent
                raise ValueError("no namespace")
            self._say(eio_sid, packet.CONNECT_ERROR, {"message": "Invalid namespace"}, namespace=namespace)
            return
        sid = await self.manager.pre_connect(eio_sid, NAMESPACE)
        if sid is None:
            self._say(eio_sid, packet.CONNECT_ERROR, {"message": "Already connected"})
            return
        request = Request.of(data)
        resumed: Resumed | None = None

        async def resume(user: str, permitted: Callable[[str], bool]) -> Resumed | None:
            nonlocal resumed, sid
            resumed = await self.hub.resume(sid, eio_sid, request, user, permitted)
            if resumed is not None:
                sid = resumed.sid
            return resumed

        try:
            transport = self.eio.transport_of(eio_sid) or ""
            accepted = await self._application.connecting(sid, data, transport, resume)
        except ConnectRefused as refused:
            error = {"message": refused.message, "data": {"code": refused.code, "message": refused.message}}
            self._say(eio_sid, packet.CONNECT_ERROR, error)
            await self._turn_away(sid)
            self._refused.add(eio_sid)
            asyncio.get_running_loop().call_later(LINGER, self.eio.hang_up, eio_sid)
            return
        except TryAgain:
            await self._turn_away(sid)
            self.eio.hang_up(eio_sid)
            return
        pid: str | None = None
        if resumed is not None:
            pid = request.valid_pid()
        elif eio_sid in self.environ:
            pid = await self.hub.admit(sid, eio_sid, accepted.user, accepted.connection_id, accepted.rooms, request)
        if eio_sid not in self.environ:  # the transport closed while the session was being looked up
            await self._turn_away(sid)
            await self._application.disconnected(sid, "transport close")
            return
        self._say(eio_sid, packet.CONNECT, {"sid": sid} if pid is None else {"sid": sid, "pid": pid})
        await self.manager.connect(sid, NAMESPACE)
        self.hub.go(sid)
        await self._application.connected(sid, recovered=resumed is not None)

    async def _turn_away(self, sid: str) -> None:
        self.hub.forget(sid, final=False)
        await self.manager.disconnect(sid, NAMESPACE, ignore_queue=True)

    async def _handle_disconnect(self, eio_sid: str, namespace: str | None, reason: Any = None) -> None:
        if eio_sid not in self._transport_lost:  # the client itself says that it goes
            sid = self.manager.sid_from_eio_sid(eio_sid, NAMESPACE)
            if sid is not None:
                self._ended.add(sid)
        await super()._handle_disconnect(eio_sid, namespace, reason)

    async def _handle_event(self, eio_sid: str, namespace: str | None, id: int | None, data: Any) -> None:  # noqa: A002 its name there
        sid = self.manager.sid_from_eio_sid(eio_sid, NAMESPACE)
        if not isinstance(data, list) or not data or not isinstance(data[0], str):
            raise ValueError("not an event")
        if (namespace or NAMESPACE) != NAMESPACE or not self.manager.is_connected(sid, NAMESPACE):
            # Before the handshake, or after the server has ended the connection: as in Node, the transport is closed.
            raise ValueError("not connected to the namespace")
        answer = await self._application.event(sid, data[0], data[1:])
        if id is not None:
            self._say(eio_sid, packet.ACK, [] if answer is None else [answer], ack_id=id)

    async def _handle_ack(self, eio_sid: str, namespace: str | None, id: int | None, data: Any) -> None:  # noqa: A002
        sid = self.manager.sid_from_eio_sid(eio_sid, NAMESPACE)
        if (namespace or NAMESPACE) != NAMESPACE or sid is None or not self._acks.take(sid, id, data):
            await super()._handle_ack(eio_sid, namespace, id, data)

    async def _trigger_event(self, event: str, namespace: str, *arguments: Any) -> Any:
        # Only the disconnect that python-socketio itself reports comes here; events and connects are handled above.
        if event == "disconnect":
            sid, reason = arguments
            eio_sid = self.manager.eio_sid_from_sid(sid, NAMESPACE)
            if eio_sid is not None:
                self._expect_connect(eio_sid)
            self._acks.forget(sid)
            await self._application.disconnected(sid, str(reason))
            self.hub.forget(sid, final=sid in self._ended)
            self._ended.discard(sid)
        return None

    def _say(
        self, eio_sid: str, packet_type: int, data: Any, *, namespace: str = NAMESPACE, ack_id: int | None = None
    ) -> None:
        self.eio.deliver((eio_sid,), encode(packet_type, data, namespace=namespace, ack_id=ack_id))
