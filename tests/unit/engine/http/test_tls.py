"""TLS handshakes of a listener's connections, over real sockets, under both event loops."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import ssl
from collections.abc import Callable, Coroutine
from typing import Any, cast

import pytest
import uvloop

from kit.network.tls import Certificates, make_certificates
from kit.parsing.raw_http import RefusalList
from kit.waiting import eventually
from tradecast.engine.http import tls
from tradecast.engine.http.certificates import load_certificate
from tradecast.engine.http.connection_bounds import ConnectionBounds, HttpLimits
from tradecast.engine.http.tls import TlsHandshake, TlsListener

Run = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    """Runs a test under one kind of event loop."""

    def run(test: Coroutine[Any, Any, None]) -> None:
        factory = uvloop.new_event_loop if request.param == "uvloop" else None
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(test)

    return run


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


class Echo(asyncio.Protocol):
    """Sends back what it gets. Attributes: got: all of it."""

    def __init__(self, case: Case) -> None:
        self.got = b""
        self._case = case

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._case.made.append(self)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.got += data
        self.transport.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._case.lost.append(self)


class Case:
    """A listener with a certificate, itself (`Certificate`). Attributes: made, lost, refused: what happened."""

    def __init__(self, files: Certificates, *, most: int = 100, seconds: float = 30) -> None:
        self.made: list[Echo] = []
        self.lost: list[Echo] = []
        self.refused = RefusalList()
        self.client = ssl.create_default_context(cafile=files.ca)
        self.bounds = ConnectionBounds(HttpLimits(), most=most, observer=self.refused)
        self._seconds = seconds
        self._writers: list[asyncio.StreamWriter] = []
        self.listening = load_certificate(files.server_cert, files.server_key)

    async def __aenter__(self) -> Case:
        listening = socket.create_server(("127.0.0.1", 0))
        self.port = listening.getsockname()[1]
        self.listener = TlsListener(listening, self, self._seconds, self.bounds, lambda: Echo(self))
        return self

    async def __aexit__(self, *error: object) -> None:
        self.listener.close()
        for writer in self._writers:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
        await eventually(lambda: self.lost == self.made and not self.bounds.connections)
        self.bounds.close()

    async def open(self, tls: bool = True) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, ssl=self.client if tls else None)
        self._writers.append(writer)
        return reader, writer

    async def nobody_is_left(self) -> None:
        await eventually(lambda: not self.bounds.connections)
        assert not self.bounds.reading_head


def test_a_connection_gets_its_protocol(run: Run, files: Certificates) -> None:
    async def test() -> None:
        async with Case(files) as case:
            reader, writer = await case.open()
            writer.write(b"x" * 300_000)
            assert await reader.readexactly(300_000) == b"x" * 300_000
            # What it is for counts itself.
            await case.nobody_is_left()
            writer.close()
            await eventually(lambda: case.lost == case.made)
            assert case.refused == []

    run(test())


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("size", [1, 40_000])
def test_what_comes_with_the_end_of_the_handshake_is_not_lost(
    run: Run, files: Certificates, version: ssl.TLSVersion, size: int
) -> None:
    async def test() -> None:
        async with Case(files) as case:
            case.client.minimum_version = case.client.maximum_version = version
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            client = case.client.wrap_bio(incoming, outgoing, server_hostname="127.0.0.1")
            reader, writer = await case.open(tls=False)
            while True:
                try:
                    client.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    writer.write(outgoing.read())
                    incoming.write(await reader.read(65_536))
            client.write(b"y" * size)
            writer.write(outgoing.read())  # with the last of the handshake, in one piece (of TLS 1.3)
            await eventually(lambda: [len(echo.got) for echo in case.made] == [size])
            writer.close()
            await eventually(lambda: case.lost == case.made)

    run(test())


def test_one_that_sends_nothing_is_counted_and_has_its_time(run: Run, files: Certificates) -> None:
    async def test() -> None:
        async with Case(files, seconds=3) as case:  # and is seen meanwhile
            reader, _ = await case.open(tls=False)
            await eventually(lambda: len(case.bounds.connections) == 1)
            assert await reader.read() == b""
            await case.nobody_is_left()
            assert (case.refused, case.made) == (["tls_timeout"], [])

    run(test())


def test_beyond_the_bound_new_ones_are_closed(run: Run, files: Certificates) -> None:
    async def test() -> None:
        async with Case(files, most=3) as case:
            silent = [await case.open(tls=False) for _ in range(3)]
            await eventually(lambda: len(case.bounds.connections) == 3)
            with pytest.raises(OSError):  # noqa: PT011 whichever it is: it is closed
                await case.open()
            assert case.refused == ["tcp_connections"]
            silent[0][1].close()
            await eventually(lambda: len(case.bounds.connections) == 2)
            reader, writer = await case.open()
            writer.write(b"x")
            assert await reader.readexactly(1) == b"x"
            for _, one in silent:
                one.close()
            await case.nobody_is_left()

    run(test())


@pytest.mark.parametrize(
    ("sent", "refused"), [(b"", []), (b"\x16\x03\x01", []), (b"GET / HTTP/1.1\r\n\r\n", ["tls_error"])]
)
def test_one_that_does_not_come_to_an_end_leaves_nothing(
    run: Run, files: Certificates, sent: bytes, refused: list[str]
) -> None:
    async def test() -> None:
        async with Case(files) as case:
            _, writer = await case.open(tls=False)
            writer.write(sent)
            await eventually(lambda: len(case.bounds.connections) == 1 or case.refused == refused != [])
            writer.close()
            await case.nobody_is_left()
            assert (case.refused, case.made) == (refused, [])

    run(test())


def test_one_that_is_reset_leaves_nothing(run: Run, files: Certificates) -> None:
    async def test() -> None:
        async with Case(files) as case:
            _, writer = await case.open(tls=False)
            await eventually(lambda: len(case.bounds.connections) == 1)
            raw: socket.socket = writer.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
            writer.transport.abort()
            await case.nobody_is_left()
            assert (case.refused, case.made) == ([], [])

    run(test())


def test_when_the_server_stops_it_ends(run: Run, files: Certificates) -> None:
    async def test() -> None:
        async with Case(files) as case:
            reader, _ = await case.open(tls=False)
            await eventually(lambda: len(case.bounds.connections) == 1)
            for connection in list(case.bounds.connections):
                assert isinstance(connection, TlsHandshake)
                connection.shutdown()
            assert await reader.read() == b""
            await case.nobody_is_left()
            assert (case.refused, case.made) == ([], [])

    run(test())


def test_while_half_of_all_are_used_it_has_less_time(run: Run, files: Certificates) -> None:
    async def test() -> None:
        async with Case(files, most=2) as case:
            case.bounds.limits = HttpLimits(hurried_head_seconds=0.2)
            reader, _ = await case.open(tls=False)
            assert await reader.read() == b""
            await case.nobody_is_left()
            assert (case.refused, case.made) == (["tls_timeout"], [])

    run(test())


def test_without_a_descriptor_it_waits_and_continues(
    run: Run, files: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tls, "PAUSE", 0.1)

    async def test() -> None:
        async with Case(files) as case:
            failures = [OSError(errno.EMFILE, "Too many open files")] * 2
            real = case.listener._socket

            class Failing:
                def accept(self) -> Any:
                    if failures:
                        raise failures.pop()
                    return real.accept()

                def __getattr__(self, name: str) -> Any:
                    return getattr(real, name)

            case.listener._socket = cast(socket.socket, Failing())
            reader, writer = await case.open()
            writer.write(b"x")
            assert await reader.readexactly(1) == b"x"
            assert failures == []

    run(test())


def test_no_delay_as_of_other_connections(run: Run, files: Certificates) -> None:
    async def test() -> None:
        async with Case(files) as case:
            _, writer = await case.open()
            await eventually(lambda: len(case.made) == 1)
            raw: socket.socket = case.made[0].transport.get_extra_info("socket")
            assert raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            writer.close()

    run(test())


def test_once_closed_it_accepts_nobody(run: Run, files: Certificates) -> None:
    async def test() -> None:
        async with Case(files) as case:
            reader, writer = await case.open()
            assert len(case.listener.sockets) == 1
            case.listener.close()
            case.listener.close()
            assert list(case.listener.sockets) == []
            with pytest.raises(ConnectionRefusedError):
                await case.open()
            writer.write(b"x")
            assert await reader.readexactly(1) == b"x", "connections go on"

    run(test())
