"""A server among the others: requests to all of them, and what they ask of this one."""

# ruff: noqa: ASYNC109 - what a timeout leaves unanswered is part of the answer

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Literal, TypeVar

import orjson
import structlog

from tradecast.background.tasks import TaskSet
from tradecast.cluster_rpc.errors import Incomplete, TooLarge
from tradecast.cluster_rpc.heartbeats import Servers
from tradecast.cluster_rpc.local_clients import Clients
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
    OnEmitted,
    Operations,
    ServerEventHandler,
)
from tradecast.cluster_rpc.protocol import Beat, Request, decode, encode
from tradecast.cluster_rpc.requester import Answers, Requests
from tradecast.cluster_rpc.responder import Serving
from tradecast.cluster_rpc.results import SOCKET_FIELDS, Acknowledged, ClientAnswer, RemoteSocket, read_socket
from tradecast.cluster_rpc.selection import Selection
from tradecast.delivery.broker import Broker
from tradecast.delivery.envelope import Malformed, UnknownVersion
from tradecast.delivery.errors import AdapterUnavailable
from tradecast.packets.json_values import pack, unpack
from tradecast.packets.rooms import Rooms, room_names

T = TypeVar("T")
Result = Literal["ok", "incomplete", "failed"]
# Beats within a lease: two may be lost.
BEATS = 4
LOOKS = 8
# Seconds that the others may take beyond what clients may.
GRACE = 1.0
# That a server waits for its own first word, and for its last to be taken.
HELLO = GOODBYE = 1.0
log = structlog.stdlib.get_logger("tradecast.adapter")


class Cluster:
    """Requests to all servers that share a broker. In single-server mode there is only this one.

    Every request raises `AdapterUnavailable` if the others could not be told: then nothing was done, here neither
    (after a `PublishUncertain` perhaps it was, there). It raises `Incomplete` if not all have answered.

    Args:
        broker: Carries what servers tell each other; it is started and closed by its hub.
        clients: This server's own.
        servers: The other servers, as far as their heartbeats say; this one's name is the broker's.
        handlers: Of events for servers (`server_side_emit`).
        lease: Seconds after which a silent server is gone.
        timeout: Seconds that servers may take to answer, where the caller says nothing.
        on_request: Told the kind of each request from here, and its result.
        on_skipped: Told why a message is not understood.
        on_emitted: As of `Operations`.
        boot: This server's boot id if it passes requests on now (`Beat`).
    """

    def __init__(
        self,
        broker: Broker,
        clients: Clients,
        servers: Servers,
        *,
        handlers: Mapping[str, ServerEventHandler],
        lease: float,
        timeout: float,
        on_request: Callable[[str, Result], None] = lambda kind, result: None,
        on_skipped: Callable[[str], None] = lambda why: None,
        on_emitted: OnEmitted = lambda event, recipients: None,
        boot: Callable[[], str] = lambda: "",
    ) -> None:
        self.server_id = broker.server_id
        self._broker = broker
        self._clients = clients
        self._lease = lease
        self._timeout = timeout
        self._on_request = on_request
        self._on_skipped = on_skipped
        self._boot = boot
        self._servers = servers
        self._requests = Requests(self.server_id, lambda: self._servers.others, broker.send_to_all)
        self._serving = Serving(
            self.server_id, Operations(clients, handlers, on_emitted).by_kind(), broker.send_to_server
        )
        self._loops = TaskSet()
        self._sending = TaskSet()
        self._started = False
        self._audible = asyncio.Event()
        broker.add_control_listener(self)

    @property
    def servers(self) -> int:
        """How many servers there are, this one included."""
        return 1 + len(self._servers)

    @property
    def connections(self) -> int:
        """How many clients they have together; of the others, as they told last: a quarter of a lease ago, or less."""
        return self._clients.total() + self._servers.connections

    async def start(self) -> None:
        """Be one of them, from now on, or once the broker can be reached. It is started."""
        self._started = True
        if not self._broker.control_channel_down_for:
            with contextlib.suppress(AdapterUnavailable, TimeoutError):
                async with asyncio.timeout(HELLO):
                    await self._broker.send_to_all(encode(self._own_beat(hello=True)))
                    await self._audible.wait()
        self._loops.spawn(self._beat(), name="cluster beat")
        self._loops.spawn(self._look(), name="cluster look")

    async def close(self) -> None:
        """Leave; the broker is still there. This server has no clients any more."""
        if not self._started:
            return
        self._started = False
        await self._loops.close()
        with contextlib.suppress(AdapterUnavailable, TimeoutError):
            async with asyncio.timeout(GOODBYE):
                await self._broker.send_to_all(encode(Beat(self.server_id, 0, self._lease, leaving=True)))
        await self._serving.close()
        await self._requests.close()
        await self._sending.close()

    def on_control_message(self, data: bytes) -> None:
        """Handle a control message, as `ControlListener`."""
        if not self._started:
            return
        try:
            message = decode(data)
        except UnknownVersion:
            self._on_skipped("other version")
            return
        except Malformed:
            self._on_skipped("malformed message")
            return
        if isinstance(message, Beat):
            self._heard(message)
        elif message.server == self.server_id:
            pass
        elif isinstance(message, Request):
            self._serving.take(message)
        else:
            self._requests.answered(message)

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
        """Clients are ended for good; how many. Raises as the class says."""
        return await self._sum(DISCONNECT, selection.body(), timeout)

    async def count_user(self, user_id: str, timeout: float | None = None) -> int:
        """A user's connections. Raises as the class says."""
        return await self._sum(COUNT, {"u": user_id}, timeout)

    async def probe_user(self, user_id: str, patience: float) -> list[tuple[str, float, bool]]:
        """A user's connections: connection id, seconds since it was heard of, whether it answers within `patience`.

        Of servers that do not answer nothing is told; where the others cannot be asked, of this one alone.
        """
        body = {"u": user_id, "w": patience}
        try:
            answers = await self._ask(PROBE, body, patience + GRACE)
        except AdapterUnavailable:
            answers = Answers({self.server_id: list((await self._serving.here(PROBE, body)).items)})
        else:
            self._on_request(PROBE, "ok" if answers.complete else "incomplete")
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
            answers = Answers({self.server_id: list((await self._serving.here(REPLACE, body)).items)})
        else:
            self._on_request(REPLACE, "ok" if answers.complete else "incomplete")
        return any(item == 1 for _, item in self._items(answers))

    async def server_side_emit(self, event: str, *arguments: Any) -> None:
        """An event for the other servers' handlers; nobody answers. Raises AdapterUnavailable, TypeError, TooLarge."""
        body = {"e": event, "a": orjson.Fragment(pack(list(arguments)))}
        try:
            await self._requests.tell(SERVER_EVENT, body)
        except (AdapterUnavailable, TooLarge):
            self._on_request(SERVER_EVENT, "failed")
            raise
        self._on_request(SERVER_EVENT, "ok")

    async def server_side_emit_with_ack(
        self, event: str, *arguments: Any, timeout: float | None = None
    ) -> dict[str, Any]:
        """As `server_side_emit`; what each other server's handler returned. Raises as the class says."""
        body = {"e": event, "a": orjson.Fragment(pack(list(arguments)))}
        answers = await self._ask(SERVER_EVENT, body, timeout, here=False)
        found: dict[str, Any] = {}
        for server, items in answers.items.items():
            if server in answers.failed:
                continue
            try:
                (found[server],) = map(unpack, items)
            except ValueError:
                answers.failed[server] = "its answer is not understood"
        return self._complete(SERVER_EVENT, answers, found)

    async def emit_with_ack(
        self, selection: Selection, event: str, arguments: Sequence[Any], timeout: float | None = None
    ) -> Acknowledged:
        """An event that asks clients for acknowledgements. Raises AdapterUnavailable, TypeError, TooLarge."""
        wait = self._timeout if timeout is None else timeout
        body = {**selection.body(), "e": event, "a": orjson.Fragment(pack(list(arguments))), "w": wait}
        answers = await self._ask(ACKNOWLEDGE, body, wait + GRACE)
        told = Acknowledged(missing=answers.missing, gone=answers.gone, failed=answers.failed)
        for server, item in self._items(answers):
            match item:
                case [str(sid), list(said)]:
                    with contextlib.suppress(ValueError):
                        values = unpack(said)
                        data = None if not values else values[0] if len(values) == 1 else tuple(values)
                        told.answers.append(ClientAnswer(sid, server, data))
                        continue
                    told.refused.append(sid)
                case [str(sid), None, refused]:
                    (told.refused if refused else told.silent).append(sid)
        self._on_request(ACKNOWLEDGE, "ok" if answers.complete else "incomplete")
        return told

    # -- details

    async def _ask(self, kind: str, body: Any, timeout: float | None, *, here: bool = True) -> Answers:
        def own() -> Coroutine[Any, Any, Any]:
            return self._serving.here(kind, body)

        try:
            if self._servers.is_isolated or self._broker.control_channel_down_for:
                raise AdapterUnavailable("the other servers cannot be heard: Redis is away")
            within = self._timeout if timeout is None else timeout
            return await self._requests.ask(kind, body, within, own if here else None)
        except (AdapterUnavailable, TooLarge):
            self._on_request(kind, "failed")
            raise

    async def _sum(self, kind: str, body: Any, timeout: float | None) -> int:
        answers = await self._ask(kind, body, timeout)
        total = sum(item for _, item in self._items(answers) if isinstance(item, int))
        return self._complete(kind, answers, total)

    def _complete(self, kind: str, answers: Answers, result: T) -> T:
        if not answers.complete:
            self._on_request(kind, "incomplete")
            raise Incomplete(result, missing=answers.missing, gone=answers.gone, failed=answers.failed)
        self._on_request(kind, "ok")
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

    def _heard(self, beat: Beat) -> None:
        self._servers.heard(beat)
        if beat.server == self.server_id:
            self._audible.set()
            return
        if beat.leaving:
            self._requests.gone([beat.server], orderly=True)
        elif beat.hello:
            self._spawn(self._broker.send_to_server(beat.server, encode(self._own_beat())))

    def _own_beat(self, *, hello: bool = False) -> Beat:
        return Beat(self.server_id, self._clients.total(), self._lease, hello=hello, boot=self._boot())

    async def _beat(self) -> None:
        while True:
            with contextlib.suppress(AdapterUnavailable):
                await self._broker.send_to_all(encode(self._own_beat(hello=self._servers.is_isolated)))
            await asyncio.sleep(self._lease / BEATS)

    async def _look(self) -> None:
        while True:
            gone = self._servers.gone()
            if gone:
                log.warning("servers are not heard of any more", servers=len(gone))
                self._requests.gone(gone)
            await asyncio.sleep(self._lease / LOOKS)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        async def quietly() -> None:
            with contextlib.suppress(AdapterUnavailable):
                await work

        self._sending.spawn(quietly(), name="cluster control message")
