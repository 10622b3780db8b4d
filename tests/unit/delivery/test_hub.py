"""The hub over the broker in memory, and over one that does as it is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import replace

import pytest
import structlog

from kit.delivery.hub_clients import HubHarness, Received, running_hub
from kit.waiting import eventually
from tradecast.delivery.broker import RecoveryState, Replay
from tradecast.delivery.envelope import COUNTED, VOLATILE
from tradecast.delivery.errors import AdapterUnavailable, PublishUncertain, TryAgain
from tradecast.delivery.ids import MAX_ID, Offset, parse_offset
from tradecast.delivery.memory import MemoryBroker
from tradecast.delivery.retention import Retention

RETENTION = Retention(window=60, dead_after=10, refresh=5, events_per_room=1000)


class RecordingBroker(MemoryBroker):
    """The broker in memory, with a way to be slow, away, or behind.

    Attributes:
        down: What each request raises, while it is set.
        gates: Requests (by name) that wait for these.
        fresh: Whether rooms are listened to only now.
        written: What was done to sessions.
    """

    def __init__(self, retention: Retention = RETENTION) -> None:
        super().__init__(retention)
        self.down: Exception | None = None
        self.gates: dict[str, asyncio.Event] = {}
        self.gated: list[str] = []
        self.fresh = False
        self.away = 0.0
        self.written: list[tuple[str, str]] = []
        self.wanted: set[str] = set()
        self.sid_rooms: set[str] = set()

    @property
    def unreachable_for(self) -> float:  # type: ignore[override]  # a figure there
        return self.away

    def gate(self, name: str) -> asyncio.Event:
        return self.gates.setdefault(name, asyncio.Event())

    async def _through(self, name: str) -> None:
        if name in self.gates:
            self.gated.append(name)
            await self.gates[name].wait()
            self.gated.remove(name)
        if self.down is not None:
            raise self.down

    def subscribe(self, room: str) -> None:
        self.wanted.add(room)

    def unsubscribe(self, room: str) -> None:
        self.wanted.discard(room)

    def subscribe_sid(self, room: str) -> None:
        self.sid_rooms.add(room)

    def unsubscribe_sid(self, room: str) -> None:
        self.sid_rooms.discard(room)

    async def wait_subscribed(self, rooms: Collection[str], sid_rooms: Collection[str] = ()) -> bool:
        assert set(rooms) <= self.wanted
        assert set(sid_rooms) <= self.sid_rooms
        await self._through("listening")
        return self.fresh

    async def read_positions(self, rooms: Collection[str]) -> Mapping[str, int]:
        await self._through("now")
        return await super().read_positions(rooms)

    async def read(self, starts: Mapping[str, int]) -> Replay:
        replay = await super().read(starts)
        await self._through("read")
        return replay

    async def save(self, session: RecoveryState) -> bool:
        await self._through("save")
        self.written.append(("save", session.pid))
        return await super().save(session)

    async def save_join(self, session: RecoveryState, room: str) -> bool:
        await self._through("save_join")
        return await super().save(session)

    async def save_leave(self, session: RecoveryState, room: str) -> bool:
        await self._through("save_leave")
        return await super().save(session)

    async def touch(self, sessions: Sequence[RecoveryState]) -> Sequence[bool]:
        await self._through("touch")
        self.written += [("touch", session.pid) for session in sessions]
        return [await self._touch_one(session) for session in sessions]

    async def _touch_one(self, session: RecoveryState) -> bool:
        kept = self.kept(session.pid)
        if kept is None:
            return await super().save(session)
        if kept.generation > session.generation:
            return False
        kept.confirmed = session.confirmed
        return True

    async def drop(self, session: RecoveryState) -> None:
        await self._through("drop")
        self.written.append(("drop", session.pid))
        await super().drop(session)

    async def claim(self, pid: str, user: str) -> RecoveryState | None:
        await self._through("claim")
        return await super().claim(pid, user)

    def kept(self, pid: str | None) -> RecoveryState | None:
        """What is kept of a client."""
        return self._sessions[pid][0] if pid in self._sessions else None

    def arm(self, epoch: str) -> None:
        """Another history begins."""
        self.epoch = epoch


@pytest.fixture
def broker() -> RecordingBroker:
    return RecordingBroker()


@pytest.fixture
async def here(broker: RecordingBroker) -> AsyncIterator[HubHarness]:
    async with running_hub(broker) as made:
        yield made


# -- who gets what


async def test_members_of_a_room_get_its_events_with_an_offset(here: HubHarness, broker: RecordingBroker) -> None:
    a, b, other = await here.connect("x"), await here.connect("x"), await here.connect("y")
    await here.send("x", {"n": 1})
    assert a.wire == b.wire
    assert other.wire == []
    (received,) = a.wire
    assert (received.event, received.arguments) == ("event", [{"n": 1}])
    assert parse_offset(received.offset, 1) == Offset(broker.epoch or "", (broker.positions[0],))
    assert here.emitted == [("event", 2)]


async def test_nobody_there_is_nothing_to_do(here: HubHarness) -> None:
    await here.send("nobody", 1)
    assert here.emitted == []


async def test_several_rooms_reach_a_member_of_all_once(here: HubHarness) -> None:
    a, b = await here.connect("x", "y", "z"), await here.connect("y")
    await here.send(["x", "y", "z"], 1)
    assert (a.got, b.got) == ([1], [1])


async def test_skipped_clients_and_members_of_excepted_rooms_do_not_get_it(here: HubHarness) -> None:
    a, b, c = await here.connect("x"), await here.connect("x", "quiet"), await here.connect("x")
    await here.send("x", 1, skip=[a.sid])
    await here.send("x", 2, except_rooms=["quiet"])
    await here.send("x", 3, skip=[c.sid], except_rooms=["quiet", "nobody"])
    assert (a.got, b.got, c.got) == ([2, 3], [1], [1, 2])


async def test_joining_and_leaving(here: HubHarness, broker: RecordingBroker) -> None:
    a = await here.connect("x")
    await here.send("y", 1)
    await here.hub.join(a.sid, "y")
    assert here.hub.rooms_of(a.sid) == {"x", "y"}
    assert broker.wanted == {"x", "y"}
    await here.send("y", 2)
    await here.hub.join(a.sid, "y")  # again: nothing
    await here.hub.leave(a.sid, "y")
    await here.send("y", 3)
    await here.hub.leave(a.sid, "y")
    assert a.got == [2]
    assert here.hub.rooms_of(a.sid) == {"x"}
    assert broker.wanted == {"x"}


async def test_a_room_is_wanted_as_long_as_there_is_a_member(here: HubHarness, broker: RecordingBroker) -> None:
    a, b = await here.connect("x"), await here.connect("x")
    await here.hub.leave(a.sid, "x")
    assert broker.wanted == {"x"}
    await here.lose(b)
    assert broker.wanted == set()


async def test_strangers_are_passed_over(here: HubHarness) -> None:
    await here.hub.join("nobody", "x")
    await here.hub.leave("nobody", "x")
    here.hub.start_delivery("nobody")
    here.hub.forget("nobody", final=True)
    here.hub.on_ping("nobody")
    here.hub.on_pong("nobody")
    assert here.hub.position("nobody") is None
    assert here.hub.rooms_of("nobody") == frozenset()


async def test_what_json_cannot_say_is_told_to_the_emitter(here: HubHarness) -> None:
    with pytest.raises(TypeError):
        await here.send("x", object())


# -- offsets


@pytest.mark.parametrize("auth", [{"recovery": False}, {"recovery": False, "pid": "a" * 24}])
async def test_plain_clients_get_no_offset_and_no_pid(here: HubHarness, broker: RecordingBroker, auth: object) -> None:
    plain, other = await here.connect("x", auth=auth), await here.connect("x")
    await here.send("x", {"n": 1})
    await here.send("x", "text")
    await here.send("x", event="empty")
    assert [(one.arguments, one.offset) for one in plain.wire] == [([{"n": 1}], None), (["text"], None), ([], None)]
    assert [one.arguments for one in other.wire] == [[{"n": 1}], ["text"], [None]]
    assert all(one.offset for one in other.wire)
    assert plain.pid is None
    assert here.hub.position(plain.sid) is None
    assert here.emitted == [("event", 2), ("event", 2), ("empty", 2)]
    assert broker.written == [("save", other.pid)]


async def test_without_recovery_nobody_gets_offsets(broker: RecordingBroker) -> None:
    async with running_hub(broker, recovery=False) as here:
        a = await here.connect("x")
        await here.send("x", 1)
        assert (a.pid, a.wire[0].offset) == (None, None)
        await here.lose(a)
        again = await here.connect("x", auth={"pid": "a" * 24})
        assert again.resumed is None
        assert (here.results, broker.written) == ([], [])


@pytest.mark.parametrize("event", ["latest", "volatile"])
async def test_what_does_not_count_has_an_offset_only_behind_a_text(here: HubHarness, event: str) -> None:
    a = await here.connect("x")
    await here.send("x", {"n": 1}, event=event)
    await here.send("x", "text", event=event)
    await here.send("x", event=event)
    assert a.wire[0] == Received(event, [{"n": 1}], None)
    assert [one.arguments for one in a.wire[1:]] == [["text"], [None]]
    assert all(one.offset for one in a.wire[1:])


async def test_after_all_plain_clients_have_left_the_others_get_offsets(here: HubHarness) -> None:
    plain, a = await here.connect("x", auth={"recovery": False}), await here.connect("x")
    await here.lose(plain)
    await here.send("x", 1)
    assert a.offset is not None
    assert here.hub.clients.without_recovery == 0


async def test_positions(here: HubHarness, broker: RecordingBroker) -> None:
    a = await here.connect("x")
    assert parse_offset(here.hub.position(a.sid), 1) == Offset(broker.epoch or "", (broker.positions[0],))
    broker.gate("listening")
    await here.send("x", 1)
    joining = asyncio.create_task(here.hub.join(a.sid, "y"))
    await eventually(lambda: broker.gated)
    await here.send("x", 2)
    await here.send("x", 3)
    # 2 and 3 are held back: the position is before them
    before = parse_offset(here.hub.position(a.sid), 1)
    assert before is not None
    assert (await broker.read({"x": before.ids[0]})).envelopes[0].packet == b'2["event",2'
    broker.gate("listening").set()
    await joining
    assert a.got == [1, 2, 3]
    assert here.hub.position(a.sid) == a.offset


# -- held back and let go


async def test_events_are_held_back_until_the_client_has_been_told(here: HubHarness) -> None:
    a = await here.enter(await here.arrive(), "x")
    other = await here.connect("x")
    for n in range(3):
        await here.send("x", n)
    assert (a.got, other.got) == ([], [0, 1, 2])
    await here.go(a)
    await here.send("x", 3)
    assert a.got == other.got == [0, 1, 2, 3]
    assert [one.offset for one in a.wire] == [one.offset for one in other.wire]


@pytest.mark.parametrize("fresh", [True, False])
async def test_while_joining_the_other_rooms_are_held_back_and_the_order_stays(
    here: HubHarness, broker: RecordingBroker, fresh: bool
) -> None:
    a = await here.connect("x")
    broker.fresh = fresh
    broker.gate("listening")
    joining = asyncio.create_task(here.hub.join(a.sid, "y"))
    await eventually(lambda: broker.gated)
    await here.send("x", 1)
    await here.send("y", 2)  # before the join: not for it
    await here.send("x", 3)
    broker.gate("save_join")
    broker.gates.pop("listening").set()
    await eventually(lambda: broker.gated == ["save_join"])
    await here.send("y", 4)
    await here.send(["x", "y"], 5)
    assert a.got == []
    broker.gate("save_join").set()
    await joining
    assert a.got == [1, 3, 4, 5]
    assert a.pid is not None
    assert set(kept_rooms(broker, a.pid)) == {"x", "y"}


async def test_who_joins_two_rooms_at_once_is_held_until_both_are_through(
    here: HubHarness, broker: RecordingBroker
) -> None:
    a = await here.connect("x")
    broker.gate("listening")
    joining = [asyncio.create_task(here.hub.join(a.sid, room)) for room in "yz"]
    await eventually(lambda: len(broker.gated) == 2)
    await here.send("x", 1)
    broker.gate("listening").set()
    await asyncio.gather(*joining)
    assert a.got == [1]
    assert here.hub.clients.special == {}


async def test_one_that_holds_back_too_much_is_cut_off(broker: RecordingBroker) -> None:
    async with running_hub(broker, buffer_limit=10) as here:
        a, other = await here.enter(await here.arrive(), "x"), await here.connect("x")
        for n in range(11):
            await here.send("x", n)
        assert here.closed_transports == [a.eio_sid]
        assert len(other.got) == 11


async def test_one_that_is_cut_off_gets_nothing_more(broker: RecordingBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    """An event after those that were not sent would have an offset that hides them."""
    async with running_hub(broker, buffer_limit=10) as here:
        monkeypatch.setattr(here, "close_transport", here.closed_transports.append)  # the transport takes its time
        a = await here.enter(await here.arrive(), "x")
        for n in range(11):
            await here.send("x", n)
        await here.go(a)
        await here.send("x", 11)
        assert a.got == []
        await here.lose(a)
        assert (await here.connect(auth=a.auth)).got == list(range(12))


async def test_an_excepted_client_does_not_get_it_after_the_hold_either(here: HubHarness) -> None:
    a = await here.enter(await here.arrive(), "x", "quiet")
    b = await here.enter(await here.arrive(), "x")
    await here.send("x", 1, except_rooms=["quiet"], skip=[b.sid])
    await here.send("x", 2)
    await here.go(a)
    await here.go(b)
    assert (a.got, b.got) == ([2], [2])


# -- joining and leaving while Redis is away


async def test_a_join_that_cannot_be_kept_is_none(here: HubHarness, broker: RecordingBroker) -> None:
    a = await here.connect("x")
    broker.down = AdapterUnavailable("away")
    with pytest.raises(AdapterUnavailable):
        await here.hub.join(a.sid, "y")
    assert here.hub.rooms_of(a.sid) == {"x"}
    assert broker.wanted == {"x"}
    broker.down = None
    await here.send("y", 1)
    await here.send("x", 2)
    assert a.got == [2]
    await here.hub.join(a.sid, "y")
    await here.send("y", 3)
    assert a.got == [2, 3]


async def test_who_cannot_recover_anyway_joins_all_the_same(here: HubHarness, broker: RecordingBroker) -> None:
    plain = await here.connect("x", auth={"recovery": False})
    broker.down = AdapterUnavailable("away")
    await here.hub.join(plain.sid, "y")
    broker.down = None
    await here.send("y", 1)
    assert plain.got == [1]


async def test_a_leave_that_cannot_be_kept_is_kept_later(here: HubHarness, broker: RecordingBroker) -> None:
    a = await here.connect("x", "y")
    broker.down = AdapterUnavailable("away")
    await here.hub.leave(a.sid, "y")
    broker.down = None
    await here.send("y", 1)
    assert a.got == []
    assert set(kept_rooms(broker, a.pid)) == {"x", "y"}
    await here.hub.states.save_dirty()
    assert set(kept_rooms(broker, a.pid)) == {"x"}


async def test_a_client_that_comes_while_redis_is_away_is_served_but_cannot_recover(
    here: HubHarness, broker: RecordingBroker
) -> None:
    broker.down = AdapterUnavailable("away")
    a = await here.connect("x")
    broker.down = None
    await here.send("x", 1)
    assert a.pid is None
    assert a.wire == [Received("event", [1], None)]
    assert here.hub.position(a.sid) is None


@pytest.mark.parametrize("auth", [None, {"recovery": False}])
async def test_whatever_happened_plain_clients_are_counted_right(
    here: HubHarness, broker: RecordingBroker, auth: object
) -> None:
    broker.down = AdapterUnavailable("away")
    a = await here.connect("x", auth=auth)
    assert here.hub.clients.without_recovery == 1
    await here.lose(a)
    assert here.hub.clients.without_recovery == 0


# -- going on


async def test_a_client_gets_what_it_missed_then_what_is_new(here: HubHarness, broker: RecordingBroker) -> None:
    a = await here.connect("x", "y")
    await here.send("x", 1)
    await here.lose(a)
    await here.send("x", 2)
    await here.send("y", 3)
    await here.send(["x", "y"], 4)
    await here.send("z", 5)
    await here.send("x", 6, skip=[a.sid])
    await here.send("x", 7, except_rooms=["y"])
    back = await here.enter(await here.arrive(), auth=a.auth)
    await here.send("y", 8)
    assert back.got == []
    await here.go(back)
    await here.send("x", 9)
    assert back.got == [2, 3, 4, 8, 9]
    assert (back.sid, back.pid) == (a.sid, a.pid)
    assert back.resumed is not None
    assert (sorted(back.resumed.rooms), back.resumed.connection_id) == (["x", "y"], f"c-{a.eio_sid}")
    assert here.results == ["recovered"]
    assert here.hub.rooms_of(a.sid) == {"x", "y"}


async def test_each_replayed_event_has_the_offset_at_which_it_can_go_on(here: HubHarness) -> None:
    a = await here.connect("x")
    await here.lose(a)
    for n in range(5):
        await here.send("x", n)
    whole = await here.connect(auth=a.auth)
    await here.lose(whole)
    for received in range(6):
        offset = whole.wire[received - 1].offset if received else None
        part = await here.connect(auth={"pid": a.pid, "offset": offset})
        assert part.got == list(range(received, 5))
        await here.lose(part)


@pytest.mark.parametrize("offset", [None, ""])
async def test_a_client_that_has_seen_nothing_goes_on_from_the_beginning(here: HubHarness, offset: str | None) -> None:
    """Go's client says "" for that."""
    a = await here.connect("x")
    await here.lose(a)
    await here.send("x", 1)
    back = await here.connect(auth={"pid": a.pid, "offset": offset})
    assert back.got == [1]
    assert here.results == ["recovered"]


async def test_who_asks_too_often_begins_anew_without_a_look_at_the_history(broker: RecordingBroker) -> None:
    asked: list[tuple[str, str, bool]] = []

    class Limiter:
        def may_recover(self, user: str, pid: str, *, blind: bool) -> bool:
            asked.append((user, pid, blind))
            return len(asked) <= 2

    async with running_hub(broker, limiter=Limiter()) as here:
        a = await here.connect("x")
        await here.send("x", 1)
        auths = [{"pid": a.pid}, a.auth, a.auth]
        for auth in auths[:2]:
            await here.lose(a)
            a = await here.connect(auth=auth)
        await here.lose(a)
        broker.gate("claim"), broker.gate("read")  # who comes to these waits for ever
        back = await asyncio.wait_for(here.connect("x", auth=auths[2]), 20)
        assert back.resumed is None
        assert back.pid not in (None, a.pid)
        assert here.results == ["recovered", "recovered", "limited"]
        assert asked == [("u1", a.pid, True), ("u1", a.pid, False), ("u1", a.pid, False)]
        await here.send("x", 2)
        assert back.got == [2]


async def test_tries_while_redis_is_away_are_not_counted(broker: RecordingBroker) -> None:
    class Never:
        def may_recover(self, user: str, pid: str, *, blind: bool) -> bool:
            raise AssertionError("not while there is nothing to read")

    async with running_hub(broker, limiter=Never()) as here:
        a = await here.connect("x")
        await here.lose(a)
        broker.down, broker.away = AdapterUnavailable("away"), 1.0
        for _ in range(3):
            with pytest.raises(TryAgain):
                await here.enter(await here.arrive(), auth=a.auth)
        assert here.results == ["unavailable"] * 3


async def test_recoveries_that_fail_write_a_few_lines_of_each_kind(here: HubHarness) -> None:
    with structlog.testing.capture_logs() as lines:
        for _ in range(50):
            await here.connect("x", auth={"pid": "a" * 24})
            await here.connect("x", auth={"pid": "no pid"})
    told = [line["why"] for line in lines if line["event"] == "not recovered"]
    assert sorted(told) == ["malformed"] * 20 + ["unknown"] * 20
    assert len(here.results) == 100


async def test_it_can_go_on_again_and_again(here: HubHarness) -> None:
    a = await here.connect("x")
    got: list[object] = []
    for n in range(5):
        await here.send("x", f"on{n}")
        got += a.got
        auth = {"pid": a.pid, "offset": a.offset}
        await here.lose(a)
        await here.send("x", f"off{n}")
        a = await here.connect(auth=auth)
    got += a.got
    assert got == [f"{at}{n}" for n in range(5) for at in ("on", "off")]


async def test_its_old_connection_here_is_ended_first(here: HubHarness) -> None:
    a = await here.connect("x")
    await here.send("x", 1)
    again = await here.connect(auth=a.auth)
    assert here.displaced == [a.sid]
    assert again.sid == a.sid
    await here.settle()
    await here.send("x", 2)
    assert (a.got, again.got) == ([1], [2])


async def test_the_end_of_the_old_connection_does_not_touch_the_new_one(here: HubHarness) -> None:
    a = await here.connect("x")
    again = await here.connect(auth=a.auth)
    here.hub.on_ping(a.eio_sid)
    here.hub.on_pong(a.eio_sid)
    await here.send("x", 1)
    assert again.got == [1]
    assert here.hub.rooms_of(again.sid) == {"x"}


async def test_a_slow_end_of_the_old_connection_does_not_touch_the_new_one(
    here: HubHarness, broker: RecordingBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = asyncio.Event()
    displace = here.displace

    async def slow(sid: str) -> None:
        await displace(sid)
        await gate.wait()

    monkeypatch.setattr(here, "displace", slow)
    a = await here.connect("x")
    here.hub.on_session_claimed(a.pid or "", 1)  # another server has claimed it …
    await eventually(lambda: here.displaced)
    monkeypatch.setattr(here, "displace", displace)
    again = await here.connect(auth=a.auth)  # … and here it is again
    gate.set()
    await here.settle()
    await here.send("x", 1)
    assert again.got == [1]


async def test_rooms_that_are_not_permitted_any_more_are_left(here: HubHarness, broker: RecordingBroker) -> None:
    a = await here.connect("x", "y")
    await here.lose(a)
    await here.send("y", 1)
    await here.send("x", 2)
    back = await here.arrive()
    await here.go(await here.enter(back, auth=a.auth, permitted=lambda room: room != "y"))
    await here.send("y", 3)
    assert back.got == [2]
    assert back.resumed is not None
    assert back.resumed.rooms == here.hub.rooms_of(back.sid) == {"x"}
    assert set(kept_rooms(broker, a.pid)) == {"x"}


async def test_the_newest_of_what_is_latest_wins(here: HubHarness) -> None:
    a = await here.connect("x", "y")
    await here.lose(a)
    for n in range(3):
        await here.send("x", {"x": n}, event="latest")
        await here.send("y", {"y": n}, event="latest")
        await here.send("x", {"v": n}, event="volatile")
    back = await here.connect(auth=a.auth)
    assert [(one.arguments[0], one.offset) for one in back.wire] == [({"x": 2}, None), ({"y": 2}, None)]


@pytest.mark.parametrize(
    ("auth", "result"),
    [
        ({"pid": "x"}, "malformed"),
        ({"pid": 5}, "malformed"),
        ({"pid": "a" * 24}, "unknown"),
        ({"offset": "x"}, "malformed"),
        ({"offset": {"$gt": ""}}, "malformed"),
        ({"offset": "abcd.1"}, "foreign_epoch"),
    ],
)
async def test_why_a_client_begins_anew(here: HubHarness, auth: dict[str, object], result: str) -> None:
    a = await here.connect("x")
    await here.lose(a)
    back = await here.connect("z", auth={"pid": a.pid, **auth})
    assert here.results == [result]
    assert back.resumed is None
    assert back.sid != a.sid
    assert back.pid not in (a.pid, None)
    await here.send("x", 1)
    await here.send("z", 2)
    assert back.got == [2]
    assert here.hub.rooms_of(back.sid) == {"z"}


async def test_somebody_elses_session_cannot_be_taken(here: HubHarness, broker: RecordingBroker) -> None:
    a = await here.connect("x", user="u1")
    await here.lose(a)
    thief = await here.connect(user="u2", auth=a.auth)
    assert thief.resumed is None
    assert here.results == ["unknown"]
    assert (await here.connect(user="u1", auth=a.auth)).resumed is not None


async def test_an_offset_that_was_never_given_is_refused(here: HubHarness, broker: RecordingBroker) -> None:
    a = await here.connect("x")
    await here.send("x", 1)
    await here.lose(a)
    future = f"{broker.epoch}.{broker.positions[0] + 1:x}"
    back = await here.connect(auth={"pid": a.pid, "offset": future})
    assert (back.resumed, here.results) == (None, ["future"])
    assert broker.wanted == set()


async def test_a_history_with_holes_is_no_recovery() -> None:
    broker = RecordingBroker(Retention(window=60, dead_after=10, refresh=5, events_per_room=3))
    async with running_hub(broker) as here:
        a = await here.connect("x", "y")
        await here.send("x", 0)
        await here.lose(a)
        for n in range(1, 3):
            await here.send("x", n)
        back = await here.connect(auth=a.auth)
        assert back.got == [1, 2]
        await here.lose(back)
        for n in range(3, 7):
            await here.send("x", n)
        anew = await here.connect("y", auth=back.auth)
        assert here.results == ["recovered", "gap"]
        assert here.hub.rooms_of(anew.sid) == {"y"}
        await here.send("x", 8)
        assert anew.got == []


@pytest.mark.parametrize("request_", ["claim", "listening", "read", "save_leave"])
async def test_while_redis_is_away_it_is_put_off(here: HubHarness, broker: RecordingBroker, request_: str) -> None:
    a = await here.connect("x", "y")
    await here.send("x", 1)
    await here.lose(a)
    await here.send("x", 2)
    broker.gate(request_)
    back = await here.arrive()
    entering = asyncio.create_task(here.enter(back, auth=a.auth, permitted=lambda room: room == "x"))
    await eventually(lambda: broker.gated)
    broker.down = AdapterUnavailable("away")
    broker.gates.pop(request_).set()
    with pytest.raises(TryAgain):
        await entering
    assert here.results == ["unavailable"]
    assert broker.wanted == set()
    await here.lose(back)
    broker.down = None
    again = await here.connect(auth=a.auth)
    assert again.got == [2]
    assert here.results == ["unavailable", "recovered"]


async def test_once_redis_was_away_for_as_long_as_the_window_it_begins_anew(
    here: HubHarness, broker: RecordingBroker
) -> None:
    a = await here.connect("x")
    await here.lose(a)
    broker.down = AdapterUnavailable("away")
    broker.away = 61
    back = await here.connect("x", auth=a.auth)
    assert (back.resumed, back.pid, here.results) == (None, None, ["unavailable"])


async def test_a_transport_that_ends_while_it_goes_on_leaves_nothing_behind(
    here: HubHarness, broker: RecordingBroker
) -> None:
    a = await here.connect("x")
    await here.lose(a)
    await here.send("x", 1)
    broker.gate("read")
    back = await here.arrive()
    entering = asyncio.create_task(here.enter(back, auth=a.auth))
    await eventually(lambda: broker.gated)
    await here.lose(back)
    broker.gates.pop("read").set()
    with pytest.raises(TryAgain):
        await entering
    assert here.results == ["unavailable"]
    assert here.hub.clients.by_sid == here.hub.clients.special == {}
    assert here.hub.clients.by_pid == {}
    assert broker.wanted == set()
    assert (await here.connect(auth=a.auth)).got == [1]


async def test_a_transport_that_ends_while_it_is_let_in_leaves_nothing_behind(
    here: HubHarness, broker: RecordingBroker
) -> None:
    broker.gate("save")
    a = await here.arrive()
    entering = asyncio.create_task(here.enter(a, "x"))
    await eventually(lambda: broker.gated)
    await here.lose(a)
    broker.gate("save").set()
    await entering
    await here.settle()
    assert here.hub.clients.by_pid == {}
    assert here.hub.clients.by_sid == {}
    assert broker._sessions == {}
    assert broker.wanted == set()


# -- what is kept


async def test_gone_for_good_is_forgotten(here: HubHarness, broker: RecordingBroker) -> None:
    a = await here.connect("x")
    await here.lose(a, final=True)
    assert broker.kept(a.pid) is None
    assert (await here.connect(auth=a.auth)).resumed is None
    assert here.results == ["unknown"]


async def test_gone_for_now_is_kept_with_what_is_known_by_then(here: HubHarness, broker: RecordingBroker) -> None:
    a = await here.connect("x")
    await here.send("x", 1)
    here.hub.on_ping(a.eio_sid)
    at = broker.positions[0]
    await here.send("x", 2)
    here.hub.on_pong(a.eio_sid)
    await here.lose(a)
    kept = broker.kept(a.pid)
    assert kept is not None
    assert kept.confirmed == (at,)
    assert ("touch", a.pid) in broker.written
    back = await here.connect(auth={"pid": a.pid})  # 1 it has for sure
    assert back.got == [2]


async def test_a_heartbeat_says_nothing_of_what_is_held_back(here: HubHarness, broker: RecordingBroker) -> None:
    a = await here.enter(await here.arrive(), "x")
    await here.send("x", 1)
    here.hub.on_ping(a.eio_sid)
    here.hub.on_pong(a.eio_sid)
    await here.lose(a)
    assert (await here.connect(auth={"pid": a.pid})).got == [1]


async def test_a_leave_that_could_not_be_kept_is_kept_when_the_client_goes(
    here: HubHarness, broker: RecordingBroker
) -> None:
    a = await here.connect("x", "y")
    broker.down = AdapterUnavailable("away")
    await here.hub.leave(a.sid, "y")
    broker.down = None
    await here.lose(a)
    assert set(kept_rooms(broker, a.pid)) == {"x"}


async def test_a_join_whose_answer_was_lost_is_not_kept_in_the_end(here: HubHarness, broker: RecordingBroker) -> None:
    a = await here.connect("x")
    save_join = broker.save_join

    async def lost(session: RecoveryState, room: str) -> bool:
        await save_join(session, room)
        raise PublishUncertain("no answer")

    broker.save_join = lost  # type: ignore[method-assign]
    with pytest.raises(AdapterUnavailable):
        await here.hub.join(a.sid, "y")
    assert set(kept_rooms(broker, a.pid)) == {"x", "y"}
    await here.hub.states.save_dirty()
    assert set(kept_rooms(broker, a.pid)) == {"x"}


async def test_a_join_under_way_at_the_end_is_none_and_can_be_made_again(
    here: HubHarness, broker: RecordingBroker
) -> None:
    """Else the client would be in the room as long as it is here, and miss what comes when it is away."""
    a = await here.connect("x", "z")
    broker.down = AdapterUnavailable("away")
    await here.hub.leave(a.sid, "z")  # so that all is kept when it goes
    broker.down = None
    gate = broker.gate("listening")
    joining = asyncio.create_task(here.hub.join(a.sid, "y"))
    await eventually(lambda: broker.gated)
    await here.lose(a)
    assert set(kept_rooms(broker, a.pid)) == {"x", "y"}
    del broker.gates["listening"]
    b = await here.connect(auth=a.auth)
    assert here.results == ["recovered"]
    assert here.hub.rooms_of(b.sid) == {"x"}
    await here.hub.join(b.sid, "y")
    broker.down = AdapterUnavailable("away")
    gate.set()
    with pytest.raises(AdapterUnavailable):  # the join of before ends now
        await joining
    broker.down = None
    await here.send("y", 1)
    await here.lose(b)
    await here.send("y", 2)
    c = await here.connect(auth=b.auth)
    assert (b.got, c.got) == ([1], [2])


async def test_sessions_are_refreshed_and_lost_ones_are_ended(here: HubHarness, broker: RecordingBroker) -> None:
    a, b = await here.connect("x"), await here.connect("x")
    assert a.pid is not None
    broker.written.clear()
    here.hub.states._refresh = 0.01
    refreshing = asyncio.create_task(here.hub.states.run())
    await eventually(lambda: {("touch", a.pid), ("touch", b.pid)} <= set(broker.written))
    saved, deadline = broker._sessions[a.pid]
    saved.generation = 5
    broker._sessions[a.pid] = (saved, deadline)
    await eventually(lambda: here.displaced == [a.sid])
    refreshing.cancel()
    await here.settle()
    await here.send("x", 1)
    assert (a.got, b.got) == ([], [1])
    kept = broker.kept(a.pid)
    assert kept is not None
    assert kept.generation == 5


@pytest.mark.parametrize("change", ["join", "leave"])
async def test_a_session_that_is_anothers_by_now_ends_here(
    here: HubHarness, broker: RecordingBroker, change: str
) -> None:
    a = await here.connect("x")
    assert a.pid is not None
    broker._sessions[a.pid][0].generation = 5
    await (here.hub.join(a.sid, "y") if change == "join" else here.hub.leave(a.sid, "x"))
    await here.settle()
    assert here.displaced == [a.sid]
    assert here.hub.rooms_of(a.sid) == frozenset()
    assert set(kept_rooms(broker, a.pid)) == {"x"}


# -- told by the broker


async def test_displaced_by_a_later_generation_only(here: HubHarness, broker: RecordingBroker) -> None:
    a = await here.connect("x")
    assert a.pid is not None
    here.hub.on_session_claimed(a.pid, 0)
    here.hub.on_session_claimed("nobody", 5)
    await here.settle()
    assert here.displaced == []
    broker.written.clear()
    here.hub.on_session_claimed(a.pid, 1)
    await here.settle()
    assert here.displaced == [a.sid]
    assert here.hub.rooms_of(a.sid) == frozenset()
    assert broker.written == []  # what is kept is another's


async def test_an_end_that_fails_is_an_end(here: HubHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(sid: str) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(here, "displace", fail)
    a = await here.connect("x")
    here.hub.on_session_claimed(a.pid or "", 1)
    await here.settle()
    assert here.hub.clients.by_sid == {}


async def test_clients_of_broken_rooms_are_sent_to_begin_anew(here: HubHarness, broker: RecordingBroker) -> None:
    a, plain = await here.connect("x", "y"), await here.connect("y", auth={"recovery": False})
    other = await here.connect("z")
    here.hub.on_history_gap(["x", "y", "nobody"])
    await here.settle()
    assert sorted(here.closed_transports) == sorted([a.eio_sid, plain.eio_sid])
    assert here.gaps == [2]
    await here.lose(a)
    assert (await here.connect(auth=a.auth)).resumed is None
    assert here.results == ["unknown"]
    assert broker.kept(other.pid) is not None


async def test_when_the_broker_forgot_everything_sessions_are_kept_anew(
    here: HubHarness, broker: RecordingBroker
) -> None:
    a, plain = await here.connect("x"), await here.connect("x", auth={"recovery": False})
    broker._sessions.clear()
    here.hub.on_epoch_change(0, MAX_ID)
    await here.settle()
    assert broker.kept(a.pid) is not None
    assert len(broker._sessions) == 1
    assert plain.pid is None
    assert here.closed_transports == []


async def test_what_could_not_be_kept_anew_is_tried_again(here: HubHarness, broker: RecordingBroker) -> None:
    a = await here.connect("x")
    broker._sessions.clear()
    broker.down = AdapterUnavailable("away")
    here.hub.on_epoch_change(0, MAX_ID)
    await here.settle()
    broker.down = None
    await here.hub.states.save_dirty()
    assert broker.kept(a.pid) is not None


async def test_a_client_that_goes_for_good_while_all_are_kept_anew_is_not(
    here: HubHarness, broker: RecordingBroker
) -> None:
    a, b = await here.connect("x"), await here.connect("x")
    broker.gate("save")
    here.hub.on_epoch_change(0, MAX_ID)
    await eventually(lambda: broker.gated)  # a is being kept
    here.hub.forget(b.sid, final=True)
    broker.gates.pop("save").set()
    await here.settle()
    assert broker.kept(a.pid) is not None
    assert broker.kept(b.pid) is None


async def test_after_a_switch_nothing_is_counted_on_that_is_gone(here: HubHarness, broker: RecordingBroker) -> None:
    a = await here.connect("x")
    await here.send("x", 1)
    top = broker.positions[0]
    await here.send("x", 2)
    await here.hub.join(a.sid, "y")
    here.hub.on_ping(a.eio_sid)
    here.hub.on_pong(a.eio_sid)
    here.hub.on_ping(a.eio_sid)
    here.hub.on_epoch_change(0, top)
    here.hub.on_pong(a.eio_sid)  # answers what was sent before
    await here.settle()
    kept = broker.kept(a.pid)
    assert kept is not None
    assert kept.confirmed == (top,)
    assert kept.joins["y"] == top
    assert kept.joins["x"] < top


async def test_what_was_replayed_does_not_hide_what_comes_after_a_switch(
    here: HubHarness, broker: RecordingBroker
) -> None:
    a = await here.connect("x")
    await here.lose(a)
    await here.send("x", 1)
    top = broker.positions[0]
    for n in range(2, 5):
        await here.send("x", n)
    back = await here.connect(auth=a.auth)
    assert back.got == [1, 2, 3, 4]
    here.hub.on_epoch_change(0, top)
    broker.positions[0] = top
    await here.send("x", "new")
    assert back.got[-1] == "new"


async def test_an_offset_of_before_is_not_given_as_one_of_the_history_after(
    here: HubHarness, broker: RecordingBroker
) -> None:
    """What is held back was published before the switch: with the new epoch its id would hide other events."""
    a = await here.connect("x")
    await here.send("x", 1)
    top = broker.positions[0]
    broker.gate("listening")
    joining = asyncio.create_task(here.hub.join(a.sid, "y"))
    await eventually(lambda: broker.gated)
    await here.send("x", 2)
    broker.arm("after")
    here.hub.on_epoch_change(0, top)
    broker.gate("listening").set()
    await joining
    await here.settle()
    assert a.got == [1, 2]
    last = parse_offset(a.offset, 1)
    assert last is not None
    assert last.epoch != "after" or last.ids[0] <= top


async def test_a_replay_of_before_a_switch_is_not_sent_after_it(
    here: HubHarness, broker: RecordingBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    a = await here.connect("x")
    await here.send("x", 1)
    top = broker.positions[0]
    await here.lose(a)
    await here.send("x", 2)
    back = await here.enter(await here.arrive(), auth=a.auth)
    monkeypatch.setattr(here, "close_transport", here.closed_transports.append)  # the transport takes its time
    broker.arm("after")
    here.hub.on_epoch_change(0, top)
    await here.go(back)
    await here.send("x", 3)
    assert here.closed_transports == [back.eio_sid]
    assert back.got == []


@pytest.mark.parametrize("request_", ["listening", "read"])
async def test_a_switch_while_a_client_goes_on_puts_it_off(
    here: HubHarness, broker: RecordingBroker, request_: str
) -> None:
    """Its offset was looked at by the history before: read in the one after, it would hide other events."""
    a = await here.connect("x")
    await here.send("x", 1)
    await here.lose(a)
    await here.send("x", 2)
    broker.gate(request_)
    back = await here.arrive()
    entering = asyncio.create_task(here.enter(back, auth=a.auth))
    await eventually(lambda: broker.gated)
    broker.arm("after")
    here.hub.on_epoch_change(0, broker.positions[0])
    broker.gates.pop(request_).set()
    with pytest.raises(TryAgain):
        await entering
    assert here.results == ["unavailable"]


# -- a server that is behind others


async def test_a_replay_that_is_ahead_of_this_server_is_not_followed_by_its_repetition(
    here: HubHarness, broker: RecordingBroker
) -> None:
    a = await here.connect("x")
    await here.lose(a)
    behind = broker.positions[0]
    for n in range(3):
        await here.send("x", n)
    ahead = broker.positions[0]
    history = broker._rooms["x"].events
    back = await here.connect(auth=a.auth)
    assert back.got == [0, 1, 2]
    # What others have published already comes to this server only now.
    broker.positions[0] = behind
    at = parse_offset(here.hub.position(back.sid), 1)
    assert at is not None
    assert at.ids == (ahead,)  # not behind what it has got
    for envelope in history:
        broker.positions[0] = envelope.id
        here.hub.deliver(envelope)
    await here.send("x", 3)
    assert back.got == [0, 1, 2, 3]
    await eventually(lambda: here.hub.clients.special == {})


async def test_what_it_got_elsewhere_does_not_come_again_through_a_room_that_it_joins_here(
    here: HubHarness, broker: RecordingBroker
) -> None:
    a = await here.connect("x")
    behind = broker.positions[0]
    await here.send(["x", "y"], 1)
    event = broker._rooms["y"].events[0]
    await here.hub.leave(a.sid, "x")
    await here.lose(a)
    broker.positions[0] = behind  # as another server's, which is not there yet
    read = broker.read

    async def read_further(starts: Mapping[str, int]) -> Replay:
        return replace(await read(starts), positions=[event.id])

    broker.read = read_further  # type: ignore[method-assign]
    back = await here.connect(auth=a.auth)
    await here.hub.join(back.sid, "y")
    broker.positions[0] = event.id
    here.hub.deliver(event)
    await here.send("y", 2)
    assert (a.got, back.got) == ([1], [2])


async def test_emitting_tells_what_became_of_it(here: HubHarness, broker: RecordingBroker) -> None:
    async def publish(envelope: object) -> int:
        raise PublishUncertain("no answer")

    broker.publish = publish  # type: ignore[method-assign]
    with pytest.raises(PublishUncertain):
        await here.send("x", 1)


@pytest.mark.parametrize("kind", [COUNTED, VOLATILE])
async def test_the_emitter_may_say_of_which_kind_it_is(here: HubHarness, kind: str) -> None:
    a = await here.connect("x")
    await here.send("x", {"n": 1}, event="latest", kind=kind)
    assert (a.wire[0].offset is not None) is (kind == COUNTED)


def kept_rooms(broker: RecordingBroker, pid: str | None) -> Mapping[str, int]:
    """The rooms that are kept of a client, its own left out."""
    kept = broker.kept(pid)
    assert kept is not None
    return {room: position for room, position in kept.joins.items() if room != kept.sid}


# -- a client as a room


async def test_a_sid_is_a_room(here: HubHarness) -> None:
    a, b = await here.connect("x"), await here.connect("x")
    await here.send(a.sid, 1)
    await here.send([a.sid, "x"], 2)
    await here.send("x", 3, except_rooms=[b.sid])
    await here.send("x", 4, skip=[a.sid])
    await here.send("nobody", 5)
    assert (a.got, b.got) == ([1, 2, 3], [2, 3, 4])
    assert here.emitted[0] == ("event", 1)


async def test_what_a_client_missed_as_a_room_is_replayed_in_order(here: HubHarness) -> None:
    a = await here.connect("x")
    await here.send(a.sid, 1)
    await here.lose(a)
    await here.send(a.sid, 2)
    await here.send("x", 3)
    await here.send([a.sid, "x"], 4)
    back = await here.connect(auth=a.auth)
    await here.send(back.sid, 5)
    assert back.sid == a.sid
    assert back.got == [2, 3, 4, 5]
    assert back.resumed is not None
    assert back.resumed.rooms == {"x"}


async def test_what_comes_for_it_while_it_recovers_comes_once_and_after_the_replay(
    here: HubHarness, broker: RecordingBroker
) -> None:
    a = await here.connect("x")
    await here.lose(a)
    await here.send(a.sid, 1)
    back = await here.arrive()
    broker.gate("read")
    entering = asyncio.create_task(here.enter(back, auth=a.auth))
    await eventually(lambda: broker.gated)
    await here.send(a.sid, 2)
    broker.gate("read").set()
    await entering
    await here.send(a.sid, 3)
    assert back.got == []
    await here.go(back)
    await here.send(a.sid, 4)
    assert back.got == [1, 2, 3, 4]


async def test_before_it_is_let_in_nothing_reaches_it(here: HubHarness) -> None:
    back = await here.arrive()
    await here.send(back.sid, 1)
    await here.enter(back, "x")
    await here.send(back.sid, 2)
    assert back.got == []
    await here.go(back)
    assert back.got == [2]


async def test_a_client_that_the_version_before_has_kept_becomes_a_room(
    here: HubHarness, broker: RecordingBroker
) -> None:
    a = await here.connect("x")
    await here.lose(a)
    kept = broker.kept(a.pid)
    assert kept is not None
    del kept.joins[a.sid]
    await here.send("x", 1)
    back = await here.connect(auth=a.auth)
    await here.send(back.sid, 2)
    assert back.got == [1, 2]
    await here.lose(back)
    await here.send(back.sid, 3)
    again = await here.connect(auth=back.auth)
    assert again.got == [3]


async def test_a_client_whose_own_history_is_gone_begins_anew(here: HubHarness, broker: RecordingBroker) -> None:
    a = await here.connect("x")
    here.hub.on_history_gap([a.sid])
    assert here.closed_transports == [a.eio_sid]
    assert here.gaps == [1]


async def test_who_is_gone_is_no_room_any_more(here: HubHarness, broker: RecordingBroker) -> None:
    a, b = await here.connect("x"), await here.connect("x")
    assert broker.sid_rooms == {a.sid, b.sid}
    await here.lose(a, final=True)
    await here.lose(b)
    assert broker.sid_rooms == set()
    await here.connect(auth=b.auth)
    assert broker.sid_rooms == {b.sid}
    assert here.hub.clients.by_own_room == {}


async def test_one_that_cannot_recover_is_no_room_under_its_former_sid(
    here: HubHarness, broker: RecordingBroker
) -> None:
    a = await here.connect("x")
    await here.lose(a)
    back = await here.connect("x", auth={"pid": a.pid, "offset": f"{broker.epoch}.{MAX_ID:x}"})
    assert back.resumed is None
    assert back.sid != a.sid
    assert broker.sid_rooms == {back.sid}
    assert here.hub.clients.by_own_room == {}
    await here.send(a.sid, 1)
    await here.send(back.sid, 2)
    assert back.got == [2]


async def test_one_message_and_no_task_for_all_recipients(here: HubHarness) -> None:
    members = [await here.connect("crowded") for _ in range(50)]
    await here.settle()
    tasks = asyncio.all_tasks()
    await here.send("crowded", 1)
    assert asyncio.all_tasks() == tasks
    assert here.emitted == [("event", 50)]
    assert len({id(member.wire[-1]) for member in members}) == 1
