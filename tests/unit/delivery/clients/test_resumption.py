"""A client that comes back: what it missed, or why it starts a new session."""

from __future__ import annotations

import asyncio

import pytest
import structlog

from kit.delivery.hub_clients import HubClient, HubHarness, running_hub
from kit.waiting import eventually
from tradecast.delivery.errors import AdapterUnavailable, TryAgain
from tradecast.delivery.ids import Offset
from tradecast.delivery.retention import Retention
from unit.delivery.recording import RecordingBroker, kept_rooms


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


async def test_each_replayed_event_has_the_offset_at_which_it_can_continue(here: HubHarness) -> None:
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
async def test_a_client_that_has_seen_nothing_continues_from_the_beginning(
    here: HubHarness, offset: str | None
) -> None:
    """Go's client says "" for that."""
    a = await here.connect("x")
    await here.lose(a)
    await here.send("x", 1)
    back = await here.connect(auth={"pid": a.pid, "offset": offset})
    assert back.got == [1]
    assert here.results == ["recovered"]


async def test_who_asks_too_often_starts_a_new_session_without_a_look_at_the_history(broker: RecordingBroker) -> None:
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


async def test_it_can_continue_again_and_again(here: HubHarness) -> None:
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


async def test_a_state_that_was_queued_behind_the_offset_of_another_event_comes(here: HubHarness) -> None:
    """The trade's offset covers the quote, which had not left the server when that died."""
    a = await here.connect("x")
    await here.send("x", {"price": 1}, event="latest")
    await here.send("x", {"trade": 1})
    a.wire = [one for one in a.wire if one.event != "latest"]
    await here.lose(a)
    back = await here.connect(auth=a.auth)
    assert back.got == [{"price": 1}]
    assert here.results == ["recovered"]


async def test_a_state_of_before_the_join_is_the_state_all_the_same(here: HubHarness) -> None:
    await here.send("x", {"price": 1}, event="latest")
    await here.send("x", {"trade": 1})
    a = await here.connect("x")
    await here.lose(a)
    assert (await here.connect(auth=a.auth)).got == [{"price": 1}]


async def test_a_state_comes_before_what_is_newer(here: HubHarness) -> None:
    """Never an older one behind a newer one on the same connection."""
    a = await here.connect("x", "y")
    await here.send("x", {"x": 1}, event="latest")
    await here.send("x", {"trade": 1})
    await here.lose(a)
    back = await here.enter(await here.arrive(), auth=a.auth)
    await here.send("x", {"x": 2}, event="latest")
    await here.send(["y", "x"], {"x": 3}, event="latest")
    await here.go(back)
    await here.send("x", {"x": 4}, event="latest")
    assert back.got == [{"x": 1}, {"x": 2}, {"x": 3}, {"x": 4}]


async def test_a_state_that_is_not_for_a_client_does_not_come(here: HubHarness) -> None:
    a = await here.connect("x", "y", "quiet")
    await here.send("x", {"n": 1}, event="latest", skip=[a.sid])
    await here.send("y", {"n": 2}, event="latest", except_rooms=["quiet"])
    await here.send("left", {"n": 3}, event="latest")
    await here.send("x", {"n": 4}, event="volatile")
    await here.lose(a)
    assert (await here.connect(auth=a.auth)).got == []


async def test_a_state_that_ends_in_a_text_carries_an_offset_and_comes_once(here: HubHarness) -> None:
    a = await here.connect("x")
    await here.send("x", "seen", event="latest")
    auth = a.auth
    await here.lose(a)
    again = await here.connect(auth=auth)
    assert again.got == []
    await here.lose(again)
    await here.send("x", "missed", event="latest")
    assert (await here.connect(auth=auth)).got == ["missed"]


async def test_who_has_seen_what_redis_has_lost_does_not_go_back_to_an_older_state(
    here: HubHarness, broker: RecordingBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    a = await here.connect("x")
    await here.send("x", {"price": 1}, event="latest")
    top = broker.positions[0]
    await here.send("x", {"lost": 1})
    auth = a.auth
    await here.lose(a)
    broker.arm("after")
    broker._rooms["x"].events.clear()
    broker.positions[0] = top
    monkeypatch.setattr(broker, "translate_offset", lambda offset: Offset("after", (min(offset.ids[0], top),)))
    back = await here.connect(auth=auth)
    assert (back.got, here.results) == ([], ["recovered"])
    await here.send("x", {"price": 2}, event="latest")
    assert back.got == [{"price": 2}]


async def test_who_has_seen_only_a_state_that_redis_has_lost_gets_the_newest_that_is_left(
    here: HubHarness, broker: RecordingBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its offset says nothing of states; and without this it would show what nobody else is shown any more."""
    a = await here.connect("x")
    await here.send("x", {"counted": 1})
    await here.send("x", {"price": 1}, event="latest")
    top, left = broker.positions[0], dict(broker._rooms["x"].latest)
    await here.send("x", {"price": 2}, event="latest")
    auth = a.auth
    await here.lose(a)
    broker.arm("after")
    broker._rooms["x"].latest = left
    broker.positions[0] = top
    monkeypatch.setattr(broker, "translate_offset", lambda offset: Offset("after", (min(offset.ids[0], top),)))
    back = await here.connect(auth=auth)
    assert (back.got, here.results) == ([{"price": 1}], ["recovered"])


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
async def test_why_a_client_starts_a_new_session(here: HubHarness, auth: dict[str, object], result: str) -> None:
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
async def test_while_redis_is_away_it_is_deferred(here: HubHarness, broker: RecordingBroker, request_: str) -> None:
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


async def test_once_redis_was_away_for_as_long_as_the_window_it_starts_a_new_session(
    here: HubHarness, broker: RecordingBroker
) -> None:
    a = await here.connect("x")
    await here.lose(a)
    broker.down = AdapterUnavailable("away")
    broker.away = 61
    back = await here.connect("x", auth=a.auth)
    assert (back.resumed, back.pid, here.results) == (None, None, ["unavailable"])


async def test_a_transport_that_ends_while_it_continues_leaves_nothing_behind(
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


async def test_a_client_whose_own_history_is_gone_starts_a_new_session(
    here: HubHarness, broker: RecordingBroker
) -> None:
    a = await here.connect("x")
    here.hub.on_history_gap([a.sid])
    assert here.closed_transports == [a.eio_sid]
    assert here.gaps == [1]


async def close_for_slowness(here: HubHarness, auth: object) -> HubClient:
    """A client comes back, and its link takes too little: the engine says so, and closes its transport."""
    back = await here.connect("x", auth=auth)
    here.hub.on_client_too_slow(back.eio_sid, "slow")
    here.hub.on_client_too_slow(back.eio_sid, "queue_full")  # counted once
    await here.lose(back)
    return back


async def test_after_three_closes_for_slowness_in_a_row_it_starts_a_new_session(here: HubHarness) -> None:
    a = await here.connect("x")
    auth = {"pid": a.pid, "offset": None}
    await here.lose(a)
    for _ in range(3):
        assert (await close_for_slowness(here, auth)).resumed is not None
    anew = await here.connect("x", auth=auth)
    assert here.results == ["recovered"] * 3 + ["slow"]
    assert (anew.resumed, anew.pid == a.pid) == (None, False)
    await here.send("x", 1)
    assert anew.got == [1]


async def test_who_has_got_everything_counts_from_zero_again(here: HubHarness) -> None:
    a = await here.connect("x")
    auth = {"pid": a.pid, "offset": None}
    await here.lose(a)
    for _ in range(2):
        await close_for_slowness(here, auth)
    back = await here.connect(auth=auth)
    here.hub.on_ping(back.eio_sid)
    here.hub.on_pong(back.eio_sid)
    await here.lose(back)
    for _ in range(3):
        await close_for_slowness(here, auth)
    assert here.results == ["recovered"] * 6


async def test_an_answer_before_the_replay_is_through_does_not_count(here: HubHarness) -> None:
    a = await here.connect("x")
    auth = {"pid": a.pid, "offset": None}
    await here.lose(a)
    for _ in range(2):
        await close_for_slowness(here, auth)
    back = await here.enter(await here.arrive(), auth=auth)
    here.hub.on_ping(back.eio_sid)
    here.hub.on_pong(back.eio_sid)
    await here.go(back)
    await here.lose(back)
    await close_for_slowness(here, auth)
    await here.connect("x", auth=auth)
    assert here.results[-1] == "slow"


async def test_a_close_for_another_reason_is_none_for_slowness(here: HubHarness) -> None:
    a = await here.connect("x")
    auth = {"pid": a.pid, "offset": None}
    await here.lose(a)
    for _ in range(5):
        await here.lose(await here.connect(auth=auth))
    assert here.results == ["recovered"] * 5
