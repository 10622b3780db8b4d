"""A replay goes out as the client's link takes it, and survives that the connection is lost in the middle."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.delivery.hub_clients import HubClient, HubHarness, running_hub
from kit.waiting import eventually
from tradecast.delivery.ids import parse_offset
from unit.delivery.recording import RecordingBroker


@pytest.fixture(autouse=True)
def _one_event_a_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tradecast.delivery.clients.paced_replay.BYTES_PER_TURN", 1)


async def away(here: HubHarness, missed: int, *rooms: str) -> HubClient:
    """A client that has missed so many events."""
    a = await here.connect(*(rooms or "x"))
    await here.lose(a)
    for n in range(missed):
        await here.send("x", n)
    return a


async def back(here: HubHarness, auth: Any, room_for: int) -> HubClient:
    """A client that comes back over a link that takes so many events for now, until it takes no more."""
    member = await here.enter(await here.arrive(), auth=auth)
    here.room_for[member.eio_sid] = room_for
    await here.go(member)
    await eventually(lambda: member.eio_sid in here.waiters or not _is_replaying(here, member))
    return member


def _is_replaying(here: HubHarness, member: HubClient) -> bool:
    client = here.hub.clients.by_sid.get(member.sid)
    return client is not None and client.is_replaying


async def drain(here: HubHarness, member: HubClient, room_for: int) -> None:
    here.drain(member, room_for)
    await eventually(lambda: member.eio_sid in here.waiters or not _is_replaying(here, member))


async def test_a_link_gets_no_more_than_it_takes(here: HubHarness) -> None:
    a = await away(here, 10)
    slow = await back(here, a.auth, 3)
    assert slow.got == [0, 1, 2]
    assert here.hub.clients.replays == 1
    await drain(here, slow, 4)
    assert slow.got == [0, 1, 2, 3, 4, 5, 6]
    await drain(here, slow, 100)
    assert here.hub.clients.replays == 0
    assert slow.got == list(range(10))
    await here.send("x", 10)
    assert slow.got[-1] == 10


async def test_who_takes_nothing_at_first_gets_something_all_the_same(here: HubHarness) -> None:
    """A client that polls is backed up until its next poll: without progress it would never get through."""
    a = await away(here, 3)
    slow = await back(here, a.auth, 0)
    assert slow.got == [0]
    for n in range(1, 3):
        await drain(here, slow, 0)
        assert slow.got == list(range(n + 1))


async def test_a_fast_client_gets_a_long_replay_turn_by_turn(here: HubHarness) -> None:
    a = await away(here, 100)
    fast = await here.connect(auth=a.auth)
    assert len(fast.got) < 100
    await here.send("x", 100)
    await eventually(lambda: fast.got == list(range(101)))


async def test_what_comes_meanwhile_is_sent_behind_the_replay(here: HubHarness) -> None:
    a = await away(here, 3)
    slow = await back(here, a.auth, 1)
    for n in range(3, 6):
        await here.send("x", n)
    await drain(here, slow, 3)
    await here.send("x", 6)
    await drain(here, slow, 1)
    await here.send("x", 7)
    assert slow.got == list(range(5))
    await drain(here, slow, 100)
    assert slow.got == list(range(8))
    await eventually(lambda: here.hub.clients.special == {})


async def test_of_states_that_come_meanwhile_only_the_newest_is_sent(here: HubHarness) -> None:
    a = await away(here, 2, "x", "y", "quiet")
    slow = await back(here, a.auth, 1)
    for n in range(1000):
        await here.send("x", {"x": n}, event="latest")
        await here.send("y", {"y": n}, event="latest")
    await here.send("y", {"y": "not for it"}, event="latest", except_rooms=["quiet"])
    await drain(here, slow, 100)
    assert slow.got == [0, 1, {"x": 999}, {"y": 999}]


async def test_states_that_come_meanwhile_are_bounded_too(broker: RecordingBroker) -> None:
    async with running_hub(broker, buffer_limit=10) as here:
        a = await away(here, 2, *(f"r{n}" for n in range(20)), "x")
        slow = await back(here, a.auth, 1)
        for n in range(11):
            assert here.closed_transports == []
            await here.send(f"r{n}", {"n": n}, event="latest")
        assert here.closed_transports == [slow.eio_sid]


async def test_a_client_that_joins_a_room_in_the_middle_loses_nothing(
    here: HubHarness, broker: RecordingBroker
) -> None:
    a = await away(here, 3)
    slow = await back(here, a.auth, 1)
    broker.gate("listening")
    joining = asyncio.create_task(here.hub.join(slow.sid, "y"))
    await eventually(lambda: broker.gated)
    await here.send("x", 3)
    await drain(here, slow, 100)  # all is sent but what was buffered
    assert slow.got == [0, 1, 2]
    broker.gates.pop("listening").set()
    await joining
    await here.send("y", 4)
    assert slow.got == [0, 1, 2, 3, 4]


async def test_a_replay_that_continues_after_a_join_releases_what_was_buffered(
    here: HubHarness, broker: RecordingBroker
) -> None:
    a = await away(here, 3)
    slow = await back(here, a.auth, 1)
    await here.hub.join(slow.sid, "y")
    await here.send("y", 3)
    assert slow.got == [0]
    await drain(here, slow, 100)
    assert slow.got == [0, 1, 2, 3]


async def test_what_is_of_a_room_that_it_leaves_in_the_middle_does_not_come(here: HubHarness) -> None:
    """Neither of the replay, nor of what was buffered behind it; and it can go on from there."""
    a = await here.connect("x", "y")
    await here.lose(a)
    for n in range(4):
        await here.send("xy"[n % 2], n)
    await here.send(["x", "y"], 4)
    slow = await back(here, a.auth, 1)
    await here.send("x", 5)
    await here.hub.leave(slow.sid, "x")
    await drain(here, slow, 100)
    assert slow.got == [0, 1, 3, 4]
    auth = {"pid": a.pid, "offset": slow.offset}
    await here.lose(slow)
    assert (await here.connect(auth=auth)).got == []


async def test_replies_have_the_offset_of_what_was_replayed_so_far(here: HubHarness) -> None:
    a = await away(here, 6)
    slow = await back(here, a.auth, 2)
    assert here.hub.position(slow.sid) == slow.offset
    await here.send("x", 6)
    await drain(here, slow, 4)
    at, seen = parse_offset(here.hub.position(slow.sid), 1), parse_offset(slow.offset, 1)
    assert slow.got == list(range(6))
    assert at is not None
    assert seen is not None
    assert seen.ids[0] <= at.ids[0] < here.hub.broker.positions[0]  # not beyond what is buffered


async def test_a_heartbeat_confirms_nothing_that_was_not_sent(here: HubHarness, broker: RecordingBroker) -> None:
    """It is answered as soon as the link has taken what is before it, and the rest of the replay is not."""
    a = await away(here, 5)
    slow = await back(here, a.auth, 2)
    await here.send("x", 5)  # buffered
    here.hub.on_ping(slow.eio_sid)
    here.hub.on_pong(slow.eio_sid)
    await here.lose(slow)
    kept = broker.kept(a.pid)
    assert kept is not None
    assert kept.confirmed == ()
    again = await here.connect(auth={"pid": a.pid, "offset": slow.offset})
    await eventually(lambda: again.got == [2, 3, 4, 5])


async def test_a_heartbeat_does_not_confirm_what_is_buffered_for_a_join(
    here: HubHarness, broker: RecordingBroker
) -> None:
    a = await here.connect("x")
    await here.send("x", 0)
    here.hub.on_ping(a.eio_sid)
    broker.gate("listening")
    joining = asyncio.create_task(here.hub.join(a.sid, "y"))
    await eventually(lambda: broker.gated)
    await here.send("x", 1)
    here.hub.on_pong(a.eio_sid)  # answers the heartbeat before
    here.hub.on_ping(a.eio_sid)
    here.hub.on_pong(a.eio_sid)
    joining.cancel()
    broker.gates.clear()
    auth = a.auth
    await here.lose(a)
    assert (await here.connect(auth=auth)).got == [1]
    assert (await here.connect(auth={"pid": a.pid, "offset": None})).got == [1]


async def test_what_is_kept_until_the_link_takes_it_has_a_bound(broker: RecordingBroker) -> None:
    """The rest is dropped, and comes with the next replay: the client is closed behind what was kept."""
    async with running_hub(broker, replay_limit=1000) as here:
        a = await away(here, 100)
        slow = await back(here, a.auth, 1)
        client = here.hub.clients.by_sid[slow.sid]
        assert client.replay is not None
        assert 3 < len(client.replay) < 20
        await drain(here, slow, 100)
        assert here.closed_transports == [slow.eio_sid]
        first = len(slow.got)
        assert slow.got == list(range(first))
        auth = {"pid": a.pid, "offset": slow.offset}
        await here.lose(slow)
        fast = await here.connect(auth=auth)
        await eventually(lambda: fast.got == list(range(first, 100)))
        assert len(here.closed_transports) == 1


async def test_a_link_that_takes_too_little_is_a_slow_one(broker: RecordingBroker) -> None:
    """What was kept, or buffered meanwhile, is too much: closed for slowness, and after three times refused."""
    async with running_hub(broker, replay_limit=1000, buffer_limit=5) as here:
        a = await away(here, 100)
        auth: dict[str, object] = {"pid": a.pid, "offset": None}
        for round_ in range(3):
            slow = await back(here, auth, 1)
            if round_ % 2:
                await drain(here, slow, 100)
            else:
                for n in range(6):
                    await here.send("x", n)
            assert here.closed_transports.count(slow.eio_sid) == here.too_slow.count(slow.eio_sid) == 1
            await here.lose(slow)
        await here.connect("x", auth=auth)
        assert here.results == ["recovered"] * 3 + ["slow"]


async def test_a_client_that_goes_in_the_middle_leaves_nothing_behind(here: HubHarness) -> None:
    a = await away(here, 5)
    slow = await back(here, a.auth, 1)
    waiter = here.waiters[slow.eio_sid]
    await here.lose(slow)
    waiter.on_drained(slow.eio_sid)
    fast = await here.connect(auth=a.auth)
    await here.lose(fast)  # between two turns
    await here.settle()
    assert slow.got == [0]
    assert here.hub.clients.by_sid == here.hub.clients.special == {}


ROUNDS = st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=1, max_size=12)


@settings(max_examples=150, deadline=None)
@given(rounds=ROUNDS, seed=st.integers(0, 1000))
def test_whenever_it_is_cut_off_it_gets_all_once_and_in_order(rounds: list[tuple[int, bool]], seed: int) -> None:
    asyncio.run(_cut_at(rounds, Random(seed)))


async def _cut_at(rounds: Collection[tuple[int, bool]], chance: Random) -> None:
    """A client comes back again and again; each time a part arrives, and then its connection is lost."""
    number = 0

    async def publish(here: HubHarness) -> None:
        nonlocal number
        for _ in range(chance.randrange(4)):
            await here.send(chance.choice([["x"], ["y"], ["x", "y"]]), number)
            number += 1
            await here.send(chance.choice("xy"), {"state": number}, event="latest")

    async with running_hub(RecordingBroker()) as here:
        a = await here.connect("x", "y")
        pid, offset, got = a.pid, a.offset, list(a.got)
        await here.lose(a)
        for room_for, confirms in rounds:
            await publish(here)
            member = await back(here, {"pid": pid, "offset": offset}, room_for)
            await publish(here)
            if confirms:
                here.hub.on_ping(member.eio_sid)
                here.hub.on_pong(member.eio_sid)
                arrived = len(member.wire)
            else:
                await drain(here, member, chance.randrange(5))
                arrived = chance.randrange(len(member.wire) + 1)
            member.wire = member.wire[:arrived]
            got += member.got
            offset = member.offset or offset
            await here.lose(member)
        last = await here.connect(auth={"pid": pid, "offset": offset})
        await eventually(lambda: not _is_replaying(here, last))
        got += last.got
        assert [one for one in got if isinstance(one, int)] == list(range(number))
        states: dict[str, int] = {}
        for room in "xy":
            kept = here.hub.broker._rooms[room].latest  # type: ignore[attr-defined]  # the broker in memory
            if kept:
                states[room] = int(kept["latest", ""].packet.split(b":")[1].rstrip(b"}"))
        assert set(states.values()) <= {one["state"] for one in last.got if isinstance(one, dict)}
