"""Floods of frames, packets and requests: they harm themselves, and nobody else waits or pays for them."""

from __future__ import annotations

import contextlib
import ssl
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest

from kit.clients.floods import (
    BYTES,
    FRAMES,
    LONG_WAIT,
    MOST_MEMORY,
    PACKETS,
    REQUESTS,
    Flood,
    bursts,
    bystander,
    errors_of,
    flood_frames,
    flood_requests,
    refused,
)
from kit.network.tls import Certificates, make_certificates
from kit.servers.process import ServeProcess, serving
from kit.servers.redis_server import RedisServer

pytestmark = [pytest.mark.serial, pytest.mark.skipif(sys.platform != "linux", reason="/proc")]
# Heads cost less than frames, and who sends too many is not listened to after a few MB.
MANY_BYTES = 60_000_000
# A TLS connection has buffers of 256 KiB, and malloc keeps those of all that there were at once.
MOST_MEMORY_TLS = 384 * 1024 * 1024
# Without bounds it was a gigabyte; malloc keeps some of what a hundred connections had at once.
MANY: dict[str, Any] = {"longest_wait": LONG_WAIT, "most_memory": 2 * MOST_MEMORY}
SCHEMES = ("http", "https")
PORTS = ("public", "public over TLS", "admin", "internal")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def tls(certificates: Certificates) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=certificates.ca)


def bounds(context: ssl.SSLContext | None) -> dict[str, Any]:
    """What a bystander may go through."""
    return {} if context is None else {"longest_wait": LONG_WAIT, "most_memory": MOST_MEMORY_TLS}


@contextlib.asynccontextmanager
async def serving_over(certificates: Certificates | None, **variables: str) -> AsyncIterator[ServeProcess]:
    """A server that lets everybody in, over TLS with certificates."""
    files: dict[str, str] = {}
    if certificates is not None:
        files = {"SSL_CERTFILE": certificates.server_cert, "SSL_KEYFILE": certificates.server_key}
    async with serving(AUTH_REQUIRED="false", **files, **variables) as server:
        yield server


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("kind", ["frames", "packets"])
async def test_floods_over_websockets_hold_nobody_up(
    kind: str, scheme: str, certificates: Certificates, tls: ssl.SSLContext
) -> None:
    context = tls if scheme == "https" else None
    async with serving_over(certificates if context else None) as server, bystander(server, context) as healthy:
        for name, flood in {"frames": FRAMES, "packets": PACKETS}[kind].items():

            async def flood_one(count: int, flood: Flood = flood) -> None:
                await flood_frames(server.url, flood, BYTES // count, tls=context, join=kind == "packets")

            await healthy.endure(name, bursts(flood_one), **bounds(context))
        assert errors_of(server) == []


@pytest.mark.redis
@pytest.mark.parametrize("port", PORTS)
async def test_floods_of_requests_hold_nobody_up(
    port: str, redis_server: RedisServer, certificates: Certificates, tls: ssl.SSLContext
) -> None:
    context = tls if port == "public over TLS" else None
    fleet = {"REDIS_URL": redis_server.url, "TRANSPORTS": "polling,websocket"} if port == "internal" else {}
    async with (
        serving_over(certificates if context else None, **fleet) as server,
        bystander(server, context) as healthy,
    ):
        url = {"admin": server.admin_url, "internal": server.internal_url}.get(port, server.url)
        assert url
        for name, flood in REQUESTS.items():

            async def flood_one(count: int, flood: Flood = flood) -> None:
                await flood_requests(url, flood, MANY_BYTES // count, context)

            await healthy.endure(name, bursts(flood_one), **{**MANY, **bounds(context)})
        counted = await refused(server)
        reasons = ("head_bytes", "query", "chunks", "unwanted_body", "pipelined")
        assert [reason for reason in reasons if not counted.get(f"http_refused {reason}")] == []
        assert errors_of(server) == []
