"""A hub with an engine that only notes what it is handed, and clients as the server above would bring them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson

from tradecast.delivery.broker import Broker
from tradecast.delivery.clients.resumption import RecoveryLimiter, Resumed
from tradecast.delivery.envelope import COUNTED, LATEST, VOLATILE, Kind
from tradecast.delivery.event_kinds import EventKind
from tradecast.delivery.hub import Hub, HubOptions
from tradecast.delivery.recovery import Request, Result
from tradecast.delivery.shaping.intake import NO_SHAPING, ShapingOptions
from tradecast.delivery.shaping.snapshots import SnapshotResult
from tradecast.engine.message import Message
from tradecast.engine.transports.backlog import DrainWaiter
from tradecast.observability.throttled_log import ThrottledLog
from tradecast.packets.room_names import NAMESPACE
from tradecast.packets.rooms import LocalManager
from tradecast.packets.socketio_packet import Packet

_OFFSET = re.compile(r"[0-9a-z]+(\.[0-9a-f]+)+", re.ASCII)


@dataclass(frozen=True)
class Received:
    """One event as a client got it.

    Attributes:
        event: Its name.
        arguments: Without the offset.
        offset: The offset at the end, if there was one.
    """

    event: str
    arguments: list[Any]
    offset: str | None

    @classmethod
    def of(cls, text: str) -> Received:
        event, *arguments = orjson.loads(text[text.index("[") :])
        offset = None
        if arguments and isinstance(arguments[-1], str) and _OFFSET.fullmatch(arguments[-1]):
            offset = arguments.pop()
        return cls(event, arguments, offset)


@dataclass
class HubClient:
    """A client's connection to a hub.

    Attributes:
        wire: What was sent to it, in order.
        resumed: What went on, if anything did.
        pid: Its private id, if it has one.
    """

    eio_sid: str
    sid: str
    wire: list[Received] = field(default_factory=list)
    resumed: Resumed | None = None
    pid: str | None = None
    open: bool = True

    @property
    def got(self) -> list[Any]:
        """The first argument of each event."""
        return [one.arguments[0] if one.arguments else None for one in self.wire]

    @property
    def offset(self) -> str | None:
        """What a stock client would send back."""
        return next((one.offset for one in reversed(self.wire) if one.offset is not None), None)

    @property
    def auth(self) -> dict[str, Any]:
        """What a stock client sends when it comes back."""
        return {"pid": self.pid, "offset": self.offset}


class NoLimit:
    """`RecoveryLimiter` that allows everything."""

    def may_recover(self, user: str, pid: str, *, blind: bool) -> bool:
        return True


NO_LIMIT = NoLimit()


class NullObserver:
    """`DeliveryObserver` that forgets everything."""

    def event_emitted(self, event: str, recipients: int) -> None: ...
    def deltas_delivered(self, recipients: int, size: int, replaced: int) -> None: ...
    def wholes_delivered(self, recipients: int, size: int) -> None: ...
    def recovery(self, result: Result) -> None: ...
    def gap_lost(self, clients: int) -> None: ...
    def snapshots_read(self, result: SnapshotResult, rooms: int) -> None: ...


async def reserve_anything(connection_id: str, rooms: Collection[str]) -> bool:
    return True


class HubHarness:
    """A hub between a broker and clients that are lists.

    Attributes:
        displaced: Clients (sids) that were ended because they go on elsewhere.
        closed_transports: Connections (eio_sids) that were closed so that their clients come back.
        too_slow: Those of them that were reported as too slow.
        discarded: Clients whose queue was purged: eio_sid, the rooms left, the rooms that it is still in.
        results: Of each try to recover.
        gaps: How many clients missed events for good, each time.
        snapshots: Rooms that were joined, by whether something was there.
        emitted: Name and recipients of each event.
        deltas: Recipients, bytes and bytes of the whole event of each delta.
        wholes: Recipients and bytes of each whole event to those who want deltas.
        room_for: How many events the link of a connection takes; of those that are not in it, all.
        waiters: Who waits until a connection's link takes more.
    """

    names = iter(range(1_000_000_000))

    def __init__(
        self,
        broker: Broker,
        *,
        recovery: bool = True,
        window: float = 60,
        buffer_limit: int = 1000,
        replay_limit: int = 4_000_000,
        shaping: ShapingOptions = NO_SHAPING,
        limiter: RecoveryLimiter = NO_LIMIT,
    ) -> None:
        self.members: dict[str, HubClient] = {}
        self.displaced: list[str] = []
        self.closed_transports: list[str] = []
        self.too_slow: list[str] = []
        self.discarded: list[tuple[str, frozenset[str], frozenset[str]]] = []
        self.results: list[Result] = []
        self.gaps: list[int] = []
        self.snapshots: Counter[str] = Counter()
        self.emitted: list[tuple[str, int]] = []
        self.deltas: list[tuple[int, int, int]] = []
        self.wholes: list[tuple[int, int]] = []
        self.room_for: dict[str, int] = {}
        self.waiters: dict[str, DrainWaiter] = {}
        self.manager = LocalManager()
        self.manager.set_server(_Server())
        options = HubOptions(recovery, window, 3600, buffer_limit, replay_limit, shaping)
        self.hub = Hub(
            broker, self.manager, self, self, self, options, kinds=Kinds(), limiter=limiter, lines=ThrottledLog()
        )

    # -- the observer

    def event_emitted(self, event: str, recipients: int) -> None:
        self.emitted.append((event, recipients))

    def deltas_delivered(self, recipients: int, size: int, replaced: int) -> None:
        self.deltas.append((recipients, size, replaced))

    def wholes_delivered(self, recipients: int, size: int) -> None:
        self.wholes.append((recipients, size))

    def recovery(self, result: Result) -> None:
        self.results.append(result)

    def gap_lost(self, clients: int) -> None:
        self.gaps.append(clients)

    def snapshots_read(self, result: SnapshotResult, rooms: int) -> None:
        self.snapshots[result] += rooms

    # -- the engine's side

    def deliver(self, eio_sids: Iterable[str], message: Message) -> int:
        received = Received.of(str(message.parts[0]))
        count = 0
        for eio_sid in eio_sids:
            member = self.members.get(eio_sid)
            count += member is not None
            if member is not None and member.open:
                if eio_sid in self.room_for:
                    self.room_for[eio_sid] -= 1
                member.wire.append(received)
        return count

    def is_backed_up(self, eio_sid: str) -> bool:
        return self.room_for.get(eio_sid, 1) <= 0

    def notify_drained(self, eio_sid: str, waiter: DrainWaiter) -> None:
        self.waiters[eio_sid] = waiter

    def drain(self, member: HubClient, room_for: int) -> None:
        """The client has read, and its link takes so many events more."""
        self.room_for[member.eio_sid] = room_for
        waiter = self.waiters.pop(member.eio_sid, None)
        if waiter is not None:
            waiter.on_drained(member.eio_sid)

    def close_transport(self, eio_sid: str) -> None:
        self.closed_transports.append(eio_sid)
        self.members[eio_sid].open = False

    def report_too_slow(self, eio_sid: str) -> None:
        self.too_slow.append(eio_sid)

    def discard(self, eio_sid: str, left: Collection[str], still_in: Collection[str]) -> None:
        self.discarded.append((eio_sid, frozenset(left), frozenset(still_in)))

    async def displace(self, sid: str) -> None:
        eio_sid = self.manager.eio_sid_from_sid(sid, NAMESPACE)
        if eio_sid is None:
            return
        self.displaced.append(sid)
        self.members[eio_sid].open = False
        await self.manager.disconnect(sid, NAMESPACE, ignore_queue=True)

    # -- the server's side

    async def arrive(self) -> HubClient:
        """A transport, with a sid for now."""
        eio_sid = f"eio{next(self.names)}"
        sid = await self.manager.pre_connect(eio_sid, NAMESPACE)
        assert sid is not None
        self.members[eio_sid] = HubClient(eio_sid, sid)
        return self.members[eio_sid]

    async def enter(
        self,
        member: HubClient,
        *rooms: str,
        user: str = "u1",
        auth: Any = None,
        permitted: Callable[[str], bool] = lambda room: True,
    ) -> HubClient:
        """Let it go on where it was, or in as a new client; events are held back until `go`."""
        request = Request.of(auth)
        member.resumed = await self.hub.resume(member.sid, member.eio_sid, request, user, permitted, reserve_anything)
        if member.resumed is not None:
            member.sid = member.resumed.sid
            member.pid = request.valid_pid()
        else:
            connection_id = f"c-{member.eio_sid}"
            member.pid = await self.hub.admit(member.sid, member.eio_sid, user, connection_id, rooms, request)
        return member

    async def go(self, member: HubClient) -> HubClient:
        await self.manager.connect(member.sid, NAMESPACE)
        self.hub.start_delivery(member.sid)
        return member

    async def connect(self, *rooms: str, user: str = "u1", auth: Any = None) -> HubClient:
        return await self.go(await self.enter(await self.arrive(), *rooms, user=user, auth=auth))

    async def lose(self, member: HubClient, *, final: bool = False) -> None:
        """The transport ends, and the server notices."""
        member.open = False
        sid = self.manager.sid_from_eio_sid(member.eio_sid, NAMESPACE)
        if sid is not None:  # else it was displaced
            self.hub.forget(sid, final=final)
            await self.manager.disconnect(sid, NAMESPACE, ignore_queue=True)
        await self.settle()

    async def settle(self) -> None:
        """Until the hub has done what it does in the background."""
        while self.hub.states.tasks:
            await self.hub.states.tasks.wait()

    async def send(self, rooms: str | Collection[str], *arguments: Any, event: str = "event", **options: Any) -> None:
        await self.hub.emit(event, arguments, [rooms] if isinstance(rooms, str) else list(rooms), **options)


class Kinds:
    """`EventKinds` by the event's name."""

    def describe_event(self, event: str) -> EventKind:
        kinds: dict[str, Kind] = {"latest": LATEST, "volatile": VOLATILE}
        if event == "quote":
            return EventKind(LATEST, key="symbol", deltas=True)
        return EventKind(kinds.get(event, COUNTED))

    def key_of(self, event: str, arguments: Sequence[Any], rooms: Sequence[str]) -> str:
        return ""

    def subject_of(self, event: str, room: str, key: str) -> str:
        return event


@asynccontextmanager
async def running_hub(broker: Broker, **options: Any) -> AsyncIterator[HubHarness]:
    made = HubHarness(broker, **options)
    await made.hub.start()
    try:
        yield made
    finally:
        await made.hub.close()


class _Server:
    packet_class = Packet

    def __init__(self) -> None:
        self.eio = self

    @staticmethod
    def generate_id() -> str:
        return f"sid{next(HubHarness.names)}"
