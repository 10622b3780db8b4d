"""Clients that are sent away one by one."""

from __future__ import annotations

import random

import pytest

from tradecast.lifecycle.paced_disconnect import PacedDisconnect


class House:
    """Clients, and a clock that goes on only while somebody sleeps."""

    def __init__(self, clients: int) -> None:
        self.here = {f"client-{number}": True for number in range(clients)}
        self.now = 0.0
        self.left: list[tuple[float, str]] = []
        self.reasons: list[str] = []
        self.lingering = False
        self.departures = PacedDisconnect(
            lambda: self.here, self._hang_up, self.reasons.append, clock=lambda: self.now, sleep=self._sleep
        )

    def _hang_up(self, client: str) -> None:
        self.left.append((self.now, client))
        if not self.lingering:
            self.here.pop(client, None)

    async def _sleep(self, seconds: float) -> None:
        self.now += seconds


async def test_everybody_leaves_once_in_no_particular_order() -> None:
    random.seed(3)
    house = House(200)
    everybody = list(house.here)
    await house.departures.send_away("drain", rate=50)
    left = [client for _, client in house.left]
    assert sorted(left) == sorted(everybody)
    assert left != everybody
    assert house.reasons == ["drain"] * 200
    assert house.now == pytest.approx(4, abs=0.1)


async def test_only_as_many_as_asked_for() -> None:
    house = House(30)
    await house.departures.send_away("shed", rate=1_000, count=12)
    assert len(house.left) == 12
    assert len(house.here) == 18
    await house.departures.send_away("shed", rate=1_000, count=100)
    assert not house.here


async def test_slow_readers_are_told_once() -> None:
    house = House(10)
    house.lingering = True
    await house.departures.send_away("shed", rate=1_000, count=4)
    assert house.departures.send_all("timeout") == 6
    assert len({client for _, client in house.left}) == len(house.left) == 10


async def test_who_has_left_alone_takes_no_slot() -> None:
    house = House(100)

    async def some_leave(seconds: float) -> None:
        house.now += seconds
        if len(house.left) == 10:
            for client in list(house.here)[:80]:
                del house.here[client]

    house.departures._sleep = some_leave
    await house.departures.send_away("drain", rate=10)
    assert not house.here
    assert len(house.left) == len(house.reasons) == 20
    assert house.now <= 2.1
