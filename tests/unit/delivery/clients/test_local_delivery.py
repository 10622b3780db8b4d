"""Who gets which event, with which offset, and what is buffered meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace

import pytest

from kit.delivery.hub_clients import HubHarness, Received, running_hub
from kit.waiting import eventually
from tradecast.delivery.broker import Replay
from tradecast.delivery.envelope import COUNTED, LATEST, VOLATILE
from tradecast.delivery.ids import Offset, parse_offset
from unit.delivery.recording import RecordingBroker, kept_rooms


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


async def test_events_are_buffered_until_the_client_has_been_notified(here: HubHarness) -> None:
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


async def test_an_older_state_does_not_follow_one_that_stays_in_order(here: HubHarness) -> None:
    """A publisher has mixed kinds: what each client gets, however slow, is in the order of publishing."""
    a = await here.enter(await here.arrive(), "x", "y")
    mixed = ((LATEST, "x"), (LATEST, "y"), (COUNTED, ["x", "y"]), (LATEST, "y"), (VOLATILE, "y"))
    for n, (kind, rooms) in enumerate(mixed, 1):
        await here.send(rooms, {"n": n}, event="latest", kind=kind)
    await here.send("x", {"n": 6}, event="other")
    await here.go(a)
    assert [one["n"] for one in a.got] == [1, 2, 3, 4, 5, 6]


async def test_what_is_held_back_is_bounded_by_bytes_as_well(broker: RecordingBroker) -> None:
    """Ten thousand events of a megabyte each would be none too many otherwise."""
    async with running_hub(broker, buffer_limit=1000, replay_limit=1000) as here:
        a, b = await here.enter(await here.arrive(), "x"), await here.enter(await here.arrive(), "y")
        for _ in range(20):
            await here.send("y", {"q": "q" * 300}, event="latest")  # only the newest waits
        await here.send("x", "x" * 2000)  # one alone may be larger, or its client would never get it
        assert here.closed_transports == []
        await here.send("x", "x")
        assert here.closed_transports == [a.eio_sid]
        await here.go(b)
        assert len(b.got) == 1
        assert here.hub.clients.by_sid[b.sid].buffered_size == 0


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


async def test_clients_of_broken_rooms_are_sent_to_start_new_sessions(
    here: HubHarness, broker: RecordingBroker
) -> None:
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


async def test_one_message_and_no_task_for_all_recipients(here: HubHarness) -> None:
    members = [await here.connect("crowded") for _ in range(50)]
    await here.settle()
    tasks = asyncio.all_tasks()
    await here.send("crowded", 1)
    assert asyncio.all_tasks() == tasks
    assert here.emitted == [("event", 50)]
    assert len({id(member.wire[-1]) for member in members}) == 1
