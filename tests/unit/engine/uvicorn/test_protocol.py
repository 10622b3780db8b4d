"""The protocol under an uvicorn of somebody else's, who gives it no more than the engine."""

from __future__ import annotations

import asyncio

import uvicorn

from kit.clients.raw import WebSocket
from kit.waiting import eventually
from tradecast.engine.http.handshake import Verdict
from tradecast.engine.http.request import Request
from tradecast.engine.server import EngineServer
from tradecast.engine.uvicorn.protocol import bind_protocol
from tradecast.engine.uvicorn.websocket_handshake import Upgrades


class Open:
    """Lets everybody in."""

    def admit(self, request: Request) -> Verdict:
        return None


async def test_uvicorn_knows_the_connections_that_are_bounded() -> None:
    """Else it would stop without waiting for them."""
    engine = EngineServer()
    bound = bind_protocol(Upgrades(engine, Open()))
    config = uvicorn.Config(engine.handle_request, port=0, http=bound, ws="none", lifespan="off", log_config=None)
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server._serve())
    await eventually(lambda: server.started)
    port = server.servers[0].sockets[0].getsockname()[1]
    async with await WebSocket.connect(f"http://127.0.0.1:{port}") as client:
        await client.opened()
        assert len(server.server_state.connections) == 1
        assert server.server_state.connections is bound.bounds.connections  # type: ignore[attr-defined]
        server.should_exit = True
        assert await client.until_closed() == ([], 1001)
        await serving
    assert server.server_state.connections == set()
