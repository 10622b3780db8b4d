"""Servers that drain at the same time and share a rate, in simulated time."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections import Counter

import pytest

from kit.lifecycle import DrainedClients
from tradecast.lifecycle.draining.pacing import ENOUGH, LocalPace, compute_batch_size, schedule_moments
from tradecast.lifecycle.draining.terms import DrainTerms


class Time:
    """A clock that jumps to the next moment for which somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._number = itertools.count()

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        woken = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self.now + seconds, next(self._number), woken))
        await woken

    async def run(self, *tasks: asyncio.Task[None]) -> None:
        while not all(task.done() for task in tasks):
            for _ in range(5):  # whatever can go on does
                await asyncio.sleep(0)
            if self._sleepers:
                moment, _, woken = heapq.heappop(self._sleepers)
                self.now = max(self.now, moment)
                woken.set_result(None)
        for task in tasks:
            task.result()


class Row:
    """The slots that all servers share."""

    free = 0.0


class SharedPace:
    """`FleetPace`, with a row in memory, and receivers that take any number."""

    def __init__(self, row: Row, time: Time) -> None:
        self._row = row
        self._time = time
        self._local = LocalPace(time)

    async def reserve(self, count: int, rate: float, need: float = 0) -> list[float]:
        """As of `Pace`."""
        size = compute_batch_size(count, rate)
        free = max(self._row.free, self._time.now)
        enough = need if size == count else ENOUGH * need
        if enough and free - self._time.now > size / enough - size / rate:
            return []
        self._row.free = free + size / rate
        return schedule_moments(free, size, rate)

    async def reserve_urgent(self, count: int, rate: float, need: float) -> list[float]:
        """As of `Pace`."""
        return await self._local.reserve_urgent(count, rate, need)


class Server(DrainedClients):
    """A server that drains."""

    def __init__(self, clients: int, time: Time, row: Row, rate: float, longest: float, left: list[float]) -> None:
        terms = DrainTerms(rate=rate, delay=0, timeout=longest, clock=time)
        super().__init__(clients, terms, clock=time, sleep=time.sleep, pace=SharedPace(row, time), left=left)


async def drain(servers: int, clients: int, *, rate: float, longest: float) -> tuple[list[float], list[Server]]:
    """When clients left, of so many servers with so many clients each that drain together."""
    time, row = Time(), Row()
    left: list[float] = []
    made = [Server(clients, time, row, rate, longest, left) for _ in range(servers)]
    await time.run(*(asyncio.ensure_future(server.drain()) for server in made))
    assert len(left) == servers * clients
    return left, made


def busiest(left: list[float]) -> int:
    """The most clients that left within a second."""
    return max(max(Counter(int(moment + offset) for moment in left).values()) for offset in (0, 0.5))


@pytest.mark.parametrize(
    ("servers", "clients", "longest"),
    [
        (2, 1_000, 60),  # enough time
        (2, 6_000, 30),  # each alone needs more than the rate
        (8, 500, 20),  # none alone does, all together do: nobody waits until only a storm is left
        (20, 100, 10),
    ],
)
async def test_servers_that_drain_together_are_ready_in_time_without_a_storm(
    servers: int, clients: int, longest: float
) -> None:
    left, _ = await drain(servers, clients, rate=100, longest=longest)
    assert left[-1] <= longest
    needed = servers * clients / (0.8 * longest)
    assert busiest(left) <= max(100, needed) * 1.1 + 100 * 1.3, "what they need, and what goes by the shared row"


async def test_a_fleet_whose_time_just_suffices_keeps_its_rate() -> None:
    """As after a rollout with the chart's default, which follows from the fleet's size."""
    left, servers = await drain(10, 500, rate=100, longest=52)
    assert left[-1] <= 52
    assert busiest(left[: len(left) * 9 // 10]) <= 101
    assert busiest(left) <= 130
    early = [server for server in servers if server.terms.urgent]
    assert all(server.terms.raised <= 15 for server in early), "some do not wait for their last turn"
