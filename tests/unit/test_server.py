"""The server's API before it is initialized."""

from __future__ import annotations

from tradecast import Settings, WebSocketServer, create_auth_middleware
from tradecast.connections.connection import Connection


async def authenticate(connection: Connection) -> None:
    """Let everybody in."""


def test_the_authentication_that_is_set_last_is_the_only_one() -> None:
    server = WebSocketServer(Settings())
    server.set_auth_middleware(create_auth_middleware(session_collection="other"))
    server.set_auth_middleware(authenticate)
    # The collection belongs to the authentication that was replaced: sessions are where the settings say.
    assert server._middleware.sessions is None
    assert server._middleware.authenticate is authenticate
    server.set_auth_middleware(create_auth_middleware(session_collection="other"))
    assert server._middleware.sessions is not None
    assert server._middleware.authenticate is None
