"""Recovery states: stored, refreshed, and stored anew."""

from __future__ import annotations

import asyncio

import pytest

from kit.delivery.hub_clients import HubHarness
from kit.waiting import eventually
from tradecast.delivery.broker import RecoveryState
from tradecast.delivery.errors import AdapterUnavailable, PublishUncertain
from tradecast.delivery.ids import MAX_ID
from unit.delivery.recording import RecordingBroker, kept_rooms


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

    async def lost(session: RecoveryState, *rooms: str) -> bool:
        await save_join(session, *rooms)
        raise PublishUncertain("no answer")

    broker.save_join = lost  # type: ignore[method-assign]
    with pytest.raises(AdapterUnavailable):
        await here.hub.join(a.sid, "y")
    assert set(kept_rooms(broker, a.pid)) == {"x", "y"}
    await here.hub.states.save_dirty()
    assert set(kept_rooms(broker, a.pid)) == {"x"}


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


async def test_when_the_broker_forgot_everything_sessions_are_kept_again(
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


async def test_what_could_not_be_kept_again_is_tried_again(here: HubHarness, broker: RecordingBroker) -> None:
    a = await here.connect("x")
    broker._sessions.clear()
    broker.down = AdapterUnavailable("away")
    here.hub.on_epoch_change(0, MAX_ID)
    await here.settle()
    broker.down = None
    await here.hub.states.save_dirty()
    assert broker.kept(a.pid) is not None


async def test_a_client_that_goes_for_good_while_all_are_kept_again_is_not(
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
