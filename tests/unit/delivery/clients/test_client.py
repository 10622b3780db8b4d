"""What a server knows of one client when the history changes under it."""

from __future__ import annotations

import asyncio

from kit.delivery.hub_clients import HubHarness
from kit.waiting import eventually
from tradecast.delivery.ids import parse_offset
from unit.delivery.recording import RecordingBroker


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
