"""Floods through the forwarder: neither the server that passes them on nor the one that gets them is held up."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

import pytest

from kit.clients.floods import (
    BYTES,
    FRAMES,
    LONG_WAIT,
    PACKETS,
    Bystander,
    Flood,
    bursts,
    bystander,
    connect_through,
    endure,
    errors_of,
    flood_requests,
    pour,
    upgrade,
)
from kit.clients.raw import Answer, Polling, Wire, head_of, request
from kit.servers.process import ServeProcess, serving
from kit.servers.redis_server import RedisServer

pytestmark = [
    pytest.mark.redis,
    pytest.mark.serial,
    pytest.mark.skipif(sys.platform != "linux", reason="/proc"),
]
MANY_BYTES = 60_000_000


Send = Callable[[Polling], Awaitable[Answer]]


class OwnerAndRelay:
    """A server that owns connections, one that passes their requests on, and a bystander at each."""

    def __init__(self, owner: ServeProcess, relay: ServeProcess, *bystanders: Bystander) -> None:
        self.owner = owner
        self.relay = relay
        self.bystanders = bystanders

    async def client(self) -> Polling:
        """A client of the one, by way of the other."""
        return await connect_through(self.owner.url, self.relay.url)


@pytest.fixture
async def fleet(redis_server: RedisServer) -> AsyncIterator[OwnerAndRelay]:
    settings = {"REDIS_URL": redis_server.url, "TRANSPORTS": "polling,websocket", "AUTH_REQUIRED": "false"}
    async with (
        serving(**settings) as owner,
        serving(**settings) as relay,
        bystander(owner) as one,
        bystander(relay) as other,
    ):
        fleet = OwnerAndRelay(owner, relay, one, other)
        await fleet.client()
        yield fleet
        assert errors_of(owner) == []
        assert errors_of(relay) == []


OVER_WEBSOCKETS = {
    **{name: FRAMES[name] for name in ("pings", "small fragments", "frames behind a close")},
    **{name: PACKETS[name] for name in ("events with acknowledgements", "joining and leaving", "noops")},
}


async def test_floods_over_relayed_websockets(fleet: OwnerAndRelay) -> None:
    for name, flood in OVER_WEBSOCKETS.items():

        async def flood_one(count: int, flood: Flood = flood) -> None:
            with contextlib.suppress(OSError):
                async with await upgrade(await fleet.client()) as websocket:
                    await pour(websocket, flood, BYTES // count)

        await endure(name, bursts(flood_one), *fleet.bystanders)


GET, POST = ("GET", ()), ("POST", ("Transfer-Encoding: chunked",))
REQUESTS: Mapping[str, tuple[str, Sequence[str], str, str]] = {
    "header lines": (*GET, "", "x-y: z\r\n"),
    "a header": (*GET, "x: ", "y"),
    "trailers": (*POST, "\r\n1\r\n6\r\n0\r\n", "x-y: z\r\n"),
    "tiny chunks": (*POST, "\r\n", "1\r\n6\r\n"),
    "a body": ("POST", ("Content-Length: 900000000000",), "\r\n", "6"),
}
"""Method, headers, and what follows them once and again and again."""


async def test_floods_of_requests_that_are_to_be_passed_on(fleet: OwnerAndRelay) -> None:
    for name, (method, lines, begin, piece) in REQUESTS.items():

        async def flood_one(
            count: int, method: str = method, lines: Sequence[str] = lines, begin: str = begin, piece: str = piece
        ) -> None:
            client = await fleet.client()
            head = head_of(method, client.target, *lines).removesuffix("\r\n") + begin
            await flood_requests(client.url, Flood(head.encode(), piece.encode()), MANY_BYTES // count)

        await endure(name, bursts(flood_one), *fleet.bystanders, longest_wait=LONG_WAIT)


async def test_full_posts_one_after_the_other(fleet: OwnerAndRelay) -> None:
    """As many packets as a POST may have, and far more, until the session is ended for it, or has to wait."""

    async def flood_one(body: bytes) -> None:
        client = await fleet.client()
        head = head_of("POST", client.target, f"Content-Length: {len(body)}", "Connection: close")
        post = head.encode() + body
        with contextlib.suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(2):
                while (await request(client.url, post)).status == 200:
                    pass

    for packet, count in (("3", 1_000), ('42["x"]', 1_000), ("3", 300_000)):
        body = "\x1e".join([packet] * count).encode()
        floods = (flood_one(body) for _ in range(40))
        await endure(f"{count} {packet}", asyncio.gather(*floods), *fleet.bystanders)


async def test_many_requests_of_one_session_at_once(fleet: OwnerAndRelay) -> None:
    async def post(client: Polling) -> Answer:
        return await client.post("6")

    for send in (Polling.poll, post):
        client = await fleet.client()
        statuses: list[int] = []

        async def ask(send: Send = send, client: Polling = client, statuses: list[int] = statuses) -> None:
            statuses.append((await send(client)).status)

        await endure("requests", asyncio.gather(*(ask() for _ in range(300))), *fleet.bystanders)
        assert set(statuses) <= {200, 400}
        assert statuses.count(200) < 300
        assert (await client.poll()).status == 400, "two at once end a session"


async def test_unfinished_posts_of_one_session_are_not_kept(fleet: OwnerAndRelay) -> None:
    """One session has one POST at a time: the server that passes them on keeps no others."""
    client = await fleet.client()
    begun = head_of("POST", client.target, "Content-Length: 1000000").encode() + b"6" * 900_000

    async def hold_many() -> None:
        for _ in range(200):
            wires.append(await Wire.open(client.url))
            await wires[-1].write(begun)

    wires: list[Wire] = []
    try:
        await endure("posts", hold_many(), *fleet.bystanders)
        assert (await client.poll()).status == 400, "two at once end a session"
    finally:
        for wire in wires:
            wire.writer.transport.abort()
