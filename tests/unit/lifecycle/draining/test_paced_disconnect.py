"""Clients that are disconnected one by one."""

from __future__ import annotations

import random

import pytest

from kit.lifecycle import ClientsByHand
from tradecast.lifecycle.draining.paced_disconnect import PacedDisconnect


class House(ClientsByHand):
    """Clients, and a clock that advances only while somebody sleeps."""

    def __init__(self, clients: int) -> None:
        super().__init__(clients)
        self.now = 0.0
        self.left: list[tuple[float, str]] = []
        self.lingering = False
        self.clients = PacedDisconnect(self, self, clock=lambda: self.now, sleep=self._sleep)

    def close_transport(self, connection: str) -> None:
        """As of `OpenTransports`."""
        self.left.append((self.now, connection))
        if not self.lingering:
            super().close_transport(connection)

    async def _sleep(self, seconds: float) -> None:
        self.now += seconds


async def test_everybody_leaves_once_in_no_particular_order() -> None:
    random.seed(3)
    house = House(200)
    everybody = list(house.here)
    await house.clients.disconnect("drain", rate=50)
    left = [client for _, client in house.left]
    assert sorted(left) == sorted(everybody)
    assert left != everybody
    assert house.reasons == ["drain"] * 200
    assert house.now == pytest.approx(4, abs=0.1)


async def test_only_as_many_as_asked_for() -> None:
    house = House(30)
    await house.clients.disconnect("shed", rate=1_000, count=12)
    assert len(house.left) == 12
    assert len(house.here) == 18
    await house.clients.disconnect("shed", rate=1_000, count=100)
    assert not house.here


async def test_slow_readers_are_reported_once() -> None:
    house = House(10)
    house.lingering = True
    await house.clients.disconnect("shed", rate=1_000, count=4)
    assert house.clients.disconnect_all("timeout") == 6
    assert len({client for _, client in house.left}) == len(house.left) == 10


async def test_who_has_left_alone_takes_no_slot() -> None:
    house = House(100)

    async def some_leave(seconds: float) -> None:
        house.now += seconds
        if len(house.left) == 10:
            for client in list(house.here)[:80]:
                del house.here[client]

    house.clients._sleep = some_leave
    await house.clients.disconnect("drain", rate=10)
    assert not house.here
    assert len(house.left) == len(house.reasons) == 20
    assert house.now <= 2.1


async def test_a_process_that_was_held_up_does_not_catch_up() -> None:
    house = House(200)

    async def stall(seconds: float) -> None:
        house.now += seconds + (0.2 if len(house.left) in (10, 60, 63) else 0)

    house.clients._sleep = stall
    await house.clients.disconnect("drain", rate=100)
    assert len(house.left) == 200
    assert house.now == pytest.approx(2.6, abs=0.1)
    times = [when for when, _ in house.left]
    for begun in times:
        assert sum(begun <= when < begun + 0.1 for when in times) <= 0.1 * 100 + 2


class Turns:
    """A pace of which a test says whether this server's turn comes in time (`Pace`)."""

    def __init__(self) -> None:
        self.in_time = True
        self.asked: list[str] = []

    async def reserve(self, count: int, rate: float, need: float = 0) -> list[float]:
        """As of `Pace`."""
        self.asked.append(f"{count} at {rate:g}, need {need:g}")
        return [0.0] if self.in_time else []

    async def reserve_urgent(self, count: int, rate: float, need: float) -> list[float]:
        """As of `Pace`."""
        self.asked.append(f"{count} at {need:g} of its own")
        return [0.0]


class NeedByHand:
    """As of `Haste`."""

    def __init__(self, need: float) -> None:
        self.need = need
        self.hurried: list[float] = []

    @property
    def urgent(self) -> bool:
        """As of `Haste`."""
        return bool(self.hurried)

    def compute_need(self, remaining: int) -> float:
        """As of `Haste`."""
        return self.need

    def hurry(self, need: float) -> None:
        """As of `Haste`."""
        self.hurried.append(need)


@pytest.mark.parametrize(
    ("need", "in_time", "asked", "hurried"),
    [
        (3, True, ["2 at 10, need 3", "1 at 10, need 3"], []),
        (3, False, ["2 at 10, need 3", "2 at 3 of its own", "1 at 3 of its own"], [3, 3]),
        (30, True, ["2 at 30 of its own", "1 at 30 of its own"], [30, 30]),
    ],
)
async def test_who_has_no_time_waits_for_no_turn(
    need: float, in_time: bool, asked: list[str], hurried: list[float]
) -> None:
    clients, turns, haste = ClientsByHand(2), Turns(), NeedByHand(need)
    turns.in_time = in_time
    await PacedDisconnect(clients, clients, pace=turns).disconnect("drain", 10, haste=haste)
    assert (turns.asked, haste.hurried) == (asked, hurried)
    assert not clients.here


async def test_shedding_is_never_urgent() -> None:
    clients, turns = ClientsByHand(2), Turns()
    await PacedDisconnect(clients, clients, pace=turns).disconnect("shed", 10, 1)
    assert turns.asked == ["1 at 10, need 0"]
