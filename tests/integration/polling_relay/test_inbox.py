"""The internal port of a real server, asked by hand: it takes what servers of the fleet sign, and nothing else."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from kit.servers.fleet import UNKNOWN_SESSION, FakeOwner, Poller, forwarded, make_fleet, metric, redis_client
from kit.servers.in_process import MakeServer, RunningServer
from kit.servers.redis_server import RedisServer
from tradecast.polling_relay.addresses import OWNERS
from tradecast.polling_relay.owner.http_heads import REFUSED
from tradecast.polling_relay.sids import BOOT, RANDOM, new_boot
from tradecast.polling_relay.signatures import HEADER, sign_request
from tradecast.redis_client.client import RedisClient

pytestmark = pytest.mark.redis


@pytest.fixture
async def redis(own_redis: RedisServer) -> AsyncIterator[RedisClient]:
    client = redis_client(own_redis)
    yield client
    await client.aclose()


@pytest.fixture
async def server(make_server: MakeServer, own_redis: RedisServer) -> RunningServer:
    (server,) = await make_fleet(make_server, own_redis, 1, auth_required=False)
    return server


@pytest.fixture
async def client(server: RunningServer) -> AsyncIterator[Poller]:
    async with Poller(server) as poller:
        yield poller


def key_of(server: RunningServer) -> bytes:
    assert server.app.components.relay is not None
    return server.app.components.relay.announcement.addresses.keys[0]


def boot_of(client: Poller) -> str:
    return client.sid[RANDOM : RANDOM + BOOT]


def signed(server: RunningServer, client: Poller, method: str, target: str, **changes: object) -> dict[str, str]:
    chosen = {"key": key_of(server), "boot": boot_of(client), "now": time.time(), **changes}
    value = sign_request(method=method, target=target.encode(), **chosen)  # type: ignore[arg-type]  # changed at will
    return {HEADER.decode(): value.decode()}


def refusals(server: RunningServer) -> dict[str, float]:
    counts = {one: metric(server, "internal_refusals_total", reason=one) for one in ("signature", "boot", "request")}
    return {reason: count for reason, count in counts.items() if count}


async def test_signed_requests_reach_the_engine(server: RunningServer, client: Poller) -> None:
    url, path = server.internal_url, client.path()
    posted = await client.http.post(url + path, content=b"40", headers=signed(server, client, "POST", path))
    assert (posted.status_code, posted.text) == (200, "ok")
    polled = await client.http.get(url + path, headers=signed(server, client, "GET", path))
    assert polled.text.startswith('40{"sid":"')
    assert refusals(server) == {}


async def test_unsigned_and_wrongly_signed_ones_do_not(server: RunningServer, client: Poller) -> None:
    url, path = server.internal_url, client.path()
    wrong = [
        {},
        {HEADER.decode(): ""},
        {HEADER.decode(): "1 x y z"},
        signed(server, client, "GET", path, key=b"x" * 32),
        signed(server, client, "POST", path),
        signed(server, client, "GET", path + "x"),
        signed(server, client, "GET", path, now=time.time() - 120),
        signed(server, client, "GET", path, now=time.time() + 120),
    ]
    for headers in wrong:
        answer = await client.http.get(url + path, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (403, "REFUSED")
        assert answer.headers[REFUSED.decode()] == "signature"
    twice = [*signed(server, client, "GET", path).items()] * 2
    assert (await client.http.get(url + path, headers=twice)).status_code == 403
    assert refusals(server) == {"signature": len(wrong) + 1}
    assert (await client.post(server, "40")).text == "ok", "the connection lives"


async def test_servers_sign_and_check_by_the_time_that_they_have_in_common(
    make_server: MakeServer, own_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner, other = await make_fleet(make_server, own_redis, 2, auth_required=False)

    def shift(server: RunningServer, seconds: float) -> None:
        assert server.app.components.relay is not None
        monkeypatch.setattr(server.app.components.relay.announcement.addresses, "now", lambda: time.time() + seconds)

    async with Poller(owner) as client:
        for seconds in (0, 86_400, -86_400):
            shift(owner, seconds)
            shift(other, seconds)
            assert (await client.post(other, "3")).text == "ok"
        shift(owner, 0)
        assert (await client.post(other, "3")).status_code == 502
    assert refusals(owner) == {"signature": 1}
    assert forwarded(other) == {"answered": 3, "refused": 1}


async def test_every_other_path_is_closed_too(server: RunningServer, client: Poller) -> None:
    for path in ("/", "/health", "/metrics", "/admin/stats", "/socket.io/?EIO=4&transport=polling"):
        assert (await client.http.get(server.internal_url + path)).status_code == 403


async def test_one_for_another_boot_id_gets_an_error_that_says_so(server: RunningServer, client: Poller) -> None:
    path = client.path()
    headers = signed(server, client, "GET", path, boot=new_boot())
    answer = await client.http.get(server.internal_url + path, headers=headers)
    assert (answer.status_code, answer.headers[REFUSED.decode()]) == (410, "boot")
    assert refusals(server) == {"boot": 1}


@pytest.mark.parametrize(
    ("method", "target"), [("GET", "/socket.io/?EIO=4&transport=polling"), ("OPTIONS", "{path}"), ("DELETE", "{path}")]
)
async def test_no_connection_is_opened_there(server: RunningServer, client: Poller, method: str, target: str) -> None:
    target = target.format(path=client.path())
    headers = signed(server, client, method, target)
    answer = await client.http.request(method, server.internal_url + target, headers=headers)
    assert (answer.status_code, answer.headers[REFUSED.decode()]) == (400, "request")
    assert len(server.app.components.socket_server.eio.sockets) == 1


async def test_a_websocket_needs_a_signature_too(server: RunningServer, client: Poller) -> None:
    url, path = server.internal_url.replace("http", "ws"), client.path("websocket")
    for headers in ({}, signed(server, client, "GET", path, key=b"x" * 32)):
        with pytest.raises(InvalidStatus) as refused:
            await connect(url + path, additional_headers=headers, proxy=None)
        assert refused.value.response.status_code == 403
    async with connect(url + path, additional_headers=signed(server, client, "GET", path), proxy=None) as socket:
        await socket.send("2probe")
        assert await socket.recv() == "3probe"
    assert refusals(server) == {"signature": 2}


async def test_nothing_of_a_client_s_makes_the_public_port_an_internal_one(
    server: RunningServer, client: Poller
) -> None:
    path = client.path()
    headers = signed(server, client, "GET", path, boot=new_boot())
    assert (await client.post(server, "40", headers=headers)).text == "ok"
    assert (await client.get(server, headers=headers)).text.startswith("40{")
    assert refusals(server) == {}
    assert forwarded(server) == {}


async def test_there_is_no_second_hop(
    make_server: MakeServer, own_redis: RedisServer, redis: RedisClient, server: RunningServer, client: Poller
) -> None:
    """Redis says that a server is where another one is: that one refuses, and asks nobody."""
    (other,) = [await make_server(redis_url=own_redis.url, transports=("polling", "websocket"))]
    async with FakeOwner(redis) as owner:
        seconds, _ = await redis.time()
        port = server.internal_url.rsplit(":", 1)[1]
        await owner.stop()
        await redis.hset(OWNERS, owner.boot, f"{seconds * 1_000_000} 127.0.0.1 {port}")
        answer = await client.http.get(other.url + owner.path())
        assert (answer.status_code, answer.json()) == UNKNOWN_SESSION
        assert refusals(server) == {"boot": 1}
        assert forwarded(server) == {}
        assert forwarded(other) == {"unknown": 1}


async def test_a_server_s_own_address_under_another_name_is_no_loop(
    redis: RedisClient, server: RunningServer, client: Poller
) -> None:
    async with FakeOwner(redis) as owner:
        seconds, _ = await redis.time()
        port = server.internal_url.rsplit(":", 1)[1]
        await redis.hset(OWNERS, owner.boot, f"{seconds * 1_000_000} 127.0.0.1 {port}")
        answer = await client.http.get(server.url + owner.path())
        assert (answer.status_code, answer.json()) == UNKNOWN_SESSION
        assert forwarded(server) == {"unknown": 1}
        assert refusals(server) == {"boot": 1}


@pytest.mark.parametrize(
    "settings", [{}, {"transports": ("websocket",), "redis": True}], ids=["without Redis", "WebSocket alone"]
)
async def test_servers_that_pass_nothing_on_have_no_internal_port(
    make_server: MakeServer, own_redis: RedisServer, settings: dict[str, object]
) -> None:
    if settings.pop("redis", False):
        settings["redis_url"] = own_redis.url
    server = await make_server(**settings)
    assert server.app.internal_app() is None
    with pytest.raises(KeyError):
        _ = server.internal_url
    assert server.app.get_stats()["forwarding"] == {"active": False, "servers": 0, "relayedWebSockets": 0}
    if not settings:
        async with Poller(server) as client:
            assert len(client.sid) == 20


async def test_a_server_that_stops_is_found_no_more(
    make_server: MakeServer, own_redis: RedisServer, redis: RedisClient
) -> None:
    (server,) = await make_fleet(make_server, own_redis, 1)
    assert await redis.hlen(OWNERS) == 1
    await server.stop()
    assert await redis.hlen(OWNERS) == 0
