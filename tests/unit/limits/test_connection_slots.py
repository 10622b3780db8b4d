from __future__ import annotations

import asyncio
from collections.abc import Sequence

from kit.clock import HandClock
from kit.waiting import eventually
from tradecast.limits.connection_slots import ConnectionSlots, ProbedConnection


class Connections:
    """A user's connections."""

    def __init__(self, *found: ProbedConnection) -> None:
        self.found = list(found)
        self.probes = 0
        self.gone: list[str] = []
        self.results: list[str] = []
        self.hold = asyncio.Event()
        self.hold.set()

    async def probe_user(self, user_id: str, patience: float) -> Sequence[ProbedConnection]:
        self.probes += 1
        await self.hold.wait()
        return list(self.found)

    async def replace(self, user_id: str, connection_id: str) -> bool:
        there = [one for one in self.found if one.connection_id == connection_id and one.silent_for < 1_000]
        self.gone += [one.connection_id for one in there]
        self.found = [one for one in self.found if one not in there]
        return bool(there)

    def probed(self, result: str) -> None:
        self.results.append(result)

    def slots(self, most: int, clock: HandClock | None = None) -> ConnectionSlots:
        return ConnectionSlots(self, most, self, clock or HandClock())


async def test_the_silent_one_heard_from_longest_ago_goes() -> None:
    probed = [("a", 30, True), ("b", 5, False), ("c", 20, False), ("d", 9, False)]
    found = Connections(*(ProbedConnection(*one) for one in probed))
    assert await found.slots(4).free_slot("u") == "freed"
    assert found.gone == ["c"]
    assert found.results == ["replaced"]


async def test_one_that_has_gone_meanwhile_is_passed_over() -> None:
    found = Connections(ProbedConnection("gone", 2_000, False), ProbedConnection("b", 5, False))
    assert await found.slots(2).free_slot("u") == "freed"
    assert found.gone == ["b"]


async def test_who_answers_stays() -> None:
    found = Connections(*(ProbedConnection(str(number), number, True) for number in range(10)))
    assert await found.slots(10).free_slot("u") == "full"
    assert found.gone == []
    assert found.results == ["answered"]


async def test_fewer_than_counted_is_no_proof() -> None:
    """What else counts is held by a server that does not answer, or died."""
    assert await Connections(ProbedConnection("a", 1, True)).slots(2).free_slot("u") == "unknown"
    assert await Connections().slots(2).free_slot("u") == "unknown"


async def test_six_probes_a_minute_and_user() -> None:
    clock = HandClock()
    found = Connections(ProbedConnection("a", 1, True))
    slots = found.slots(1, clock)
    assert [await slots.free_slot("u") for _ in range(8)] == ["full"] * 6 + ["unknown"] * 2
    assert await slots.free_slot("other") == "full"
    assert found.probes == 7
    clock.now += 62
    assert await slots.free_slot("u") == "full"


async def test_one_probe_of_a_user_at_a_time() -> None:
    found = Connections(ProbedConnection("a", 1, False), ProbedConnection("b", 2, False))
    found.hold.clear()
    slots = found.slots(2)
    first = asyncio.create_task(slots.free_slot("u"))
    await eventually(lambda: found.probes)
    assert await slots.free_slot("u") == "unknown"
    found.hold.set()
    assert await first == "freed"
    assert found.gone == ["b"]
    assert await slots.free_slot("u") == "freed"
