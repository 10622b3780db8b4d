"""uvicorn's server as this project runs it: until somebody ends it, without signals."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from starlette.responses import PlainTextResponse

from kit.clients.raw import Wire, head_of
from tradecast.engine.http.connection_bounds import ConnectionBounds
from tradecast.engine.uvicorn.server import UvicornServer, create_config, limit_unsent

APP = PlainTextResponse("ok")


class Served:
    """A server on a port of its own."""

    def __init__(self) -> None:
        self.signal_handler = signal.getsignal(signal.SIGTERM)
        self.bounds = ConnectionBounds()
        config = create_config(APP, None, self.bounds, grace=1)
        config.load()
        self.server = UvicornServer(
            config, "public", self.bounds, backlog=10, tls=None, also_plain=False, tls_timeout=1
        )
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self.running = asyncio.create_task(self.server.serve([self._socket]))

    async def ask(self, wire: Wire) -> str:
        await wire.write(head_of("GET", "/"))
        return (await wire.read_answer()).body.decode()


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    made = Served()
    await asyncio.wait_for(made.server.ready.wait(), 10)
    yield made
    made.server.exit_soon()
    made.server.close_now()
    await asyncio.wait_for(made.running, 10)


async def test_it_serves_until_it_is_ended_and_leaves_signals_alone(served: Served) -> None:
    async with await Wire.open(served.url) as wire:
        assert await served.ask(wire) == "ok"
        assert signal.getsignal(signal.SIGTERM) is served.signal_handler
    served.server.exit_soon()
    await asyncio.wait_for(served.running, 10)
    with pytest.raises(OSError, match=r"\S"):
        await Wire.open(served.url)


async def test_all_connections_are_dropped_at_once(served: Served) -> None:
    async with await Wire.open(served.url) as wire:
        assert await served.ask(wire) == "ok"
        assert len(served.server.server_state.connections) == len(served.bounds.connections) == 1
        served.server.close_now()
        assert await asyncio.wait_for(wire.read_to_end(), 10) == b""
    assert served.server.server_state.connections == set()


@pytest.mark.skipif(not hasattr(socket, "TCP_NOTSENT_LOWAT"), reason="the system has no such option")
async def test_connections_have_from_their_port_how_much_the_system_keeps() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        limit_unsent(listening, 5_000)
        with socket.create_connection(listening.getsockname()):
            accepted, _ = listening.accept()
            with accepted:
                assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT) == 5_000


def test_what_is_no_tcp_port_has_no_such_limit(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "s"))
        limit_unsent(listening, 5_000)
