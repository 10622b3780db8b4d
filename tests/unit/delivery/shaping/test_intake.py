"""Events between the broker and the clients: sent now, or later, or replaced."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from structlog.testing import capture_logs

from kit.clock import HandClock
from kit.delivery.hub_clients import HubHarness, running_hub
from kit.waiting import eventually
from tradecast.config.patterns import PatternValues
from tradecast.delivery.envelope import COUNTED, LATEST, Envelope, Kind, encode_envelope
from tradecast.delivery.event_kinds import Feed
from tradecast.delivery.shaping.intake import Intake, ShapingOptions
from tradecast.events import kinds
from tradecast.iso_time import format_time
from unit.delivery.recording import RecordingBroker

FEED = Feed(quote="latest", rooms="w:", market="market", stale="stale")
# Ten a second: an interval that a test does not miss, and need not wait for long.
TEN = ShapingOptions(FEED, rates=PatternValues({"*": 10}))


class Outlet:
    """What was sent late; the first `failing` ones cannot be."""

    def __init__(self) -> None:
        self.sent: list[int] = []
        self.failing = 0

    def deliver_late(self, envelope: Envelope) -> None:
        if self.failing:
            self.failing -= 1
            raise RuntimeError("no way")
        self.sent.append(envelope.id)


class Ages:
    def __init__(self) -> None:
        self.seen: list[float] = []

    def quote_age(self, seconds: float) -> None:
        self.seen.append(seconds)


def event(number: int, *rooms: str, name: str = "latest", kind: Kind = LATEST, **more: Any) -> Envelope:
    envelope = encode_envelope(name, [{"n": number}], rooms or ("w:a",), kind, **more)
    envelope.id = number
    return envelope


class Case:
    """An intake with a clock that is set by hand."""

    def __init__(self, options: ShapingOptions = TEN) -> None:
        self.clock = HandClock()
        self.outlet = Outlet()
        self.intake = Intake(options, kinds, self.outlet, None, clock=self.clock, wall=lambda: 1000.0)

    def take(self, *events: Envelope) -> list[bool]:
        return [self.intake.admits(one) for one in events]

    def pass_time(self, seconds: float) -> None:
        """As if the timer had fired."""
        self.clock.now += seconds
        self.intake._on_timer()


@pytest.fixture
async def case() -> AsyncIterator[Case]:
    made = Case()
    yield made
    made.intake.close()


async def test_the_timer_sends_what_was_buffered() -> None:
    outlet = Outlet()
    intake = Intake(TEN, kinds, outlet, None)
    assert [intake.admits(event(n)) for n in (1, 2, 3)] == [True, False, False]
    assert (intake.buffered, intake.replaced, outlet.sent) == (1, 1, [])
    await eventually(lambda: outlet.sent == [3])
    assert (intake.buffered, intake.stale) == (0, 0)
    intake.close()


async def test_the_timer_continues_with_the_next_key_that_is_due() -> None:
    outlet = Outlet()
    intake = Intake(TEN, kinds, outlet, None)
    intake.admits(event(1, "w:a"))
    intake.admits(event(2, "w:a"))
    await asyncio.sleep(0)
    intake.admits(event(3, "w:b"))
    intake.admits(event(4, "w:b"))
    throttle = intake._throttle
    assert throttle is not None
    await eventually(lambda: outlet.sent)
    await eventually(lambda: outlet.sent == [2, 4])  # without another event that would start it
    await eventually(lambda: not len(throttle))
    assert intake._timer is None
    intake.close()


async def test_there_is_one_timer_for_all_keys_and_none_when_nothing_is_left(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = asyncio.get_running_loop()
    made: list[float] = []
    call_later = loop.call_later

    def count(delay: float, *arguments: Any, **options: Any) -> asyncio.TimerHandle:
        made.append(delay)
        return call_later(delay, *arguments, **options)

    monkeypatch.setattr(loop, "call_later", count)
    for n in range(1000):
        case.take(event(n, f"w:{n}"))
    assert len(made) == 1
    for n in range(1000):
        case.take(event(n, f"w:{n}"))
    assert len(made) == 2
    assert made[1] == pytest.approx(0.1)
    case.pass_time(0.1)
    assert len(case.outlet.sent) == 1000
    case.pass_time(0.1)
    assert case.intake._timer is None


async def test_other_events_are_not_throttled(case: Case) -> None:
    assert case.take(*(event(n, kind=COUNTED) for n in range(3))) == [True] * 3
    text = [encode_envelope("latest", ["a text"], ["w:a"], LATEST) for _ in range(3)]
    assert case.take(*text) == [True] * 3
    assert Case(ShapingOptions(FEED)).take(*(event(n) for n in range(3))) == [True] * 3


@pytest.mark.parametrize(
    "later",
    [
        event(3, "w:a", "w:b"),
        event(3, "w:b", "w:a"),
        event(3, skip=["somebody"]),
        event(3, except_rooms=["others"]),
        event(3, kind=COUNTED),
    ],
)
async def test_an_event_that_is_not_throttled_comes_after_the_older_one_of_its_key(case: Case, later: Envelope) -> None:
    case.take(event(1), event(2))
    assert case.take(later) == [True]
    assert case.outlet.sent == [2]
    assert case.intake.buffered == 0
    case.pass_time(0.1)
    assert case.outlet.sent == [2]


async def test_one_that_cannot_be_sent_does_not_keep_the_others_back(case: Case) -> None:
    for n in range(3):
        case.take(event(n, f"w:{n}"), event(10 + n, f"w:{n}"))
    case.outlet.failing = 1
    with capture_logs() as logs:
        case.pass_time(0.1)
    assert case.outlet.sent == [11, 12]
    assert [line["event"] for line in logs] == ["an event that was throttled could not be sent"]
    case.take(event(20))
    assert case.intake._timer is not None


async def test_after_the_end_nothing_is_sent(case: Case) -> None:
    case.take(event(1), event(2))
    case.intake.close()
    assert case.intake._timer is None
    assert case.take(event(3), event(4)) == [True, True]
    assert case.outlet.sent == []


async def test_joins_are_remembered_while_something_older_may_be_buffered(case: Case) -> None:
    case.intake.note_join("w:a", 5)
    case.intake.note_join("w:a", 3)
    assert [case.intake.was_joined(["w:b", "w:a"], position) for position in (5, 6)] == [True, False]
    case.clock.now += 1
    case.intake.sweep()
    assert case.intake.was_joined(["w:a"], 5)
    case.clock.now += 1
    case.intake.sweep()
    assert not case.intake.was_joined(["w:a"], 5)
    off = Case(ShapingOptions(FEED))
    off.intake.note_join("w:a", 5)
    assert not off.intake.was_joined(["w:a"], 5)


def market(status: object, *rooms: str, name: str = "market") -> Envelope:
    return encode_envelope(name, [{"status": status}], rooms or ("market",), LATEST)


async def test_the_state_of_the_market_is_known_without_any_setting() -> None:
    case = Case(ShapingOptions(FEED))
    assert case.intake.watched == {"market"}
    assert case.intake.is_market_open is None
    for status, is_open in (("open", True), ({"state": "closed"}, False), ("halted", None)):
        assert case.take(market(status)) == [True]
        assert case.intake.is_market_open is is_open
    case.take(market("open", "somewhere"), market("open", name="other"))
    assert case.intake.is_market_open is None


async def test_a_retained_state_counts_only_if_it_is_newer() -> None:
    """While no client is here, no status comes."""
    case = Case(ShapingOptions(FEED))
    found: list[bool | None] = []
    for event_id, status, is_retained in (
        (3, "open", True),
        (5, "closed", False),
        (5, "open", True),
        (7, "open", True),
    ):
        envelope = market(status)
        envelope.id = event_id
        if is_retained:
            case.intake.note_retained(envelope)
        else:
            case.take(envelope)
        found.append(case.intake.is_market_open)
    assert found == [True, False, False, True]


def quote(age: float, room: str = "w:a") -> Envelope:
    return encode_envelope("latest", [{"timestamp": format_time(1000 - age)}], [room], LATEST)


async def test_one_quote_of_so_many_has_its_age_measured() -> None:
    ages = Ages()
    case = Case(ShapingOptions(FEED, age_sample=3, observer=ages))
    case.take(*(quote(n) for n in range(9)), event(1, name="other"))
    assert ages.seen == [2, 5, 8]


async def test_a_throttled_quote_is_measured_when_it_is_sent() -> None:
    ages = Ages()
    case = Case(ShapingOptions(FEED, rates=TEN.rates, age_sample=1, observer=ages))
    case.take(quote(1), quote(2), quote(-3600), event(1))
    assert ages.seen == [1]
    case.take(quote(4))
    case.pass_time(0.1)
    assert ages.seen == [1, 4]
    case.intake.close()


async def test_without_a_sample_none_is_measured() -> None:
    ages = Ages()
    case = Case(ShapingOptions(FEED, observer=ages))
    case.take(*(quote(n) for n in range(1000)))
    assert ages.seen == []


# -- in a hub


@pytest.fixture
async def here(broker: RecordingBroker) -> AsyncIterator[HubHarness]:
    """A hub that throttles, whose timer fires when the test says so."""
    async with running_hub(broker, shaping=ShapingOptions(FEED, rates=PatternValues({"*": 0.1}))) as made:
        made.hub.intake._clock = HandClock()
        yield made


def fire(here: HubHarness) -> None:
    """As if the interval had passed."""
    clock = here.hub.intake._clock
    assert isinstance(clock, HandClock)
    clock.now += 10
    here.hub.intake._on_timer()


async def test_all_members_get_the_newest(here: HubHarness) -> None:
    a, b = await here.connect("x"), await here.connect("x")
    for n in range(5):
        await here.send("x", n, event="latest")
    assert a.got == b.got == [0]
    fire(here)
    assert a.got == b.got == [0, 4]
    assert here.emitted == [("latest", 2), ("latest", 2)]


async def test_one_that_left_meanwhile_does_not_get_it(here: HubHarness) -> None:
    a, b, c = [await here.connect("x") for _ in range(3)]
    await here.send("x", 1, event="latest")
    await here.send("x", 2, event="latest")
    await here.hub.leave(a.sid, "x")
    await here.lose(b)
    fire(here)
    assert (a.got, b.got, c.got) == ([1], [1], [1, 2])


async def test_one_that_joined_meanwhile_does_not_get_what_is_older(here: HubHarness) -> None:
    """It may have had a newer value by then."""
    a = await here.connect("x")
    await here.send("x", 1, event="latest")
    await here.send("x", 2, event="latest")
    late, other = await here.connect("x"), await here.connect("y")
    await here.hub.join(other.sid, "x")
    fire(here)
    assert (a.got, late.got, other.got) == ([1, 2], [], [])
    await here.send("x", 3, event="latest")
    await here.send("x", 4, event="latest")
    fire(here)
    assert a.got[-1:] == late.got[-1:] == other.got[-1:] == [4]


async def test_one_that_is_joining_gets_it_only_if_it_is_newer_than_the_join(
    here: HubHarness, broker: RecordingBroker
) -> None:
    a, b = await here.connect("x"), await here.connect("y")
    await here.send("x", 1, event="latest")
    await here.send("x", 2, event="latest")
    broker.gate("listening")
    joining = asyncio.create_task(here.hub.join(b.sid, "x"))
    await eventually(lambda: broker.gated)
    fire(here)
    broker.gates.pop("listening").set()
    await joining
    await here.send("x", 3, event="latest")
    fire(here)
    assert (a.got, b.got) == ([1, 2, 3], [3])


async def test_members_of_long_ago_are_not_compared(here: HubHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    a = await here.connect("x")
    here.hub.intake._joined.clear()  # as after its time
    monkeypatch.setattr(here.hub, "_is_before_join", None)  # would fail
    await here.connect("y")
    await here.send("x", 1, event="latest")
    await here.send("x", 2, event="latest")
    fire(here)
    assert a.got == [1, 2]


async def test_before_another_history_begins_all_is_sent(here: HubHarness) -> None:
    a = await here.connect("x")
    await here.send("x", 1, event="latest")
    await here.send("x", 2, event="latest")
    here.hub.on_epoch_change(0, 0)
    assert a.got == [1, 2]
    fire(here)
    assert a.got == [1, 2]


async def test_a_hub_that_ends_drops_what_is_buffered(broker: RecordingBroker) -> None:
    async with running_hub(broker, shaping=TEN) as here:
        a = await here.connect("x")
        await here.send("x", 1, event="latest")
        await here.send("x", 2, event="latest")
        timer = here.hub.intake._timer
    assert timer is not None
    assert timer.cancelled()
    assert a.got == [1]


async def test_retained_values_are_not_throttled(here: HubHarness, broker: RecordingBroker) -> None:
    a = await here.connect("x")
    await here.send("x", 1, event="latest")
    await here.send("x", 2, event="latest")
    assert a.got == [1]
    replay = await broker.read({"x": 0})
    assert [envelope.packet for envelope in replay.envelopes] == [b'2["latest",2']
