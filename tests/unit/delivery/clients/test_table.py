"""The clients of a server, and the room that each of them is."""

from __future__ import annotations

import pytest

from kit.delivery.hub_clients import HubHarness
from tradecast.delivery.errors import AdapterUnavailable
from tradecast.delivery.ids import MAX_ID
from unit.delivery.recording import RecordingBroker


@pytest.mark.parametrize("auth", [None, {"recovery": False}])
async def test_whatever_happened_plain_clients_are_counted_right(
    here: HubHarness, broker: RecordingBroker, auth: object
) -> None:
    broker.down = AdapterUnavailable("away")
    a = await here.connect("x", auth=auth)
    assert here.hub.clients.without_recovery == 1
    await here.lose(a)
    assert here.hub.clients.without_recovery == 0


async def test_a_sid_is_a_room(here: HubHarness) -> None:
    a, b = await here.connect("x"), await here.connect("x")
    await here.send(a.sid, 1)
    await here.send([a.sid, "x"], 2)
    await here.send("x", 3, except_rooms=[b.sid])
    await here.send("x", 4, skip=[a.sid])
    await here.send("nobody", 5)
    assert (a.got, b.got) == ([1, 2, 3], [2, 3, 4])
    assert here.emitted[0] == ("event", 1)


async def test_before_it_is_let_in_nothing_reaches_it(here: HubHarness) -> None:
    back = await here.arrive()
    await here.send(back.sid, 1)
    await here.enter(back, "x")
    await here.send(back.sid, 2)
    assert back.got == []
    await here.go(back)
    assert back.got == [2]


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
