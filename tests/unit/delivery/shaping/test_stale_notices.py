"""Clients are notified of stale symbols: once for many, and again when they are live."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from structlog.testing import capture_logs

from kit.clock import HandClock
from kit.delivery.hub_clients import HubClient, HubHarness, running_hub
from kit.waiting import eventually
from tradecast.config.patterns import PatternValues
from tradecast.delivery.envelope import LATEST, encode_envelope
from tradecast.delivery.event_kinds import Feed
from tradecast.delivery.ids import id_span, now_id
from tradecast.delivery.retention import RetainLimits
from tradecast.delivery.shaping.intake import ShapingOptions
from tradecast.delivery.shaping.stale_notices import StaleNotices
from tradecast.engine.message import Message
from unit.delivery.recording import RETENTION, RecordingBroker

FEED = Feed(quote="latest", rooms="w:", market="market", stale="stale")
OPTIONS = ShapingOptions(FEED, max_ages=PatternValues({"*": 10, "SLOW": 1000}))


class Harness(HubHarness):
    """With the market open, and a clock that is set by hand."""

    notices: StaleNotices
    clock: HandClock

    async def open(self) -> None:
        assert self.hub.notices is not None
        self.notices, self.clock = self.hub.notices, HandClock()
        self.notices._clock = self.hub.intake._clock = self.clock
        await self.set_market("open")

    async def set_market(self, state: str) -> None:
        watcher = await self.connect("market")
        await self.send("market", {"status": state}, event="market")
        await self.lose(watcher)

    async def pass_time(self, seconds: float) -> None:
        """Until the next sweep."""
        self.clock.now += seconds
        await self.notices.sweep()

    async def quote(self, *symbols: str) -> None:
        for symbol in symbols:
            await self.send(f"w:{symbol}", {"symbol": symbol}, event="latest")


@pytest.fixture
async def here(broker: RecordingBroker) -> AsyncIterator[Harness]:
    made = Harness(broker, shaping=OPTIONS)
    await made.hub.start()
    await made.open()
    yield made
    await made.hub.close()


def notices(client: HubClient) -> list[tuple[bool, list[str]]]:
    """What a client was notified of: stale or live, and which symbols."""
    return [(one.arguments[0]["stale"], one.arguments[0]["symbols"]) for one in client.wire if one.event == "stale"]


async def test_a_dead_feed_is_one_event_for_each_client_and_one_when_it_lives(here: Harness) -> None:
    a = await here.connect("w:A", "w:B", "w:SLOW", "trades:u")
    b = await here.connect("w:B", "w:C")
    other = await here.connect("trades:u")
    await here.pass_time(9)
    assert notices(a) == []
    await here.pass_time(2)
    await here.pass_time(2)
    assert (notices(a), notices(b), notices(other)) == ([(True, ["A", "B"])], [(True, ["B", "C"])], [])
    assert here.hub.intake.stale == 3
    await here.quote("A", "B", "C")
    await here.pass_time(1)
    await here.pass_time(1)
    assert notices(a)[1:] == [(False, ["A", "B"])]
    assert notices(b)[1:] == [(False, ["B", "C"])]
    assert (here.hub.intake.stale, here.notices._notified) == (0, {})


async def test_only_those_are_named_that_have_changed(here: Harness) -> None:
    a = await here.connect("w:A", "w:B")
    await here.pass_time(5)
    await here.quote("B")
    await here.pass_time(6)
    await here.pass_time(5)
    await here.quote("A")
    await here.pass_time(1)
    assert notices(a) == [(True, ["A"]), (True, ["B"]), (False, ["A"])]


async def test_what_a_notice_says(here: Harness) -> None:
    here.notices._wall = lambda: 2_000_000_000.0
    a = await here.connect("w:A", "w:B")
    here.clock.now += 3
    await here.quote("B")
    await here.pass_time(12)
    await here.quote("A")
    here.clock.now += 0.5
    await here.quote("B")
    await here.pass_time(0.25)
    first, second = (one for one in a.wire if one.event == "stale")
    assert first.offset is None
    payload = first.arguments[0]
    assert list(payload) == ["symbols", "since", "stale", "timestamp"]
    # none of them has had a quote for those 12 seconds
    assert datetime.fromisoformat(payload["since"]).timestamp() == 2_000_000_000 - 12
    assert datetime.fromisoformat(second.arguments[0]["since"]).timestamp() == 2_000_000_000 - 0.75


async def test_one_that_subscribes_is_notified_at_once_of_what_is_stale_and_only_of_that(here: Harness) -> None:
    a, b = await here.connect("w:A", "w:C"), await here.connect("w:C")
    await here.pass_time(11)
    await here.quote("C")
    await here.pass_time(1)
    await here.hub.join(b.sid, "w:A")
    new = await here.connect("w:A", "w:C")
    assert notices(a) == [(True, ["A", "C"]), (False, ["C"])]
    assert notices(b) == [(True, ["C"]), (False, ["C"]), (True, ["A"])]
    assert notices(new) == [(True, ["A"])]
    await here.hub.join(new.sid, "trades:u")
    assert len(notices(new)) == 1


async def test_a_recovered_client_is_notified_of_what_is_stale_behind_what_it_missed(here: Harness) -> None:
    a, b = await here.connect("w:A", "w:B"), await here.connect("w:A")
    await here.send("w:A", {"n": 1})
    await here.pass_time(11)
    await here.lose(a)
    await here.send("w:A", {"n": 2})
    back = await here.connect(auth=a.auth)
    assert back.resumed is not None
    assert [one.event for one in back.wire] == ["event", "stale"]
    assert notices(back) == [(True, ["A", "B"])]
    assert len(notices(b)) == 1


async def test_the_rooms_of_a_recovered_client_are_watched(here: Harness) -> None:
    a = await here.connect("w:A")
    await here.send("w:A", {"n": 1})
    await here.lose(a)
    await here.pass_time(1)
    assert list(here.notices.staleness.rooms) == []
    back = await here.connect(auth=a.auth)
    assert back.resumed is not None
    await here.pass_time(11)
    assert notices(back) == [(True, ["A"])]


async def test_what_a_client_missed_says_how_old_it_is_and_whether_the_market_is_open(
    here: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    a = await here.connect("w:A", "market")
    await here.send("w:A", {"n": 1})
    await here.lose(a)
    await here.quote("A")
    await here.send("market", {"status": "open"}, event="market")
    for envelope in (await here.hub.broker.read({"w:A": 0})).envelopes:
        if envelope.event == "latest":
            envelope.id = now_id() - id_span(8)
    monkeypatch.setattr(here.hub.intake, "is_market_open", None)
    here.hub.intake._market_id = 0
    await here.pass_time(1)
    back = await here.connect(auth=a.auth)
    assert here.hub.intake.is_market_open
    here.notices.staleness._open_since = -1000  # for long
    await here.pass_time(3)
    assert notices(back) == [(True, ["A"])]


async def test_one_whose_delivery_has_not_started_is_notified_when_it_does(here: Harness) -> None:
    a = await here.enter(await here.arrive(), "w:A")
    await here.pass_time(11)
    assert notices(a) == []
    await here.go(a)
    assert notices(a) == [(True, ["A"])]


async def test_who_left_is_not_notified_and_a_room_without_members_is_not_watched(here: Harness) -> None:
    a = await here.connect("w:A", "w:B")
    await here.pass_time(11)
    await here.hub.leave(a.sid, "w:A")
    await here.quote("A", "B")
    await here.pass_time(1)
    assert notices(a)[1:] == [(False, ["B"])]
    assert list(here.notices.staleness.rooms) == ["w:B"]
    await here.lose(a)
    await here.pass_time(11)
    assert list(here.notices.staleness.rooms) == []
    assert (here.hub.intake.stale, here.notices._notified) == (0, {})


async def test_nothing_is_kept_of_a_client_that_has_gone(here: Harness) -> None:
    a, b = await here.connect("w:A"), await here.connect("w:A")
    await here.pass_time(11)
    await here.lose(a)
    await here.lose(b, final=True)
    await here.pass_time(1)
    assert here.notices._notified == {}


async def test_while_the_market_is_closed_nobody_is_notified_of_stale_symbols(here: Harness) -> None:
    a = await here.connect("w:A", "w:B")
    await here.pass_time(11)
    await here.set_market("closed")
    await here.pass_time(100)
    late = await here.connect("w:A", "w:C")
    await here.pass_time(100)
    assert (len(notices(a)), notices(late)) == (1, [])
    await here.quote("A")
    await here.pass_time(1)
    assert (notices(a)[1:], notices(late)) == ([(False, ["A"])], [])
    await here.set_market("open")
    await here.pass_time(9)
    assert len(notices(a)) == 2
    await here.pass_time(2)
    assert (notices(a)[2:], notices(late)) == ([(True, ["A"])], [(True, ["A", "C"])])


async def test_the_age_of_a_retained_quote_counts(here: Harness) -> None:
    here.notices.staleness.set_market(None, 0)
    here.notices.staleness.set_market(True, 0)  # open for long
    a = await here.connect("w:A", "w:B")
    envelope = (await _published(here, "w:A"))[-1]
    here.notices.staleness._received.update(dict.fromkeys(here.notices.staleness._received, here.clock.now))
    envelope.id = now_id() - id_span(8)
    here.hub.intake.note_retained(envelope)
    await here.pass_time(3)
    assert notices(a) == [(True, ["A"])]
    await here.pass_time(8)
    assert notices(a)[1:] == [(True, ["B"])]


@pytest.mark.parametrize("hours", [-1, 0, 1])
async def test_a_clock_that_is_an_hour_off_that_of_redis_makes_no_quote_old(here: Harness, hours: int) -> None:
    """A feed that lives was reported as dead, since its last quote seemed an hour old."""

    class Broker:
        is_subscribed = True
        is_local = False
        positions = (5, now_id() - id_span(3600) * hours)

        def partition_of(self, room: str) -> int:
            return 1

    here.notices.staleness.set_market(None, 0)
    here.notices.staleness.set_market(True, 0)  # open for long
    here.notices._subscription = Broker()
    a = await here.connect("w:A", "w:B")
    envelope = (await _published(here, "w:A"))[-1]
    here.notices.staleness._received.update(dict.fromkeys(here.notices.staleness._received, here.clock.now))
    envelope.id = Broker.positions[1] - id_span(2)
    here.hub.intake.note_retained(envelope)
    await here.pass_time(7)
    assert notices(a) == []
    await here.pass_time(2)
    assert notices(a) == [(True, ["A"])], "by then it is old by any clock"


async def _published(here: Harness, room: str) -> list[Any]:
    await here.send(room, {"symbol": "A"}, event="latest")
    return (await here.hub.broker.read({room: 0})).envelopes


async def test_many_clients_are_notified_over_several_turns_and_one_message_serves_all(
    here: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tradecast.delivery.shaping.stale_notices.MOST_IN_A_TURN", 3)
    encoded: list[tuple[str, ...]] = []
    encode = here.notices._encode

    def count(rooms: tuple[str, ...], *, is_stale: bool) -> Message:
        encoded.append(rooms)
        return encode(rooms, is_stale=is_stale)

    monkeypatch.setattr(here.notices, "_encode", count)
    clients = [await here.connect("w:A", "w:B") for _ in range(10)]
    here.clock.now += 11
    sweeping = asyncio.create_task(here.notices.sweep())
    await asyncio.sleep(0)
    got = [bool(notices(client)) for client in clients]
    assert got.count(True) == 3
    await here.lose(clients[-1], final=True)  # between two turns
    await here.hub.leave(clients[-2].sid, "w:A")
    await sweeping
    assert all(notices(client) == [(True, ["A", "B"])] for client in clients[:-2])
    assert notices(clients[-2]) in ([(True, ["B"])], [(True, ["A", "B"])])
    assert encoded in ([("w:A", "w:B")], [("w:A", "w:B"), ("w:B",)])


async def test_the_log_says_why_there_may_be_no_quotes(here: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    await here.connect("w:A")
    with capture_logs() as logs:
        await here.pass_time(11)
        await here.quote("A")
        await here.pass_time(1)
        monkeypatch.setattr(here.hub.broker, "is_subscribed", False)
        await here.pass_time(11)
    assert [(line["log_level"], line["event"], line["symbols"]) for line in logs] == [
        ("warning", "symbols are stale: no quote has come for longer than STALE_AFTER", 1),
        ("info", "symbols are not stale any more: quotes have come", 1),
        ("warning", "symbols are stale: this server has no subscription to Redis, so no quotes come", 1),
    ]


async def test_the_hub_sweeps_and_an_error_ends_nothing(
    broker: RecordingBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tradecast.delivery.shaping.stale_notices.SWEEP_EVERY", 0.001)
    sweeps = 0

    async def sweep(self: StaleNotices) -> None:
        nonlocal sweeps
        sweeps += 1
        raise RuntimeError("once more")

    monkeypatch.setattr(StaleNotices, "sweep", sweep)
    async with running_hub(broker, shaping=OPTIONS):
        await eventually(lambda: sweeps > 2)


async def test_after_a_stall_what_came_meanwhile_is_read_first(here: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([0, 1, 2, 12, 13, 23, 33, 34])  # in sweeps: a stall of ten, and later two in a row
    swept: list[int] = []
    now = 0

    def read_clock() -> float:
        nonlocal now
        now = next(times)
        return now / 1000

    async def sweep() -> None:
        swept.append(now)

    monkeypatch.setattr("tradecast.delivery.shaping.stale_notices.SWEEP_EVERY", 0.001)
    monkeypatch.setattr(here.notices, "_clock", read_clock)
    monkeypatch.setattr(here.notices, "sweep", sweep)
    with pytest.raises(RuntimeError):  # the clock has no more to say
        await here.notices.run()
    assert swept == [1, 2, 13, 33, 34]


async def test_without_the_setting_there_is_nothing(broker: RecordingBroker) -> None:
    async with running_hub(broker, shaping=ShapingOptions(FEED, rates=PatternValues({"*": 1}))) as here:
        assert here.hub.notices is None
        a = await here.connect("w:A")
        assert here.hub.intake.stale == 0
        assert a.wire == []


async def test_a_snapshot_says_how_old_its_quotes_are_and_whether_the_market_is_open() -> None:
    broker = RecordingBroker(replace(RETENTION, retain=RetainLimits(60, 1000, 10_000)))
    for room, payload, event in (("w:A", {"symbol": "A"}, "latest"), ("market", {"status": "open"}, "market")):
        envelope = encode_envelope(event, [payload], [room], LATEST)
        await broker.publish(envelope)
        if event == "latest":
            envelope.id -= id_span(8)
    here = Harness(broker, shaping=OPTIONS)
    await here.hub.start()
    try:
        assert here.hub.notices is not None
        here.notices, here.clock = here.hub.notices, HandClock()
        here.notices._clock = here.clock
        a = await here.connect("w:A", "market")
        assert here.hub.intake.is_market_open is True
        here.notices.staleness._open_since = -1000  # for long
        await here.pass_time(3)
        assert notices(a) == [(True, ["A"])]
    finally:
        await here.hub.close()
