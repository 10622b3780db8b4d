"""WebSockets that are relayed to the owner of their connection."""

from __future__ import annotations

import asyncio
import json
import socket
from functools import partial

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus

from integration.polling_relay.relayed import through
from kit.servers.fleet import (
    BOTH,
    UNKNOWN_SESSION,
    FakeOwner,
    Poller,
    forwarded,
    make_fleet,
    metric,
)
from kit.servers.in_process import MakeServer, RunningServer
from kit.servers.redis_server import RedisServer
from kit.waiting import eventually
from tradecast.background.tasks import cancel_and_wait
from tradecast.engine.uvicorn.protocol import HttpProtocol
from tradecast.polling_relay.owner import websockets as websockets_module

pytestmark = pytest.mark.redis


@pytest.mark.parametrize(
    ("answer", "status", "code", "result"),
    [
        (b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", 403, "REFUSED", "answered"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 502, "REFUSED", "answered"),
        (b"HTTP/1.1 403 F\r\nX-Tradecast-Refused: signature\r\n\r\n", 502, "OWNER_REFUSED", "refused"),
        (b"", 502, "OWNER_UNREACHABLE", "unreachable"),
        (b"junk\r\n\r\n", 502, "OWNER_UNREACHABLE", "unreachable"),
        (b"HTTP/1.1 101 S\r\nX: " + b"x" * 100_000, 502, "OWNER_UNREACHABLE", "unreachable"),
        (None, 504, "OWNER_TIMEOUT", "timeout"),
    ],
)
async def test_an_owner_that_does_not_upgrade(
    owner: FakeOwner,
    edge: RunningServer,
    monkeypatch: pytest.MonkeyPatch,
    answer: bytes | None,
    status: int,
    code: str,
    result: str,
) -> None:
    owner.answer, owner.closes = answer, answer is not None
    if answer is None:
        monkeypatch.setattr(websockets_module, "HANDSHAKE_WITHIN", 0.3)
    with pytest.raises(InvalidStatus) as refused:
        await connect(edge.url.replace("http", "ws") + owner.path("websocket"), proxy=None)
    response = refused.value.response
    assert (response.status_code, json.loads(response.body or b"{}").get("code")) == (status, code)
    await asyncio.wait_for(owner.dropped.wait(), 30)
    assert forwarded(edge, "websocket") == {result: 1}
    assert len(owner.requests) == 1
    assert metric(edge, "relayed_websockets") == 0


async def test_an_address_that_somebody_else_has_by_now_upgrades_nobody(owner: FakeOwner, edge: RunningServer) -> None:
    owner.answer = b"HTTP/1.1 410 Gone\r\nX-Tradecast-Refused: boot\r\nContent-Length: 0\r\n\r\n"
    with pytest.raises(InvalidStatus) as refused:
        await connect(edge.url.replace("http", "ws") + owner.path("websocket"), proxy=None)
    response = refused.value.response
    assert (response.status_code, json.loads(response.body or b"")) == UNKNOWN_SESSION
    assert forwarded(edge, "websocket") == {"unknown": 1}


async def test_frames_pass_as_they_are_and_the_owner_checks_them(
    make_server: MakeServer, redis_server: RedisServer
) -> None:
    owner, edge = await make_fleet(make_server, redis_server, 2, auth_required=False)
    async with Poller(owner) as client:
        await client.join(edge)
        socket_ = await through(owner, edge, client, max_size=None)
        await (await socket_.ping())
        await socket_.send('420["echo",1]')
        await socket_.send(["420", '["echo",', "2]"])  # in several frames
        assert [await socket_.recv() for _ in range(2)] == ["430[1]", "430[2]"]
        await socket_.send("4" + "x" * 1_000_000)
        await asyncio.wait_for(socket_.wait_closed(), 30)
        await eventually(lambda: owner.app.get_total_connection_count() == 0)
        await eventually(lambda: metric(edge, "relayed_websockets") == 0)


async def test_slow_client_of_a_relay_gets_the_newest_state_too(
    make_server: MakeServer, redis_server: RedisServer
) -> None:
    """The owner notices it, since little is kept on the way."""
    owner, edge = await make_fleet(make_server, redis_server, 2, auth_required=False)
    async with Poller(owner) as client:
        raw = socket.socket()
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.connect(("127.0.0.1", int(edge.url.rpartition(":")[2])))
        await client.join(owner)
        slow = await through(owner, edge, client, sock=raw, max_queue=1)
        slow.transport.pause_reading()
        sent = 0
        while metric(owner, "conflated_messages_total") < 10:
            sent += 1
            assert sent < 260, "too much is kept on the way"
            await owner.app.emit_to_room("market:status", "market:status", {"n": sent, "filler": "x" * 300})
            await asyncio.sleep(0.001)
        slow.transport.resume_reading()
        while f'"n":{sent},' not in str(await asyncio.wait_for(slow.recv(), 30)):
            pass
        await slow.close()


async def test_one_who_does_not_read_is_cut_off_by_the_owner_and_costs_the_edge_little(
    make_server: MakeServer, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tradecast.bootstrap.relay.POLL_MARGIN", 0)
    settings = {"auth_required": False, "send_buffer_limit": 2_000_000, "ping_interval": 5, "ping_timeout": 5}
    owner, edge = await make_fleet(make_server, redis_server, 2, **settings)
    async with Poller(owner) as slow, Poller(owner) as quick:
        raw = socket.socket()
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.connect(("127.0.0.1", int(edge.url.rpartition(":")[2])))
        await slow.join(owner)
        stuck = await through(owner, edge, slow, sock=raw, max_queue=1)
        stuck.transport.pause_reading()
        await quick.join(owner)
        reader = await through(owner, edge, quick, max_size=None)
        (relay, _) = edge.app.components.relay.forwarder.relays._relays.values()  # type: ignore[union-attr]
        events: list[str] = []
        reading = asyncio.create_task(read_on(reader, events))

        def has_read(count: int) -> bool:
            return len(events) >= count

        most = 0
        for n in range(400):
            await owner.app.emit_to_room("market:status", "e", {"n": n, "filler": "x" * 50_000})
            most = max(most, relay._client.get_write_buffer_size())
            await eventually(partial(has_read, n - 10))  # the other one reads as they come
        assert most < 100_000, "what waits, waits at the owner"
        await eventually(lambda: metric(owner, "slow_clients_total", reason="queue_full") == 1)
        await eventually(lambda: metric(edge, "relayed_websockets") == 1)
        await eventually(lambda: len(events) == 400)
        assert owner.app.get_total_connection_count() == 1
        await cancel_and_wait(reading)
        await reader.close()
        stuck.transport.abort()
        await stuck.wait_closed()


async def read_on(client: ClientConnection, events: list[str]) -> None:
    """Note events and answer heartbeats, until cancelled."""
    while True:
        got = str(await client.recv())
        if got.startswith("42"):
            events.append(got)
        elif got == "2":
            await client.send("3")


async def test_uvicorn_s_shutdown_writes_nothing_between_frames(
    make_server: MakeServer, redis_server: RedisServer
) -> None:
    owner, edge = await make_fleet(make_server, redis_server, 2, auth_required=False)
    async with Poller(owner) as client:
        await client.join(edge)
        socket_ = await through(owner, edge, client)
        (relay,) = edge.app.components.relay.forwarder.relays._relays.values()  # type: ignore[union-attr]
        assert isinstance(relay._protocol, HttpProtocol)
        relay._protocol.shutdown()
        await socket_.send('420["echo",1]')
        assert await asyncio.wait_for(socket_.recv(), 30) == "430[1]", "the drain ends it, not uvicorn"
        relay.close()
        await asyncio.wait_for(socket_.wait_closed(), 30)
        assert socket_.close_code == 1006, "no frame that is none"
        assert socket_.protocol.parser_exc is None or isinstance(socket_.protocol.parser_exc, EOFError)


async def test_no_more_than_so_many_pass_through(make_server: MakeServer, redis_server: RedisServer) -> None:
    (owner,) = await make_fleet(make_server, redis_server, 1, auth_required=False)
    edge = await make_server(redis_url=redis_server.url, transports=BOTH, max_connections=1)
    async with Poller(owner) as one, Poller(owner) as two:
        for client in (one, two):
            await client.join(owner)
        socket_ = await through(owner, edge, one)
        with pytest.raises(Exception, match="HTTP 503"):
            await connect(edge.url.replace("http", "ws") + two.path("websocket"), proxy=None)
        assert forwarded(edge, "websocket") == {"answered": 1, "busy": 1}
        assert (await two.post(edge, '42["e"]')).text == "ok", "it stays with polling"
        await socket_.close()
        await eventually(lambda: metric(edge, "relayed_websockets") == 0)
        await (await through(owner, edge, two)).close()
