"""A server that empties itself."""

from __future__ import annotations

import asyncio

import pytest

from kit.lifecycle import ClientsByHand, DrainsByHand
from kit.waiting import eventually
from tradecast.lifecycle.draining import drain
from tradecast.lifecycle.draining.drain import Drain, DrainConflict
from tradecast.lifecycle.draining.paced_disconnect import PacedDisconnect
from tradecast.lifecycle.draining.pacing import Pace


class NoPace:
    """A pace that gives no moments, as where what it asks hangs (`Pace`)."""

    async def reserve(self, count: int, rate: float, need: float = 0) -> list[float]:
        """As of `Pace`."""
        await asyncio.Event().wait()
        return []

    async def reserve_urgent(self, count: int, rate: float, need: float) -> list[float]:
        """As of `Pace`."""
        return await self.reserve(count, rate)


class BrokenPace(NoPace):
    """A pace with a bug (`Pace`)."""

    async def reserve(self, count: int, rate: float, need: float = 0) -> list[float]:
        """As of `Pace`."""
        raise TimeoutError("of somebody else")


class House(ClientsByHand):
    """Clients, a gate, and what happened."""

    def __init__(
        self,
        clients: int = 0,
        *,
        delay: float = 0,
        rate: float = 10_000,
        timeout: float = 60,
        reserve: float = 0,
        notice: float = 0,
        pace: Pace | None = None,
    ) -> None:
        super().__init__(clients)
        self.closed = False
        self.door = asyncio.Event()
        self.drains = DrainsByHand()
        disconnects = PacedDisconnect(self, self, pace=pace)
        self.drain = Drain(
            disconnects,
            self,
            self.drains,
            delay=delay,
            rate=rate,
            timeout=timeout,
            reserve=reserve,
            notice=notice,
        )

    def stop_accepting(self) -> None:
        """As of `Gate`."""
        self.closed = True
        self.door.set()

    def resume_accepting(self) -> None:
        """As of `Gate`."""
        self.closed = False


async def test_empty_server_is_drained_at_once() -> None:
    house = House()
    await asyncio.wait_for(house.drain.finish(), 30)
    assert house.closed
    assert house.drain.active
    assert house.reasons == []


async def test_readiness_goes_first_and_the_door_follows() -> None:
    house = House(3, delay=3600)
    house.drain.start()
    await asyncio.sleep(0)
    assert house.drain.active
    assert not house.closed
    assert len(house.here) == 3
    await house.drain.close()


async def test_everybody_is_disconnected_and_the_rest_at_the_end_of_the_time() -> None:
    house = House(5)
    await house.drain.finish()
    assert house.reasons == ["drain"] * 5
    late = House(50, timeout=0.05, pace=NoPace())
    await late.drain.finish()
    assert late.reasons == ["timeout"] * 50
    assert not late.here


async def test_transports_that_are_relayed_after_the_drain_are_closed_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """A load balancer sends upgrades of other servers' clients for a while yet."""
    monkeypatch.setattr(drain, "LATE_EVERY", 0.01)
    house = House(2)
    house.drain.start()
    await eventually(lambda: house.reasons == ["drain"] * 2)
    for number in range(2):
        house.here[f"late{number}"] = True
        await eventually(lambda: not house.here)
    assert house.reasons == ["drain"] * 4
    assert house.drain.cancel()
    house.here["new"] = True
    await asyncio.sleep(0.1)
    assert list(house.here) == ["new"], "the server takes clients again"
    await house.drain.close()


async def test_transports_that_come_after_a_drain_that_took_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drain, "LATE_EVERY", 0.01)
    house = House(5, timeout=0.05, pace=NoPace())
    house.drain.start(rate=None)
    await eventually(lambda: house.reasons == ["timeout"] * 5)
    house.here["late"] = True
    await asyncio.sleep(0.05)
    await house.drain.close()
    assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("drain")]


async def test_cancelled_drain_leaves_the_others_alone() -> None:
    house = House(20, rate=0.001)
    house.drain.start()
    await asyncio.wait_for(house.door.wait(), 30)
    before = (house.closed, house.drain.active)
    assert house.drain.cancel()
    assert (before, (house.closed, house.drain.active)) == ((True, True), (False, False))
    assert house.drain.seconds == 0
    assert len(house.here) == 20
    assert not house.drain.cancel(), "there is none any more"
    await house.drain.close()


async def test_shutdown_cannot_be_cancelled_and_takes_a_drain_over() -> None:
    house = House(10)
    house.drain.start(rate=5_000)
    finishing = asyncio.ensure_future(house.drain.finish())
    await asyncio.sleep(0)
    with pytest.raises(DrainConflict, match="shutting down"):
        house.drain.cancel()
    await finishing
    assert house.reasons == ["drain"] * 10


async def test_shedding_keeps_the_door_open() -> None:
    house = House(30, rate=0.001)
    assert house.drain.shed(10, rate=10_000) == 10
    with pytest.raises(DrainConflict, match="shedding"):
        house.drain.shed(1)
    await eventually(lambda: not house.drain.stats()["shedding"])
    assert house.reasons == ["shed"] * 10
    assert not house.closed
    assert not house.drain.active
    assert house.drain.shed(1_000, rate=100_000) == 20, "no more than are here"
    house.drain.start()
    with pytest.raises(DrainConflict, match="draining"):
        house.drain.shed(1)
    await house.drain.close()


async def test_a_drain_can_be_given_more_time_until_the_process_ends() -> None:
    house = House(50, rate=1000, timeout=60)
    house.drain.start(rate=0.02, timeout=3600)
    await asyncio.wait_for(house.door.wait(), 30)
    assert house.drain.stats()["endsIn"] > 3500
    await asyncio.wait_for(house.drain.finish(), 30)
    assert not house.here
    assert house.drains.told == [], "the rate of the settings is enough"


@pytest.mark.parametrize("order", ["request, signal", "signal, request"])
async def test_the_shorter_time_and_the_larger_rate_hold_while_endpoints_follow(order: str) -> None:
    """The process is killed by its own settings' time, whatever an operator asked for before."""
    house = House(10, delay=60, rate=70, timeout=80)
    assert house.drain.limit == 140
    finishing: asyncio.Future[None] | None = None
    for step in order.split(", "):
        if step == "request":
            house.drain.start(rate=20, timeout=600)
        else:
            finishing = asyncio.ensure_future(house.drain.finish())
        await asyncio.sleep(0)
    stats = house.drain.stats()
    assert (stats["rate"], stats["final"]) == (70, True)
    assert 130 < stats["endsIn"] <= 140, "the delay, and the time of the settings"
    assert house.drain.limit == pytest.approx(140, abs=10)
    house.drain.start(rate=500, timeout=5)
    assert house.drain.stats()["rate"] == 500
    assert 55 < house.drain.stats()["endsIn"] <= 65
    house.drain.start(rate=1, timeout=3600)
    house.drain.start()
    assert house.drain.stats()["rate"] == 500
    assert house.drain.stats()["endsIn"] <= 65
    assert finishing is not None
    finishing.cancel()
    await house.drain.close()


async def test_a_machine_that_is_killed_soon_gets_what_time_there_is() -> None:
    house = House(20, delay=3600, rate=0.001, timeout=3600, reserve=10)
    finishing = asyncio.ensure_future(house.drain.finish())
    await asyncio.sleep(0)
    house.drain.start(ends_within=100)
    assert 85 < house.drain.stats()["endsIn"] <= 90
    house.drain.start(ends_within=3000)
    assert house.drain.stats()["endsIn"] <= 90, "it is never lengthened"
    house.drain.start(ends_within=0.6)
    await asyncio.wait_for(finishing, 30)
    assert house.closed
    assert "drain" in house.reasons, "one by one; the rest at once where the machine stalls"
    assert house.drains.told == ["hurried"]
    assert house.drain.stats()["urgent"]
    assert house.drain.stats()["endsIn"] is None, "it is over"


async def test_a_platform_that_kills_soon_is_known_from_the_settings() -> None:
    house = House(20, delay=3600, rate=0.001, timeout=3600, notice=0.6)
    house.drain.start()
    assert house.drain.stats()["endsIn"] > 7000, "only a process that ends is killed"
    assert house.drain.limit > 7000
    await asyncio.wait_for(house.drain.finish(), 30)
    assert house.drains.told == ["hurried"]
    assert house.drain.limit < 30


async def test_who_asks_knows_at_once_that_a_drain_will_be_urgent() -> None:
    house = House(100, delay=60, rate=1, timeout=50)
    house.drain.start()
    stats = house.drain.stats()
    assert (stats["rate"], stats["urgent"]) == (2.5, True)
    assert house.drain.rate == 2.5
    assert house.drains.told == [], "it is not yet"
    house.drain.start(rate=10)
    assert (house.drain.stats()["rate"], house.drain.stats()["urgent"]) == (10, False)
    await house.drain.close()


async def test_a_drain_under_way_is_faster_from_the_moment_at_which_its_end_comes_nearer() -> None:
    house = House(30, rate=0.01, timeout=10_000)
    house.drain.start()
    await asyncio.wait_for(house.door.wait(), 30)
    await asyncio.sleep(0.01)
    assert house.drains.told == []
    house.drain.start(ends_within=1)
    await eventually(lambda: house.drains.told == ["hurried"])
    await eventually(lambda: not house.here)
    assert house.drain.seconds < 60
    await house.drain.close()


async def test_a_drain_that_nobody_renews_ends() -> None:
    house = House(20, rate=0.001, timeout=80_000)
    house.drain.start(renew_within=0.05)
    house.drain.start(renew_within=3600)
    assert house.drain.stats()["renewWithin"] == 3600
    await asyncio.wait_for(house.door.wait(), 30)
    await asyncio.sleep(0.1)
    assert house.drain.active, "it was renewed"
    house.drain.start(renew_within=0.05)
    await eventually(lambda: not house.drain.active)
    assert not house.closed, "it takes clients again"
    assert len(house.here) == 20
    assert house.drains.told == ["expired"]
    await eventually(lambda: not [task for task in asyncio.all_tasks() if task.get_name().startswith("drain")])


async def test_a_drain_that_somebody_wants_to_last_lasts() -> None:
    """As an operator of the previous version asks, and a person."""
    house = House(20, rate=0.001)
    house.drain.start(renew_within=0.05)
    house.drain.start()
    house.drain.start(renew_within=0.05)
    assert house.drain.stats()["renewWithin"] is None
    await asyncio.sleep(0.15)
    assert house.drain.active
    assert house.drain.cancel()
    house.drain.start(renew_within=0.05)
    await eventually(lambda: not house.drain.active)


async def test_a_process_that_ends_needs_no_renewal() -> None:
    house = House(2, delay=0.3, rate=100)
    house.drain.start(renew_within=0.05)
    finishing = asyncio.ensure_future(house.drain.finish())
    await asyncio.sleep(0)
    house.drain.start(renew_within=0.05)
    await finishing
    assert house.drain.active
    assert house.reasons == ["drain"] * 2


async def test_an_error_of_the_pace_is_no_end_of_the_time() -> None:
    house = House(2, pace=BrokenPace())
    with pytest.raises(TimeoutError, match="somebody"):
        await house.drain.finish()
