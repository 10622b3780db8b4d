"""A client of a load run: what it does when it is refused, and when its connection ends."""

from __future__ import annotations

import asyncio

from integration.load.scripted import Scripted, options
from kit.waiting import eventually
from tradecast.load.backoff import Backoff
from tradecast.load.run import run_load

QUICK = Backoff(delay=0.01, delay_max=0.05)


async def test_refusals_are_counted_by_code_and_final(scripted: Scripted) -> None:
    scripted.refuse = {"u0": "SESSION_EXPIRED", "u1": "TOO_MANY_CONNECTIONS"}
    report = await run_load(options(scripted, reconnect=QUICK))
    assert report.refused == {"SESSION_EXPIRED": 1, "TOO_MANY_CONNECTIONS": 1}
    assert (report.connected, report.subscribed) == (2, 2)
    assert scripted.handshakes == 4
    assert report.losses == 0


async def test_a_connection_that_ends_without_an_answer_is_counted(scripted: Scripted) -> None:
    scripted.hang_up = {"u0", "u1"}
    report = await run_load(options(scripted, rate=0, duration=0))
    assert report.errors == {"connect: closed without an answer": 2}
    assert (report.connected, report.refused) == (2, {})
    assert not report.ok


async def test_busy_server_is_tried_again_only_with_reconnect(scripted: Scripted) -> None:
    scripted.busy = 2
    without = await run_load(options(scripted, rate=0, duration=0))
    assert (without.refused, without.connected) == ({"HTTP 503": 2}, 2)
    scripted.busy = 2
    report = await run_load(options(scripted, rate=0, duration=0, reconnect=QUICK))
    assert (report.refused, report.connected, report.subscribed) == ({"HTTP 503": 2}, 4, 4)


async def test_subscriptions_that_fail_are_not_expected(scripted: Scripted) -> None:
    scripted.fail = {"subscribe:trades": "QUOTA_EXCEEDED"}
    scripted.failed_symbols = ["IBM"]
    report = await run_load(options(scripted, symbols_per_client=2))
    assert report.errors == {"subscribe:trades: QUOTA_EXCEEDED": 4, "subscribe:watchlist: X": 4}
    assert {event.get("symbol") for post in scripted.posts for event in post} == {"AAPL"}
    assert (report.losses, report.deliveries) == (0, report.expected)


async def test_reconnecting_client_subscribes_again(scripted: Scripted) -> None:
    async def cut() -> None:
        scripted.joined.clear()
        scripted.peers[0].socket._req.transport.abort()  # type: ignore[union-attr] # no public way to be rude
        await asyncio.wait_for(scripted.joined.wait(), 20)

    scripted.after_post = lambda number: cut() if number == 1 else None
    report = await run_load(options(scripted, mix={"trade:executed": 1}, reconnect=QUICK, duration=1, drain=0.2))
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
    report = await run_load(options(scripted, mix={"trade:executed": 1}, reconnect=QUICK, drain=0.2))
    assert report.reconnects == 1
    assert scripted.subscribed.count("subscribe:trades") == 4
    back = scripted.connects[-1]
    assert back["pid"] == f"p-{back['userId']}"
    assert back["offset"] == "offset-9"


async def test_silent_server_is_left(scripted: Scripted) -> None:
    scripted.ping_interval_ms, scripted.ping_timeout_ms = 100, 100
    report = await run_load(options(scripted, clients=1, rate=0, duration=2))
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
    report = await run_load(options(scripted))
    assert report.ok, report.table()
    assert answered.is_set()
