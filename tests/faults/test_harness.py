"""That the proof proves something: it finds nothing where nothing happens, and finds what is there to be found."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path

import pytest

from faults.backing import Backing, OneRedis
from faults.crowd import ROOMS, CrowdClient
from faults.faults import FaultRun
from faults.proof import Entry, Interval
from faults.publisher import HttpOutlet
from faults.quotes import QuotePublisher
from faults.stage import judge, perform, staged
from kit.network.balancer import Damage
from kit.waiting import eventually

pytestmark = [pytest.mark.faults, pytest.mark.node, pytest.mark.timeout(300)]
SECONDS = 5.0


async def publish_some(stage: FaultRun, count: int = 5) -> None:
    """Events to the first client, each delivered (or damaged on the way) before the next is published."""
    client = stage.crowd.clients["c0"]
    for number in range(count):
        damaged = len(stage.balancer.damaged)
        event = await stage.publisher.publish(client.diary.user, ROOMS[number % len(ROOMS)])
        assert event.outcome == "accepted"
        await eventually(partial(_through, stage, client, event.id, damaged))


def _through(stage: FaultRun, client: CrowdClient, event: str, damaged: int) -> bool:
    return event in client.got or len(stage.balancer.damaged) > damaged


@pytest.mark.redis
async def test_nothing_is_found_where_nothing_happens(tmp_path: Path) -> None:
    backing = OneRedis()
    try:
        await backing.start()
        async with staged(backing, 2, tmp_path, seconds=SECONDS) as stage:
            result = await perform(stage, [], 1)
    finally:
        await asyncio.to_thread(backing.close)
    assert result.wrong == []
    assert result.not_recovered == result.gaps == 0
    assert all(verdict.received for verdict in result.verdicts)
    assert {event.outcome for event in stage.publisher.published} == {"accepted"}


@pytest.mark.parametrize(("damage", "found"), [("lose", "1 missing"), ("double", "1 doubled")])
async def test_a_single_event_that_is_lost_or_doubled_on_the_way_is_found(
    tmp_path: Path, damage: Damage, found: str
) -> None:
    async with staged(Backing(), 1, tmp_path, seconds=SECONDS, clients=3) as stage:
        await publish_some(stage)
        stage.balancer.damage(damage)
        await publish_some(stage)
        assert len(stage.balancer.damaged) == 1
        result = await judge(stage)
    assert [line.partition(":")[2].partition(":")[0].strip() for line in result.wrong] == [found]
    assert result.wrong[0].startswith(stage.balancer.damaged[0])


async def test_clients_that_get_no_pid_have_gaps_and_that_is_found(tmp_path: Path) -> None:
    async with staged(Backing(), 1, tmp_path, seconds=SECONDS, auth={"recovery": False}) as stage:
        result = await perform(stage, ["cut_clients"], 1)
    assert result.not_recovered > 0
    assert result.gaps > 0
    assert len(result.wrong) == len(stage.crowd.clients)
    assert all("without a pid although nothing was wrong with Redis" in line for line in result.wrong)


async def test_an_older_quote_is_found_unless_a_failover_may_have_lost_the_newer_one() -> None:
    quotes = QuotePublisher(HttpOutlet(list, "no server"))
    quotes.accepted["S1"] = 4
    quotes.times = {("S1", number): (10.0 * number, 10.0 * number + 0.1) for number in range(1, 5)}
    client = CrowdClient("c0", "u0")
    client.symbols = ["S1"]
    for at, number in ((10.2, 1), (20.2, 2), (21.0, 1), (40.2, 4)):
        client.take(Entry(at, "quote", "S1", number))
    assert quotes.problems([client]) == ["c0: 1 quotes older than before: S1 1 after 2 (at 21.000)"]
    assert quotes.problems([client], [Interval(20.05, 22.0, "failover")]) == []
    assert quotes.problems([client], [Interval(15.0, 22.0, "failover")], before=6.5), "not yet begun"
    assert quotes.problems([client], [Interval(20.5, 22.0, "2 was published before")])
    assert quotes.problems([client], [Interval(30.0, 45.0, "later")])
