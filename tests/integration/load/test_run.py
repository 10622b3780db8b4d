"""The load engine against a scripted server: what went wrong must be in the report, and nothing else."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from integration.load.scripted import Peer, Scripted, options
from kit.waiting import eventually
from tradecast.load.backoff import Backoff
from tradecast.load.run import run_load


async def test_a_good_server_gets_a_good_report(scripted: Scripted) -> None:
    report = await run_load(options(scripted))
    assert report.ok, report.table()
    assert (report.connected, report.subscribed) == (4, 4)
    sent = [event for post in scripted.posts for event in post]
    assert report.published == len(sent) == 50
    quotes = sum(event["event"] == "watchlist:quote" for event in sent)
    # each symbol is watched by two clients, each user's trades by one
    assert report.expected == report.deliveries == 2 * quotes + (50 - quotes)
    assert report.delivery_ms.p50 is not None
    assert report.connect_ms.p99 is not None
    assert scripted.tokens == {"Bearer t"}
    assert sorted(auth["userId"] for auth in scripted.connects) == ["u0", "u1", "u2", "u3"]


async def test_losses_doubles_and_disorder_are_counted(scripted: Scripted) -> None:
    def deliver(peer: Peer, event: dict[str, Any]) -> list[dict[str, Any]]:
        seq = event["trade"]["seq"]
        if peer.user_id == "u0" and seq in (2, 5):
            return []
        if peer.user_id == "u1" and seq == 3:
            return [event, event, event]
        if peer.user_id == "u2" and seq == 2:
            peer.held.append(event)
            return []
        if peer.user_id == "u2" and seq == 3:
            return [event, peer.held.pop()]
        return [event]

    scripted.deliver = deliver
    report = await run_load(options(scripted, mix={"trade:executed": 1}, drain=1))
    assert (report.losses, report.doubles, report.out_of_order) == (2, 2, 1), report.table()
    assert report.deliveries == report.expected - 2 + 2
    assert not report.ok


async def test_the_last_event_lost_is_a_loss(scripted: Scripted) -> None:
    scripted.deliver = lambda peer, event: [] if event["trade"]["seq"] == 5 else [event]
    report = await run_load(options(scripted, mix={"trade:executed": 1}, rate=40, drain=1))
    assert report.published == 20
    assert report.losses == 4


async def test_an_event_of_somebody_else_is_an_error(scripted: Scripted) -> None:
    scripted.deliver = lambda peer, event: [event, {**event, "userId": "stranger"}]
    report = await run_load(options(scripted, mix={"trade:executed": 1}, rate=40))
    assert report.errors == {"not subscribed: trade:executed": 20}
    assert report.doubles == 0


async def test_events_of_another_run_are_passed_over(scripted: Scripted) -> None:
    scripted.deliver = lambda peer, event: [event, {**event, "trade": {**event["trade"], "run": "other"}}]
    report = await run_load(options(scripted, mix={"trade:executed": 1}))
    assert report.ok, report.table()


async def test_lost_connection_is_reported_and_what_it_missed_is_lost(scripted: Scripted) -> None:
    async def cut() -> None:
        scripted.peers[0].socket._req.transport.abort()  # type: ignore[union-attr] # no public way to be rude

    scripted.after_post = lambda number: cut() if number == 1 else None
    report = await run_load(options(scripted, mix={"trade:executed": 1}, drain=0.2))
    assert sum(report.disconnects.values()) == 1
    assert report.losses > 0
    assert report.reconnects == 0


async def test_nobody_there_is_reported(scripted: Scripted) -> None:
    await scripted.stop()
    report = await run_load(options(scripted))
    assert report.connected == 0
    assert report.errors == {"connect: refused": 4}


async def test_clients_that_wait_to_reconnect_do_not_hold_up_the_end(scripted: Scripted) -> None:
    await scripted.stop()
    never = Backoff(delay=3_600, delay_max=3_600)
    async with asyncio.timeout(20):
        report = await run_load(options(scripted, settle=0.1, reconnect=never))
    assert report.connected == 0


async def test_late_deliveries_are_waited_for(scripted: Scripted) -> None:
    late: list[asyncio.Task[None]] = []

    async def send_later(peer: Peer, event: dict[str, Any]) -> None:
        await asyncio.sleep(0.3)
        await peer.send_event(event)

    def deliver(peer: Peer, event: dict[str, Any]) -> list[dict[str, Any]]:
        late.append(asyncio.create_task(send_later(peer, event)))
        return []

    scripted.deliver = deliver
    report = await run_load(options(scripted, mix={"trade:executed": 1}))
    assert report.ok, report.table()
    assert report.delivery_ms.p50 is not None
    assert report.delivery_ms.p50 >= 300
    await asyncio.gather(*late)


async def test_cancelled_run_leaves_nothing(scripted: Scripted) -> None:
    before = asyncio.all_tasks()
    task = asyncio.create_task(run_load(options(scripted, duration=60)))
    await asyncio.wait_for(scripted.joined.wait(), 20)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await eventually(lambda: not scripted.peers and not asyncio.all_tasks() - before)
