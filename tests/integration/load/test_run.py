"""The load engine against a scripted server: what went wrong must be in the report, and nothing else."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from typing import Any

import pytest

from integration.load.scripted import Peer, Scripted
from kit.waiting import eventually
from tradecast.load.backoff import Backoff
from tradecast.load.client import Credential
from tradecast.load.progress import Progress
from tradecast.load.run import LoadError, LoadOptions, run

USERS = [Credential(f"session-{number}", f"u{number}") for number in range(4)]
QUICK = Backoff(delay=0.01, delay_max=0.05)


@pytest.fixture
async def scripted() -> AsyncIterator[Scripted]:
    server = Scripted()
    await server.start()
    yield server
    await server.stop()


def options(server: Scripted, **changes: Any) -> LoadOptions:
    chosen: dict[str, Any] = {
        "clients": 4,
        "duration": 0.5,
        "rate": 100,
        "symbols": ("AAPL", "IBM"),
        "token": "t",
        "drain": 20,
        "settle": 20,
        **changes,
    }
    return LoadOptions(server.url, USERS, **chosen)


async def test_a_good_server_gets_a_good_report(scripted: Scripted) -> None:
    report = await run(options(scripted))
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
    report = await run(options(scripted, mix={"trade:executed": 1}, drain=1))
    assert (report.losses, report.doubles, report.out_of_order) == (2, 2, 1), report.table()
    assert report.deliveries == report.expected - 2 + 2
    assert not report.ok


async def test_the_last_event_lost_is_a_loss(scripted: Scripted) -> None:
    scripted.deliver = lambda peer, event: [] if event["trade"]["seq"] == 5 else [event]
    report = await run(options(scripted, mix={"trade:executed": 1}, rate=40, drain=1))
    assert report.published == 20
    assert report.losses == 4


async def test_an_event_of_somebody_else_is_an_error(scripted: Scripted) -> None:
    scripted.deliver = lambda peer, event: [event, {**event, "userId": "stranger"}]
    report = await run(options(scripted, mix={"trade:executed": 1}, rate=40))
    assert report.errors == {"not subscribed: trade:executed": 20}
    assert report.doubles == 0


async def test_events_of_another_run_are_passed_over(scripted: Scripted) -> None:
    scripted.deliver = lambda peer, event: [event, {**event, "trade": {**event["trade"], "run": "other"}}]
    report = await run(options(scripted, mix={"trade:executed": 1}))
    assert report.ok, report.table()


async def test_refusals_are_counted_by_code_and_final(scripted: Scripted) -> None:
    scripted.refuse = {"u0": "SESSION_EXPIRED", "u1": "TOO_MANY_CONNECTIONS"}
    report = await run(options(scripted, reconnect=QUICK))
    assert report.refused == {"SESSION_EXPIRED": 1, "TOO_MANY_CONNECTIONS": 1}
    assert (report.connected, report.subscribed) == (2, 2)
    assert scripted.handshakes == 4
    assert report.losses == 0


async def test_a_connection_that_ends_without_an_answer_is_counted(scripted: Scripted) -> None:
    scripted.hang_up = {"u0", "u1"}
    report = await run(options(scripted, rate=0, duration=0))
    assert report.errors == {"connect: closed without an answer": 2}
    assert (report.connected, report.refused) == (2, {})
    assert not report.ok


async def test_busy_server_is_tried_again_only_with_reconnect(scripted: Scripted) -> None:
    scripted.busy = 2
    without = await run(options(scripted, rate=0, duration=0))
    assert (without.refused, without.connected) == ({"HTTP 503": 2}, 2)
    scripted.busy = 2
    report = await run(options(scripted, rate=0, duration=0, reconnect=QUICK))
    assert (report.refused, report.connected, report.subscribed) == ({"HTTP 503": 2}, 4, 4)


async def test_subscriptions_that_fail_are_not_expected(scripted: Scripted) -> None:
    scripted.fail = {"subscribe:trades": "QUOTA_EXCEEDED"}
    scripted.failed_symbols = ["IBM"]
    report = await run(options(scripted, symbols_per_client=2))
    assert report.errors == {"subscribe:trades: QUOTA_EXCEEDED": 4, "subscribe:watchlist: X": 4}
    assert {event.get("symbol") for post in scripted.posts for event in post} == {"AAPL"}
    assert (report.losses, report.deliveries) == (0, report.expected)


async def test_lost_connection_is_told_and_what_it_missed_is_lost(scripted: Scripted) -> None:
    async def cut() -> None:
        scripted.peers[0].socket._req.transport.abort()  # type: ignore[union-attr] # no public way to be rude

    scripted.after_post = lambda number: cut() if number == 1 else None
    report = await run(options(scripted, mix={"trade:executed": 1}, drain=0.2))
    assert sum(report.disconnects.values()) == 1
    assert report.losses > 0
    assert report.reconnects == 0


async def test_reconnecting_client_subscribes_again(scripted: Scripted) -> None:
    async def cut() -> None:
        scripted.joined.clear()
        scripted.peers[0].socket._req.transport.abort()  # type: ignore[union-attr] # no public way to be rude
        await asyncio.wait_for(scripted.joined.wait(), 20)

    scripted.after_post = lambda number: cut() if number == 1 else None
    report = await run(options(scripted, mix={"trade:executed": 1}, reconnect=QUICK, duration=1, drain=0.2))
    assert (report.reconnects, report.connected, sum(report.disconnects.values())) == (1, 4, 1)
    assert scripted.subscribed.count("subscribe:trades") == 5
    assert "pid" not in scripted.connects[-1]


async def test_recovered_client_does_not_subscribe_again(scripted: Scripted) -> None:
    async def cut() -> None:
        peer = scripted.peers[0]
        await peer.send_event({"event": "market:status", "status": "open"}, "offset-9")
        scripted.joined.clear()
        await peer.socket.close()
        await asyncio.wait_for(scripted.joined.wait(), 20)

    scripted.connect_data = lambda peer: {"sid": f"s{peer.number}", "pid": f"p-{peer.user_id}"}
    scripted.after_post = lambda number: cut() if number == 1 else None
    report = await run(options(scripted, mix={"trade:executed": 1}, reconnect=QUICK, drain=0.2))
    assert report.reconnects == 1
    assert scripted.subscribed.count("subscribe:trades") == 4
    back = scripted.connects[-1]
    assert back["pid"] == f"p-{back['userId']}"
    assert back["offset"] == "offset-9"


async def test_silent_server_is_left(scripted: Scripted) -> None:
    scripted.ping_interval_ms, scripted.ping_timeout_ms = 100, 100
    report = await run(options(scripted, clients=1, rate=0, duration=2))
    assert report.errors == {"ping timeout": 1}
    assert sum(report.disconnects.values()) == 1


async def test_pings_are_answered(scripted: Scripted) -> None:
    answered = asyncio.Event()

    async def ping() -> None:
        peer = scripted.peers[0]
        await peer.socket.send_str("2")
        await eventually(lambda: "3" in peer.received)
        answered.set()

    scripted.after_post = lambda number: ping() if number == 0 else None
    report = await run(options(scripted))
    assert report.ok, report.table()
    assert answered.is_set()


async def test_failed_posts_are_uncertain_not_lost(scripted: Scripted) -> None:
    scripted.emit_status = lambda number: 503 if number == 1 else 200
    report = await run(options(scripted))
    assert report.uncertain == len(scripted.posts[1])
    assert report.errors == {"publish: HTTP 503": 1}
    assert report.losses == 0
    assert report.published + report.uncertain == 50


async def test_wrong_token_ends_the_run_with_a_reason(scripted: Scripted) -> None:
    scripted.emit_status = lambda number: 401
    with pytest.raises(LoadError, match="POST /api/emit answered 401"):
        await run(options(scripted))
    assert scripted.peers == []


async def test_nobody_there_is_told(scripted: Scripted) -> None:
    await scripted.stop()
    report = await run(options(scripted))
    assert report.connected == 0
    assert report.errors == {"connect: refused": 4}


async def test_clients_that_wait_to_reconnect_do_not_hold_up_the_end(scripted: Scripted) -> None:
    await scripted.stop()
    never = Backoff(delay=3_600, delay_max=3_600)
    async with asyncio.timeout(20):
        report = await run(options(scripted, settle=0.1, reconnect=never))
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
    report = await run(options(scripted, mix={"trade:executed": 1}))
    assert report.ok, report.table()
    assert report.delivery_ms.p50 is not None
    assert report.delivery_ms.p50 >= 300
    await asyncio.gather(*late)


class Observer:
    """Remembers the progress."""

    def __init__(self) -> None:
        self.seen: list[Progress] = []

    def on_progress(self, progress: Progress) -> None:
        self.seen.append(progress)


async def test_progress_has_the_phases(scripted: Scripted) -> None:
    observer = Observer()
    await run(options(scripted), observer)
    seen = observer.seen
    phases = [phase for phase, _ in itertools.groupby(progress.phase for progress in seen)]
    assert phases == ["connecting", "publishing", "draining", "closing"]
    assert seen[-1].published == 50
    assert seen[-1].started == seen[-1].clients == 4


async def test_cancelled_run_leaves_nothing(scripted: Scripted) -> None:
    before = asyncio.all_tasks()
    task = asyncio.create_task(run(options(scripted, duration=60)))
    await asyncio.wait_for(scripted.joined.wait(), 20)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await eventually(lambda: not scripted.peers and not asyncio.all_tasks() - before)


async def test_rate_is_kept(scripted: Scripted) -> None:
    report = await run(options(scripted, rate=200, duration=1))
    assert report.published == 200
    assert 0.9 < report.publish_seconds < 15
