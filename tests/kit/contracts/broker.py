"""The contract of `tradecast.delivery.broker.Broker` as tests. A broker's own test module inherits it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Any

import orjson
import pytest

from kit.waiting import eventually
from tradecast.config.runtime_settings import RuntimeSettings
from tradecast.config.settings import load_settings
from tradecast.delivery.broker import Broker, RecoveryState
from tradecast.delivery.envelope import COUNTED, LATEST, VOLATILE, Envelope, Kind, encode_envelope
from tradecast.delivery.ids import MAX_ID, Offset
from tradecast.delivery.recovery import new_pid
from tradecast.delivery.retention import Retention
from tradecast.engine.ids import make_id
from tradecast.runtime_config.overrides import extract_runtime_settings

RETENTION = Retention(window=60, dead_after=10, refresh=5, events_per_room=1000)
# Gone after 0.7 s, sessions after half a second.
SHORT = Retention(window=0.3, dead_after=0.1, refresh=0.05, events_per_room=1000)
# Gone after 5 s.
LONGER = Retention(window=4, dead_after=0.3, refresh=0.1, events_per_room=1000)
# Gone after 2.5 s.
MIDDLE = Retention(window=1.5, dead_after=0.3, refresh=0.1, events_per_room=1000)


DEFAULTS = extract_runtime_settings(load_settings({}))


def runtime_settings(**changed: float) -> RuntimeSettings:
    """The default run-time settings, with these changes."""
    return DEFAULTS.model_copy(update=changed)


class RecordingListener:
    """Keeps what it receives (`DeliveryListener`, `ControlListener`)."""

    def __init__(self) -> None:
        self.envelopes: list[Envelope] = []
        self.broken_rooms: set[str] = set()
        self.switches: list[tuple[int, int]] = []
        self.claims: list[tuple[str, int]] = []
        self.control_messages: list[bytes] = []

    def deliver(self, envelope: Envelope) -> None:
        self.envelopes.append(envelope)

    def on_history_gap(self, rooms: Collection[str]) -> None:
        self.broken_rooms |= set(rooms)

    def on_epoch_change(self, partition: int, top: int) -> None:
        self.switches.append((partition, top))

    def on_session_claimed(self, pid: str, generation: int) -> None:
        self.claims.append((pid, generation))

    def on_control_message(self, data: bytes) -> None:
        self.control_messages.append(data)

    @property
    def numbers(self) -> list[Any]:
        return numbers(self.envelopes)


# A broker that has been started and receives what is published, and its listener.
MakeBroker = Callable[..., Awaitable[tuple[Broker, RecordingListener]]]


def numbers(envelopes: Sequence[Envelope]) -> list[Any]:
    """The first argument of each event."""
    return [orjson.loads(envelope.packet[envelope.packet.index(b"[") :] + b"]")[1] for envelope in envelopes]


def event(number: object, *rooms: str, kind: Kind = COUNTED, name: str = "event", **options: Any) -> Envelope:
    return encode_envelope(name, [number], rooms, kind, **options)


def session(pid: str | None = None, user: str = "u1", joins: dict[str, int] | None = None) -> RecoveryState:
    return RecoveryState(pid or new_pid(), user, "sid-é", "c1", joins=joins or {})


async def listen(broker: Broker, *rooms: str) -> None:
    """As a server does that gets members in these rooms."""
    for room in rooms:
        broker.subscribe(room)
    await broker.wait_subscribed(rooms)


def together(broker: Broker, count: int) -> list[str]:
    """Rooms of one partition, for events that go to several."""
    names = (f"room{n}" for n in range(1_000_000))
    first = next(names)
    partition = broker.partition_of(first)
    found = [first]
    while len(found) < count:
        name = next(names)
        if broker.partition_of(name) == partition:
            found.append(name)
    return found


def positions(broker: Broker, *rooms: str) -> dict[str, int]:
    return {room: broker.positions[broker.partition_of(room)] for room in rooms}


class BrokerContract:
    """What every broker passes. The module that inherits it has a fixture `make_broker`.

    Where several servers share a broker's memory (`shared`), each call makes one more server; else it is one and the
    same.
    """

    shared: bool

    # -- events

    async def test_other_figures_amid_events_lose_and_repeat_nothing(self, make_broker: MakeBroker) -> None:
        broker, listener = await make_broker()
        rooms = [f"room{n}" for n in range(40)]
        sent: dict[str, list[int]] = {room: [] for room in rooms}
        some = (
            runtime_settings(publish_batch=1, subscription_batch=1, channel_linger=0),
            runtime_settings(publish_batch=7, batch_window_ms=3, subscription_batch=3, channel_linger=0),
            runtime_settings(publish_batch=1_000, batch_window_ms=20, publish_buffer=200_000),
            runtime_settings(history_events=2_000, publish_timeout=30),
        )

        async def emit(number: int, room: str) -> None:
            await broker.publish(event(number, room))

        for turn in range(12):
            broker.tune(some[turn % len(some)])
            await listen(broker, *rooms[: 3 * turn + 4])
            for room in rooms[: 3 * turn + 4]:
                sent[room].append(len(sent[room]))
            publishing = [asyncio.create_task(emit(found[-1], room)) for room, found in sent.items() if found]
            await asyncio.sleep(0)
            broker.tune(some[(turn + 1) % len(some)])
            await asyncio.gather(*publishing)

        def got(room: str) -> list[Any]:
            return numbers([one for one in listener.envelopes if one.rooms == (room,)])

        await eventually(lambda: len(listener.envelopes) >= sum(map(len, sent.values())))
        assert {room: got(room) for room in rooms} == sent

    async def test_history_can_grow_and_shrink(self, make_broker: MakeBroker) -> None:
        broker, _ = await make_broker()
        await listen(broker, "x")
        begun = positions(broker, "x")
        broker.tune(runtime_settings(history_events=1))
        for n in range(300):
            await broker.publish(event(n, "x"))
        assert (await broker.read(begun)).broken == {"x"}
        broker.tune(runtime_settings(history_events=1_000))
        begun = positions(broker, "x")
        for n in range(300):
            await broker.publish(event(n, "x"))
        replay = await broker.read(begun)
        assert replay.broken == frozenset()
        assert numbers(replay.envelopes) == list(range(300))

    async def test_published_is_delivered_in_order(self, make_broker: MakeBroker) -> None:
        broker, listener = await make_broker()
        await listen(broker, "x")
        ids = [await broker.publish(event(n, "x")) for n in range(50)]
        await eventually(lambda: len(listener.envelopes) == 50)
        assert listener.numbers == list(range(50))
        assert [one.id for one in listener.envelopes] == ids == sorted(set(ids))
        assert ids[-1] < MAX_ID
        assert broker.positions[broker.partition_of("x")] >= ids[-1]

    async def test_publishing_at_once_keeps_the_order_of_the_calls(self, make_broker: MakeBroker) -> None:
        broker, listener = await make_broker()
        await listen(broker, "x")
        ids = await asyncio.gather(*(broker.publish(event(n, "x")) for n in range(300)))
        await eventually(lambda: len(listener.envelopes) == 300)
        assert listener.numbers == list(range(300))
        assert [one.id for one in listener.envelopes] == ids == sorted(set(ids))

    async def test_everything_arrives_as_it_was(self, make_broker: MakeBroker) -> None:
        broker, listener = await make_broker()
        x, y = together(broker, 2)
        await listen(broker, x, y)
        sent = [
            event({"a": "é☃"}, x),
            event("text", x, kind=VOLATILE),
            event({"f": b"\x00\xff\n\t"}, x, name="ünï\t☃"),
            event(1, x, y, skip=["s1", "s2"], except_rooms=["z"], kind=LATEST),
        ]
        for one in sent:
            await broker.publish(one)
        await eventually(lambda: len(listener.envelopes) == 4)
        for got, one in zip(listener.envelopes, sent, strict=True):
            assert got.message("a.1").parts == one.message("a.1").parts
            assert (got.kind, got.ends_in_text) == (one.kind, one.ends_in_text)
            assert [*got.rooms] == [*one.rooms]
            assert ([*got.skip], [*got.except_rooms]) == ([*one.skip], [*one.except_rooms])
        assert listener.envelopes[2].event in ("ünï\t☃", "ünï?☃")

    @pytest.mark.parametrize("room", ["", " ", "ключ", "a b", "*?[x]{y}", "x" * 1000, "'\"\\\n\x00"])
    async def test_strange_rooms(self, make_broker: MakeBroker, room: str) -> None:
        broker, listener = await make_broker()
        await listen(broker, room)
        start = positions(broker, room)
        await broker.publish(event(1, room))
        await broker.publish(event(2, room + "2"))
        await eventually(lambda: listener.envelopes)
        assert listener.numbers[0] == 1
        assert [*listener.envelopes[0].rooms] == [room]
        assert numbers((await broker.read(start)).envelopes) == [1]

    async def test_an_event_of_several_rooms_comes_once(self, make_broker: MakeBroker) -> None:
        broker, listener = await make_broker()
        rooms = together(broker, 4)
        await listen(broker, *rooms[:3])
        await broker.publish(event(1, *rooms))
        await broker.publish(event(2, rooms[1]))
        await eventually(lambda: 2 in listener.numbers)
        assert listener.numbers == [1, 2]
        assert [*listener.envelopes[0].rooms] == rooms

    async def test_servers_receive_events_of_each_other_and_only_what_they_want(self, make_broker: MakeBroker) -> None:
        if not self.shared:
            return
        (here, listener), (there, listener_there) = await make_broker(), await make_broker()
        await listen(here, "x", "both")
        await listen(there, "y", "both")
        for n in range(10):
            await (here, there)[n % 2].publish(event(n, ("x", "y", "nobody")[n % 3]))
            await (there, here)[n % 2].publish(event(100 + n, "both"))
        expected = [[n for n in range(10) if n % 3 == which] for which in (0, 1)]
        await eventually(lambda: len(listener.envelopes) == 10 + len(expected[0]))
        await eventually(lambda: len(listener_there.envelopes) == 10 + len(expected[1]))
        assert [n for n in listener.numbers if n < 100] == expected[0]
        assert [n for n in listener_there.numbers if n < 100] == expected[1]
        assert [n for n in listener.numbers if n >= 100] == [n for n in listener_there.numbers if n >= 100]

    async def test_listening_says_whether_it_was_so_already(self, make_broker: MakeBroker) -> None:
        broker, _ = await make_broker()
        broker.subscribe("x")
        assert await broker.wait_subscribed(["x"]) is self.shared
        assert await broker.wait_subscribed(["x"]) is False
        assert await broker.wait_subscribed([]) is False
        broker.subscribe("y")
        assert await broker.wait_subscribed(["x", "y"]) is self.shared

    async def test_now_is_the_last_id(self, make_broker: MakeBroker) -> None:
        broker, listener = await make_broker()
        before = await broker.read_positions(["x"])
        last = await broker.publish(event(1, "x"))
        assert await broker.read_positions(["x"]) == {"x": last}
        assert before["x"] < last
        assert set(await broker.read_positions(["x", "y", "z"])) == {"x", "y", "z"}
        assert listener.envelopes == [] or not self.shared

    async def test_positions_follow_what_is_published_elsewhere(self, make_broker: MakeBroker) -> None:
        (here, _), (there, _) = await make_broker(), await make_broker()
        last = await there.publish(event(1, "x"))
        await eventually(lambda: here.positions[here.partition_of("x")] >= last)

    async def test_offsets_of_this_history(self, make_broker: MakeBroker) -> None:
        broker, _ = await make_broker()
        assert broker.epoch is not None
        offset = Offset(broker.epoch, tuple(broker.positions))
        assert broker.translate_offset(offset) == offset
        assert broker.translate_offset(Offset("another", offset.ids)) is None
        assert len(broker.positions) == broker.partitions
        assert broker.unreachable_for == 0

    async def test_rooms_that_may_be_clients_need_no_channel(self, make_broker: MakeBroker) -> None:
        (here, listener), (there, elsewhere) = await make_broker(), await make_broker()
        sid = make_id()
        here.subscribe_sid(sid)
        await here.wait_subscribed([], [sid])
        start = dict(await here.read_positions([sid]))
        await there.publish(event(1, sid))
        await there.publish(event(2, sid, kind=LATEST))
        await there.publish(event(3, sid, kind=VOLATILE))
        await eventually(lambda: listener.numbers[-3:] == [1, 2, 3])
        assert [[*one.rooms] for one in listener.envelopes[-3:]] == [[sid]] * 3
        replay = await there.read(start)
        assert (numbers(replay.envelopes), replay.broken) == ([1, 2], frozenset())
        # who has a room of the same name gets it once
        await listen(there, sid)
        await here.publish(event(4, sid, "x"))
        await eventually(lambda: 4 in elsewhere.numbers and 4 in listener.numbers)
        last = await here.publish(event(5, sid))
        await eventually(lambda: all(one.positions[one.partition_of(sid)] >= last for one in (here, there)))
        assert elsewhere.numbers.count(4) == listener.numbers.count(4) == 1
        here.unsubscribe_sid(sid)

    # -- history

    async def test_what_was_missed_can_be_read(self, make_broker: MakeBroker) -> None:
        (here, listener), (there, _) = await make_broker(), await make_broker()
        start = dict(await here.read_positions(["x", "y"]))
        for n in range(5):
            await there.publish(event(n, "xy"[n % 2]))
        replay = await here.read(start)
        assert sorted(numbers(replay.envelopes)) == [0, 1, 2, 3, 4]
        assert replay.broken == frozenset()
        for room, odd in (("x", 0), ("y", 1)):
            of_room = [one for one in replay.envelopes if room in one.rooms]
            assert numbers(of_room) == [n for n in range(5) if n % 2 == odd]
            end = replay.positions[here.partition_of(room)]
            assert end is not None
            assert end >= of_room[-1].id
        x = [one for one in replay.envelopes if "x" in one.rooms]
        assert numbers((await here.read({"x": x[0].id})).envelopes) == [2, 4]
        assert numbers((await here.read({"x": x[2].id})).envelopes) == []
        assert listener.envelopes == [] or not self.shared

    async def test_what_is_read_is_as_it_was(self, make_broker: MakeBroker) -> None:
        broker, _ = await make_broker()
        x, y = together(broker, 2)
        start = dict(await broker.read_positions([x, y]))
        sent = event({"f": b"\x00\xff\n\t"}, x, y, skip=["s"], except_rooms=["z"])
        sent.id = await broker.publish(sent)
        for which in ({x: start[x]}, {y: start[y]}, start):
            (got,) = (await broker.read(which)).envelopes
            assert got.message("a.1").parts == sent.message("a.1").parts
            assert ([*got.rooms], [*got.skip], [*got.except_rooms]) == ([x, y], ["s"], ["z"])
            assert (got.id, got.kind) == (sent.id, COUNTED)

    async def test_volatile_events_are_not_kept(self, make_broker: MakeBroker) -> None:
        broker, listener = await make_broker()
        await listen(broker, "x")
        start = dict(await broker.read_positions(["x"]))
        await broker.publish(event(1, "x", kind=VOLATILE))
        await eventually(lambda: listener.numbers == [1])
        assert (await broker.read(start)).envelopes == []

    async def test_of_what_is_latest_wins_the_newest_is_kept(self, make_broker: MakeBroker) -> None:
        broker, _ = await make_broker()
        start = dict(await broker.read_positions(["x", "y"]))
        for n in range(5):
            await broker.publish(event(n, "x", kind=LATEST, name="quote"))
            await broker.publish(event(10 + n, "x", kind=LATEST, name="status"))
            await broker.publish(event(20 + n, "y", kind=LATEST, name="quote"))
        replay = await broker.read(start)
        assert sorted(numbers(replay.envelopes)) == [4, 14, 24]
        assert all(one.kind == LATEST for one in replay.envelopes)

    async def test_the_newest_state_is_read_whatever_the_position(self, make_broker: MakeBroker) -> None:
        """An offset says nothing of what does not carry one."""
        broker, _ = await make_broker()
        for n in range(3):
            await broker.publish(event(n, "x", kind=LATEST, name="quote"))
            await broker.publish(event(10 + n, "x", kind=LATEST, name="status"))
            await broker.publish(event(20 + n, "x"))
            await broker.publish(event(f"text {n}", "x", kind=LATEST, name="with an offset"))
        replay = await broker.read(await broker.read_positions(["x"]))
        assert numbers(replay.envelopes) == [2, 12]
        assert replay.broken == frozenset()
        await broker.publish(event(4, "x", kind=LATEST, name="quote"))
        assert numbers((await broker.read({"x": replay.envelopes[-1].id})).envelopes) == [12, 22, "text 2", 4]

    async def test_a_trimmed_history_is_broken_for_who_needs_what_is_gone(self, make_broker: MakeBroker) -> None:
        broker, _ = await make_broker(Retention(window=60, dead_after=10, refresh=5, events_per_room=200))
        start = dict(await broker.read_positions(["x", "y"]))
        ids = await asyncio.gather(*(broker.publish(event(n, "x")) for n in range(1000)))
        await broker.publish(event(1, "y"))
        replay = await broker.read(start)
        assert replay.broken == {"x"}
        for since in (800, 900, 998, 999):
            replay = await broker.read({"x": ids[since]})
            assert replay.broken == frozenset()
            assert numbers(replay.envelopes) == list(range(since + 1, 1000))

    async def test_an_expired_history_is_broken_for_who_needs_what_is_gone(self, make_broker: MakeBroker) -> None:
        broker, _ = await make_broker(LONGER)
        before = (await broker.read_positions(["x"]))["x"]
        await broker.publish(event(1, "x"))
        assert numbers((await broker.read({"x": before})).envelopes) == [1]

        async def is_gone() -> bool:
            return not (await broker.read({"x": before})).envelopes

        await eventually(is_gone)
        assert (await broker.read({"x": before})).broken == {"x"}

    async def test_a_quiet_time_breaks_nothing(self, make_broker: MakeBroker) -> None:
        """Who has everything so far, as a heartbeat says, needs nothing of what has expired meanwhile."""
        broker, _ = await make_broker(LONGER)
        await broker.publish(event(1, "x"))
        await asyncio.sleep(LONGER.seconds + 0.5)  # that time has passed cannot be awaited
        start = positions(broker, "x", "y")
        replay = await broker.read(start)
        assert (replay.broken, replay.envelopes) == (frozenset(), [])
        await broker.publish(event(2, "x"))
        await broker.publish(event(3, "y"))
        replay = await broker.read(start)
        assert (replay.broken, sorted(numbers(replay.envelopes))) == (frozenset(), [2, 3])

    async def test_what_was_before_the_beginning_is_not_known(self, make_broker: MakeBroker) -> None:
        broker, _ = await make_broker()
        assert (await broker.read({"x": 5})).broken == {"x"}

    async def test_many_rooms_at_once(self, make_broker: MakeBroker) -> None:
        broker, _ = await make_broker()
        rooms = [f"r{n}" for n in range(230)]
        start = dict(await broker.read_positions(rooms))
        await asyncio.gather(*(broker.publish(event(n, room)) for n, room in enumerate(rooms)))
        replay = await broker.read(start)
        assert sorted(numbers(replay.envelopes)) == list(range(230))
        assert replay.broken == frozenset()
        by_partition: dict[int, list[int]] = {}
        for one in replay.envelopes:
            by_partition.setdefault(broker.partition_of(one.rooms[0]), []).append(one.id)
        assert all(ids == sorted(ids) for ids in by_partition.values())

    async def test_partitions_that_were_not_asked_have_no_position(self, make_broker: MakeBroker) -> None:
        broker, _ = await make_broker()
        replay = await broker.read({"x": (await broker.read_positions(["x"]))["x"]})
        asked = broker.partition_of("x")
        assert [position is None for position in replay.positions] == [
            partition != asked for partition in range(broker.partitions)
        ]

    # -- sessions

    async def test_a_session_continues_as_it_was_saved(self, make_broker: MakeBroker) -> None:
        (here, _), (there, _) = await make_broker(), await make_broker()
        saved = session(user="Zoë ☃", joins={"x": 5, "räum\n": here.positions[0]})
        saved.confirmed = tuple(here.positions)
        saved.slow_closes = 2
        assert await here.save(saved)
        claimed = await there.claim(saved.pid, "Zoë ☃")
        assert claimed is not None
        assert claimed is not saved
        assert claimed.generation == saved.generation + 1
        saved.generation += 1
        assert claimed == saved

    async def test_it_need_not_have_rooms_or_positions(self, make_broker: MakeBroker) -> None:
        broker, _ = await make_broker()
        saved = session()
        assert await broker.save(saved)
        claimed = await broker.claim(saved.pid, "u1")
        assert claimed is not None
        assert (claimed.joins, claimed.confirmed) == ({}, ())

    async def test_what_changes_is_kept(self, make_broker: MakeBroker) -> None:
        (here, _), (there, _) = await make_broker(), await make_broker()
        saved = session(joins={"x": 1, "y": 2})
        assert await here.save(saved)
        saved.joins["z"] = 3
        assert await here.save_join(saved, "z")
        del saved.joins["x"]
        assert await here.save_leave(saved, "x")
        saved.confirmed = tuple(here.positions)
        assert list(await here.touch([saved])) == [True]
        claimed = await there.claim(saved.pid, "u1")
        assert claimed is not None
        assert (claimed.joins, claimed.confirmed) == ({"y": 2, "z": 3}, saved.confirmed)

    async def test_saving_again_leaves_nothing_of_before(self, make_broker: MakeBroker) -> None:
        broker, _ = await make_broker()
        saved = session(joins={"x": 1, "y": 2})
        await broker.save(saved)
        del saved.joins["x"]
        assert await broker.save(saved)
        claimed = await broker.claim(saved.pid, "u1")
        assert claimed is not None
        assert claimed.joins == {"y": 2}

    async def test_many_are_touched_at_once(self, make_broker: MakeBroker) -> None:
        (here, _), (there, _) = await make_broker(), await make_broker()
        saved = [session() for _ in range(5)]
        for one in saved:
            await here.save(one)
        assert await there.claim(saved[2].pid, "u1") is not None
        assert list(await here.touch(saved)) == [True, True, False, True, True]
        assert list(await here.touch([])) == []

    async def test_nobody_elses(self, make_broker: MakeBroker) -> None:
        (here, _), (there, listener) = await make_broker(), await make_broker()
        saved = session(user="u1")
        await here.save(saved)
        assert await there.claim(saved.pid, "u2") is None
        assert await there.claim(new_pid(), "u1") is None
        assert listener.claims == []
        assert await here.save(saved)  # it was left as it was
        claimed = await there.claim(saved.pid, "u1")
        assert claimed is not None
        assert claimed.generation == 1

    async def test_a_former_owner_cannot_write(self, make_broker: MakeBroker) -> None:
        (here, _), (there, _) = await make_broker(), await make_broker()
        saved = session(joins={"x": 1})
        await here.save(saved)
        claimed = await there.claim(saved.pid, "u1")
        assert claimed is not None
        saved.joins["y"] = 2
        saved.confirmed = tuple(here.positions)
        assert not await here.save(saved)
        assert not await here.save_join(saved, "y")
        assert not await here.save_leave(saved, "x")
        assert list(await here.touch([saved])) == [False]
        await here.drop(saved)
        again = await here.claim(saved.pid, "u1")
        assert again is not None
        assert (again.joins, again.confirmed, again.generation) == ({"x": 1}, (), 2)
        # … and now the other one is former
        assert not await there.save(claimed)
        assert await here.save(again)

    async def test_of_one_generation_there_is_one_owner(self, make_broker: MakeBroker) -> None:
        if not self.shared:
            return
        (here, _), (there, _) = await make_broker(), await make_broker()
        saved = session(joins={"x": 1})
        assert await here.save(saved)
        other = session(saved.pid, joins={"y": 1})
        assert not await there.save(other)
        assert not await there.save_join(other, "y")
        assert list(await there.touch([other])) == [False]
        await there.drop(other)
        claimed = await here.claim(saved.pid, "u1")
        assert claimed is not None
        assert claimed.joins == {"x": 1}

    async def test_claiming_can_be_repeated(self, make_broker: MakeBroker) -> None:
        (here, _), (there, _) = await make_broker(), await make_broker()
        saved = session(joins={"x": 1})
        await here.save(saved)
        for generation in range(1, 6):
            claimed = await (there, here)[generation % 2].claim(saved.pid, "u1")
            assert claimed is not None
            assert (claimed.generation, claimed.joins) == (generation, {"x": 1})

    async def test_the_former_owner_is_notified(self, make_broker: MakeBroker) -> None:
        (here, listener), (there, _) = await make_broker(), await make_broker()
        saved = session()
        await here.save(saved)
        await there.claim(saved.pid, "u1")
        await eventually(lambda: listener.claims)
        assert listener.claims == [(saved.pid, 1)]
        await there.claim(saved.pid, "u1")
        assert (saved.pid, 1) in listener.claims

    async def test_dropped_is_gone(self, make_broker: MakeBroker) -> None:
        (here, _), (there, _) = await make_broker(), await make_broker()
        saved, other = session(), session()
        await here.save(saved)
        await here.save(other)
        await here.drop(saved)
        await here.drop(session())  # never there
        assert await there.claim(saved.pid, "u1") is None
        assert await there.claim(other.pid, "u1") is not None

    async def test_what_is_not_touched_is_gone_after_a_while(self, make_broker: MakeBroker) -> None:
        # Whoever touches too late loses it: there is far more time than passes between two touches.
        broker, _ = await make_broker(LONGER)
        kept, left = session(), session()
        await broker.save(kept)
        await broker.save(left)

        async def left_is_gone() -> bool:
            await broker.touch([kept])
            await asyncio.sleep(0.05)
            return await self.expired(broker, left.pid)

        await eventually(left_is_gone)
        assert await broker.claim(left.pid, "u1") is None
        assert await broker.claim(kept.pid, "u1") is not None

    async def expired(self, broker: Broker, pid: str) -> bool:
        """Whether there is no session with this pid any more, without keeping it by looking."""
        raise NotImplementedError

    async def test_a_change_of_what_is_gone_keeps_all_of_it_again(self, make_broker: MakeBroker) -> None:
        broker, _ = await make_broker()
        for change in ("join", "leave", "touch"):
            lost = session(joins={"x": 1, "y": 2})  # never saved, as after a loss
            if change == "join":
                assert await broker.save_join(lost, "y")
            elif change == "leave":
                assert await broker.save_leave(lost, "z")
            else:
                assert list(await broker.touch([lost])) == [True]
            claimed = await broker.claim(lost.pid, "u1")
            assert claimed is not None
            assert claimed.joins == {"x": 1, "y": 2}

    # -- what servers tell each other

    async def test_a_server_is_reached_by_name(self, make_broker: MakeBroker) -> None:
        (here, listener), (there, listener_there) = await make_broker(), await make_broker()
        assert (here.server_id == there.server_id) is not self.shared
        told = [b"", b"\x00\xff \n\t", b"x" * 300_000]
        for data in told:
            await here.send_to_server(there.server_id, data)
        await here.send_to_server("nobody", b"lost")
        await eventually(lambda: len(listener_there.control_messages) == 3)
        assert listener_there.control_messages == told
        assert listener.control_messages == [] or not self.shared

    async def test_all_servers_are_notified(self, make_broker: MakeBroker) -> None:
        (here, listener), (_, listener_there) = await make_broker(), await make_broker()
        for number in range(20):
            await here.send_to_all(b"%d" % number)
        await eventually(lambda: len(listener.control_messages) == len(listener_there.control_messages) == 20)
        assert listener.control_messages == listener_there.control_messages == [b"%d" % number for number in range(20)]
        assert listener.envelopes == listener_there.envelopes == []
