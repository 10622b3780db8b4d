"""The hub over the broker in memory, and over one that does as it is told."""

from __future__ import annotations

import asyncio

import pytest

from kit.delivery.hub_clients import HubHarness, Received
from kit.waiting import eventually
from tradecast.delivery.envelope import COUNTED, VOLATILE
from tradecast.delivery.errors import AdapterUnavailable, PublishUncertain, TryAgain
from unit.delivery.recording import RecordingBroker, kept_rooms

# -- who gets what


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


async def test_who_leaves_a_room_gets_nothing_of_it_that_still_waits(here: HubHarness) -> None:
    a = await here.connect("x")
    await here.hub.join(a.sid, "y")
    await here.hub.leave(a.sid, "y")
    assert here.discarded == [(a.eio_sid, frozenset({"y"}), frozenset({a.sid, "x"}))]
    here.hub.discard_unsent(a.sid)
    here.hub.discard_unsent("nobody")
    here.hub.forget(a.sid, final=True)
    assert here.discarded[1:] == [(a.eio_sid, frozenset({a.sid, "x"}), frozenset())] * 2


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


async def test_what_json_cannot_say_is_reported_to_the_emitter(here: HubHarness) -> None:
    with pytest.raises(TypeError):
        await here.send("x", object())


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


# -- going on


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
async def test_a_switch_while_a_client_recovers_defers_it(
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


async def test_emitting_returns_what_became_of_it(here: HubHarness, broker: RecordingBroker) -> None:
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


# -- a client as a room
