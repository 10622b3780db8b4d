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


async def test_slow_readers_are_told_once() -> None:
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
