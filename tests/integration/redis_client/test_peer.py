"""What answers at an address: real servers, and sockets that say other things or nothing."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from kit.network.ports import free_port
from kit.network.tls import make_certificates
from kit.servers.mongo_server import MongoDatabase
from kit.servers.redis_server import RedisServer
from kit.servers.troubles import only_client, running
from kit.waiting import eventually
from tradecast.causes import REDIS, Code, Place
from tradecast.redis_client import peer as peer_module
from tradecast.redis_client.peer import Explainer, probe_peer

PATIENT = 30.0
"""Seconds: whoever is asked here does answer, and a busy machine may take its time."""


@asynccontextmanager
async def saying(answer: bytes, port: int = 0) -> AsyncIterator[tuple[str, list[int]]]:
    """Where somebody says this as soon as it is asked; how often it was, in one figure."""
    asked = [0]

    async def answer_it(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked[0] += 1
        await reader.read(1)
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(answer_it, "127.0.0.1", port)
    async with server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}", asked


@pytest.mark.redis
async def test_redis_with_and_without_a_password_over_tcp_and_a_socket(redis_server: RedisServer) -> None:
    assert await probe_peer(f"127.0.0.1:{redis_server.port}", PATIENT) == "redis"
    assert await probe_peer(str(redis_server.folder / "redis.sock"), PATIENT) == "redis"
    with running("--requirepass", "x") as closed:
        assert await probe_peer(f"127.0.0.1:{closed.port}", PATIENT) == "redis"


@pytest.mark.redis
async def test_redis_that_takes_no_more_clients() -> None:
    with running("--maxclients", "1") as full, only_client(full.port):
        for _ in range(5):
            assert await probe_peer(f"127.0.0.1:{full.port}", PATIENT) == "full redis"


@pytest.mark.redis
@pytest.mark.parametrize("clients", ["no", "yes"])
async def test_tls_whatever_its_certificate(tmp_path: Path, clients: str) -> None:
    made = make_certificates(tmp_path)
    files = ("--tls-cert-file", made.server_cert, "--tls-key-file", made.server_key, "--tls-ca-cert-file", made.ca)
    with running(*files, "--tls-auth-clients", clients, tls=True) as server:
        assert await probe_peer(f"localhost:{server.port}", PATIENT) == "tls"


@pytest.mark.mongodb
async def test_mongodb(mongo_server: MongoDatabase) -> None:
    assert await probe_peer(mongo_server.uri.removeprefix("mongodb://").rstrip("/"), PATIENT) == "mongodb"


@pytest.mark.parametrize(
    ("answer", "peer"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "http"),
        (b"<html><head>", "http"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "silent"),
        (b"", "silent"),
        (b"\x15\x03\x01\x00\x02\x02\x46", "tls"),
    ],
)
async def test_what_is_neither(answer: bytes, peer: str) -> None:
    async with saying(answer) as (at, _):
        assert await probe_peer(at, 2 if peer == "silent" else PATIENT) == peer


async def test_nothing_within_the_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        begun = time.monotonic()
        assert await probe_peer(f"127.0.0.1:{taken.getsockname()[1]}", 0.3) == "silent"
        assert time.monotonic() - begun < 5
    assert await probe_peer(f"127.0.0.1:{free_port()}") == "silent"
    for nonsense in ("127.0.0.1", "127.0.0.1:port", "/nowhere/redis.sock", ""):
        assert await probe_peer(nonsense) == "silent"


async def test_who_is_away_is_not_asked_all_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who says nothing is soon asked again: to a machine that is held up for a second, everybody is silent."""
    monkeypatch.setattr(peer_module, "SILENCE_BELIEVED", 0.0)
    at = f"127.0.0.1:{free_port()}"
    explainer = Explainer(Place(REDIS, at))

    async def explain() -> Code:
        return (await explainer.explain(TimeoutError())).code

    async def speaks_http() -> bool:
        return await explain() == Code.SPEAKS_HTTP

    assert await explain() == Code.TIMED_OUT
    async with saying(b"HTTP/1.1 400 Bad Request\r\n\r\n", int(at.partition(":")[2])) as (_, asked):
        await eventually(speaks_http)
        before = asked[0]
        for _ in range(5):
            assert await speaks_http()
        assert asked[0] <= before + 4, "at most those of the first time, which come late"
        # what is plain is not asked about, nor several at once
        assert (await explainer.explain(ConnectionRefusedError())).code == Code.REFUSED
        assert (await explainer.explain(TimeoutError(), Place(REDIS, f"{at},{at}"))).code == Code.TIMED_OUT
        assert asked[0] <= before + 4
