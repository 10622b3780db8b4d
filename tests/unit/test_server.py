"""The server's API before it is initialized."""

from __future__ import annotations

from tradecast import Settings, WebSocketServer, create_auth_middleware
from tradecast.connections.connection import Connection
from tradecast.connections.guards import AuthMiddlewareFactory
from tradecast.gateway.middleware import ConnectionMiddleware


async def authenticate(connection: Connection) -> None:
    """Let everybody in."""


def find_authentication(server: WebSocketServer) -> tuple[AuthMiddlewareFactory | None, ConnectionMiddleware | None]:
    return server._middleware.sessions, server._middleware.authenticate


def test_the_authentication_that_is_set_last_is_the_only_one() -> None:
    server = WebSocketServer(Settings())
    factory = create_auth_middleware(session_collection="other")
    server.set_auth_middleware(factory)
    assert find_authentication(server) == (factory, None)
    # The collection belongs to the authentication that is replaced: sessions are where the settings say.
    server.set_auth_middleware(authenticate)
    assert find_authentication(server) == (None, authenticate)
    server.set_auth_middleware(factory)
    assert find_authentication(server) == (factory, None)
