"""What a client that joins a room gets of it: what was there before, and from where on it is live."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from typing import Any

import pytest

from kit.contracts.snapshots import RETAINING
from kit.delivery.hub_clients import HubClient, running_hub
from kit.delivery.shared_broker import Memory, SharedBroker
from tradecast.delivery.broker import Snapshot
from tradecast.delivery.envelope import COUNTED, LATEST, Envelope, Kind, encode_envelope
from tradecast.delivery.errors import AdapterUnavailable
from tradecast.delivery.memory import MemoryBroker
from tradecast.delivery.shaping.snapshots import is_in_snapshot, read_event, read_events


def numbered(number: int, *rooms: str, event: str = "latest", **options: Any) -> Envelope:
    kind: Kind = LATEST if event == "latest" else COUNTED
    return encode_envelope(event, [{"n": number}], rooms or ("x",), kind, **options)


def got(member: HubClient, event: str = "latest") -> list[int]:
    return [one.arguments[0]["n"] for one in member.wire if one.event == event]


async def test_a_new_client_gets_the_state_of_its_first_rooms_after_connect() -> None:
    memory = Memory()
    memory.publish(numbered(1))
    memory.publish(numbered(2, event="event"))
    async with running_hub(SharedBroker(memory)) as here:
        member = await here.enter(await here.arrive(), "x", "y")
        assert member.wire == []  # it has not got its CONNECT packet
        await here.go(member)
        assert (got(member), got(member, "event")) == ([1], [])
        assert here.snapshots == {"hit": 1, "miss": 1}


async def test_who_joins_gets_the_state_once_and_what_counts_in_the_answer() -> None:
    memory = Memory()
    for number in range(30):
        memory.publish(numbered(number))
        memory.publish(numbered(number, event="event"))
    async with running_hub(SharedBroker(memory)) as here:
        member = await here.connect()
        recent = await here.hub.join(member.sid, "x", recent=20)
        assert recent is not None
        assert [one["data"]["n"] for one in read_events(recent)] == list(range(10, 30))
        assert (got(member), got(member, "event")) == ([29], [])
        assert await here.hub.join(member.sid, "x", recent=20) is None  # it is in
        assert got(member) == [29]
        await here.hub.leave(member.sid, "x")
        await here.hub.join(member.sid, "x")
        assert got(member) == [29, 29]


async def test_several_rooms_are_joined_by_one_read() -> None:
    memory = Memory()
    rooms = [f"room{number}" for number in range(20)]
    for number, room in enumerate(rooms):
        memory.publish(numbered(number, room))
    broker = SharedBroker(memory)
    asked: list[list[str]] = []
    read = broker.read_snapshots

    async def counted(rooms: Mapping[str, int]) -> Mapping[str, Snapshot]:
        asked.append(list(rooms))
        return await read(rooms)

    broker.read_snapshots = counted  # type: ignore[method-assign]
    async with running_hub(broker) as here:
        member = await here.connect()
        await here.hub.join(member.sid, *rooms, *rooms)
        assert asked == [rooms]
        assert got(member) == list(range(20))
        assert here.hub.rooms_of(member.sid) == set(rooms)
        assert member.pid is not None
        assert set(rooms) <= set(memory.sessions[member.pid][0].joins)


async def test_what_cannot_be_read_is_not_said_to_be_nothing() -> None:
    memory = Memory()
    memory.publish(numbered(1))
    broker = SharedBroker(memory)
    async with running_hub(broker) as here:
        await here.connect("x")
        member = await here.connect()

        async def away(rooms: Mapping[str, int]) -> Mapping[str, Snapshot]:
            raise AdapterUnavailable("away")

        broker.read_snapshots = away  # type: ignore[method-assign]
        here.snapshots.clear()
        assert await here.hub.join(member.sid, "x", recent=20) is None
        assert here.snapshots == {"failed": 1}
        assert await here.hub.positions.read_recent("x", 20) is None
        await here.send("x", {"n": 2}, event="latest")
        broker.tick(0)
        assert got(member) == [2]


async def test_in_memory_a_room_of_which_there_is_nothing_is_joined_at_once() -> None:
    broker = MemoryBroker(RETAINING)
    async with running_hub(broker) as here:
        member = await here.connect()
        here.snapshots.clear()
        assert await here.hub.join(member.sid, "r", recent=20) == ()
        assert here.snapshots == {"miss": 1}
        await here.send("r", {"n": 1}, event="latest")
        later = await here.connect()
        await here.hub.join(later.sid, "r")
        assert (got(member), got(later)) == ([1], [1])
        assert here.snapshots["hit"] == 1


async def test_without_retention_nothing_is_read_and_nothing_said() -> None:
    memory = Memory()
    memory.publish(numbered(1))
    broker = SharedBroker(memory)
    broker.has_snapshots = False
    async with running_hub(broker) as here:
        member = await here.connect("x")
        assert await here.hub.join(member.sid, "y", recent=20) is None
        assert (got(member), here.snapshots) == ([], {})


async def test_a_state_that_could_not_be_stored_with_the_client_is_not_sent() -> None:
    """Its position is not known then: what is live may be older."""
    memory = Memory()
    memory.publish(numbered(1))
    broker = SharedBroker(memory)

    async def away(session: object) -> bool:
        raise AdapterUnavailable("away")

    broker.save = away  # type: ignore[method-assign]
    async with running_hub(broker) as here:
        member = await here.connect("x")
        assert (member.pid, got(member)) == (None, [])


async def test_a_recovered_client_gets_the_state_of_rooms_whose_history_is_gone() -> None:
    """It may have been on its way when the connection was lost."""
    memory = Memory()
    memory.publish(numbered(1))
    broker = SharedBroker(memory)
    async with running_hub(broker) as here:
        member = await here.connect("x")
        await here.lose(member)
        again = await here.connect("x", auth=member.auth)
        assert again.resumed is not None
        assert got(again) == [1]


@pytest.mark.parametrize("partitions", [1, 3])
@pytest.mark.parametrize("number", range(60))
async def test_no_state_follows_a_newer_one_and_nothing_that_counts_is_lost_or_twice(
    number: int, partitions: int
) -> None:
    """Publishers race a client that joins and leaves, on a server that lags. Each run is drawn from its number."""
    chance = random.Random(number)
    memory = Memory(partitions, turns=lambda: chance.randrange(4))
    broker = SharedBroker(memory)
    rooms = [f"room{n}" for n in range(4)]
    async with running_hub(broker) as here:
        # With somebody else in some rooms, the server receives their events already.
        await here.connect(*chance.sample(rooms, 2))
        member = await here.connect()
        published: dict[str, list[int]] = {room: [] for room in rooms}
        answered: dict[str, list[int]] = {}
        numbers = iter(range(1, 100_000))

        async def publish() -> None:
            for _ in range(150):
                room = chance.choice(rooms)
                n = next(numbers)
                if chance.random() < 0.5:
                    memory.publish(encode_envelope("latest", [{"n": n, "room": room}], [room], LATEST))
                else:
                    memory.publish(encode_envelope("event", [{"n": n, "room": room}], [room], COUNTED))
                    published[room].append(n)
                if chance.random() < 0.6:
                    broker.come(chance.randrange(partitions), chance.randrange(6))
                await asyncio.sleep(0)

        async def join() -> None:
            for room in chance.sample(rooms, 4):
                for _ in range(chance.randrange(30)):
                    await asyncio.sleep(0)
                recent = await here.hub.join(member.sid, room, recent=20)
                assert recent is not None
                answered[room] = [one["data"]["n"] for one in read_events(recent)]

        await asyncio.gather(publish(), join())
        for partition in range(partitions):
            broker.tick(partition)
        newest: dict[str, int] = {}
        live: dict[str, list[int]] = {room: [] for room in rooms}
        for one in member.wire:
            n, room = one.arguments[0]["n"], one.arguments[0]["room"]
            if one.event == "latest":
                assert n >= newest.get(room, 0), (room, n, newest)
                newest[room] = n
            else:
                live[room].append(n)
        for room in rooms:
            whole = [*answered[room], *live[room]]
            assert whole == published[room][len(published[room]) - len(whole) :], room
            assert len(answered[room]) == 20 or whole == published[room]
        for (room, _), envelope in memory.latest.items():
            assert read_event(envelope) == {"event": "latest", "data": {"n": newest[room], "room": room}}


def test_who_is_in_another_of_the_events_rooms_got_it_there() -> None:
    joins = {"a": 5, "b": 6}
    assert is_in_snapshot(numbered(1, "a"), "a", "sid", joins)
    assert is_in_snapshot(numbered(1, "a", "b"), "a", "sid", joins)
    assert not is_in_snapshot(numbered(1, "a", "b"), "b", "sid", joins)
    assert is_in_snapshot(numbered(1, "c", "b"), "b", "sid", joins)
    assert not is_in_snapshot(numbered(1, "c"), "c", "sid", joins)  # it has left
    assert not is_in_snapshot(numbered(1, "a", skip=["sid"]), "a", "sid", joins)
    assert not is_in_snapshot(numbered(1, "a", except_rooms=["b"]), "a", "sid", joins)
    assert not is_in_snapshot(numbered(1, "a").part(["a"], {"b": 7}), "a", "sid", joins)


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        ([{"price": 1.5}], {"event": "e", "data": {"price": 1.5}}),
        (["text"], {"event": "e", "data": "text"}),
        ([2**53], {"event": "e", "data": 2**53}),
        ([], None),
        ([1, 2], None),
        ([b"bytes"], None),
    ],
)
def test_events_in_answers(arguments: list[Any], found: Any) -> None:
    assert read_event(encode_envelope("e", arguments, ["x"], COUNTED)) == found


def test_events_of_other_namespaces_are_in_no_answer() -> None:
    assert read_event(encode_envelope("e", [1], ["/admin,x"], COUNTED, namespace="/admin")) is None
    assert read_event(Envelope(COUNTED, "e", ["x"], b'2["e",nonsense')) is None
