"""Authentication that a program sets in place of the settings'."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kit.clients.raw import WebSocket
from kit.servers.in_process import MakeServer, RunningServer
from tradecast import create_auth_middleware


async def answer(server: RunningServer, auth: dict[str, Any]) -> str:
    async with await WebSocket.connect(server.url) as client:
        await client.opened()
        await client.send("40" + json.dumps(auth))
        return await client.until("4")


async def test_who_may_be_anonymous_is_what_the_program_says(make_server: MakeServer) -> None:
    server = await make_server(lambda app: app.set_auth_middleware(create_auth_middleware(required=False)))
    assert (await answer(server, {})).startswith("40")
    assert "SESSION_NOT_FOUND" in await answer(server, {"sessionID": "x" * 32, "userId": "u1"})
    strict = await make_server(
        lambda app: app.set_auth_middleware(create_auth_middleware(required=True)), auth_required=False
    )
    assert "AUTH_REQUIRED" in await answer(strict, {})


async def test_it_has_to_be_set_before_the_server_has_its_sessions(make_server: MakeServer) -> None:
    server = await make_server()
    with pytest.raises(RuntimeError, match="before initialize"):
        server.app.set_auth_middleware(create_auth_middleware(required=False))
    assert "AUTH_REQUIRED" in await answer(server, {})
