"""Over TLS, a protocol is paused as soon as the system takes no more, on each event loop."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest
import uvloop

from kit.network.tls import make_certificates
from kit.waiting import eventually
from tradecast.engine.transports.secured import SecuredTransport, WriteReadiness, secure_transport

UNSENT = 4_096
PIECE = b"x" * 1_000
# What the client's receive buffer and the system take, and the pieces of one turn.
MOST_PIECES = 60

LOOPS = pytest.mark.parametrize("make_loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])


class Writer(asyncio.Protocol):
    """Writes as long as it may."""

    def __init__(self, readiness: WriteReadiness) -> None:
        self.readiness = readiness
        self.transport: asyncio.Transport | None = None
        self.is_paused = False
        self.left = 0
        self.is_lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = secure_transport(cast(asyncio.Transport, transport), self.readiness, UNSENT)
        self.transport.set_protocol(self)
        self.transport.set_write_buffer_limits(high=1, low=0)

    def connection_lost(self, error: Exception | None) -> None:
        self.is_lost = True
        if isinstance(self.transport, SecuredTransport):
            self.transport.forget()

    def pause_writing(self) -> None:
        self.is_paused = True

    def resume_writing(self) -> None:
        self.is_paused = False
        self.write()

    def write(self) -> None:
        assert self.transport is not None
        while self.left and not self.is_paused:
            self.left -= 1
            self.transport.write(PIECE)


async def connect(folder: Path, readiness: WriteReadiness) -> tuple[Writer, ssl.SSLSocket]:
    """A server's protocol, and the blocking socket of a client with a small receive buffer."""
    pem = make_certificates(folder)
    secure = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    secure.load_cert_chain(pem.server_cert, pem.server_key)
    made: list[Writer] = []

    def make() -> Writer:
        made.append(Writer(readiness))
        return made[0]

    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT)
        plain = socket.socket()
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        plain.connect(listening.getsockname())
        accepted, _ = listening.accept()
    accepted.setblocking(False)
    trusting = ssl.create_default_context(cafile=pem.ca)
    handshake = asyncio.create_task(asyncio.to_thread(trusting.wrap_socket, plain, server_hostname="127.0.0.1"))
    await asyncio.get_running_loop().connect_accepted_socket(make, accepted, ssl=secure)
    return made[0], await handshake


def read(client: ssl.SSLSocket, size: int) -> int:
    client.settimeout(20)
    there = 0
    while there < size:
        there += len(client.recv(65_536))
    return there


@LOOPS
def test_little_is_written_for_a_client_that_does_not_read_and_all_once_it_does(
    make_loop: Callable[[], asyncio.AbstractEventLoop], tmp_path: Path
) -> None:
    async def run() -> None:
        readiness = WriteReadiness()
        writer, client = await connect(tmp_path, readiness)
        with client:
            written = 0
            while not writer.is_paused and written < 10 * MOST_PIECES:  # one event after the other, in turns
                written += 1
                writer.left = 1
                writer.write()
                await asyncio.sleep(0)
            assert written < MOST_PIECES, "the layers below keep no 80 kB"
            assert len(readiness) == 1
            writer.left = count = 2_000
            size = (written + count) * len(PIECE)
            assert await asyncio.to_thread(read, client, size) == size
            await eventually(lambda: not writer.is_paused and not len(readiness))
            assert writer.left == 0
            readiness.close()

    with asyncio.Runner(loop_factory=make_loop) as runner:
        runner.run(run())


@LOOPS
def test_a_client_that_is_gone_is_forgotten(make_loop: Callable[[], asyncio.AbstractEventLoop], tmp_path: Path) -> None:
    async def run() -> None:
        readiness = WriteReadiness()
        writer, client = await connect(tmp_path, readiness)
        writer.left = 1_000
        while not writer.is_paused:
            writer.write()
        await eventually(lambda: len(readiness) == 1)
        client.close()
        await eventually(lambda: writer.is_lost)
        assert len(readiness) == 0
        readiness.close()

    with asyncio.Runner(loop_factory=make_loop) as runner:
        runner.run(run())


async def test_a_descriptor_that_is_used_again_is_waited_for() -> None:
    """Event loops close it one turn before they tell a protocol over TLS."""

    class Noted(SecuredTransport):
        def __init__(self) -> None:
            self.ready = 0

        def on_ready(self) -> None:
            self.ready += 1

    readiness = WriteReadiness()
    before, after = Noted(), Noted()
    one, other = socket.socketpair()
    fd = one.fileno()
    readiness.wait(fd, before)
    one.close()
    again, peer = socket.socketpair()
    with other, again, peer:
        is_another = again.fileno() != fd
        if is_another:
            os.dup2(again.fileno(), fd)
        readiness.wait(fd, after)
        readiness.forget(fd, before)
        await eventually(lambda: after.ready == 1)
        assert (before.ready, len(readiness)) == (0, 0)
        if is_another:
            os.close(fd)
    readiness.close()


async def test_without_tls_a_connection_is_left_as_it_is() -> None:
    class Plain(asyncio.Transport):
        pass

    plain = Plain()
    assert secure_transport(plain, WriteReadiness(), UNSENT) is plain
