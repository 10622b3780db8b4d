"""The Socket.IO server: python-socketio's, with the packets of clients taken apart and answered here."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping
from inspect import iscoroutine
from typing import Any, Final

import socketio
import structlog

from tradecast.background.stepping import Done, step
from tradecast.delivery.errors import ConnectRefused, TryAgain
from tradecast.delivery.hub import NAMESPACE, Hub, Resumed, TakeUp
from tradecast.delivery.recovery import Request
from tradecast.engine import EngineServer
from tradecast.engine.frames import POLICY_VIOLATION
from tradecast.engine.http.addresses import Network, find_network
from tradecast.engine.http.handshake import TransportRefusal
from tradecast.engine.http.request import Request as HttpRequest
from tradecast.engine.ids import SidMaker
from tradecast.engine.observer import Observer
from tradecast.engine.server import PollingPolicy
from tradecast.events.dispatcher import error_answer
from tradecast.gateway.addresses import Addresses
from tradecast.gateway.allowances import Allowances
from tradecast.gateway.application import Accepted, Application, Options, SocketObserver
from tradecast.gateway.probes import Probes
from tradecast.gateway.strangers import Strangers
from tradecast.observability.throttled_log import ThrottledLog
from tradecast.packets.acks import Acknowledgements, Asked
from tradecast.packets.codec import (
    ACK,
    CONNECT,
    CONNECT_ERROR,
    DISCONNECT,
    EVENT,
    BadPacket,
    Incoming,
    Packet,
    TooDeep,
    arguments_of,
    decode,
    encode,
    encode_event,
)
from tradecast.packets.rooms import LocalManager

# A client that was ended keeps its transport this many seconds, so that the last packets reach it.
LINGER: Final = 1.0
# Bytes of the largest message of a client that is not in. It has nothing to send but CONNECT, and ten thousand of them
# may be there at once.
FIRST_MESSAGES: Final = 32_768
# Characters of a namespace that is named in an answer.
MAX_ECHO: Final = 64
# Of one transport: leavings, after which it is closed, and for how many of them a refusal counts.
MAX_LEAVINGS: Final = 20
REFUSAL: Final = 4
DISPLACED: Final = "displaced"
log = structlog.stdlib.get_logger("tradecast.gateway")


class SocketServer(socketio.AsyncServer):
    """python-socketio's server with these differences.

    - Refusals that will pass close the transport, since CONNECT_ERROR is final for stock clients.
    - Events of one client run in order. A handler that waits does so in a task of its own, and the client's next
      packets wait, undecoded, so a flood slows its sender only. What a handler waits for cannot be a packet of the
      same client: `ask` inside of one gets no answer before its time is over.
    - Reserved names (`connect`, …) sent as events reach no handler: python-socketio would call the connect handler.
    - A malformed packet closes the transport, as in Node; one nested too deeply is answered. An event has at most 10
      attachments, of `max_http_buffer_size` bytes together.
    - A transport whose client is refused or leaves again and again is closed after `MAX_LEAVINGS`.
    - A transport that sends far more packets than the limits let through is closed (`Allowances`).
    - A transport without a namespace is closed after `connect_timeout`, and earlier when the server is full.
    - A client address has `most_per_address` transports whose clients are not authenticated.
    """

    def __init__(
        self,
        watcher: SocketObserver,
        manager: LocalManager,
        options: Options,
        sids: SidMaker | None = None,
        polling: PollingPolicy | None = None,
        lines: ThrottledLog | None = None,
    ) -> None:
        self._watcher = watcher
        self._application: Application
        self._lines = lines or ThrottledLog()
        self._options = options
        self._observer = _EngineObserver(watcher, self.page_left, self._heartbeat_answered)
        super().__init__(
            client_manager=manager,
            logger=logging.getLogger("socketio"),  # theirs by name: what they log is scrubbed more thoroughly
            serializer=Packet,
            async_handlers=False,
            transports=options.transports,
            cors_allowed_origins=options.cors_origins,
            ping_interval=options.ping_interval,
            ping_timeout=options.ping_timeout,
            upgrade_timeout=options.upgrade_timeout,
            max_http_buffer_size=options.max_http_buffer_size,
            first_message_limit=FIRST_MESSAGES,
            send_queue_limit=options.send_queue_limit,
            send_buffer_limit=options.send_buffer_limit,
            environs=False,
            observer=self._observer,
            sids=sids,
            polling=polling,
        )
        # How often a transport's client has left a namespace, once it has; a refusal counts for some.
        self._tries: dict[str, int] = {}
        # Transports that a client has left.
        self._left: set[str] = set()
        # Clients that are gone for good: told so by us, or by themselves.
        self._ended: set[str] = set()
        # Transports of pages that were left.
        self._pages_left: set[str] = set()
        # Events whose attachments are still to come, by transport.
        self._incomplete: dict[str, Incoming] = {}
        self._strangers = Strangers(options.connect_timeout, self.eio.hang_up)
        self._allowances = Allowances(options.packet_burst, options.packets_per_second)
        # What the application keeps of handshakes, until their client is in.
        self._kept: dict[str, str] = {}
        # Whose clients are not authenticated, by the address that they come from.
        self._addresses = Addresses(options.most_per_address)
        self._acks = Acknowledgements()
        self._probes = Probes(self.eio.sockets)
        self.hub: Hub

    def attach(self, application: Application, hub: Hub) -> None:
        """Serve this application over this hub. Both need the server's engine, so the server is made first."""
        self._application = application
        self.hub = hub
        self._observer.hub = hub

    def _engineio_server_class(self) -> type[EngineServer]:
        return EngineServer

    # -- for the application

    def send(self, sid: str, event: str, data: Any, namespace: str = NAMESPACE) -> None:
        """Send an event to one client of this server; nothing happens if it is gone.

        Args:
            sid: The client.
            event: Its name.
            data: Its argument; None for none, a tuple for several.
            namespace: Where the client is.

        Raises:
            TypeError: The arguments cannot be said in JSON.
        """
        eio_sid = self.manager.eio_sid_from_sid(sid, namespace)
        if eio_sid is not None:
            arguments = arguments_of(data)
            # A stock client takes a text at the end for an offset, whatever it says.
            if (not arguments or isinstance(arguments[-1], str)) and (position := self.hub.position(sid)) is not None:
                arguments += [position] if arguments else [None, position]  # an offset is no handler's first argument
            self.eio.deliver((eio_sid,), encode_event(event, arguments, namespace=namespace))

    async def ask(self, sids: Collection[str], event: str, arguments: list[Any], timeout: float) -> Asked:  # noqa: ASYNC109
        """Send an event to clients of this server, and wait until each has acknowledged it, `timeout` seconds at most.

        Raises:
            TypeError: The arguments cannot be said in JSON.
        """
        asked = self._acks.open(sids)
        try:
            eio_sids = (self.manager.eio_sid_from_sid(sid, NAMESPACE) for sid in sids)
            message = encode(EVENT, [event, *arguments], ack_id=asked.ack_id)
            self.eio.deliver([eio_sid for eio_sid in eio_sids if eio_sid is not None], message)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout):
                    await asked.done.wait()
        finally:
            self._acks.close(asked)
        return asked

    async def end(self, sid: str, namespace: str = NAMESPACE) -> None:
        """End a client for good: it gets DISCONNECT, and a stock client does not come back by itself."""
        eio_sid = self.manager.eio_sid_from_sid(sid, namespace)
        if eio_sid is None:
            return
        if not self.manager.is_connected(sid, namespace):
            self.eio.hang_up(eio_sid)  # it is being let in, and comes back to be looked at anew
            return
        self._ended.add(sid)
        self._say(eio_sid, DISCONNECT, None, namespace=namespace)
        self._leave(eio_sid, namespace, self.reason.SERVER_DISCONNECT)
        if not self.manager.namespaces_of(eio_sid):
            asyncio.get_running_loop().call_later(LINGER, self.eio.refuse, eio_sid)

    async def displace(self, sid: str) -> None:
        """Close a connection whose client goes on with another one.

        No DISCONNECT, which is final for stock clients: the other one may be older and dead, and only have waited for
        Redis with its claim. So whoever is alive comes back, and claims again.
        """
        eio_sid = self.manager.eio_sid_from_sid(sid, NAMESPACE)
        if eio_sid is None:
            return
        self.manager.basic_disconnect(sid, NAMESPACE)
        self._acks.forget(sid)
        self._application.disconnected(sid, DISPLACED)
        self.eio.hang_up(eio_sid)

    def hang_up(self, sid: str, namespace: str = NAMESPACE) -> None:
        """Close a client's transport; a stock client comes back by itself."""
        eio_sid = self.manager.eio_sid_from_sid(sid, namespace)
        if eio_sid is not None:
            self.eio.hang_up(eio_sid)

    async def find_silent(self, eio_sids: Collection[str], patience: float) -> dict[str, float]:
        """Those of these transports that do not answer within `patience` seconds; for how many they have been silent.

        The silence is that before the question.
        """
        silent_for = {one: self.eio.sockets[one].silent_for for one in eio_sids if one in self.eio.sockets}
        return {one: silent_for[one] for one in await self._probes.find_silent(silent_for, patience)}

    def give_up(self, eio_sid: str) -> bool:
        """End a transport whose client does not answer, as when a heartbeat is not answered; whether it was there."""
        connection = self.eio.sockets.get(eio_sid)
        if connection is None:
            return False
        connection.end(self.reason.PING_TIMEOUT, None)
        return True

    def _heartbeat_answered(self, eio_sid: str) -> None:
        self._probes.answered(eio_sid)

    def make_room(self) -> bool:
        """Close a transport that belongs to nobody, if there is one that may be; whether there was."""
        eio_sid = self._strangers.take_oldest()
        if eio_sid is None:
            return False
        self._watcher.limit_exceeded("without_connect")
        self.eio.drop(eio_sid)
        return True

    def may_come_back(self, sid: str, namespace: str = NAMESPACE) -> bool:
        """Whether a client that is about to be forgotten may go on with another connection, and is likely to.

        It is not where either side has ended it for good. Nor where its page was left, as a browser's close frame says:
        what it knew of the connection is gone with the page.
        """
        if sid in self._ended or not self.hub.keeps(sid):
            return False
        return self.manager.eio_sid_from_sid(sid, namespace) not in self._pages_left

    def page_left(self, eio_sid: str) -> None:
        """A browser has left the page that a transport belonged to."""
        if eio_sid in self.eio.sockets:
            self._pages_left.add(eio_sid)

    # -- for the gate (`PerAddress`)

    def find_network(self, request: HttpRequest) -> Network | None:
        """Where a handshake comes from; None: it is not counted."""
        return find_network(request, self._options.trusted_proxies) if self._options.most_per_address else None

    def has_room_for(self, network: Network) -> bool:
        """Whether an address may open one more transport; one of its own that may go is closed for that."""
        if not self._addresses.is_full(network):
            return True
        eio_sid = self._strangers.take_oldest_of(self._addresses.transports_of(network))
        if eio_sid is None:
            return False
        self._watcher.limit_exceeded("address")
        self.eio.drop(eio_sid)
        self._addresses.remove(eio_sid)  # its handler hears of the end in the next turn
        return True

    def hold(self, network: Network) -> None:
        """A handshake from there waits for its turn."""
        self._addresses.hold(network)

    def release(self, network: Network) -> None:
        """It waits no more."""
        self._addresses.release(network)

    # -- for the application

    def has_left(self, eio_sid: str) -> bool:
        """Whether a client of this transport has left it before."""
        return eio_sid in self._left

    def transports(self) -> Mapping[str, int]:
        """How many clients use which transport now."""
        clients = self.manager.get_participants(NAMESPACE, None)
        return Counter(name for _, eio_sid in clients if (name := self.eio.transport_of(eio_sid)) is not None)

    async def shutdown(self) -> None:
        """Stop what runs in the background."""
        self._strangers.close()
        await self.eio.shutdown()

    # -- from the engine: plain functions, which it calls where a packet was read

    def _handle_eio_connect(self, eio_sid: str, request: HttpRequest) -> None:
        self._strangers.add(eio_sid)
        network = self.find_network(request)
        if network is not None:
            self._addresses.add(eio_sid, network)
        kept = self._application.read_handshake(request)
        if kept is not None:
            self._kept[eio_sid] = kept

    def _handle_eio_message(self, eio_sid: str, data: str | bytes) -> Awaitable[None] | None:
        # Attachments belong to packets, and CONNECT has bounds of its own.
        if type(data) is str and data[:1] != "0" and not self._spend(eio_sid):
            return None
        try:
            packet = self._read(eio_sid, data)
            return None if packet is None else self._handle(eio_sid, packet)
        except BadPacket as error:
            self._refuse_packet(eio_sid, error)
            return None

    def _handle_eio_disconnect(self, eio_sid: str, reason: str) -> None:
        self._incomplete.pop(eio_sid, None)
        self._tries.pop(eio_sid, None)
        self._left.discard(eio_sid)
        self._allowances.forget(eio_sid)
        self._strangers.remove(eio_sid)
        self._addresses.remove(eio_sid)
        self._kept.pop(eio_sid, None)
        for namespace in self.manager.namespaces_of(eio_sid):
            self._leave(eio_sid, namespace, reason)
        self._pages_left.discard(eio_sid)

    def _spend(self, eio_sid: str) -> bool:
        """Count a packet; a transport that has sent far too many is closed."""
        if self._allowances.spend(eio_sid):
            return True
        self._watcher.limit_exceeded("packets")
        self.eio.refuse(eio_sid, POLICY_VIOLATION)
        return False

    def _read(self, eio_sid: str, data: str | bytes) -> Incoming | None:
        """The packet that is complete now; None while attachments are to come."""
        incomplete = self._incomplete.get(eio_sid) if self._incomplete else None
        if incomplete is None:
            if not isinstance(data, str):
                raise BadPacket("an attachment that was not announced")
            packet = decode(data)
            if not packet.due:
                return packet
            if self.manager.sid_from_eio_sid(eio_sid, packet.namespace) is None:
                raise BadPacket("not connected to the namespace")
            self._incomplete[eio_sid] = packet
            return None
        if not isinstance(data, bytes):
            raise BadPacket("a text where an attachment is due")
        if incomplete.size + len(data) > self._options.max_http_buffer_size:
            raise BadPacket("the attachments are too large")
        if not incomplete.attach(data):
            return None
        del self._incomplete[eio_sid]
        return incomplete

    def _handle(self, eio_sid: str, packet: Incoming) -> Awaitable[None] | None:
        kind = packet.kind
        if kind == EVENT:
            return self._handle_event_packet(eio_sid, packet)
        if kind == ACK:
            self._handle_ack_packet(eio_sid, packet)
        elif kind == CONNECT:
            return self._handle_connect_packet(eio_sid, packet)
        elif kind == DISCONNECT:
            sid = self.manager.sid_from_eio_sid(eio_sid, packet.namespace)
            if sid is not None and self.manager.is_connected(sid, packet.namespace):
                self._ended.add(sid)  # the client itself says that it goes
                self._leave(eio_sid, packet.namespace, self.reason.CLIENT_DISCONNECT)
        else:
            raise BadPacket("a packet that no client sends")
        return None

    def _refuse_packet(self, eio_sid: str, error: BadPacket) -> None:
        self._watcher.malformed()
        self._lines.write(log.info, "malformed packet", error=str(error))
        self._incomplete.pop(eio_sid, None)
        too_deep = isinstance(error, TooDeep)
        sid = self.manager.sid_from_eio_sid(eio_sid, NAMESPACE)
        if sid is not None and self.manager.is_connected(sid, NAMESPACE):
            message = "The payload is nested too deeply" if too_deep else "The packet is malformed"
            answer = {"code": "SUBSCRIPTION_ERROR", "reason": "INVALID_PAYLOAD", "message": message}
            self.send(sid, "error", answer)
        if not too_deep:
            self.eio.refuse(eio_sid)

    # -- from the client

    def _handle_connect_packet(self, eio_sid: str, packet: Incoming) -> Awaitable[None] | None:
        namespace = packet.namespace
        if not self._application.has_namespace(namespace):
            if len(namespace) > MAX_ECHO:  # an answer to each would be more than was sent
                raise BadPacket("no namespace")
            if self._spend(eio_sid):
                self._say(eio_sid, CONNECT_ERROR, {"message": "Invalid namespace"}, namespace=namespace)
            return None
        if self.manager.sid_from_eio_sid(eio_sid, namespace) is not None:
            self.eio.hang_up(eio_sid)  # as in Node: a client that asks again has lost its place, and comes back
            return None
        self._strangers.ask(eio_sid)
        work = self._let_in(eio_sid, namespace, packet.data)
        if not self._application.connects_at_once:
            return work
        stepped = step(work)
        return None if isinstance(stepped, Done) else stepped

    async def _let_in(self, eio_sid: str, namespace: str, auth: Any) -> None:
        sid = self.manager.begin_connect(eio_sid, namespace)
        # Only the main namespace recovers; what a client says of recovery elsewhere counts for nothing.
        request = Request.of(auth) if namespace == NAMESPACE else Request(wanted=False)
        resumed: Resumed | None = None

        async def resume(user: str, permitted: Callable[[str], bool], take_up: TakeUp) -> Resumed | None:
            nonlocal resumed, sid
            resumed = await self.hub.resume(sid, eio_sid, request, user, permitted, take_up)
            if resumed is not None:
                sid = resumed.sid
            return resumed

        accepted: Accepted | None = None
        try:
            transport = self.eio.transport_of(eio_sid) or ""
            kept = self._kept.get(eio_sid)
            accepted = await self._application.connecting(sid, auth, kept, transport, resume, namespace)
            pid: str | None = None
            if resumed is not None:
                pid = request.valid_pid()
            elif self._is_of(sid, eio_sid, namespace):
                about = (accepted.user, accepted.connection_id, accepted.rooms, request, namespace)
                pid = await self.hub.admit(sid, eio_sid, *about)
        except ConnectRefused as refused:
            self._refuse(eio_sid, sid, namespace, refused)
            return
        except TryAgain:
            self._turn_away(eio_sid, sid, namespace)
            self.eio.hang_up(eio_sid)
            return
        except BaseException:  # a bug, or the server stops: nothing of the client may stay
            self._turn_away(eio_sid, sid, namespace)
            if accepted is not None:
                self._application.abandoned(accepted, displaced=False)
            self.eio.hang_up(eio_sid)
            raise
        ours = self._is_of(sid, eio_sid, namespace)
        if not ours or eio_sid not in self.eio.sockets:
            # Meanwhile its client has come back on another transport and goes on there, or its transport has closed.
            self._turn_away(eio_sid, sid, namespace)
            self._application.abandoned(accepted, displaced=not ours)
            return
        self._strangers.remove(eio_sid)
        self._kept.pop(eio_sid, None)
        self.eio.trust(eio_sid)
        if accepted.authenticated:
            self._addresses.remove(eio_sid)
        self._say(eio_sid, CONNECT, {"sid": sid} if pid is None else {"sid": sid, "pid": pid}, namespace=namespace)
        self.manager.finish_connect(sid, namespace)
        self.hub.go(sid)
        welcome = self._application.connected(sid, accepted, recovered=resumed is not None)
        if welcome is not None:
            await welcome

    def _is_of(self, sid: str, eio_sid: str, namespace: str) -> bool:
        """Whether a sid still belongs to this transport: a client that comes back takes its sid along."""
        return bool(self.manager.eio_sid_from_sid(sid, namespace) == eio_sid)

    def _refuse(self, eio_sid: str, sid: str, namespace: str, refused: ConnectRefused) -> None:
        error = {"message": refused.message, "data": {"code": refused.code, "message": refused.message}}
        self._say(eio_sid, CONNECT_ERROR, error, namespace=namespace)
        self._turn_away(eio_sid, sid, namespace)
        if not self.manager.namespaces_of(eio_sid):
            self._strangers.refuse(eio_sid)
        self._count_try(eio_sid, REFUSAL)

    def _count_try(self, eio_sid: str, leavings: int) -> None:
        """A client was refused, or has left: it may try again a few times, and not for ever."""
        tries = self._tries[eio_sid] = self._tries.get(eio_sid, 0) + leavings
        if tries > MAX_LEAVINGS:
            self._watcher.limit_exceeded("connects")
            self.eio.refuse(eio_sid, POLICY_VIOLATION)

    def _turn_away(self, eio_sid: str, sid: str, namespace: str) -> None:
        if self._is_of(sid, eio_sid, namespace):
            self.hub.forget(sid, final=False)
            self.manager.basic_disconnect(sid, namespace)

    def _leave(self, eio_sid: str, namespace: str, reason: str) -> None:
        """A client leaves a namespace, or its transport is gone."""
        sid = self.manager.sid_from_eio_sid(eio_sid, namespace)
        if sid is None or not self.manager.is_connected(sid, namespace):
            return  # not yet: `_let_in` finds out by itself
        incomplete = self._incomplete.get(eio_sid)
        if incomplete is not None and incomplete.namespace == namespace:
            del self._incomplete[eio_sid]
        self._acks.forget(sid)
        try:
            self._application.disconnected(sid, reason)
        finally:  # whatever went wrong above, nobody is delivered to who is gone
            self.hub.forget(sid, final=sid in self._ended)
            self._ended.discard(sid)
            self.manager.basic_disconnect(sid, namespace)
        if eio_sid in self.eio.sockets:
            self._left.add(eio_sid)
            self._count_try(eio_sid, 1)
            if not self.manager.namespaces_of(eio_sid):
                self._strangers.add(eio_sid)

    def _handle_event_packet(self, eio_sid: str, packet: Incoming) -> Awaitable[None] | None:
        data, namespace = packet.data, packet.namespace
        if type(data) is not list or not data or type(data[0]) is not str:
            raise BadPacket("not an event")
        sid = self.manager.sid_from_eio_sid(eio_sid, namespace)
        if sid is None or not self.manager.is_connected(sid, namespace):
            # Before the handshake, or after the server has ended the connection: as in Node, the transport is closed.
            raise BadPacket("not connected to the namespace")
        answer = self._application.event(sid, data[0], data[1:])
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
            self._say(eio_sid, ACK, arguments_of(answer), namespace=packet.namespace, ack_id=packet.ack_id)
        except TypeError as error:
            log.error("an acknowledgement cannot be sent", exc_info=error)
            failure = error_answer("INTERNAL", "Something went wrong on the server; try again", {})
            self._say(eio_sid, ACK, [failure], namespace=packet.namespace, ack_id=packet.ack_id)

    def _handle_ack_packet(self, eio_sid: str, packet: Incoming) -> None:
        sid = self.manager.sid_from_eio_sid(eio_sid, packet.namespace)
        if sid is not None:
            if self._acks.waits_for(sid, packet.ack_id):
                self._allowances.give_back(eio_sid)  # who is asked often has to answer as often
            try:
                self._acks.take(sid, packet.ack_id, packet.data)
            except ValueError as error:
                raise BadPacket(str(error)) from None

    def _say(
        self, eio_sid: str, kind: int, data: Any, *, namespace: str = NAMESPACE, ack_id: int | None = None
    ) -> None:
        self.eio.deliver((eio_sid,), encode(kind, data, namespace=namespace, ack_id=ack_id))


class _EngineObserver(Observer):
    """Hands on what the engine tells.

    Attributes:
        hub: Told of heartbeats; None until there is one.
    """

    def __init__(
        self, watcher: SocketObserver, page_left: Callable[[str], None], answered: Callable[[str], None]
    ) -> None:
        self._watcher = watcher
        self._page_left = page_left
        self._answered = answered
        self.hub: Hub | None = None

    def page_left(self, sid: str) -> None:
        self._page_left(sid)

    def client_too_slow(self) -> None:
        self._watcher.client_too_slow()

    def packet_malformed(self) -> None:
        self._watcher.malformed()

    def limit_exceeded(self, limit: str) -> None:
        self._watcher.limit_exceeded(limit)

    def origin_refused(self, reason: str, origin: str) -> None:
        self._watcher.origin_refused(reason, origin)

    def transport_refused(self, reason: TransportRefusal) -> None:
        self._watcher.transport_refused(reason)

    def heartbeat_sent(self, sid: str) -> None:
        if self.hub is not None:
            self.hub.pinged(sid)

    def heartbeat_answered(self, sid: str) -> None:
        self._answered(sid)
        if self.hub is not None:
            self.hub.ponged(sid)
