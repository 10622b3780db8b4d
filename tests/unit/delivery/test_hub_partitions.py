"""The hub where rooms are in several partitions."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from kit.delivery.hub_clients import running_hub
from kit.delivery.shared_broker import Memory, SharedBroker
from tradecast.delivery.broker import Snapshot
from tradecast.delivery.envelope import COUNTED, encode_envelope
from tradecast.delivery.ids import MAX_ID, id_span, write_offset


def two_rooms(memory: Memory) -> tuple[str, str]:
    """One of an earlier partition, and one of a later."""
    first = next(room for room in map("room{}".format, range(100)) if memory.partition_of(room) == 0)
    second = next(room for room in map("room{}".format, range(100)) if memory.partition_of(room) == 2)
    return first, second


async def test_an_event_to_both_comes_once() -> None:
    memory = Memory(3)
    broker = SharedBroker(memory)
    async with running_hub(broker) as here:
        a, b = two_rooms(memory)
        member = await here.connect(a, b)
        only_b = await here.connect(b)
        await here.send([b, a], 1)
        for partition in (2, 0):
            broker.tick(partition)
        assert member.got == [1]
        assert only_b.got == [1]


async def test_an_offset_of_which_nothing_is_known_is_believed_up_to_a_point() -> None:
    memory = Memory(3)
    broker = SharedBroker(memory)
    async with running_hub(broker) as here:
        a = await here.connect()
        await here.lose(a)
        own = memory.partition_of(a.sid)  # nothing else is read
        ids = [at if partition == own else MAX_ID for partition, at in enumerate(memory.last)]
        back = await here.connect(auth={"pid": a.pid, "offset": write_offset(memory.epoch, ids)})
        assert back.resumed is not None
        assert max(here.hub.clients.by_sid[back.sid].replayed_until) < max(memory.last) + id_span(3600)


@pytest.mark.parametrize("how", ["admitted", "joining"])
async def test_who_comes_while_it_is_on_its_way_gets_it_once_at_most(how: str) -> None:
    memory = Memory(3)
    broker = SharedBroker(memory)
    a, b = two_rooms(memory)
    whole = encode_envelope("event", [1], [a, b], COUNTED)
    async with running_hub(broker) as here:
        member = await here.connect(b) if how == "joining" else None
        broker.subscribed.add(a)
        ids: list[int] = []
        asked = broker.read_snapshots

        async def now(rooms: Mapping[str, int]) -> Mapping[str, Snapshot]:
            if not ids:  # the first part is published, and this server has not got it yet
                ids.append(memory._publish(0, whole.part([a], {})))
            return await asked(rooms)

        broker.read_snapshots = now  # type: ignore[method-assign]
        broker.subscribed.discard(b)  # so that it has to be asked where the rooms' partitions are
        if member is None:
            member = await here.connect(a, b)
        else:
            await here.hub.join(member.sid, a)
        broker.subscribed.add(b)
        memory._publish(2, whole.part([b], {a: ids[0]}))
        for partition in (0, 2):
            broker.tick(partition)
        assert member.got == [1]
