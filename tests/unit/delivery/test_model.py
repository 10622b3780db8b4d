"""Clients that join, leave, lose connections and go on, on servers that lag and die: the model says what each must get.

Each run is drawn from its number, so one that fails can be repeated.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from functools import partial

import pytest

from kit.delivery.hub_clients import HubClient, HubHarness
from kit.delivery.shared_broker import Memory, SharedBroker
from tradecast.background.tasks import cancel_and_wait
from tradecast.delivery.envelope import COUNTED

ROOMS = [f"room{n}" for n in range(6)]
RUNS = 200
STEPS = 200
USER = "u1"


@dataclass
class ModelServer:
    broker: SharedBroker
    desk: HubHarness
    alive: bool = True


@dataclass
class Client:
    """A client as it sees itself, and what the model knows of it.

    Attributes:
        member: Its connection; None while it has none.
        at: Where that is.
        busy: What it waits for.
        rooms: Where it is for sure.
        unsure: Where it may be: it is joining or leaving, or was when its connection was lost.
        read: How much of what was sent over the present connection has arrived.
        pinged: Where on the wire the heartbeat is that it has not answered.
        got: Events that count, by number, as they arrived.
        must: What it has to get, with the rooms through which it has to.
        may: What it may get, or not.
        latest: The newest that arrived of what is latest-wins, by room.
        seen: The newest of it that came over the present connection, by room.
        newest: The newest that it has to get.
        loose: What it may get once, twice or not at all: events of several partitions of whose rooms it leaves one.
    """

    pid: str | None = None
    offset: str | None = None
    member: HubClient | None = None
    at: ModelServer | None = None
    busy: asyncio.Task[None] | None = None
    rooms: set[str] = field(default_factory=set)
    unsure: set[str] = field(default_factory=set)
    read: int = 0
    pinged: int | None = None
    got: list[int] = field(default_factory=list)
    must: dict[int, set[str]] = field(default_factory=dict)
    may: set[int] = field(default_factory=set)
    latest: dict[str, int] = field(default_factory=dict)
    seen: dict[str, int] = field(default_factory=dict)
    newest: dict[str, int] = field(default_factory=dict)
    loose: set[int] = field(default_factory=set)

    def arrive(self, count: int) -> None:
        """So many more events reach it."""
        assert self.member is not None
        for one in self.member.wire[self.read : self.read + count]:
            self.read += 1
            payload = one.arguments[0]
            if one.event == "latest":
                # No snapshot follows what is newer.
                assert payload["n"] >= self.seen.get(payload["room"], 0)
                self.latest[payload["room"]] = self.seen[payload["room"]] = payload["n"]
            elif one.event == "event":
                self.got.append(payload["n"])
                assert one.offset is not None
            self.offset = one.offset or self.offset

    def lost(self) -> None:
        """Its connection is, with all that had not arrived."""
        self.member = self.at = self.busy = self.pinged = None
        self.seen.clear()
        self.read = 0

    def leaves(self, room: str) -> None:
        """From here on nothing has to come through this room."""
        self.rooms.discard(room)
        self.newest.pop(room, None)
        for number, through in list(self.must.items()):
            through.discard(room)
            if not through and number not in self.got:
                del self.must[number]
                self.may.add(number)


class DeliveryModel:
    """Servers, clients, and what happens to them."""

    def __init__(self, number: int, partitions: int) -> None:
        self.chance = random.Random(number)
        self.memory = Memory(partitions, self.tells, self.turns)
        self.servers: list[ModelServer] = []
        self.clients: list[Client] = []
        self.published: list[tuple[int, dict[str, int]]] = []
        self.numbers = iter(range(1, 1_000_000))
        # Connections that are lost, and their servers do not know yet.
        self.ghosts: list[tuple[ModelServer, HubClient]] = []
        self.recoveries = 0
        self.tasks: list[asyncio.Task[None]] = []

    def tells(self) -> bool:
        return self.chance.random() < 0.7

    def turns(self) -> int:
        return self.chance.choice([0, 0, 1, 2, 5])

    async def begin(self) -> None:
        for _ in range(3):
            await self.add_server()
        for _ in range(4):
            client = Client(at=self.chance.choice(self.servers))
            assert client.at is not None
            rooms = self.chance.sample(ROOMS, self.chance.randint(0, 3))
            client.member = await client.at.desk.connect(*rooms, user=USER)
            client.pid = client.member.pid
            client.rooms = set(rooms)
            self.clients.append(client)

    async def add_server(self) -> None:
        broker = SharedBroker(self.memory)
        server = ModelServer(broker, HubHarness(broker))
        await server.desk.hub.start()
        self.servers.append(server)

    async def run(self, steps: int) -> None:
        actions: dict[Callable[[], Awaitable[None]], int] = {
            self.publish: 30,
            self.publish_latest: 6,
            self.publish_text: 3,
            self.come: 25,
            self.receive: 20,
            self.join: 8,
            self.leave: 5,
            self.lose: 5,
            self.come_back: 12,
            self.ping: 6,
            self.pong: 10,
            self.refresh: 3,
            self.tidy: 3,
            self.bury: 3,
            self.crash: 1,
        }
        for _ in range(steps):
            (action,) = self.chance.choices(list(actions), list(actions.values()))
            await action()
            for _ in range(self.turns()):
                await asyncio.sleep(0)

    async def finish(self) -> None:
        """Everything comes to rest, and everybody has a connection."""
        for result in await asyncio.gather(*self.tasks, return_exceptions=True):
            if isinstance(result, Exception):  # else it was cancelled: its server died
                raise result
        for client in self.clients:
            if client.member is None:
                await self.goes_on(client, self.chance.choice(self.servers))
        for server in self.servers:
            for partition in range(self.memory.partitions):
                server.broker.tick(partition)
        for client in self.clients:
            assert client.member is not None
            client.arrive(len(client.member.wire))

    async def close(self) -> None:
        for server in self.servers:
            await server.desk.hub.close()

    # -- what may happen: events

    async def publish(self) -> None:
        rooms = frozenset(self.chance.sample(ROOMS, self.chance.choice([1, 1, 2, 3])))
        number = next(self.numbers)
        skipped = self.chance.choice(self.clients) if self.chance.random() < 0.1 else None
        skip = [skipped.member.sid] if skipped is not None and skipped.member is not None else []
        for client in self.clients:
            if client.unsure & rooms and self.is_scattered(rooms):
                client.loose.add(number)
            elif client is skipped and (skip or client.busy):
                client.may |= set() if skip and not client.busy else {number}
            elif client.rooms & rooms:
                client.must[number] = client.rooms & rooms
            elif client.unsure & rooms:
                client.may.add(number)
        await self.chance.choice(self.servers).desk.send(rooms, {"n": number}, kind=COUNTED, skip=skip)
        ids = {room: self.memory.last[self.memory.partition_of(room)] for room in rooms}
        self.published.append((number, ids))

    async def publish_latest(self) -> None:
        room, number = self.chance.choice(ROOMS), next(self.numbers)
        for client in self.clients:
            if room in client.rooms:
                client.newest[room] = number
        await self.chance.choice(self.servers).desk.send(room, {"n": number, "room": room}, event="latest")

    async def publish_text(self) -> None:
        """What does not count, and would be taken for an offset if none were behind it."""
        await self.chance.choice(self.servers).desk.send(self.chance.choice(ROOMS), {}, "text", event="volatile")

    async def come(self) -> None:
        broker = self.chance.choice(self.servers).broker
        partition = self.chance.randrange(self.memory.partitions)
        if self.chance.random() < 0.3:
            broker.tick(partition)
        else:
            broker.come(partition, self.chance.randint(1, 4))

    async def receive(self) -> None:
        client = self.chance.choice(self.clients)
        if client.member is not None:
            client.arrive(self.chance.randint(1, 5))

    def is_scattered(self, rooms: Iterable[str]) -> bool:
        """Whether an event to these rooms has more than one id."""
        return len({self.memory.partition_of(room) for room in rooms}) > 1

    # -- rooms

    async def join(self) -> None:
        client = self.chance.choice(self.clients)
        free = [room for room in ROOMS if room not in client.rooms | client.unsure]
        if client.member is None or client.at is None or client.busy or not free:
            return
        room = self.chance.choice(free)
        client.unsure.add(room)
        # What this server has not got yet may still be for it.
        here = client.at.broker.positions[self.memory.partition_of(room)]
        client.may |= {number for number, ids in self.published if ids.get(room, 0) > here}

        def joined() -> None:
            client.unsure.discard(room)
            client.rooms.add(room)

        hub, sid = client.at.desk.hub, client.member.sid

        async def join() -> None:
            await hub.join(sid, room)

        self.let(client, join, joined)

    async def leave(self) -> None:
        client = self.chance.choice(self.clients)
        if client.member is None or client.at is None or client.busy or not client.rooms:
            return
        room = self.chance.choice(sorted(client.rooms))
        client.leaves(room)
        client.unsure.add(room)
        client.loose |= {number for number, ids in self.published if room in ids and self.is_scattered(ids)}

        leaving = partial(client.at.desk.hub.leave, client.member.sid, room)
        self.let(client, leaving, lambda: client.unsure.discard(room))

    def let(
        self, client: Client, work: Callable[[], Awaitable[None]], after: Callable[[], None] = lambda: None
    ) -> None:
        """A client waits for something while everything else goes on."""

        async def do() -> None:
            await work()
            if client.busy is task:  # else its connection was lost meanwhile
                after()
                client.busy = None

        task = client.busy = asyncio.create_task(do())
        self.tasks.append(task)

    # -- connections

    async def lose(self) -> None:
        """With some of what was sent not arrived; its server notices at once, or not."""
        client = self.chance.choice(self.clients)
        if client.member is None or client.at is None:
            return
        server, member = client.at, client.member
        client.lost()
        if self.chance.random() < 0.5:
            await server.desk.lose(member)
        else:
            member.open = False
            self.ghosts.append((server, member))

    async def bury(self) -> None:
        if self.ghosts:
            server, member = self.ghosts.pop(self.chance.randrange(len(self.ghosts)))
            if server.alive:
                await server.desk.lose(member)

    async def come_back(self) -> None:
        client = self.chance.choice(self.clients)
        if client.member is None and client.busy is None:
            client.at = self.chance.choice(self.servers)
            self.let(client, partial(self.goes_on, client, client.at))

    async def goes_on(self, client: Client, server: ModelServer) -> None:
        desk = server.desk
        member = await desk.enter(await desk.arrive(), user=USER, auth={"pid": client.pid, "offset": client.offset})
        assert member.resumed is not None, desk.results
        assert client.rooms <= member.resumed.rooms <= client.rooms | client.unsure
        client.rooms, client.unsure = set(member.resumed.rooms), set()
        client.member, client.at, client.read = await desk.go(member), server, 0
        self.recoveries += 1

    async def crash(self) -> None:
        """A server dies with all that it knew."""
        server = self.servers.pop(self.chance.randrange(len(self.servers)))
        server.alive = False
        here = [client for client in self.clients if client.at is server]
        hub = server.desk.hub
        await cancel_and_wait(*(client.busy for client in here))
        await hub._loops.close()
        await hub.states.tasks.close()
        await server.broker.close()
        for client in here:
            client.lost()
        await self.add_server()

    # -- what servers do by the way

    async def ping(self) -> None:
        client = self.chance.choice(self.clients)
        if client.member is not None and client.at is not None and client.pinged is None:
            client.at.desk.hub.on_ping(client.member.eio_sid)
            client.pinged = len(client.member.wire)

    async def pong(self) -> None:
        client = self.chance.choice(self.clients)
        if client.member is not None and client.at is not None and client.pinged is not None:
            client.arrive(max(0, client.pinged - client.read))
            client.pinged = None
            client.at.desk.hub.on_pong(client.member.eio_sid)

    async def refresh(self) -> None:
        hub = self.chance.choice(self.servers).desk.hub
        await hub.states.touch([pair for pair in hub.clients.by_sid.items() if pair[1].stored and not pair[1].dirty])
        await hub.states.save_dirty()

    async def tidy(self) -> None:
        self.chance.choice(self.servers).broker.unsubscribe_idle()


@pytest.mark.parametrize("partitions", [1, 3])
async def test_everybody_gets_what_counts_once_and_in_order(partitions: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tradecast.delivery.hub.SWEEP_EVERY", 0)
    events = recoveries = 0
    for number in range(RUNS):
        world = DeliveryModel(number, partitions)
        await world.begin()
        await world.run(STEPS)
        await world.finish()
        for which, client in enumerate(world.clients):
            run = f"run {number}, client {which}"
            lost = set(client.must) - set(client.got) - client.loose
            assert not lost, f"{run}: lost {sorted(lost)}"
            more = set(client.got) - set(client.must) - client.may - client.loose
            assert not more, f"{run}: not for it {sorted(more)}"
            once = [n for n in client.got if n not in client.loose]
            assert len(once) == len(set(once)), f"{run}: {once}"
            for partition in range(partitions):
                of = {
                    n for n, ids in world.published if {world.memory.partition_of(room) for room in ids} == {partition}
                }
                order = [n for n in once if n in of]
                assert order == sorted(order), f"{run}: {order}"
            for room, newest in client.newest.items():
                assert client.latest.get(room) == newest, f"{run}: not the newest of {room}"
        events += sum(len(client.must) for client in world.clients)
        recoveries += world.recoveries
        await world.close()
    # what was tried is worth the name
    assert events > 20 * RUNS
    assert recoveries > 5 * RUNS
