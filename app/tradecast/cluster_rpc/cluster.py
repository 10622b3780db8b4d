"""A server among the others: requests to all of them, and what they ask of this one."""

# ruff: noqa: ASYNC109 - what a timeout leaves unanswered is part of the answer

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeVar

import orjson
import structlog

from tradecast.background.tasks import TaskSet
from tradecast.cluster_rpc.errors import Incomplete, TooLarge
from tradecast.cluster_rpc.local_clients import LocalClients
from tradecast.cluster_rpc.operations import (
    ACKNOWLEDGE,
    COUNT,
    DISCONNECT,
    FETCH,
    JOIN,
    LEAVE,
    PROBE,
    REPLACE,
    SERVER_EVENT,
    Operations,
    ServerEventHandler,
)
from tradecast.cluster_rpc.protocol import Heartbeat, Request, decode_message, encode_message
from tradecast.cluster_rpc.reachable_servers import ReachableServers
from tradecast.cluster_rpc.requester import Answers, Requester
from tradecast.cluster_rpc.responder import Responder
from tradecast.cluster_rpc.results import SOCKET_FIELDS, Acknowledged, ClientAnswer, RemoteSocket, read_socket
from tradecast.cluster_rpc.selection import Selection
from tradecast.delivery.broker import Broker
from tradecast.delivery.envelope import Malformed, UnknownVersion
from tradecast.delivery.errors import AdapterUnavailable
from tradecast.packets.json_values import pack_value, unpack_value
from tradecast.packets.room_names import Rooms, room_names

T = TypeVar("T")
Result = Literal["ok", "incomplete", "failed"]
# Beats within a lease: two may be lost.
BEATS = 4
LEASE_CHECKS = 8
# Seconds that the others may take beyond what clients may.
GRACE = 1.0
# That a server waits for its own first heartbeat, and for its last to be sent.
HELLO = GOODBYE = 1.0
log = structlog.stdlib.get_logger("tradecast.adapter")


class RequestObserver(Protocol):
    """Observes the requests of this server; the metrics do."""

    def cluster_request(self, kind: str, result: Result, /) -> None:
        """All servers got a request: `ok`, `incomplete` (not all answered), or `failed` (it could not be sent)."""
        ...


class MessageObserver(Protocol):
    """Observes messages of other servers, and what is sent for them; the metrics do."""

    def message_skipped(self, why: str, /) -> None:
        """A message was not understood."""
        ...

    def event_emitted(self, event: str, recipients: int, /) -> None:
        """An event that asks for acknowledgements was sent to so many clients of this server."""
        ...


class RelayIdentity(Protocol):
    """Knows by which boot id this server relays requests: `RelayAnnouncement`."""

    @property
    def boot(self) -> str:
        """The boot id; "" while it relays none."""
        ...


class NoRelay:
    """`RelayIdentity` of a server that relays no requests."""

    boot = ""


@dataclass(frozen=True, slots=True)
class ClusterOptions:
    """How long servers wait for each other.

    Attributes:
        lease: Seconds after which a silent server is gone.
        timeout: Seconds that servers may take to answer, where the caller says nothing.
    """

    lease: float
    timeout: float


class Cluster:
    """Requests to all servers that share a broker. In single-server mode there is only this one.

    It is the broker's `ControlListener`. Every request raises `AdapterUnavailable` if it could not be sent to the
    others: then nothing was done, here neither (after a `PublishUncertain` perhaps it was, there). It raises
    `Incomplete` if not all have answered.

    Args:
        broker: Carries the messages; it is started and closed by its hub.
        clients: This server's own.
        servers: The others; this one's name is the broker's.
        options: How long servers wait for each other.
        handlers: Of events for servers (`server_side_emit`).
        requests: Observes the requests of this server.
        messages: Observes messages of the others.
        relay: By which boot id this server relays requests (`Heartbeat`).
    """

    def __init__(
        self,
        broker: Broker,
        clients: LocalClients,
        servers: ReachableServers,
        options: ClusterOptions,
        *,
        handlers: Mapping[str, ServerEventHandler],
        requests: RequestObserver,
        messages: MessageObserver,
        relay: RelayIdentity,
    ) -> None:
        self.server_id = broker.server_id
        self._broker = broker
        self._clients = clients
        self._lease = options.lease
        self._timeout = options.timeout
        self._observer = requests
        self._messages = messages
        self._relay = relay
        self._servers = servers
        self._requester = Requester(self.server_id, servers, broker)
        self._responder = Responder(self.server_id, Operations(clients, handlers, messages), broker)
        self._loops = TaskSet()
        self._sending = TaskSet()
        self._started = False
        self._has_own_heartbeat = asyncio.Event()
        broker.add_control_listener(self)

    @property
    def servers(self) -> int:
        """How many servers there are, this one included."""
        return 1 + len(self._servers)

    @property
    def connections(self) -> int:
        """How many clients they have together; of the others by their last heartbeats."""
        return self._clients.directory.count() + self._servers.connections

    async def start(self) -> None:
        """Be one of them, from now on, or once the broker can be reached. The broker has been started."""
        self._started = True
        if not self._broker.control_channel_down_for:
            with contextlib.suppress(AdapterUnavailable, TimeoutError):
                async with asyncio.timeout(HELLO):
                    await self._broker.send_to_all(encode_message(self._own_heartbeat(hello=True)))
                    await self._has_own_heartbeat.wait()
        self._loops.spawn(self._send_heartbeats(), name="cluster heartbeats")
        self._loops.spawn(self._watch_leases(), name="cluster leases")

    async def close(self) -> None:
        """Leave; the broker is still there. This server has no clients any more."""
        if not self._started:
            return
        self._started = False
        await self._loops.close()
        with contextlib.suppress(AdapterUnavailable, TimeoutError):
            async with asyncio.timeout(GOODBYE):
                await self._broker.send_to_all(encode_message(Heartbeat(self.server_id, 0, self._lease, leaving=True)))
        await self._responder.close()
        await self._requester.close()
        await self._sending.close()

    def on_control_message(self, data: bytes) -> None:
        """Handle a control message, as `ControlListener`."""
        if not self._started:
            return
        try:
            message = decode_message(data)
        except UnknownVersion:
            self._messages.message_skipped("other version")
            return
        except Malformed:
            self._messages.message_skipped("malformed message")
            return
        if isinstance(message, Heartbeat):
            self._on_heartbeat(message)
        elif message.server == self.server_id:
            pass
        elif isinstance(message, Request):
            self._responder.on_request(message)
        else:
            self._requester.on_response(message)

    # -- requests

    async def fetch_sockets(self, selection: Selection, timeout: float | None = None) -> list[RemoteSocket]:
        """Who is there, on every server. Raises as the class says."""
        answers = await self._ask(FETCH, selection.body(), timeout)
        found = [read_socket(server, item) for server, item in self._items(answers, SOCKET_FIELDS)]
        return self._complete(FETCH, answers, found)

    async def sockets_join(self, selection: Selection, into: Rooms, timeout: float | None = None) -> int:
        """Clients join rooms, as if they had themselves; how many. Raises as the class says."""
        return await self._sum(JOIN, {**selection.body(), "to": room_names(into)}, timeout)

    async def sockets_leave(self, selection: Selection, rooms: Rooms, timeout: float | None = None) -> int:
        """Clients leave rooms; how many. Raises as the class says."""
        return await self._sum(LEAVE, {**selection.body(), "to": room_names(rooms)}, timeout)

    async def disconnect_sockets(self, selection: Selection, timeout: float | None = None) -> int:
        """Disconnect clients, which do not reconnect. Returns how many. Raises as the class says."""
        return await self._sum(DISCONNECT, selection.body(), timeout)

    async def count_user(self, user_id: str, timeout: float | None = None) -> int:
        """A user's connections. Raises as the class says."""
        return await self._sum(COUNT, {"u": user_id}, timeout)

    async def probe_user(self, user_id: str, patience: float) -> list[tuple[str, float, bool]]:
        """A user's connections: connection id, seconds of silence, whether it answers within `patience`.

        Servers that do not answer are left out; where the others cannot be asked, this one answers alone.
        """
        body = {"u": user_id, "w": patience}
        try:
            answers = await self._ask(PROBE, body, patience + GRACE)
        except AdapterUnavailable:
            answers = Answers({self.server_id: list((await self._responder.answer_own(PROBE, body)).items)})
        else:
            self._observer.cluster_request(PROBE, "ok" if answers.complete else "incomplete")
        return [
            (name, float(seconds), bool(alive))
            for _, (name, seconds, alive) in self._items(answers, 3)
            if isinstance(name, str) and isinstance(seconds, int | float)
        ]

    async def replace(self, user_id: str, connection_id: str) -> bool:
        """End a connection that did not answer, on whichever server; whether it was there."""
        body = {"u": user_id, "c": connection_id}
        try:
            answers = await self._ask(REPLACE, body, None)
        except AdapterUnavailable:
            answers = Answers({self.server_id: list((await self._responder.answer_own(REPLACE, body)).items)})
        else:
            self._observer.cluster_request(REPLACE, "ok" if answers.complete else "incomplete")
        return any(item == 1 for _, item in self._items(answers))

    async def server_side_emit(self, event: str, *arguments: Any) -> None:
        """An event for the other servers' handlers; nobody answers. Raises AdapterUnavailable, TypeError, TooLarge."""
        body = {"e": event, "a": orjson.Fragment(pack_value(list(arguments)))}
        try:
            await self._requester.send(SERVER_EVENT, body)
        except (AdapterUnavailable, TooLarge):
            self._observer.cluster_request(SERVER_EVENT, "failed")
            raise
        self._observer.cluster_request(SERVER_EVENT, "ok")

    async def server_side_emit_with_ack(
        self, event: str, *arguments: Any, timeout: float | None = None
    ) -> dict[str, Any]:
        """As `server_side_emit`; what each other server's handler returned. Raises as the class says."""
        body = {"e": event, "a": orjson.Fragment(pack_value(list(arguments)))}
        answers = await self._ask(SERVER_EVENT, body, timeout, here=False)
        found: dict[str, Any] = {}
        for server, items in answers.items.items():
            if server in answers.failed:
                continue
            try:
                (found[server],) = map(unpack_value, items)
            except ValueError:
                answers.failed[server] = "its answer is not understood"
        return self._complete(SERVER_EVENT, answers, found)

    async def emit_with_ack(
        self, selection: Selection, event: str, arguments: Sequence[Any], timeout: float | None = None
    ) -> Acknowledged:
        """An event that asks clients for acknowledgements. Raises AdapterUnavailable, TypeError, TooLarge."""
        wait = self._timeout if timeout is None else timeout
        body = {**selection.body(), "e": event, "a": orjson.Fragment(pack_value(list(arguments))), "w": wait}
        answers = await self._ask(ACKNOWLEDGE, body, wait + GRACE)
        result = Acknowledged(missing=answers.missing, gone=answers.gone, failed=answers.failed)
        for server, item in self._items(answers):
            match item:
                case [str(sid), list(packed)]:
                    with contextlib.suppress(ValueError):
                        values = unpack_value(packed)
                        data = None if not values else values[0] if len(values) == 1 else tuple(values)
                        result.answers.append(ClientAnswer(sid, server, data))
                        continue
                    result.refused.append(sid)
                case [str(sid), None, refused]:
                    (result.refused if refused else result.silent).append(sid)
        self._observer.cluster_request(ACKNOWLEDGE, "ok" if answers.complete else "incomplete")
        return result

    # -- details

    async def _ask(self, kind: str, body: Any, timeout: float | None, *, here: bool = True) -> Answers:
        try:
            if self._servers.is_isolated or self._broker.control_channel_down_for:
                raise AdapterUnavailable("the other servers cannot be reached: Redis is away")
            within = self._timeout if timeout is None else timeout
            return await self._requester.ask(kind, body, within, self._responder if here else None)
        except (AdapterUnavailable, TooLarge):
            self._observer.cluster_request(kind, "failed")
            raise

    async def _sum(self, kind: str, body: Any, timeout: float | None) -> int:
        answers = await self._ask(kind, body, timeout)
        total = sum(item for _, item in self._items(answers) if isinstance(item, int))
        return self._complete(kind, answers, total)

    def _complete(self, kind: str, answers: Answers, result: T) -> T:
        if not answers.complete:
            self._observer.cluster_request(kind, "incomplete")
            raise Incomplete(result, missing=answers.missing, gone=answers.gone, failed=answers.failed)
        self._observer.cluster_request(kind, "ok")
        return result

    @staticmethod
    def _items(answers: Answers, size: int | None = None) -> list[tuple[str, Any]]:
        """All items with their servers. What has not at least `size` fields is not understood; there may be more."""
        found: list[tuple[str, Any]] = []
        for server, items in answers.items.items():
            for item in items:
                if size is None or (isinstance(item, list) and len(item) >= size):
                    found.append((server, item))
                else:
                    answers.failed[server] = "its answer is not understood"
        return found

    def _on_heartbeat(self, beat: Heartbeat) -> None:
        self._servers.on_heartbeat(beat)
        if beat.server == self.server_id:
            self._has_own_heartbeat.set()
            return
        if beat.leaving:
            self._requester.on_servers_gone([beat.server], orderly=True)
        elif beat.hello:
            self._spawn(self._broker.send_to_server(beat.server, encode_message(self._own_heartbeat())))

    def _own_heartbeat(self, *, hello: bool = False) -> Heartbeat:
        return Heartbeat(
            self.server_id, self._clients.directory.count(), self._lease, hello=hello, boot=self._relay.boot
        )

    async def _send_heartbeats(self) -> None:
        while True:
            with contextlib.suppress(AdapterUnavailable):
                await self._broker.send_to_all(encode_message(self._own_heartbeat(hello=self._servers.is_isolated)))
            await asyncio.sleep(self._lease / BEATS)

    async def _watch_leases(self) -> None:
        while True:
            gone = self._servers.remove_expired()
            if gone:
                log.warning("servers are gone: their leases have expired", servers=len(gone))
                self._requester.on_servers_gone(gone)
            await asyncio.sleep(self._lease / LEASE_CHECKS)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        async def quietly() -> None:
            with contextlib.suppress(AdapterUnavailable):
                await work

        self._sending.spawn(quietly(), name="cluster control message")
