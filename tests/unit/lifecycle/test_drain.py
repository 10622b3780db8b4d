"""A server that empties itself."""

from __future__ import annotations

import asyncio

import pytest

from kit.lifecycle import ClientsByHand
from kit.waiting import eventually
from tradecast.lifecycle import drain
from tradecast.lifecycle.drain import Drain, DrainConflict
from tradecast.lifecycle.paced_disconnect import PacedDisconnect


class House(ClientsByHand):
    """Clients, a gate, and what happened."""

    def __init__(self, clients: int = 0, *, delay: float = 0, rate: float = 10_000, timeout: float = 60) -> None:
        super().__init__(clients)
        self.closed = False
        self.door = asyncio.Event()
        self.drain = Drain(PacedDisconnect(self, self), self, delay=delay, rate=rate, timeout=timeout)

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


async def test_everybody_is_sent_away_and_the_rest_at_the_end_of_the_time() -> None:
    house = House(5)
    await house.drain.finish()
    assert house.reasons == ["drain"] * 5
    late = House(50, rate=0.001, timeout=0.05)
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
    house = House(5, rate=0.001, timeout=0.05)
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
    house = House(50, rate=0.001, timeout=0.05)
    house.drain.start(timeout=3600)
    await eventually(lambda: house.closed)
    await asyncio.wait_for(house.drain.finish(), 30)
    assert house.reasons == ["timeout"] * 50
