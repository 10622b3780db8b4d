"""What whoever runs the server sets for each new client: authentication, limits, and a welcome."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Protocol

from tradecast.connections.connection import Connection
from tradecast.connections.guards import AuthMiddlewareFactory


class ConnectionMiddleware(Protocol):
    """Is awaited for each new client before it is connected."""

    def __call__(self, connection: Connection, /) -> Awaitable[None]: ...


class ConnectHandler(Protocol):
    """Is awaited for each client that has just been connected."""

    def __call__(self, connection: Connection, /) -> Awaitable[None]: ...


@dataclass(frozen=True, slots=True)
class DefaultMiddleware:
    """The product's own steps, awaited in this order.

    Attributes:
        authenticate: Attaches a session to a connection, or raises `AuthRefused`.
        limit: Counts a connection, and puts guards before its events.
    """

    authenticate: ConnectionMiddleware
    limit: ConnectionMiddleware


@dataclass(slots=True)
class Middleware:
    """What is set in place of the product's own steps; None: nothing is.

    Attributes:
        authenticate: See `DefaultMiddleware`.
        sessions: Makes the product's own authentication; None: as the settings say.
        limit: See `DefaultMiddleware`.
        welcome: Is awaited for each client that has been connected; None: nothing is done.
    """

    authenticate: ConnectionMiddleware | None = None
    sessions: AuthMiddlewareFactory | None = None
    limit: ConnectionMiddleware | None = None
    welcome: ConnectHandler | None = None

    @property
    def is_default(self) -> bool:
        """Whether all steps are the product's, which wait for nothing that is in this process's memory."""
        return self.authenticate is None and self.limit is None and self.welcome is None


class ConnectSteps:
    """The steps for each new client: those that are set, and the product's own in place of the others.

    Args:
        chosen: What whoever runs the server has set. It may change at any time.
        defaults: The product's own steps.
    """

    def __init__(self, chosen: Middleware, defaults: DefaultMiddleware) -> None:
        self._chosen = chosen
        self._defaults = defaults

    @property
    def is_default(self) -> bool:
        """See `Middleware.is_default`."""
        return self._chosen.is_default

    @property
    def welcome(self) -> ConnectHandler | None:
        """Is awaited for each client that has been connected; None: nothing is done."""
        return self._chosen.welcome

    def authenticate(self, connection: Connection) -> Awaitable[None]:
        """Attach a session to a connection, or raise `AuthRefused`."""
        return (self._chosen.authenticate or self._defaults.authenticate)(connection)

    def limit(self, connection: Connection) -> Awaitable[None]:
        """Count a connection, and put guards before its events."""
        return (self._chosen.limit or self._defaults.limit)(connection)
