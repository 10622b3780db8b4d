"""The Socket.IO server: packets of clients, from the engine to the application and the hub, and what goes back."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Awaitable, Collection, Mapping
from inspect import iscoroutine
from typing import Any, Final, Generic, Protocol, TypeVar

import structlog

from tradecast.delivery.hub import Hub
from tradecast.engine.connection import CLIENT_DISCONNECT, SERVER_DISCONNECT
from tradecast.engine.frames import NORMAL
from tradecast.engine.http.handshake import TransportRefusal
from tradecast.engine.http.request import Request
from tradecast.engine.ids import SidMaker
from tradecast.engine.observer import Observer
from tradecast.engine.server import EngineServer, PollingPolicy
from tradecast.engine.transports.backlog import SlowReason
from tradecast.events.dispatcher import create_error_answer
from tradecast.gateway.application import Application, GatewayObserver, Options
from tradecast.gateway.namespace_connect import NamespaceConnect
from tradecast.gateway.python_socketio import PythonSocketIoServer
from tradecast.gateway.transport_table import TransportTable
from tradecast.observability.throttled_log import ThrottledLog
from tradecast.packets.acks import Acknowledgements, Asked
from tradecast.packets.codec import (
    ACK,
    CONNECT,
    DISCONNECT,
    EVENT,
    BadPacket,
    Incoming,
    TooDeep,
    arguments_of,
    decode_packet,
    encode_event,
    encode_packet,
)
from tradecast.packets.room_names import NAMESPACE
from tradecast.packets.rooms import LocalManager

# A client that was ended keeps its transport for so many seconds, so that the last packets reach it.
LINGER: Final = 1.0
# Bytes of the largest message of a client that is not connected. It has nothing to send but CONNECT, and ten thousand
# of them may be there at once.
FIRST_MESSAGES: Final = 32_768
DISPLACED: Final = "displaced"
A = TypeVar("A", bound=Application)
A_co = TypeVar("A_co", bound=Application, covariant=True)
log = structlog.stdlib.get_logger("tradecast.gateway")


class Builder(Protocol[A_co]):
    """Builds what a Socket.IO server serves, while the server itself is built: both refer to it."""

    def build_hub(self, server: SocketServer[Any]) -> Hub:
        """The hub over the server's engine. The server is to be kept only, not to be used yet."""
        ...

    def build_application(self, server: SocketServer[Any], hub: Hub) -> A_co:
        """The application. The server is to be kept only, not to be used yet."""
        ...


class SocketServer(PythonSocketIoServer, Generic[A]):
    """A Socket.IO server, with these differences to python-socketio's.

    - Refusals that will pass close the transport (`NamespaceConnect`).
    - Events of one client run in order. A handler that waits does so in a task of its own, and the client's next
      packets wait, undecoded, so a flood slows its sender only. What a handler waits for cannot be a packet of the
      same client: `ask` inside of one gets no answer before its timeout.
    - Reserved names (`connect`, …) sent as events reach no handler: python-socketio would call the connect handler.
    - A malformed packet closes the transport, as in Node; one nested too deeply is answered. An event has at most 10
      attachments, of `max_http_buffer_size` bytes together.
    - Transports are bounded (`TransportTable`): one whose client is refused or leaves again and again is closed, and so
      is one that sends far more packets than the limits let through, or stays without a namespace for
      `connect_timeout`; a client address has `most_per_address` whose clients are not authenticated.

    Args:
        observer: Counts and logs clients that are refused or cut off.
        manager: Rooms on this server.
        options: Engine.IO's and Socket.IO's settings.
        builder: Builds the hub and the application.
        sids: Makes the sids of transports; None: random ones.
        polling: Whether clients may begin with polling; None: always.
        lines: Writes what clients can cause.

    Attributes:
        eio: The engine.
        hub: Delivers events to the clients.
        application: What the clients' events are for.
        transport_table: What is kept of transports.
    """

    def __init__(
        self,
        observer: GatewayObserver,
        manager: LocalManager,
        options: Options,
        builder: Builder[A],
        *,
        sids: SidMaker | None = None,
        polling: PollingPolicy | None = None,
        lines: ThrottledLog | None = None,
    ) -> None:
        engine = EngineServer(
            transports=options.transports,
            cors_allowed_origins=options.cors_origins,
            ping_interval=options.ping_interval,
            ping_timeout=options.ping_timeout,
            upgrade_timeout=options.upgrade_timeout,
            max_http_buffer_size=options.max_http_buffer_size,
            first_message_limit=FIRST_MESSAGES,
            compression=options.compression,
            limits=options.limits,
            environs=False,
            observer=_EngineObserver(self, observer),
            sids=sids,
            polling=polling,
        )
        super().__init__(engine, manager)
        self._observer = observer
        self._lines = lines or ThrottledLog()
        self._largest = options.max_http_buffer_size
        # Clients that do not reconnect: either side has sent DISCONNECT.
        self._ended: set[str] = set()
        self._acks = Acknowledgements()
        self.transport_table = TransportTable(engine, observer, options)
        self.hub = builder.build_hub(self)
        self.application: A = builder.build_application(self, self.hub)
        self._connect = NamespaceConnect(self.application, self.hub, engine, manager, self.transport_table)
        engine.on("connect", self.handle_open)
        engine.on("message", self.handle_message)
        engine.on("disconnect", self.handle_close)

    # -- to clients

    def send(self, sid: str, event: str, data: Any, namespace: str = NAMESPACE) -> None:
        """Send an event to one client of this server; nothing happens if it is gone.

        Args:
            sid: The client.
            event: Its name.
            data: Its argument; None for none, a tuple for several.
            namespace: Where the client is.

        Raises:
            TypeError: The arguments cannot be written as JSON.
        """
        eio_sid = self.manager.eio_sid_from_sid(sid, namespace)
        if eio_sid is not None:
            arguments = arguments_of(data)
            # A standard client takes a text at the end for an offset, whatever it is.
            if (not arguments or isinstance(arguments[-1], str)) and (position := self.hub.position(sid)) is not None:
                arguments += [position] if arguments else [None, position]  # an offset is no handler's first argument
            self.eio.deliver((eio_sid,), encode_event(event, arguments, namespace=namespace))

    async def ask(self, sids: Collection[str], event: str, arguments: list[Any], timeout: float) -> Asked:  # noqa: ASYNC109
        """Send an event to clients of this server, and wait until each has acknowledged it, `timeout` seconds at most.

        Raises:
            TypeError: The arguments cannot be written as JSON.
        """
        asked = self._acks.open(sids)
        try:
            eio_sids = (self.manager.eio_sid_from_sid(sid, NAMESPACE) for sid in sids)
            message = encode_packet(EVENT, [event, *arguments], ack_id=asked.ack_id)
            self.eio.deliver([eio_sid for eio_sid in eio_sids if eio_sid is not None], message)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout):
                    await asked.done.wait()
        finally:
            self._acks.close(asked)
        return asked

    async def end(self, sid: str, namespace: str = NAMESPACE) -> None:
        """Disconnect a client: it gets DISCONNECT, after which a standard client does not reconnect.

        Events that wait for it are dropped (`Hub.forget`), so none comes behind DISCONNECT.
        """
        eio_sid = self.manager.eio_sid_from_sid(sid, namespace)
        if eio_sid is None:
            return
        if not self.manager.is_connected(sid, namespace):
            self.eio.close_transport(eio_sid)  # its CONNECT is being decided about; it sends another one
            return
        self._ended.add(sid)
        self._reply(eio_sid, DISCONNECT, None, namespace=namespace)
        self._leave(eio_sid, namespace, SERVER_DISCONNECT)
        if not self.manager.namespaces_of(eio_sid):
            asyncio.get_running_loop().call_later(LINGER, self.eio.close_transport, eio_sid, NORMAL)

    async def displace(self, sid: str) -> None:
        """Close a connection whose client continues with another one.

        No DISCONNECT, which is final for standard clients: the other connection may be older and dead, and only have
        waited for Redis with its claim. So whichever is alive reconnects, and claims the session again.
        """
        eio_sid = self.manager.eio_sid_from_sid(sid, NAMESPACE)
        if eio_sid is None:
            return
        self.manager.basic_disconnect(sid, NAMESPACE)
        self._acks.forget(sid)
        self.application.disconnected(sid, DISPLACED)
        self.eio.close_transport(eio_sid)

    def close_transport(self, sid: str, namespace: str = NAMESPACE) -> None:
        """Close a client's transport; a standard client reconnects. Events that wait for the client are dropped."""
        eio_sid = self.manager.eio_sid_from_sid(sid, namespace)
        if eio_sid is not None:
            self.hub.discard_unsent(sid)
            self.eio.close_transport(eio_sid)

    def may_come_back(self, sid: str, namespace: str = NAMESPACE) -> bool:
        """Whether a client that is about to be forgotten may resume with another connection, and is likely to.

        It may not if either side has sent DISCONNECT. Nor is it likely where its page was left, as a browser's
        close frame says: what the page knew of the connection is gone with it.
        """
        if sid in self._ended or not self.hub.can_recover(sid):
            return False
        return not self.transport_table.is_page_left(self.manager.eio_sid_from_sid(sid, namespace))

    def transports(self) -> Mapping[str, int]:
        """How many clients use which transport now."""
        clients = self.manager.get_participants(NAMESPACE, None)
        return Counter(name for _, eio_sid in clients if (name := self.eio.transport_of(eio_sid)) is not None)

    async def shutdown(self) -> None:
        """Stop the timers."""
        self.transport_table.close()
        await self.eio.shutdown()

    # -- from the engine: plain functions, which it calls where a packet was read

    def handle_open(self, eio_sid: str, request: Request) -> None:
        """A transport is open."""
        self.transport_table.add(eio_sid, request)
        note = self.application.read_handshake(request)
        if note is not None:
            self.transport_table.notes[eio_sid] = note

    def handle_message(self, eio_sid: str, data: str | bytes) -> Awaitable[None] | None:
        """Handle a packet of Socket.IO, or an attachment; what is still to be awaited of it."""
        # Attachments belong to packets, and CONNECT has bounds of its own.
        if type(data) is str and data[:1] != "0" and not self.transport_table.spend_packet(eio_sid):
            return None
        try:
            packet = self._read(eio_sid, data)
            return None if packet is None else self._handle(eio_sid, packet)
        except BadPacket as error:
            self._refuse_packet(eio_sid, error)
            return None

    def handle_close(self, eio_sid: str, reason: str) -> None:
        """A transport is gone."""
        self.transport_table.remove(eio_sid)
        for namespace in self.manager.namespaces_of(eio_sid):
            self._leave(eio_sid, namespace, reason)
        self.transport_table.forget_page(eio_sid)

    def _read(self, eio_sid: str, data: str | bytes) -> Incoming | None:
        """The packet that is complete now; None while attachments are to come."""
        waiting = self.transport_table.incomplete
        incomplete = waiting.get(eio_sid) if waiting else None
        if incomplete is None:
            if not isinstance(data, str):
                raise BadPacket("an attachment that was not announced")
            packet = decode_packet(data)
            if not packet.due:
                return packet
            if self.manager.sid_from_eio_sid(eio_sid, packet.namespace) is None:
                raise BadPacket("not connected to the namespace")
            waiting[eio_sid] = packet
            return None
        if not isinstance(data, bytes):
            raise BadPacket("text where an attachment is expected")
        if incomplete.size + len(data) > self._largest:
            raise BadPacket("the attachments are too large")
        if not incomplete.attach(data):
            return None
        del waiting[eio_sid]
        return incomplete

    def _handle(self, eio_sid: str, packet: Incoming) -> Awaitable[None] | None:
        kind = packet.kind
        if kind == EVENT:
            return self._handle_event_packet(eio_sid, packet)
        if kind == ACK:
            self._handle_ack_packet(eio_sid, packet)
        elif kind == CONNECT:
            return self._connect.handle_packet(eio_sid, packet)
        elif kind == DISCONNECT:
            sid = self.manager.sid_from_eio_sid(eio_sid, packet.namespace)
            if sid is not None and self.manager.is_connected(sid, packet.namespace):
                self._ended.add(sid)  # the client itself says that it goes
                self._leave(eio_sid, packet.namespace, CLIENT_DISCONNECT)
        else:
            raise BadPacket("a packet that no client sends")
        return None

    def _refuse_packet(self, eio_sid: str, error: BadPacket) -> None:
        self._observer.malformed()
        self._lines.write(log.info, "malformed packet", error=str(error))
        self.transport_table.incomplete.pop(eio_sid, None)
        too_deep = isinstance(error, TooDeep)
        sid = self.manager.sid_from_eio_sid(eio_sid, NAMESPACE)
        if sid is not None and self.manager.is_connected(sid, NAMESPACE):
            message = "The payload is nested too deeply" if too_deep else "The packet is malformed"
            answer = {"code": "SUBSCRIPTION_ERROR", "reason": "INVALID_PAYLOAD", "message": message}
            self.send(sid, "error", answer)
        if not too_deep:
            self.eio.close_transport(eio_sid, NORMAL)

    def _leave(self, eio_sid: str, namespace: str, reason: str) -> None:
        """A client leaves a namespace, or its transport is gone."""
        sid = self.manager.sid_from_eio_sid(eio_sid, namespace)
        if sid is None or not self.manager.is_connected(sid, namespace):
            return  # its CONNECT is under way, and `NamespaceConnect` checks the transport after it
        incomplete = self.transport_table.incomplete.get(eio_sid)
        if incomplete is not None and incomplete.namespace == namespace:
            del self.transport_table.incomplete[eio_sid]
        self._acks.forget(sid)
        try:
            self.application.disconnected(sid, reason)
        finally:  # whatever went wrong above, nothing is delivered to a client that is gone
            self.hub.forget(sid, final=sid in self._ended)
            self._ended.discard(sid)
            self.manager.basic_disconnect(sid, namespace)
        if eio_sid in self.eio.sockets:
            self.transport_table.client_left(eio_sid, is_unconnected=not self.manager.namespaces_of(eio_sid))

    # -- events and acknowledgements

    def _handle_event_packet(self, eio_sid: str, packet: Incoming) -> Awaitable[None] | None:
        data, namespace = packet.data, packet.namespace
        if type(data) is not list or not data or type(data[0]) is not str:
            raise BadPacket("not an event")
        sid = self.manager.sid_from_eio_sid(eio_sid, namespace)
        if sid is None or not self.manager.is_connected(sid, namespace):
            # Before CONNECT, or after the server has ended the connection: as in Node, the transport is closed.
            raise BadPacket("not connected to the namespace")
        answer = self.application.event(sid, data[0], data[1:])
        if iscoroutine(answer):
            return self._answer_later(eio_sid, packet, answer)
        if packet.ack_id is not None:
            self._answer(eio_sid, packet, answer)
        return None

    async def _answer_later(self, eio_sid: str, packet: Incoming, answer: Awaitable[Any]) -> None:
        found = await answer
        if packet.ack_id is not None:
            self._answer(eio_sid, packet, found)

    def _answer(self, eio_sid: str, packet: Incoming, answer: Any) -> None:
        """Acknowledge an event: nothing for None, several arguments for a tuple."""
        try:
            self._reply(eio_sid, ACK, arguments_of(answer), namespace=packet.namespace, ack_id=packet.ack_id)
        except TypeError as error:
            log.error("an acknowledgement cannot be written as JSON", exc_info=error)
            failure = create_error_answer("INTERNAL", "Something went wrong on the server; try again", {})
            self._reply(eio_sid, ACK, [failure], namespace=packet.namespace, ack_id=packet.ack_id)

    def _handle_ack_packet(self, eio_sid: str, packet: Incoming) -> None:
        sid = self.manager.sid_from_eio_sid(eio_sid, packet.namespace)
        if sid is not None:
            if self._acks.waits_for(sid, packet.ack_id):
                self.transport_table.allowances.refund(eio_sid)  # who is asked often answers as often
            try:
                self._acks.take(sid, packet.ack_id, packet.data)
            except ValueError as error:
                raise BadPacket(str(error)) from None

    def _reply(
        self, eio_sid: str, kind: int, data: Any, *, namespace: str = NAMESPACE, ack_id: int | None = None
    ) -> None:
        self.eio.deliver((eio_sid,), encode_packet(kind, data, namespace=namespace, ack_id=ack_id))


class _EngineObserver(Observer):
    """Reports what happens in the engine to the server's parts and to the gateway's observer."""

    def __init__(self, server: SocketServer[Any], observer: GatewayObserver) -> None:
        self._server = server
        self._observer = observer

    def page_left(self, sid: str) -> None:
        self._server.transport_table.page_left(sid)

    def client_too_slow(self, sid: str, reason: SlowReason) -> None:
        self._observer.client_too_slow(reason)
        self._server.hub.on_client_too_slow(sid, reason)

    def packet_malformed(self) -> None:
        self._observer.malformed()

    def limit_exceeded(self, limit: str) -> None:
        self._observer.limit_exceeded(limit)

    def compression_agreed(self) -> None:
        self._observer.compression_agreed()

    def message_compressed(self, before: int, after: int) -> None:
        self._observer.message_compressed(before, after)

    def origin_refused(self, reason: str, origin: str) -> None:
        self._observer.origin_refused(reason, origin)

    def transport_refused(self, reason: TransportRefusal) -> None:
        self._observer.transport_refused(reason)

    def heartbeat_sent(self, sid: str) -> None:
        self._server.hub.on_ping(sid)

    def heartbeat_answered(self, sid: str) -> None:
        self._server.transport_table.probes.answered(sid)
        self._server.hub.on_pong(sid)
