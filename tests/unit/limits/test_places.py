from __future__ import annotations

import asyncio
from collections.abc import Sequence

from kit.clock import HandClock
from kit.waiting import eventually
from tradecast.limits.places import Places, Probed


class Connections:
    """A user's connections."""

    def __init__(self, *found: Probed) -> None:
        self.found = list(found)
        self.probed = 0
        self.gone: list[str] = []
        self.results: list[str] = []
        self.hold = asyncio.Event()
        self.hold.set()

    async def probe(self, user_id: str, patience: float) -> Sequence[Probed]:
        self.probed += 1
        await self.hold.wait()
        return list(self.found)

    async def replace(self, user_id: str, connection_id: str) -> bool:
        there = [one for one in self.found if one.connection_id == connection_id and one.silent_for < 1_000]
        self.gone += [one.connection_id for one in there]
        self.found = [one for one in self.found if one not in there]
        return bool(there)

    def places(self, most: int, clock: HandClock | None = None) -> Places:
        return Places(self.probe, self.replace, most, self.results.append, clock or HandClock())


async def test_the_silent_one_heard_from_longest_ago_goes() -> None:
    found = Connections(Probed("a", 30, True), Probed("b", 5, False), Probed("c", 20, False), Probed("d", 9, False))
    assert await found.places(4).free("u") == "freed"
    assert found.gone == ["c"]
    assert found.results == ["replaced"]


async def test_one_that_has_gone_meanwhile_is_passed_over() -> None:
    found = Connections(Probed("gone", 2_000, False), Probed("b", 5, False))
    assert await found.places(2).free("u") == "freed"
    assert found.gone == ["b"]


async def test_who_answers_stays() -> None:
    found = Connections(*(Probed(str(number), number, True) for number in range(10)))
    assert await found.places(10).free("u") == "full"
    assert found.gone == []
    assert found.results == ["answered"]


async def test_fewer_than_counted_is_no_proof() -> None:
    """What else counts is held by a server that does not answer, or died."""
    assert await Connections(Probed("a", 1, True)).places(2).free("u") == "unknown"
    assert await Connections().places(2).free("u") == "unknown"


async def test_six_probes_a_minute_and_user() -> None:
    clock = HandClock()
    found = Connections(Probed("a", 1, True))
    places = found.places(1, clock)
    assert [await places.free("u") for _ in range(8)] == ["full"] * 6 + ["unknown"] * 2
    assert await places.free("other") == "full"
    assert found.probed == 7
    clock.now += 62
    assert await places.free("u") == "full"


async def test_one_probe_of_a_user_at_a_time() -> None:
    found = Connections(Probed("a", 1, False), Probed("b", 2, False))
    found.hold.clear()
    places = found.places(2)
    first = asyncio.create_task(places.free("u"))
    await eventually(lambda: found.probed)
    assert await places.free("u") == "unknown"
    found.hold.set()
    assert await first == "freed"
    assert found.gone == ["b"]
    assert await places.free("u") == "freed"
