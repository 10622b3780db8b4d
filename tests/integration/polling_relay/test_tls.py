"""TLS between servers: fleets that have it, fleets that change over, and what nobody may trust."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from kit.clients.node import StockClients
from kit.clients.raw import Wire
from kit.network.scatter import Scatter
from kit.network.tls import Authority
from kit.servers.fleet import BOTH, FakeOwner, Poller, add_echo, forwarded, known_to, make_fleet, metric, redis_client
from kit.servers.in_process import MakeServer, RunningServer
from kit.servers.process import serving, tradecast
from kit.servers.redis_server import RedisServer
from kit.waiting import eventually
from tradecast.config.settings import load_settings
from tradecast.polling_relay.addresses import ServerAddresses
from tradecast.polling_relay.tls import create_internal_tls

pytestmark = pytest.mark.redis
node = pytest.mark.node
NAME = "tradecast-internal"
FAST: dict[str, Any] = {"reconnectionDelay": 30, "reconnectionDelayMax": 200}


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.make(tmp_path_factory.mktemp("fleet"))


@pytest.fixture(scope="module")
def files(authority: Authority) -> dict[str, str]:
    return authority.sign(NAME)


@pytest.fixture
async def directory(redis_server: RedisServer) -> AsyncIterator[ServerAddresses]:
    """One that only looks."""
    redis = redis_client(redis_server)
    yield ServerAddresses(redis, "lookslooksxx", patience=20)
    await redis.aclose()


async def make_mixed(
    make_server: MakeServer, redis: RedisServer, *settings: dict[str, Any]
) -> tuple[RunningServer, ...]:
    options: dict[str, Any] = {"redis_url": redis.url, "transports": BOTH, "auth_required": False}
    servers = [await make_server(add_echo, **options, **one) for one in settings]
    await eventually(lambda: all(known_to(one) == len(servers) - 1 for one in servers))
    return tuple(servers)


@node
@pytest.mark.parametrize("transports", [["polling"], list(BOTH)], ids=["polling", "upgrading"])
async def test_standard_clients_of_a_fleet_with_tls(
    make_server: MakeServer,
    redis_server: RedisServer,
    stock_clients: StockClients,
    files: dict[str, str],
    transports: list[str],
) -> None:
    servers = await make_fleet(make_server, redis_server, 2, internal_require_tls=True, **files)
    registry = servers[0].app.metrics.registry
    left = registry.get_sample_value("tradecast_certificate_expiry_seconds", {"port": "internal"})
    assert left == pytest.approx(2 * 86_400, abs=3_600)
    async with Scatter(*(one.url for one in servers)) as scatter:
        if "websocket" in transports:  # which come in at another server than all before
            scatter.choose = lambda head: servers[b"transport=websocket" in head].url
        session = await servers[0].session("u1")
        clients = [await stock_clients.connect(scatter.url, session, transports, **FAST) for _ in range(4)]
        for client in clients:
            if "websocket" in transports:
                await client.wait_upgrade()
            for size in (1, 100_000):
                assert await client.call("echo", "x" * size) == ["x" * size]
        # while clients are there: those of their requests that wait end as `aborted`
        passed = [forwarded(one, transports[-1]) for one in servers]
    assert {result for one in passed for result in one} == {"answered"}, passed


@pytest.mark.parametrize("secured", [(True, True), (True, False), (False, True)], ids=["both", "owner", "other"])
async def test_a_fleet_that_changes_over_speaks_both(
    make_server: MakeServer, redis_server: RedisServer, files: dict[str, str], secured: tuple[bool, bool]
) -> None:
    owner, other = await make_mixed(make_server, redis_server, *(files if one else {} for one in secured))
    before = metric(owner, "tcp_connections", port="internal")
    async with Poller(owner) as client:
        await client.join(other)
        assert (await client.post(other, '42["echo",1]')).text == "ok"
        assert metric(owner, "tcp_connections", port="internal") > before
        kinds = {bool(one.transport.get_extra_info("sslcontext")) for one in owner.connections("internal")}
        assert kinds == {all(secured)}, "with TLS if both can"
    assert set(forwarded(other)) == {"answered"}


async def test_the_directory_has_the_address_twice_and_the_old_entry_is_as_it_was(
    make_server: MakeServer, redis_server: RedisServer, files: dict[str, str], directory: ServerAddresses
) -> None:
    server = await make_server(redis_url=redis_server.url, **files)
    port = server.ports["internal"]
    assert await directory.refresh()
    (boot,) = directory.other_boots
    assert await directory.find(boot) == directory.find_secured(boot) == ("127.0.0.1", port)
    redis = redis_client(redis_server)
    entry = await redis.hget("tradecast:{forwarding}:servers:1", boot)
    assert entry is not None
    assert str(entry).strip("b'").split(" ")[1:] == ["127.0.0.1", str(port)]
    await server.stop()
    assert await redis.hgetall("tradecast:{forwarding}:tls:1") == {}
    await redis.aclose()


async def test_origins_are_checked_by_what_the_client_speaks(
    make_server: MakeServer, redis_server: RedisServer, files: dict[str, str]
) -> None:
    """A page's own address is http:// here, though servers speak TLS to each other."""
    owner, other = await make_fleet(make_server, redis_server, 2, auth_required=False, **files)
    async with Poller(owner) as client:
        same = {"origin": "http://push.example", "host": "push.example"}
        assert (await client.post(other, "40", headers=same)).text == "ok"
        foreign = {"origin": "https://push.example", "host": "push.example"}
        assert (await client.get(other, headers=foreign)).status_code == 400


# -- whom nobody may trust


async def owner_of(
    kind: str, authority: Authority, redis_server: RedisServer, tmp_path: Path
) -> tuple[FakeOwner, ssl.SSLContext | None]:
    """A server that is in the directory with TLS, and its certificate."""
    owner = FakeOwner(redis_client(redis_server))
    if kind == "plain":
        return owner, None
    made = {
        "wrong authority": lambda: Authority.make(tmp_path / "foreign").sign(NAME),
        "wrong name": lambda: authority.sign("other.example", "wrong-name"),
        "expired": lambda: authority.sign(NAME, "expired", days=-1),
    }[kind]()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made["internal_cert_file"], made["internal_key_file"])
    return owner, context


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("wrong authority", "unable to get local issuer certificate"),
        ("wrong name", "not valid for 'tradecast-internal'"),
        ("expired", "certificate has expired"),
        ("plain", "it speaks no TLS"),
    ],
)
@pytest.mark.parametrize("transport", ["polling", "websocket"])
async def test_an_owner_that_cannot_be_trusted_gets_nothing(
    make_server: MakeServer,
    redis_server: RedisServer,
    files: dict[str, str],
    authority: Authority,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    kind: str,
    why: str,
    transport: str,
) -> None:
    server = await make_server(redis_url=redis_server.url, transports=BOTH, **files)
    owner, context = await owner_of(kind, authority, redis_server, tmp_path)
    requests: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        data = await reader.read(65_536)
        if kind == "plain" and data[:1] == b"\x16":
            writer.write(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
        else:
            requests.append(data)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context) as listening:
        place = ("127.0.0.1", listening.sockets[0].getsockname()[1])
        await owner.directory.announce(place, place)
        answer = await ask(server, owner, transport)
    await owner.directory.withdraw()
    await owner.redis.aclose()
    assert answer == 502
    assert [one for one in requests if one] == [], "neither over TLS nor without"
    assert forwarded(server, transport) == {"untrusted": 1}
    fields = [getattr(record, "tradecast_fields", {}) for record in caplog.records]
    assert [why in one["why"] for one in fields if one.get("result") == "untrusted"] == [True]


async def ask(server: RunningServer, owner: FakeOwner, transport: str) -> int:
    headers = {}
    if transport == "websocket":
        headers = {"connection": "Upgrade", "upgrade": "websocket", "sec-websocket-version": "13"}
        headers["sec-websocket-key"] = "dGhlIHNhbXBsZSBub25jZQ=="
    async with httpx.AsyncClient(trust_env=False, timeout=30) as http:
        return (await http.get(server.url + owner.path(transport), headers=headers)).status_code


async def test_where_tls_is_required_nothing_passes_without(
    make_server: MakeServer, redis_server: RedisServer, files: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    strict, plain = await make_mixed(make_server, redis_server, {**files, "internal_require_tls": True}, {})
    async with Poller(plain) as client:
        assert (await client.get(strict)).status_code == 502
    assert forwarded(strict) == {"untrusted": 1}
    async with Poller(strict) as client:
        assert (await client.get(plain)).status_code == 502
    assert forwarded(plain) == {"unreachable": 1}
    assert metric(strict, "http_refused_total", reason="tls_error") == 1


@pytest.mark.parametrize("said", [b"", b"\x16\x03"], ids=["silent", "half a handshake"])
async def test_a_handshake_has_a_bound(
    make_server: MakeServer, redis_server: RedisServer, files: dict[str, str], said: bytes
) -> None:
    server = await make_server(redis_url=redis_server.url, tls_timeout=0.5, **files)
    url = f"http://127.0.0.1:{server.ports['internal']}"
    async with await Wire.open(url) as silent:
        if said:
            await silent.write(said)
        assert await silent.read_to_end() == b""
    await eventually(lambda: server.connections("internal") == set())
    assert metric(server, "http_refused_total", reason="tls_timeout") == 1


async def test_one_that_goes_before_it_says_anything_leaves_nothing(
    make_server: MakeServer, redis_server: RedisServer, files: dict[str, str]
) -> None:
    server = await make_server(redis_url=redis_server.url, **files)
    async with await Wire.open(f"http://127.0.0.1:{server.ports['internal']}"):
        await eventually(lambda: len(server.connections("internal")) == 1)
    await eventually(lambda: server.connections("internal") == set())
    assert metric(server, "http_refused_total", reason="tls_timeout") == 0


async def test_a_certificate_that_others_would_not_trust_stops_the_start(
    redis_server: RedisServer, authority: Authority
) -> None:
    expired = {name.upper(): file for name, file in authority.sign(NAME, "late", days=-1).items()}
    done = await tradecast("serve", REDIS_URL=redis_server.url, PORT="0", ADMIN_PORT="0", **expired)
    assert done.code != 0
    assert "INTERNAL_CERT_FILE: other servers would not trust it: certificate has expired" in done.err


async def test_uvloop_serves_both_too(files: dict[str, str], redis_server: RedisServer) -> None:
    """`tradecast serve` runs on uvloop where it is installed."""
    variables = {name.upper(): file for name, file in files.items()}
    tls = create_internal_tls(load_settings({}, **files))
    assert tls is not None
    async with serving(REDIS_URL=redis_server.url, **variables) as server:
        port = int(server.internal_url.rpartition(":")[2])
        for secured in (False, True):
            context, name = (tls.calling, NAME) if secured else (None, None)
            reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=name)
            writer.write(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            answer = await reader.read()
            writer.close()
            assert answer.startswith(b"HTTP/1.1 403"), secured
