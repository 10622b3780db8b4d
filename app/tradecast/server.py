"""The server as programs use it, over the components that `bootstrap` builds."""

from __future__ import annotations

import importlib.metadata
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import structlog
from starlette.routing import BaseRoute
from starlette.types import ASGIApp

from tradecast.bootstrap.apps import Apps
from tradecast.bootstrap.builder import build_components
from tradecast.bootstrap.components import Components, Foundation
from tradecast.bootstrap.environment import warn_of_misspelt
from tradecast.bootstrap.metrics import ServerMetrics
from tradecast.bootstrap.monitoring import register_health, watch_components
from tradecast.cluster_rpc import Cluster, ClusterApi
from tradecast.config.settings import Mode, Settings, load_settings
from tradecast.connections.connection import EventGuard
from tradecast.connections.guards import AuthMiddlewareFactory
from tradecast.connections.registry import ConnectionRegistry
from tradecast.delivery.event_kinds import KindName
from tradecast.delivery.hub import Hub
from tradecast.deprecated import keep_old_names
from tradecast.engine.http.certificates import Certificate
from tradecast.engine.uvicorn.websocket_handshake import Upgrades
from tradecast.events import rooms
from tradecast.events.dispatcher import Dispatcher, Handler, Route
from tradecast.events.emitters import Emitters
from tradecast.events.symbols import Symbols
from tradecast.gateway.middleware import ConnectHandler, ConnectionMiddleware, Middleware
from tradecast.limits.limiter import RateLimiter
from tradecast.observability.health import Health
from tradecast.observability.logs import configure_logging
from tradecast.observability.throttled_log import ThrottledLog
from tradecast.packets.codec import arguments_of
from tradecast.packets.room_names import NAMESPACE, Room, qualify_room, room_name
from tradecast.polling_relay.tls import InternalTls
from tradecast.redis_client.client import RedisClient
from tradecast.sessions.service import Sessions
from tradecast.user_id import format_user_id

log = structlog.stdlib.get_logger("tradecast.server")
if not TYPE_CHECKING:  # a type checker would take any name for one of this module
    __getattr__ = keep_old_names(__name__, {"create_process": "tradecast.bootstrap.ports"})


class NotInitialized(RuntimeError):
    """Something was asked of a server that has not been initialized, or could not be."""


class WebSocketServer(Emitters, ClusterApi):
    """Connections, events and rooms of one server.

    Make it, register what is wanted, `await initialize()`, serve `public_app` and `admin_app` (or let
    `bootstrap.ports.create_process` do it), and `await shutdown()`.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        self._from_environment = settings is None
        self.settings = settings or load_settings()
        self.symbols = Symbols(self.settings.symbol_pattern)
        Emitters.__init__(self, self.symbols)
        ClusterApi.__init__(self)
        self.metrics = ServerMetrics(importlib.metadata.version("tradecast"))
        self.health = Health(observer=self.metrics.dependencies)
        self.registry = ConnectionRegistry()
        self._lines = ThrottledLog(self.metrics.process)
        self._middleware = Middleware()
        self._dispatcher = Dispatcher(self.metrics.events, self)
        self._extra_routes: list[BaseRoute] = []
        self._components: Components | None = None

    # -- the requirements' API

    async def initialize(self) -> None:
        """Connect the parts. A dependency that does not answer is logged, not fatal: `/health/…` reports it.

        Raises:
            SettingsError: A URL means nothing, or names a database that Redis does not have.
        """
        if not structlog.is_configured():  # embedded: structlog's own default shows local variables, secrets among them
            configure_logging(self.settings.log_level, self.settings.log_format)
        if self._from_environment:
            warn_of_misspelt(os.environ)
        foundation = Foundation(
            settings=self.settings,
            metrics=self.metrics,
            health=self.health,
            lines=self._lines,
            registry=self.registry,
            dispatcher=self._dispatcher,
            middleware=self._middleware,
            broadcaster=self,
            symbols=self.symbols,
            server_events=self._server_events,
        )
        components = self._components = await build_components(foundation)
        register_health(components)
        watch_components(components)
        await components.start()
        log.info("initialized", mode=self.mode, session_store=self.settings.store_name)

    async def shutdown(self) -> None:
        """Close the clients' transports so that they reconnect elsewhere, and release all resources."""
        await self.components.close()
        log.info("shut down")

    def set_auth_middleware(self, middleware: ConnectionMiddleware | AuthMiddlewareFactory) -> None:
        """Run `middleware(connection)` on each new connection, before it is accepted.

        It attaches a session, or raises `AuthRefused` (final) or `StoreUnavailable` (the client retries).

        Args:
            middleware: A coroutine function, or what `create_auth_middleware` returns.

        Raises:
            RuntimeError: `create_auth_middleware` is set after `initialize`.
        """
        if not isinstance(middleware, AuthMiddlewareFactory):
            self._middleware.sessions, self._middleware.authenticate = None, middleware
        elif self._components is not None:
            raise RuntimeError("create_auth_middleware() has to be set before initialize()")
        else:
            self._middleware.sessions, self._middleware.authenticate = middleware, None

    def set_rate_limit_middleware(self, middleware: ConnectionMiddleware) -> None:
        """Run `middleware(connection)` after authentication; it may add a guard with `connection.use`."""
        self._middleware.limit = middleware

    def register_event_handler(
        self, event: str, handler: Handler, *, guards: Sequence[EventGuard] = (), namespace: str = NAMESPACE
    ) -> None:
        """Call `handler(connection, *arguments)` for a client's event; what it returns goes to the acknowledgement.

        A handler gets as many arguments as it takes: what the client did not send is None. It returns a tuple to
        acknowledge with several. A coroutine function runs in a task; a plain function runs at once and must not block.
        Registered before `initialize`, it replaces the contract's own handler of the same name.

        Args:
            event: Its name.
            handler: What is called.
            guards: Checks that stand before it.
            namespace: Where clients send it. Another one than `/` comes to be with its first handler.
        """
        self._dispatcher.register(Route(event, handler, tuple(guards)), namespace)

    def add_namespace(self, namespace: str) -> None:
        """Let clients into another namespace than `/`.

        They are authenticated and limited there in the same way, each namespace being a connection of its own, and
        reached on every server; but a connection that is lost is not recovered, and the product's events stay on `/`.
        """
        self._dispatcher.add_namespace(namespace)

    def set_connect_handler(self, handler: ConnectHandler) -> None:
        """Await `handler(connection)` for each client that has just been connected; its events wait until it is done.

        Until then `connection.claims` is what the client passed as `auth`.
        """
        self._middleware.welcome = handler

    async def emit_to_user(
        self, user_id: str | int, event: str, *arguments: Any, namespace: str = NAMESPACE, kind: KindName | None = None
    ) -> None:
        """Send an event to all connections of a user, on every server. Raises as `emit_to_room`."""
        await self.emit_to_room(rooms.user(user_id), event, *arguments, namespace=namespace, kind=kind)

    async def emit_to_room(
        self, room: Room, event: str, *arguments: Any, namespace: str = NAMESPACE, kind: KindName | None = None
    ) -> None:
        """Send an event to a room, on every server. A single None stands for no argument, a tuple for several.

        A client's sid is a room with that client in it, and an integer the same room as its decimal form. Kinds and
        errors are those of `emit`.
        """
        found = arguments_of(arguments[0]) if len(arguments) == 1 else list(arguments)
        chosen = self._hub.choose_kind(event, kind)
        rooms = (qualify_room(namespace, room_name(room)),)
        await self._hub.emit(event, found, rooms, namespace=namespace, kind=chosen)

    async def broadcast(
        self, event: str, *arguments: Any, namespace: str = NAMESPACE, kind: KindName | None = None
    ) -> None:
        """Send an event to every authenticated client, on every server. Raises as `emit_to_room`."""
        await self.emit_to_room(rooms.AUTHENTICATED, event, *arguments, namespace=namespace, kind=kind)

    def get_total_connection_count(self) -> int:
        """Connections to this server."""
        return len(self.registry)

    def get_user_connection_count(self, user_id: str | int) -> int:
        """A user's connections to this server."""
        return len(self.registry.of_user(format_user_id(user_id)))

    def get_stats(self) -> dict[str, Any]:
        """The metrics of `/metrics` as JSON, and the state of this server: the body of `/admin/stats`."""
        return self.components.stats.read()

    # -- its parts

    @property
    def components(self) -> Components:
        """The parts of the server. Raises NotInitialized before `initialize`, as all that needs them does."""
        if self._components is None:
            raise NotInitialized("the server is not initialized: `await server.initialize()` comes first")
        return self._components

    @property
    def sessions(self) -> Sessions:
        """Where sessions are looked up."""
        return self.components.sessions

    @property
    def limiter(self) -> RateLimiter:
        """Counts events, connections and subscriptions of users."""
        return self.components.limiter

    @property
    def cluster(self) -> Cluster:
        """Requests to all servers."""
        return self.components.cluster

    @property
    def _hub(self) -> Hub:
        return self.components.hub

    @property
    def redis(self) -> RedisClient | None:
        """The client for requests to REDIS_URL; None without that, and before `initialize`."""
        return None if self._components is None else self._components.redis

    @property
    def mode(self) -> Mode:
        """How events pass between servers: `single` not at all, `pubsub` by one Redis, `sharded` by a Redis Cluster."""
        return self.settings.mode

    @property
    def is_local(self) -> bool:
        """Whether nothing is shared with other servers: all is in this process's memory."""
        return self.redis is None

    # -- what is served

    def add_public_routes(self, routes: Sequence[BaseRoute]) -> None:
        """Serve more on the public port; call it before `public_app`."""
        self._extra_routes.extend(routes)

    def public_app(self) -> ASGIApp:
        """The app of the public port."""
        return self._apps.public(self._extra_routes)

    def admin_app(self) -> ASGIApp:
        """The app of the admin port."""
        return self._apps.admin()

    def internal_app(self) -> ASGIApp | None:
        """The app of the internal port; None where servers forward no requests to each other."""
        relay = self.components.relay
        return None if relay is None else relay.inbox

    def public_upgrades(self) -> Upgrades:
        """Where WebSockets of the public port go when the HTTP server hands over their connections."""
        return self._apps.public_upgrades()

    def internal_upgrades(self) -> Upgrades | None:
        """Where WebSockets of the internal port go; None without that port."""
        return self._apps.internal_upgrades()

    def public_certificate(self) -> Certificate | None:
        """The certificate for TLS on the public port, which follows its files; None: it speaks no TLS."""
        return self.components.certificate

    def internal_tls(self) -> InternalTls | None:
        """The certificates for TLS on the internal port; None: it speaks no TLS."""
        relay = self.components.relay
        return None if relay is None else relay.tls

    @property
    def _apps(self) -> Apps:
        return Apps(self.components, self, self)

    async def internal_listening(self, port: int, *, tls: bool = False) -> None:
        """Announce to the other servers where `internal_app` is served, and if with TLS: before `public_app` is."""
        if self.components.relay is not None:
            await self.components.relay.announce(port, tls=tls)

    def listening(self) -> None:
        """`public_app` is served from now on: clients come as soon as a Service's endpoints have followed."""
        self.components.readiness.start_listening()

    async def send_away(self) -> None:
        """Drain: readiness off, new clients refused, connected ones disconnected at DRAIN_RATE."""
        await self.components.drain.finish()
        await self.components.socket_server.eio.close_all(self.settings.shutdown_timeout)
        self.components.hub.broker.give_up()
