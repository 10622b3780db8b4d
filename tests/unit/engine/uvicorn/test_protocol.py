"""The protocol under an uvicorn of somebody else's, who gives it no more than the engine."""

from __future__ import annotations

import asyncio

import pytest
import uvicorn

from kit.clients.raw import WebSocket
from kit.parsing.raw_http import Answer, Talk
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


POST = b"POST /x HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc"


async def test_what_is_no_request_gets_no_answer_in_the_midst_of_another_one() -> None:
    """It would be taken for a part of that one's body."""
    talk = Talk()
    talk.http.data_received(POST)
    await talk.until_it_writes()
    talk.http.data_received(b"what?\r\n\r\n")
    await talk.hear([])
    assert talk.socket.state == "aborted"
    assert b" 400 " not in talk.socket.written
    await talk.end()


async def test_what_is_no_request_gets_no_answer_in_the_place_of_another_one() -> None:
    """It would be taken for that one's."""
    talk = Talk()
    await talk.hear([POST + b"what?\r\n\r\n"])
    assert (talk.socket.state, talk.answers) == ("aborted", [])
    await talk.end()


@pytest.mark.parametrize(
    "request_",
    [
        b"what?\r\n\r\n",
        b"GET ?x HTTP/1.1\r\n\r\n",  # without a path
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
    ],
)
@pytest.mark.parametrize("before", [[], [POST]])
async def test_what_is_no_request_is_answered_in_its_own_place(before: list[bytes], request_: bytes) -> None:
    talk = Talk()
    for piece in (*before, request_):
        await talk.hear([piece])
    assert talk.answers == [Answer(200, b"ok: abc")] * len(before) + [Answer(400, b"Invalid HTTP request received.")]
    await talk.end()
