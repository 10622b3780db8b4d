"""What every broker retains for those who join later, as tests. A broker's own test module inherits it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from kit.contracts.broker import MakeBroker, event, numbers
from kit.waiting import eventually
from tradecast.delivery.broker import Broker, Snapshot
from tradecast.delivery.envelope import LATEST, VOLATILE, Keep
from tradecast.delivery.retention import MAX_KEYS, RetainLimits, Retention

RECENT: Mapping[str, int] = {"trade": 3, "note": 3}
LIMITS = RetainLimits(seconds=60, value_bytes=1_000, budget_bytes=1_600_000, recent=RECENT)
# The history is gone after 7.4 s; what stays is copied after 3.7. A busy machine may hold up Redis in between.
RETAINING = Retention(window=6.2, dead_after=0.4, refresh=0.1, events_per_room=1000, retain=LIMITS)


async def snapshot_of(broker: Broker, room: str, count: int = 3) -> Snapshot:
    return (await broker.read_snapshots({room: count}))[room]


async def latest_of(broker: Broker, room: str) -> list[object]:
    return sorted(numbers((await snapshot_of(broker, room)).latest), key=str)


async def recent_of(broker: Broker, room: str) -> list[object]:
    return numbers((await snapshot_of(broker, room)).recent)


async def quote(broker: Broker, number: object, room: str, key: str = "") -> int:
    return await broker.publish(event(number, room, kind=LATEST, name="quote", keep=Keep(key)))


async def until_history_is_gone(broker: Broker, *rooms: str) -> None:
    """Until recovery has nothing more of these rooms."""

    async def is_gone() -> bool:
        return not (await broker.read(dict.fromkeys(rooms, 0))).envelopes

    await eventually(is_gone)


class SnapshotContract:
    """What every broker passes. The module that inherits it has a fixture `make_broker`."""

    async def test_a_room_has_the_newest_of_each_key_and_the_newest_that_count(self, make_broker: MakeBroker) -> None:
        broker, _ = await make_broker(RETAINING)
        assert broker.has_snapshots
        assert broker.has_nothing_of(["r"]) == broker.is_local
        for number in range(5):
            await broker.publish(event(number, "r", name="trade"))
            await broker.publish(event(number, "r", name="other"))
            await broker.publish(event(number, "r", kind=VOLATILE, name="trade"))
            await quote(broker, f"a{number}", "r", "a")
        await quote(broker, "b", "r", "b")
        last = await broker.publish(event(9, "r", name="note"))
        assert not broker.has_nothing_of(["else", "r"])
        found = await snapshot_of(broker, "r")
        assert found.position >= last
        assert sorted(numbers(found.latest)) == ["a4", "b"]
        assert numbers(found.recent) == [3, 4, 9]
        assert await recent_of(broker, "else") == await latest_of(broker, "else") == []
        assert not (await snapshot_of(broker, "r", 0)).recent

    async def test_values_stay_when_the_history_is_gone(self, make_broker: MakeBroker) -> None:
        broker, _ = await make_broker(RETAINING)
        for number in range(5):
            await broker.publish(event(number, "r", name="trade"))
        await quote(broker, "a", "r", "a")
        await quote(broker, "b", "r", "b")
        await until_history_is_gone(broker, "r")
        assert not broker.has_nothing_of(["r"])
        assert await latest_of(broker, "r") == ["a", "b"]
        assert await recent_of(broker, "r") == [2, 3, 4]
        # What comes later goes with what is there.
        await quote(broker, "a2", "r", "a")
        await broker.publish(event(5, "r", name="trade"))
        assert await latest_of(broker, "r") == ["a2", "b"]
        assert await recent_of(broker, "r") == [3, 4, 5]
        await until_history_is_gone(broker, "r")
        assert await latest_of(broker, "r") == ["a2", "b"]
        assert await recent_of(broker, "r") == [3, 4, 5]

    async def test_a_value_that_is_too_large_does_not_stay_nor_an_older_one(self, make_broker: MakeBroker) -> None:
        broker, _ = await make_broker(RETAINING)
        await quote(broker, "small", "r")
        await until_history_is_gone(broker, "r")
        assert await latest_of(broker, "r") == ["small"]
        large = "x" * 2_000
        await quote(broker, large, "r")
        await broker.publish(event(large, "r", name="trade"))
        await quote(broker, "other", "r", "key")
        assert await latest_of(broker, "r") == ["other", large]  # recovery needs it for its window
        await until_history_is_gone(broker, "r")
        assert await latest_of(broker, "r") == ["other"]
        assert await recent_of(broker, "r") == []

    async def test_beyond_the_budget_the_oldest_rooms_go_and_no_event_is_refused(self, make_broker: MakeBroker) -> None:
        # 20 rooms at most of some 1,000 bytes each, in any partition.
        limits = RetainLimits(60, 1_000, 16 * 20_000, RECENT)
        broker, _ = await make_broker(
            Retention(window=6.2, dead_after=0.4, refresh=0.1, events_per_room=1000, retain=limits)
        )
        rooms = [room for room in (f"room{n}" for n in range(5_000)) if broker.partition_of(room) == 0][:100]
        if broker.partitions == 1:  # all of the budget is one partition's
            rooms = [f"room{n}" for n in range(1_000)]
        for number in range(0, len(rooms), 10):
            for room in rooms[number : number + 10]:
                await quote(broker, "v" * 800, room)
            await asyncio.sleep(0)
        await until_history_is_gone(broker, *rooms)

        async def stay() -> list[str]:
            found = await broker.read_snapshots(dict.fromkeys(rooms, 0))
            return [room for room in rooms if found[room].latest]

        await eventually(lambda: _is_within(stay, rooms), 20)
        left = await stay()
        assert left == rooms[-len(left) :]  # those that were written to last
        await quote(broker, "new", rooms[0])
        assert await latest_of(broker, rooms[0]) == ["new"]

    async def test_a_room_has_a_bounded_number_of_keys(self, make_broker: MakeBroker) -> None:
        broker, _ = await make_broker(RETAINING)
        start = dict(await broker.read_positions(["r"]))
        many = MAX_KEYS + 300
        for begin in range(0, many, 100):
            await asyncio.gather(*(quote(broker, n, "r", f"key{n}") for n in range(begin, begin + 100)))
        found = numbers((await snapshot_of(broker, "r")).latest)
        assert many - 1 in found
        assert len(found) <= MAX_KEYS
        assert min(found) > 100
        # Who was not given what is gone starts a new session.
        assert (await broker.read(start)).broken == {"r"}

    async def test_without_retention_there_are_no_snapshots(self, make_broker: MakeBroker) -> None:
        broker, _ = await make_broker(Retention(window=60, dead_after=10, refresh=5, events_per_room=1000))
        assert not broker.has_snapshots


async def _is_within(stay: object, rooms: list[str]) -> bool:
    assert callable(stay)
    left: list[str] = await stay()
    return 0 < len(left) < len(rooms) / 2
