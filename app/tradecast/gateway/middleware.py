"""What whoever runs the server sets for each new client: authentication, limits, and a welcome."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tradecast.connections.connection import Connection

ConnectionMiddleware = Callable[[Connection], Awaitable[None]]
ConnectHandler = Callable[[Connection], Awaitable[None]]


@dataclass(slots=True)
class Middleware:
    """Awaited for each new client, in this order. None: the product's own, where the server is put together.

    Attributes:
        authenticate: Attaches a session to a connection, or raises `AuthRefused`.
        limit: Counts a connection, and puts guards before its events.
        welcome: Is awaited for each client that has been let in; None: nothing is done.
        is_own: Whether all are the product's, which wait for nothing that is in this process's memory.
    """

    authenticate: ConnectionMiddleware | None = None
    limit: ConnectionMiddleware | None = None
    welcome: ConnectHandler | None = None
    is_own: bool = False
