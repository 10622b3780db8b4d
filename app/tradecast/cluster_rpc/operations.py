"""Carries out on this server's own clients what a server asks of all: the kinds of requests, and their bodies."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

import orjson

from tradecast.cluster_rpc.local_clients import LocalClients
from tradecast.cluster_rpc.responder import Outcome, UnknownKind
from tradecast.cluster_rpc.selection import Selection, parse_texts
from tradecast.delivery.envelope import Malformed
from tradecast.delivery.errors import AdapterUnavailable
from tradecast.packets.json_values import pack_value, unpack_value

FETCH: Final = "fetch_sockets"
JOIN: Final = "sockets_join"
LEAVE: Final = "sockets_leave"
DISCONNECT: Final = "disconnect_sockets"
SERVER_EVENT: Final = "server_side_emit"
ACKNOWLEDGE: Final = "emit_with_ack"
COUNT: Final = "count"
PROBE: Final = "probe"
REPLACE: Final = "replace"
KINDS: Final = (FETCH, JOIN, LEAVE, DISCONNECT, SERVER_EVENT, ACKNOWLEDGE, COUNT, PROBE, REPLACE)
# Clients that are put into rooms at a time: their writes share round trips to Redis.
AT_ONCE = 200
MAX_WAIT = 3_600
# Bytes of what the application notes of a client (JSON) that are passed on.
MAX_DATA = 16_384
ServerEventHandler = Callable[..., Any]


class EmitObserver(Protocol):
    """Observes events that ask for acknowledgements; the metrics do."""

    def event_emitted(self, event: str, recipients: int) -> None:
        """An event was sent to so many clients of this server."""
        ...


class Operations:
    """The operations by their kinds, as `OperationSet`. Each raises Malformed for a body that is none of its own.

    Args:
        clients: Whom they are carried out on.
        handlers: Of `server_side_emit`, by event.
        observer: Observes events that ask for acknowledgements.
    """

    def __init__(
        self, clients: LocalClients, handlers: Mapping[str, ServerEventHandler], observer: EmitObserver
    ) -> None:
        self._clients = clients
        self._handlers = handlers
        self._observer = observer

    async def run(self, kind: str, body: Any) -> Outcome:
        """Carry out a request. Raises UnknownKind, Malformed."""
        match kind:
            case "fetch_sockets":
                return await self.fetch(body)
            case "sockets_join":
                return await self.join(body)
            case "sockets_leave":
                return await self.leave(body)
            case "disconnect_sockets":
                return await self.disconnect(body)
            case "server_side_emit":
                return await self.server_event(body)
            case "emit_with_ack":
                return await self.acknowledge(body)
            case "count":
                return await self.count(body)
            case "probe":
                return await self.probe(body)
            case "replace":
                return await self.replace(body)
        raise UnknownKind(kind)

    async def fetch(self, body: Any) -> Outcome:
        """Who is there: a list for each client, in the order of `RemoteSocket`, the server left out."""
        found = []
        for sid in self._clients.select(Selection.parse(body)):
            known = self._clients.directory.describe(sid)
            if known is not None:
                rooms = sorted(self._clients.hub.rooms_of(sid))
                about = (known.connection_id, known.user_id, rooms, known.transport, round(known.connected_at, 3))
                found.append([sid, *about, known.handshake, _pack_data(known.data)])
        return Outcome(found)

    async def join(self, body: Any) -> Outcome:
        """Clients join rooms; how many have."""
        return await self._change(body, joins=True)

    async def leave(self, body: Any) -> Outcome:
        """Clients leave rooms; how many have."""
        return await self._change(body, joins=False)

    async def disconnect(self, body: Any) -> Outcome:
        """Disconnect clients, which do not reconnect. Returns how many."""
        sids = self._clients.select(Selection.parse(body))
        for start in range(0, len(sids), AT_ONCE):
            await asyncio.gather(*(self._clients.sockets.end(sid) for sid in sids[start : start + AT_ONCE]))
        return Outcome([len(sids)])

    async def server_event(self, body: Any) -> Outcome:
        """An event for the servers themselves; what its handler returned."""
        event, arguments = _read_event(body)
        handler = self._handlers.get(event)
        if handler is None:
            return Outcome(error="it has no handler for this event")
        answer = handler(*arguments)
        if inspect.isawaitable(answer):
            answer = await answer
        return Outcome([orjson.Fragment(pack_value(answer))])

    async def acknowledge(self, body: Any) -> Outcome:
        """An event for clients that are to acknowledge it: [sid, arguments], or [sid, None, whether refused]."""
        selection = Selection.parse(body)
        event, arguments = _read_event(body)
        wait = body.get("w")
        if not isinstance(wait, int | float) or isinstance(wait, bool) or not 0 <= wait <= MAX_WAIT:
            raise Malformed("no time to wait")
        sids = self._clients.select(selection)
        asked = await self._clients.sockets.ask(sids, event, arguments, wait)
        self._observer.event_emitted(event, len(sids))
        items: list[Any] = [[sid, orjson.Fragment(packed)] for sid, packed in asked.answers.items()]
        items += [[sid, None, 0] for sid in asked.silent]
        items += [[sid, None, 1] for sid in asked.refused]
        return Outcome(items)

    async def count(self, body: Any) -> Outcome:
        """How many connections a user has."""
        if not isinstance(body, dict) or not isinstance(body.get("u"), str):
            raise Malformed("no user")
        return Outcome([self._clients.directory.count_user(body["u"])])

    async def probe(self, body: Any) -> Outcome:
        """Which of a user's connections answer: [connection id, seconds of silence, whether it answers]."""
        if not isinstance(body, dict) or not isinstance(body.get("u"), str):
            raise Malformed("no user")
        wait = body.get("w")
        if not isinstance(wait, int | float) or isinstance(wait, bool) or not 0 <= wait <= MAX_WAIT:
            raise Malformed("no time to wait")
        found = await self._clients.directory.probe(body["u"], wait)
        return Outcome([[name, round(seconds, 3), int(answers)] for name, seconds, answers in found])

    async def replace(self, body: Any) -> Outcome:
        """A connection that does not answer is ended; how many were."""
        if not isinstance(body, dict) or not isinstance(body.get("u"), str) or not isinstance(body.get("c"), str):
            raise Malformed("no connection")
        return Outcome([int(self._clients.directory.replace(body["u"], body["c"]))])

    async def _change(self, body: Any, *, joins: bool) -> Outcome:
        selection = Selection.parse(body)
        rooms = parse_texts(body.get("to"))
        sids = self._clients.select(selection)
        done = failed = 0
        hub = self._clients.hub

        async def one(sid: str) -> bool:
            try:
                for room in rooms:
                    if joins:
                        await hub.join(sid, room)
                    else:
                        await hub.leave(sid, room)
            except AdapterUnavailable:
                return False
            return True

        for start in range(0, len(sids), AT_ONCE):
            results = await asyncio.gather(*(one(sid) for sid in sids[start : start + AT_ONCE]))
            done += sum(results)
            failed += len(results) - sum(results)
        return Outcome([done], "Redis did not store it in time for all its clients" if failed else "")


def _pack_data(data: Mapping[str, Any]) -> orjson.Fragment | None:
    if not data:
        return orjson.Fragment(b"{}")
    try:
        packed = pack_value(data)
    except TypeError:
        return None
    return orjson.Fragment(packed) if len(packed) <= MAX_DATA else None


def _read_event(body: Any) -> tuple[str, list[Any]]:
    if not isinstance(body, dict) or not isinstance(body.get("e"), str) or not isinstance(body.get("a"), list):
        raise Malformed("no event")
    try:
        return body["e"], unpack_value(body["a"])
    except ValueError:
        raise Malformed("no arguments") from None
