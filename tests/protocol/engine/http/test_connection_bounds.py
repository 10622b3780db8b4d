"""What a request may send and how long it may take: a little below each bound it is served, a little above refused."""

from __future__ import annotations

import asyncio
import json
import logging
import random
import re
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from starlette.types import Receive, Scope, Send

from kit.clients.raw import POLLING, WEBSOCKET, Answer, Polling, WebSocket, Wire, head_of, request, websocket_head
from kit.clock import HandClock
from kit.network.tls import make_certificates
from kit.parsing.raw_http import RefusalList
from kit.servers.in_process import MakeServer, RunningServer, settings_for_tests
from kit.waiting import eventually
from tradecast.engine.http.connection_bounds import ConnectionBounds, HttpLimits
from tradecast.engine.turns import Reading, Turns
from tradecast.lifecycle.process import Listener, Process, ProcessHooks

HEAD, LINES, QUERY = 32_768, 256, 16_384
QUICK = {"head_timeout": 0.5, "body_timeout": 0.5, "keep_alive": 0.5}
HEADS = {"polling": head_of("GET", POLLING), "websocket": websocket_head(WEBSOCKET), "plain": head_of("GET", "/health")}
SERVED = {"polling": 200, "websocket": 101, "plain": 200}


@pytest.fixture(params=list(HEADS))
def kind(request: pytest.FixtureRequest) -> str:
    """A kind of request."""
    name: str = request.param
    return name


@pytest.fixture(autouse=True)
def _no_errors(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Nothing that a stranger sends is an error."""
    yield
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def padded(head: str, size: int) -> str:
    """A head with one more header, so that it has exactly this size."""
    line = "X-Padding: "
    return head[:-2] + line + "x" * (size - len(head) - len(line) - 2) + "\r\n\r\n"


def with_lines(head: str, count: int) -> str:
    """A head with so many header lines."""
    more = count - (head.count("\r\n") - 2)
    return head[:-2] + "".join(f"X-{number}: y\r\n" for number in range(more)) + "\r\n"


def with_query(head: str, size: int) -> str:
    """A head whose query has this size."""
    method, target, rest = head.split(" ", 2)
    target += "&x=" if "?" in target else "?x="
    return f"{method} {target}{'q' * (size - len(target.partition('?')[2]))} {rest}"


def refused(server: RunningServer) -> dict[str, int]:
    """What was refused, by reasons."""
    _, text = server.app.metrics.render_prometheus("")
    found = re.findall(rb'^tradecast_http_refused_total\{reason="(\w+)"\} (\S+)', text, re.MULTILINE)
    return {reason.decode(): int(float(count)) for reason, count in found if float(count)}


async def status_of(url: str, data: bytes | str, tls: ssl.SSLContext | None = None) -> int:
    """Send one request; what is answered."""
    async with await Wire.open(url, tls) as wire:
        await wire.write(data)
        return (await wire.read_answer()).status


async def assert_refused(
    server: RunningServer, data: bytes | str, status: int, reason: str, tls: ssl.SSLContext | None = None
) -> None:
    """It is answered so, closed, and counted."""
    before = refused(server).get(reason, 0)
    async with await Wire.open(server.url, tls) as wire:
        await wire.write(data)
        answer = await wire.read_answer()
        assert (answer.status, answer.headers["connection"]) == (status, "close")
        assert answer.json()["code"]
        assert await wire.read_to_end() == b""
    assert refused(server).get(reason, 0) == before + 1
    assert await status_of(server.url, HEADS["plain"], tls) == 200


# -- heads


async def test_size_of_a_head(open_server: RunningServer, kind: str) -> None:
    for size in (HEAD - 1, HEAD):
        assert await status_of(open_server.url, padded(HEADS[kind], size)) == SERVED[kind]
    assert refused(open_server) == {}
    await assert_refused(open_server, padded(HEADS[kind], HEAD + 1), 431, "head_bytes")
    await assert_refused(open_server, padded(HEADS[kind], HEAD * 10), 431, "head_bytes")


async def test_lines_of_a_head(open_server: RunningServer, kind: str) -> None:
    assert await status_of(open_server.url, with_lines(HEADS[kind], LINES)) == SERVED[kind]
    assert refused(open_server) == {}
    await assert_refused(open_server, with_lines(HEADS[kind], LINES + 1), 431, "head_lines")


async def test_size_of_a_query(open_server: RunningServer, kind: str) -> None:
    assert await status_of(open_server.url, with_query(HEADS[kind], QUERY)) == SERVED[kind]
    assert refused(open_server) == {}
    await assert_refused(open_server, with_query(HEADS[kind], QUERY + 1), 414, "query")


async def test_a_head_without_an_end_is_refused_at_once(open_server: RunningServer, kind: str) -> None:
    start = HEADS[kind][:-2]
    await assert_refused(open_server, start + "X-Endless: " + "x" * HEAD, 431, "head_bytes")
    await assert_refused(open_server, start + "x: y\r\n" * 10_000, 431, "head_bytes")
    await assert_refused(open_server, "GET /socket.io/?x=" + "x" * QUERY + "y", 414, "query")
    await assert_refused(open_server, "GET /" + "x" * HEAD, 431, "head_bytes")
    await assert_refused(open_server, "\r\n" * HEAD, 431, "head_bytes")


async def test_later_requests_of_a_connection_have_the_same_bounds(open_server: RunningServer) -> None:
    async with await Wire.open(open_server.url) as wire:
        for _ in range(5):
            await wire.write(padded(HEADS["plain"], HEAD))
            assert (await wire.read_answer()).status == 200
        await wire.write(padded(HEADS["plain"], HEAD + 1))
        assert (await wire.read_answer()).status == 431
        assert await wire.read_to_end() == b""


async def test_refused_behind_a_request_that_waits(open_server: RunningServer) -> None:
    client = await Polling.connect(open_server.url)
    async with await Wire.open(open_server.url) as wire:
        await wire.write(head_of("GET", client.target) + padded(HEADS["plain"], 4 * HEAD))
        assert await wire.read_to_end() == b"", "an answer here would be taken for the first request's"
    assert refused(open_server) == {"head_bytes": 1}


async def test_who_sends_on_is_not_listened_to(open_server: RunningServer) -> None:
    async with await Wire.open(open_server.url) as wire:

        async def send_on() -> None:
            while True:
                wire.writer.write(b"x" * 100_000)
                await wire.writer.drain()

        with pytest.raises(ConnectionError):
            await send_on()
    await eventually(lambda: len(open_server.connections("public")) == 0)


LEGITIMATE = {
    "a cookie of 12 kB": ("", f"Cookie: session={'c' * 12_000}"),
    "a browser extension's 150 headers": ("", *(f"X-Extension-{number}: value" for number in range(150))),
    "a query of 9 kB": ("&token=" + "t" * 9_000,),
    "all of it": ("&token=" + "t" * 9_000, f"Cookie: session={'c' * 12_000}", *(f"X-{n}: v" for n in range(150))),
}


@pytest.mark.parametrize("case", list(LEGITIMATE))
async def test_legitimate_large_heads_get_in(make_server: MakeServer, case: str) -> None:
    server = await make_server(auth_required=False)
    more, *lines = LEGITIMATE[case]
    async with await WebSocket.connect(server.url, WEBSOCKET + more, *lines) as client:
        await client.opened()
        await client.join()
    answer = await request(server.url, head_of("GET", POLLING + more, *lines))
    assert (answer.status, answer.text[0]) == (200, "0")
    sid = json.loads(answer.body[1:])["sid"]
    answer = await request(
        server.url, head_of("POST", f"{POLLING}{more}&sid={sid}", *lines, "Content-Length: 2") + "40"
    )
    assert (answer.status, answer.body) == (200, b"ok")
    answer = await request(server.url, head_of("GET", f"{POLLING}{more}&sid={sid}", *lines))
    assert answer.text.startswith("40{")
    upgraded = await WebSocket.connect(server.url, f"{WEBSOCKET}{more}&sid={sid}", *lines)
    async with upgraded:
        await upgraded.send("2probe")
        assert await upgraded.text() == "3probe"
    assert refused(server) == {}


async def test_a_head_in_single_bytes_over_15_seconds(open_server: RunningServer) -> None:
    async def slowly(head: str) -> int:
        async with await Wire.open(open_server.url) as wire:
            loop = asyncio.get_running_loop()
            begun, pause = loop.time(), 15 / len(head)
            for number, byte in enumerate(head, 1):
                await wire.write(byte)
                await asyncio.sleep(begun + number * pause - loop.time())  # who was held up catches up
            return (await wire.read_answer()).status

    assert await asyncio.gather(*map(slowly, HEADS.values())) == list(SERVED.values())


# -- bodies: what is around them


async def tell_headers(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with the names of the headers and the size of the body, when that has come to its end."""
    size, more = 0, True
    while more:
        event = await receive()
        if event["type"] == "http.disconnect":
            return
        size += len(event.get("body", b""))
        more = event.get("more_body", False)
    body = json.dumps([[name.decode() for name, _ in scope["headers"]], size]).encode()
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": 200, "headers": [length]})
    await send({"type": "http.response.body", "body": body})


Ask = Callable[[bytes], Awaitable[Answer | None]]


class Plain:
    """A process that serves `tell_headers`."""

    def __init__(self, limits: HttpLimits, clock: Callable[[], float] = time.monotonic) -> None:
        self.reasons = RefusalList()
        self.bounds = ConnectionBounds(limits, observer=self.reasons, clock=clock)
        listener = Listener("public", tell_headers, "127.0.0.1", 0, bounds=self.bounds)
        self.process = Process([listener], ProcessHooks(), grace=1)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.process.ports['public']}"

    async def ask(self, *pieces: bytes) -> Answer:
        """The answer to what is sent in these pieces."""
        async with await Wire.open(self.url) as wire:
            for piece in pieces:
                await wire.write(piece)
                if len(pieces) > 1:
                    await asyncio.sleep(0)
            return await wire.read_answer()


@pytest.fixture
async def plain() -> AsyncIterator[Plain]:
    plain = Plain(HttpLimits())
    await plain.process.start()
    yield plain
    await plain.process.stop()


CHUNKED = head_of("POST", "/", "Transfer-Encoding: chunked").encode()


async def test_trailers_are_dropped(plain: Plain) -> None:
    answer = await plain.ask(CHUNKED + b"3\r\nabc\r\n0\r\nX-Trailer: 1\r\nCookie: session=evil\r\n\r\n")
    assert answer.json() == [["host", "transfer-encoding"], 3]
    assert plain.reasons == []


@pytest.mark.parametrize(
    ("trailers", "status"),
    [
        (b"a: b\r\n" * LINES, 200),
        (b"a: b\r\n" * (LINES + 1), 431),
        (b"a: " + b"b" * 32_000 + b"\r\n", 200),
        (b"a: " + b"b" * 70_000 + b"\r\n", 431),
    ],
)
async def test_trailers_are_bounded(plain: Plain, trailers: bytes, status: int) -> None:
    assert (await plain.ask(CHUNKED, b"3\r\nabc\r\n0\r\n" + trailers + b"\r\n")).status == status
    assert plain.reasons == ([] if status == 200 else ["chunks"])


@pytest.mark.parametrize(("size", "status"), [(32_000, 200), (70_000, 431), (1_000_000, 431)])
async def test_chunk_extensions_are_bounded(plain: Plain, size: int, status: int) -> None:
    answer = await plain.ask(CHUNKED, b"3;x=" + b"y" * size + b"\r\nabc\r\n0\r\n\r\n")
    assert answer.status == status
    assert plain.reasons == ([] if status == 200 else ["chunks"])


async def test_extensions_of_many_chunks_are_bounded_together(plain: Plain) -> None:
    assert (await plain.ask(CHUNKED + b"1;x=1234567890\r\na\r\n" * 20_000 + b"0\r\n\r\n")).json()[1] == 20_000
    assert (await plain.ask(CHUNKED + b"1;x=12345678901234567890\r\na\r\n" * 20_000 + b"0\r\n\r\n")).status == 431
    assert plain.reasons == ["chunks"]


async def test_a_large_body_in_tiny_chunks_is_read(plain: Plain) -> None:
    answer = await plain.ask(CHUNKED, b"1\r\na\r\n" * 100_000 + b"0\r\n\r\n")
    assert answer.json()[1] == 100_000
    assert plain.reasons == []


async def test_tiny_chunks_are_read_by_turns(plain: Plain, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a body in chunks of a byte holds everybody up."""
    waits: list[Reading] = []
    wait = Turns.wait

    def noting(turns: Turns, reading: Reading) -> None:
        waits.append(reading)
        wait(turns, reading)

    monkeypatch.setattr(Turns, "wait", noting)
    assert (await plain.ask(CHUNKED + b"100\r\n" + b"a" * 256 + b"\r\n0\r\n\r\n")).json()[1] == 256
    assert (await plain.ask(CHUNKED + b"80\r\n%b\r\n" % (b"a" * 128) * 4_000 + b"0\r\n\r\n")).json()[1] == 512_000
    assert waits == []
    answers = await asyncio.gather(*(plain.ask(CHUNKED + b"1\r\na\r\n" * 50_000 + b"0\r\n\r\n") for _ in range(2)))
    assert [answer.json()[1] for answer in answers] == [50_000] * 2
    assert len(waits) >= 2 * (6 * 50_000 // 16_384)


async def test_tiny_chunks_of_a_handshake(open_server: RunningServer) -> None:
    head = websocket_head(WEBSOCKET, "Transfer-Encoding: chunked")
    assert await status_of(open_server.url, head.encode() + b"1\r\na\r\n" * 50_000 + b"0\r\n\r\n") == 400


async def test_chunks_after_the_answer_count_with_what_is_around_them(open_server: RunningServer) -> None:
    async with await Wire.open(open_server.url) as wire:
        await wire.write(head_of("POST", "/nowhere", "Transfer-Encoding: chunked"))
        assert (await wire.read_answer()).status == 404
        await wire.write(b"1\r\na\r\n" * 200_000)
        assert await wire.read_to_end() == b""
    assert refused(open_server) == {"unwanted_body": 1}


# -- pipelining


async def test_eight_requests_may_wait(open_server: RunningServer) -> None:
    client = await Polling.connect(open_server.url)
    async with await Wire.open(open_server.url) as wire:
        await wire.write(head_of("GET", client.target) + HEADS["plain"] * 8)
        await asyncio.sleep(0.1)
        assert (await client.post("40")).body == b"ok"
        assert [(await wire.read_answer()).status for _ in range(9)] == [200] * 9
    assert refused(open_server) == {}


async def test_a_ninth_ends_the_connection(open_server: RunningServer) -> None:
    client = await Polling.connect(open_server.url)
    async with await Wire.open(open_server.url) as wire:
        await wire.write(head_of("GET", client.target) + HEADS["plain"] * 9)
        assert await wire.read_to_end() == b""
    assert refused(open_server) == {"pipelined": 1}


# -- slices


def parsed_alike(answers: list[Answer]) -> bool:
    return len({(answer.status, answer.body) for answer in answers}) == 1


@pytest.mark.parametrize("seed", range(12))
async def test_slices_of_a_request_do_not_matter(plain: Plain, seed: int) -> None:
    chance = random.Random(seed)
    lines = [
        f"X-{chance.randrange(10**6)}: {'v' * chance.choice((0, 1, 50, 5_000))}" for _ in range(chance.randrange(1, 6))
    ]
    target = "/" + "p" * chance.randrange(100) + "?" + "q" * chance.choice((0, 10, 15_000))
    body = b"".join(
        b"%x;e=%d\r\n%b\r\n" % (size, chance.randrange(100), b"b" * size)
        for size in (chance.choice((1, 16, 1_000, 20_000)) for _ in range(chance.randrange(5)))
    )
    data = head_of("POST", target, "Transfer-Encoding: chunked", *lines).encode() + body + b"0\r\nT: t\r\n\r\n"
    if chance.random() < 0.3:
        data = padded(head_of("GET", "/", *lines), chance.choice((HEAD, HEAD + 1, HEAD + 2))).encode()
    cuts = sorted(chance.sample(range(1, len(data)), min(len(data) - 1, chance.choice((1, 3, 40)))))
    pieces = [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    assert parsed_alike([await plain.ask(data), await plain.ask(*pieces)])


# -- deadlines


async def test_a_connection_that_sends_nothing_is_closed(make_server: MakeServer) -> None:
    server = await make_server(auth_required=False, **QUICK)
    for url in (server.url, server.admin_url):
        async with await Wire.open(url) as wire:
            assert await wire.read_to_end() == b""
    assert refused(server) == {"head_timeout": 2}


async def test_a_head_without_an_end_times_out(make_server: MakeServer) -> None:
    server = await make_server(auth_required=False, **QUICK)
    async with await Wire.open(server.url) as wire:
        started = asyncio.get_running_loop().time()
        await wire.write(HEADS["plain"][:-2])
        answering = asyncio.ensure_future(wire.read_answer())
        while not answering.done():
            await asyncio.sleep(0.05)
            await wire.write("X: y\r\n")
        answer = await answering
        assert (answer.status, answer.headers["connection"]) == (408, "close")
        assert asyncio.get_running_loop().time() - started >= 0.5
    assert refused(server) == {"head_timeout": 1}


async def test_heads_are_in_a_hurry_while_half_of_the_connections_are_used(make_server: MakeServer) -> None:
    server = await make_server(auth_required=False, max_tcp_connections=8, head_timeout=12)
    few = [await Wire.open(server.url) for _ in range(3)]
    await asyncio.sleep(4)  # longer than they have when they are in a hurry
    assert refused(server) == {}
    async with await Wire.open(server.url) as fourth:
        assert [await wire.read_to_end() for wire in few] == [b""] * 3
        assert await fourth.read_to_end() == b""
    for wire in few:
        await wire.__aexit__(None, None, None)


async def test_a_body_without_an_end_times_out(make_server: MakeServer) -> None:
    server = await make_server(auth_required=False, **QUICK)
    client = await Polling.connect(server.url)
    async with await Wire.open(server.url) as wire:
        await wire.write(head_of("POST", client.target, "Content-Length: 1000") + "4")
        assert (await wire.read_answer()).status == 408
        assert await wire.read_to_end() == b""
    assert refused(server) == {"body_timeout": 1}


async def test_a_body_that_comes_steadily_may_take_longer(make_server: MakeServer) -> None:
    # After a longer pause than a second, a server reads what has come before it ends anybody.
    server = await make_server(auth_required=False, body_timeout=1.2)
    client = await Polling.connect(server.url)
    body = "40" + "\x1e42" + json.dumps(["x", "y" * 3_000])
    async with await Wire.open(server.url) as wire:
        await wire.write(head_of("POST", client.target, f"Content-Length: {len(body)}"))
        for start in range(0, len(body), 100):
            await wire.write(body[start : start + 100])
            await asyncio.sleep(0.06)
        assert (await wire.read_answer()).body == b"ok"
    assert refused(server) == {}


async def test_idle_connections_are_closed_after_keep_alive(make_server: MakeServer) -> None:
    # After a longer pause than a second, a server reads what has come before it ends anybody.
    server = await make_server(auth_required=False, keep_alive=2.5)
    async with await Wire.open(server.url) as wire:
        for _ in range(3):
            await wire.write(HEADS["plain"])
            assert (await wire.read_answer()).status == 200
            await asyncio.sleep(0.9)
        assert await wire.read_to_end() == b""
    assert refused(server) == {}


async def test_load_balancers_may_keep_idle_connections_for_75_seconds() -> None:
    """AWS's and nginx keep theirs for 60 s; if the server closed earlier, they would answer with 502."""
    assert settings_for_tests().keep_alive == HttpLimits().keep_alive == 75
    clock = HandClock()
    plain = Plain(HttpLimits(), clock)
    await plain.process.start()
    async with await Wire.open(plain.url) as wire:
        for _ in range(3):
            await wire.write(HEADS["plain"])
            assert (await wire.read_answer()).status == 200
            clock.now += 74.9
            plain.bounds._end_overdue(clock())
        clock.now += 0.2
        plain.bounds._end_overdue(clock())
        assert await wire.read_to_end() == b""
    await plain.process.stop()


async def test_a_long_answer_has_no_deadline(make_server: MakeServer) -> None:
    server = await make_server(auth_required=False, ping_interval=4, **QUICK)
    client = await Polling.connect(server.url)
    assert await client.packets() == ["2"]
    async with await WebSocket.connect(server.url) as websocket:
        await websocket.opened()
        await asyncio.sleep(1.5)
        await websocket.join()
    assert refused(server) == {}


# -- TCP connections


async def test_tcp_connections_are_bounded_and_idle_ones_go_first(make_server: MakeServer) -> None:
    server = await make_server(auth_required=False, max_tcp_connections=4)
    wires = [await Wire.open(server.url) for _ in range(2)]
    idle = await Wire.open(server.url)
    await idle.write(HEADS["plain"])
    await idle.read_answer()
    async with await WebSocket.connect(server.url) as websocket:
        await websocket.opened()
        fifth = await Wire.open(server.url)
        assert await idle.read_to_end() == b""
        assert refused(server) == {"idle_evicted": 1}
        sixth = await Wire.open(server.url)
        assert await sixth.read_to_end() == b""
        assert refused(server) == {"idle_evicted": 1, "tcp_connections": 1}
        await fifth.write(HEADS["plain"])
        assert (await fifth.read_answer()).status == 200
        await websocket.join()
        assert await status_of(server.admin_url, HEADS["plain"]) == 200
        assert 'tradecast_tcp_connections{port="public"} 4.0' in server.app.metrics.render_prometheus("")[1].decode()
        assert (
            'tradecast_tcp_connections_limit{port="public"} 4.0' in server.app.metrics.render_prometheus("")[1].decode()
        )
    for wire in (*wires, idle, fifth, sixth):
        await wire.__aexit__(None, None, None)
    await eventually(lambda: server.connections("public") == set())
    assert await status_of(server.url, HEADS["plain"]) == 200


# -- TLS


@pytest.fixture
def certificates(tmp_path: Path) -> tuple[dict[str, str], ssl.SSLContext]:
    """Settings of a server with TLS, and what its clients trust."""
    files = make_certificates(tmp_path)
    trusted = ssl.create_default_context(cafile=files.ca)
    return {"ssl_certfile": files.server_cert, "ssl_keyfile": files.server_key}, trusted


async def test_bounds_over_tls(
    make_server: MakeServer, certificates: tuple[dict[str, str], ssl.SSLContext], kind: str
) -> None:
    settings, tls = certificates
    server = await make_server(auth_required=False, **settings)
    assert await status_of(server.url, padded(HEADS[kind], HEAD), tls) == SERVED[kind]
    assert await status_of(server.url, with_query(HEADS[kind], QUERY), tls) == SERVED[kind]
    assert refused(server) == {}
    await assert_refused(server, padded(HEADS[kind], HEAD + 1), 431, "head_bytes", tls)
    await assert_refused(server, with_lines(HEADS[kind], LINES + 1), 431, "head_lines", tls)
    await assert_refused(server, with_query(HEADS[kind], QUERY + 1), 414, "query", tls)


async def test_deadlines_over_tls(make_server: MakeServer, certificates: tuple[dict[str, str], ssl.SSLContext]) -> None:
    settings, tls = certificates
    server = await make_server(auth_required=False, tls_timeout=3, head_timeout=2, **settings)
    async with await Wire.open(server.url) as silent:
        assert await silent.read_to_end() == b"", "no handshake"
    async with await Wire.open(server.url, tls) as wire:
        await wire.write("GET /health HT")
        assert (await wire.read_answer()).status == 408
        assert await wire.read_to_end() == b""
    assert refused(server) == {"tls_timeout": 1, "head_timeout": 1}


async def test_silent_handshakes_are_counted_and_bounded(
    make_server: MakeServer, certificates: tuple[dict[str, str], ssl.SSLContext]
) -> None:
    settings, tls = certificates
    server = await make_server(auth_required=False, max_tcp_connections=4, **settings)
    async with await Wire.open(server.url, tls) as idle:
        await idle.write(HEADS["plain"])
        assert (await idle.read_answer()).status == 200
        silent = [await Wire.open(server.url) for _ in range(3)]
        await eventually(lambda: len(server.connections("public")) == 4)
        assert 'tradecast_tcp_connections{port="public"} 4.0' in server.app.metrics.render_prometheus("")[1].decode()
        async with await Wire.open(server.url) as fifth:
            await eventually(lambda: refused(server) == {"idle_evicted": 1})
            async with await Wire.open(server.url) as sixth:
                assert await sixth.read_to_end() == b""
            assert refused(server) == {"idle_evicted": 1, "tcp_connections": 1}
            assert await status_of(server.admin_url, HEADS["plain"]) == 200
            assert fifth is not None
    for wire in silent:
        await wire.__aexit__(None, None, None)
    await eventually(lambda: server.connections("public") == set())
    assert await status_of(server.url, HEADS["plain"], tls) == 200
