"""The server: puts the parts together, and has the API of the requirements' core server."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata
import os
import random
import secrets
import time
from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import structlog
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from tradecast.background.stepping import Done, step
from tradecast.background.tasks import end
from tradecast.bootstrap import (
    create_cluster,
    create_forwarder,
    create_forwarding,
    create_hub,
    create_socket_server,
    create_tuner,
    create_watched_broker,
)
from tradecast.causes import Code, Failed
from tradecast.cluster_rpc import ClusterApi
from tradecast.cluster_rpc.local_clients import Clients, Described
from tradecast.config.misspelt import find_misspelt
from tradecast.config.settings import DAY, SETTINGS, Mode, Settings, SettingsError, Transport, load_settings
from tradecast.connections.connection import Connection, EventGuard
from tradecast.connections.guards import AuthMiddleware, create_auth_middleware
from tradecast.connections.registry import ConnectionRegistry
from tradecast.delivery.errors import ConnectRefused, TryAgain
from tradecast.delivery.hub import NAMESPACE, Hub
from tradecast.delivery.redis.broker import RedisBroker
from tradecast.engine import EngineServer
from tradecast.engine.http.guests import Guests, HttpLimits
from tradecast.engine.http.handshake import Entrance, TransportRefusal
from tradecast.engine.http.request import Request
from tradecast.engine.http.uvicorn_protocol import Upgrades
from tradecast.engine.ids import IdMaker
from tradecast.events import rooms
from tradecast.events.dispatcher import Dispatcher
from tradecast.events.emitters import Emitters
from tradecast.events.handlers import Handler, Handlers, Route, is_subscription, may_be_in, subscription_member
from tradecast.events.limiting import create_rate_limit_middleware
from tradecast.events.symbols import Symbols
from tradecast.gateway.application import Accepted, Resume
from tradecast.gateway.server import DISPLACED, SocketServer
from tradecast.http.app import (
    PublicApp,
    PublicEntrance,
    admin_routes,
    create_app,
    drain_routes,
    emit_routes,
    health_routes,
    metrics_route,
)
from tradecast.http.signed_requests import SignedRequests
from tradecast.http.stats import OTHER_REDIS, Stats
from tradecast.lifecycle.admission import Admission
from tradecast.lifecycle.departures import PacedDisconnect
from tradecast.lifecycle.drain import Drain
from tradecast.lifecycle.files import Shares, read_limit
from tradecast.lifecycle.fleet import Fleet, State
from tradecast.lifecycle.fleet_pace import FleetPace
from tradecast.lifecycle.gate import HandshakeGate
from tradecast.lifecycle.process import Listener, Process
from tradecast.limits.limiter import RateLimiter
from tradecast.limits.places import Places, Probed
from tradecast.observability.health import Health
from tradecast.observability.logs import configure_logging
from tradecast.observability.loop_lag import LoopLag
from tradecast.observability.metrics import Metrics
from tradecast.observability.seldom import Seldom
from tradecast.packets.codec import arguments_of
from tradecast.packets.rooms import LocalManager, Room, qualify, room_name
from tradecast.polling_relay import Forwarding
from tradecast.polling_relay.forwarder import Forwarder
from tradecast.polling_relay.http_client import SERVER_KEEPS
from tradecast.polling_relay.inbox import Inbox
from tradecast.polling_relay.offer import Offer
from tradecast.polling_relay.tls import InternalTls
from tradecast.redis_client.client import RedisClient, check_database, check_redis, create_redis
from tradecast.redis_client.eviction import EvictionWatch
from tradecast.redis_client.peer import Explainer
from tradecast.redis_client.place import naming, place_of
from tradecast.runtime_config.file_watcher import WatchedFile
from tradecast.runtime_config.manager import Tuner
from tradecast.sessions.admin import SessionAdmin
from tradecast.sessions.documents.cookies import read_session_cookie
from tradecast.sessions.errors import MESSAGES, AuthRefused, Reason, RefusalCode, StoreUnavailable
from tradecast.sessions.expiry import SessionExpiry
from tradecast.sessions.models import Session
from tradecast.sessions.revocation import RevocationWatcher
from tradecast.sessions.service import Sessions, create_sessions
from tradecast.user_id import name_user

ConnectionMiddleware = Callable[[Connection], Awaitable[None]]
ConnectHandler = Callable[[Connection], Awaitable[None]]
# Seconds that a connection of the admin port may be idle: probes and Prometheus ask every few of them.
ADMIN_KEEPS = 5
# What another server may add to the head of a request that it passes on.
PASSED_ON_BYTES, PASSED_ON_LINES = 4_096, 16
make_id = IdMaker(9)
# Parts that there are from `initialize` on: whoever asks for one earlier is told so.
MADE_BY_INITIALIZE = frozenset(
    {
        *("sessions", "limiter", "cluster", "_manager", "_tuner", "_hub", "_sio", "_gate", "_drain", "_stats"),
        *("_handlers", "_expiry", "_watcher"),
    }
)
# Variables that are warned of, each in a line.
MOST_SUSPECTS = 20
ANONYMOUS = "anonymous"
# Seconds that a session lasts at most, as the requirements have it.
LONG_SESSION = 30 * DAY
ORIGIN_REFUSED = "a page may not connect: its origin is not in CORS_ORIGIN, nor the address that it asked for"
TRANSPORT_REFUSED: dict[TransportRefusal, str] = {
    "polling_off": "a client that begins with polling was refused, and tries again for ever: TRANSPORTS has no polling",
    "websocket_off": "a client that begins with WebSocket was refused, and tries again for ever: TRANSPORTS has none",
    "polling_waits": "a client that begins with polling was refused, and tries again: polling is not offered yet",
}
log = structlog.stdlib.get_logger("tradecast.server")


class NotInitialized(RuntimeError):
    """Something was asked of a server that has not been initialized, or could not be."""


class WebSocketServer(Emitters, ClusterApi):
    """Connections, events and rooms of one server.

    Make it, register what is wanted, `await initialize()`, serve `public_app` and `admin_app` (or let `run` do it),
    and `await shutdown()`.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        self._from_environment = settings is None
        self.settings = settings or load_settings()
        self.symbols = Symbols(self.settings.symbol_pattern)
        Emitters.__init__(self, self.emit_to_room, self.symbols)
        ClusterApi.__init__(self)
        self.metrics = Metrics(importlib.metadata.version("tradecast"))
        self.health = Health(on_result=self.metrics.dependency, on_cause=self.metrics.dependency_failed)
        self._lines = Seldom(self.metrics.log_line_left_out)
        # Of what each client that comes back causes every few seconds, until the operator does something about it.
        self._reminders = Seldom(self.metrics.log_line_left_out, burst=1)
        self.registry = ConnectionRegistry()
        self.sessions: Sessions
        self.limiter: RateLimiter
        self._auth: ConnectionMiddleware | None = None
        self._rate_limit: ConnectionMiddleware | None = None
        self._own_middleware = False
        self._dispatcher = Dispatcher(self.metrics, self)
        self._connect_handler: ConnectHandler | None = None
        self._channels: dict[str, _Channel] = {}
        self._extra_routes: list[BaseRoute] = []
        self._redis: RedisClient | None = None
        self._manager: LocalManager
        self._broker: RedisBroker | None = None
        self._tuner: Tuner
        self._hub: Hub
        self._sio: SocketServer
        self._forwarding: Forwarding | None = None
        self._forwarder: Forwarder | None = None
        self._offer: Offer | None = None
        self._inbox: Inbox | None = None
        self._gate: HandshakeGate
        self._drain: Drain
        self._stats: Stats
        self._fleet: Fleet | None = None
        self._listening_since: float | None = None
        self._handlers: Handlers
        self._expiry: SessionExpiry
        self._watcher: RevocationWatcher
        self._tasks: set[asyncio.Task[Any]] = set()
        self._running: list[asyncio.Task[Any]] = []

    if not TYPE_CHECKING:  # a type checker would take any name for one of ours

        def __getattr__(self, name: str) -> Any:
            if name in MADE_BY_INITIALIZE:
                raise NotInitialized("the server is not initialized: `await server.initialize()` comes first")
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}", name=name, obj=self)

    # -- the requirements' API

    async def initialize(self) -> None:
        """Connect the parts. A dependency that does not answer is logged, not fatal: `/health/…` tells of it.

        Raises:
            SettingsError: A URL means nothing, or names a database that Redis does not have.
        """
        settings = self.settings
        if not structlog.is_configured():  # embedded: structlog's own default shows local variables, secrets among them
            configure_logging(settings.log_level, settings.log_format)
        if self._from_environment:
            warn_of_misspelt(os.environ)
        if settings.redis_url is None:
            log.warning("no REDIS_URL: running in single-server mode")
        else:
            if self.mode == "single":
                log.warning("mode single, though there is a REDIS_URL: events reach the clients of this server only")
            self._redis = create_redis(settings)
            try:
                await check_database(self._redis, settings.redis_timeout)
                self._forwarding = create_forwarding(settings, self._redis, self.metrics)
            except SettingsError:
                await self._redis.aclose()
                raise
        if self._auth is None:
            self._auth = create_auth_middleware(required=settings.auth_required)
        own = self._auth if isinstance(self._auth, AuthMiddleware) else None
        self.sessions = create_sessions(
            settings,
            self._redis,
            on_lookup=self.metrics.session_lookup,
            on_batch=self.metrics.session_batch,
            on_store_error=self.metrics.session_store_error,
            on_unsigned=self._unsigned_id_accepted,
            session_collection=own.session_collection if own else None,
        )
        if own is not None:
            own.bind(self.sessions)
        self._warn_of_sessions()
        self.limiter = RateLimiter(
            settings,
            self._redis,
            on_fallback=self.metrics.limiter_fallback,
            on_foreign=self.metrics.foreign_key,
            lines=self._lines,
        )
        self._own_middleware = type(own) is AuthMiddleware and self._rate_limit is None
        if self._rate_limit is None:
            self._rate_limit = create_rate_limit_middleware(
                self.limiter,
                on_limited=self.metrics.rate_limited,
                connections_here=self.get_user_connection_count,
                free_place=Places(
                    self._probe_all, self._replace, settings.max_connections_per_user, self.metrics.probed
                ).free,
            )
        self._tuner = create_tuner(settings, self.metrics)
        file: WatchedFile | None = None
        if settings.adapter_file is not None:
            file = WatchedFile(settings.adapter_file, self._tuner.take)
            await file.begin()
        self._create_adapter()
        self._tuner.apply_to(self._hub.broker.tune)
        sockets: ASGIApp = self._handle_socket_io
        if self._forwarding is not None:
            sockets = self._forwarder = create_forwarder(
                settings, self._forwarding, self._handle_socket_io, lambda sid: sid in self._sio.eio.sockets
            )
            self._inbox = self._forwarding.inbox(self._handle_socket_io)
            if settings.waits_for_others:
                self._offer = offer = Offer(self._forwarding, lambda: self.cluster.boots)
                self._sio.eio.polling_waits = lambda: offer.find_reason() is not None
        self._handlers = Handlers(
            self,
            self.limiter,
            max_subscriptions=settings.max_subscriptions_per_user,
            max_symbols=settings.max_symbols_per_request,
            symbols=self.symbols,
            broadcast_any=settings.admin_broadcast_any,
        )
        for route in self._handlers.routes():
            self._dispatcher.register_default(route)
        admission = Admission(settings.accept_rate, settings.accept_burst, settings.accept_wait)
        self._gate = HandshakeGate(
            sockets,
            self._is_full,
            self.metrics.refused,
            admission,
            is_superseded=self._is_superseded,
            check=self._sio.eio.check_handshake,
            addresses=self._sio,
        )
        self._drain = self._create_drain()
        if self._redis is not None and settings.fleet_revision is not None:
            server_id = settings.pod_uid or secrets.token_hex(16)
            self._fleet = Fleet(self._redis, server_id, settings.fleet_revision, self._state)
        self._expiry = SessionExpiry(self._sessions_expired)
        self._watcher = RevocationWatcher(
            self.sessions,
            active=self.registry.session_ids,
            on_ended=self._end_sessions,
            on_changed=self._session_changed,
            holds=self._connections_hold,
            poll_interval=settings.revocation_poll_interval,
            on_store=self.metrics.store_available,
            on_loss=self.metrics.sessions_lost,
        )
        self._stats = Stats(
            settings=settings,
            metrics=self.metrics,
            health=self.health,
            limiter=self.limiter,
            broker=self._hub.broker,
            tuner=self._tuner,
            cluster=self.cluster,
            forwarding=self._forwarding,
            drain=self._drain,
            superseded=self._is_superseded,
            transports=self._offered_transports,
        )
        self._register_health()
        self._register_figures()
        await self.limiter.start()
        if self._fleet is not None:
            await self._fleet.look()  # an old server that is started again takes no client first
            self._running.append(asyncio.create_task(self._fleet.run(), name="fleet"))
        await self._hub.start()
        if self._broker is not None:
            # Listen to the other servers now, not at the first client; wait for it as long as for any answer of Redis.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(settings.redis_timeout):
                    await self._broker.until_heard()
        if file is not None:
            self._running.append(asyncio.create_task(file.run(), name="adapter file"))
        await self.cluster.start()
        if self._offer is not None:
            self._running.append(asyncio.create_task(self._offer.run(), name="offer"))
        for name, work in (
            ("revocation", self._watcher.run()),
            ("health", self.health.run()),
            ("loop lag", LoopLag(self.metrics.loop_lag).run()),
        ):
            self._running.append(asyncio.create_task(work, name=name))
        log.info("initialized", mode=self.mode, session_store=settings.store_name)

    def _create_adapter(self) -> None:
        settings, metrics = self.settings, self.metrics
        self._manager = LocalManager()
        self._sio = create_socket_server(settings, self, self._manager, self._lines, self._make_sid)
        broker = create_watched_broker(settings, metrics)
        if isinstance(broker, RedisBroker):
            self._broker = broker
        self._hub = create_hub(
            settings,
            broker,
            self._manager,
            self._sio,
            metrics,
            on_told=lambda data: self.cluster.on_control_message(data),
            may_recover=self._may_recover,
            lines=self._lines,
        )
        clients = Clients(
            self._hub,
            self._manager,
            self._sio,
            describe=self._describe,
            of_user=self.get_user_connection_count,
            total=self.get_total_connection_count,
            probe=self._probe_here,
            replace=self._replace_here,
        )
        self.cluster = create_cluster(settings, broker, clients, metrics, handlers=self._server_events, boot=self._boot)

    def set_auth_middleware(self, middleware: ConnectionMiddleware) -> None:
        """Run `middleware(connection)` on each new connection, before it is let in.

        It attaches a session, or raises `AuthRefused` (final) or `StoreUnavailable` (the client comes back by itself).
        """
        self._auth = middleware

    def set_rate_limit_middleware(self, middleware: ConnectionMiddleware) -> None:
        """Run `middleware(connection)` after authentication; it may add a guard with `connection.use`."""
        self._rate_limit = middleware

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
        """Await `handler(connection)` for each client that has just been let in; its events wait until it is done.

        Until then `connection.claims` is what the client passed as `auth`.
        """
        self._connect_handler = handler

    async def emit_to_user(self, user_id: str | int, event: str, *arguments: Any, namespace: str = NAMESPACE) -> None:
        """Send an event to all connections of a user, on every server. Raises as `emit_to_room`."""
        await self.emit_to_room(rooms.user(user_id), event, *arguments, namespace=namespace)

    async def emit_to_room(self, room: Room, event: str, *arguments: Any, namespace: str = NAMESPACE) -> None:
        """Send an event to a room, on every server. A single None stands for no argument, a tuple for several.

        A client's sid is a room with that client in it, and a whole number the same room as its text.

        Raises:
            PublishUncertain: Redis did not answer in time; the event may have been sent, or not.
            AdapterUnavailable: The event was not sent.
            TypeError: The arguments cannot be said in JSON, or the room is neither a text nor a whole number.
        """
        found = arguments_of(arguments[0]) if len(arguments) == 1 else list(arguments)
        await self._hub.emit(event, found, (qualify(namespace, room_name(room)),), namespace=namespace)

    async def broadcast(self, event: str, *arguments: Any, namespace: str = NAMESPACE) -> None:
        """Send an event to every authenticated client, on every server. Raises as `emit_to_room`."""
        await self.emit_to_room(rooms.AUTHENTICATED, event, *arguments, namespace=namespace)

    def get_total_connection_count(self) -> int:
        """Connections to this server."""
        return len(self.registry)

    def get_user_connection_count(self, user_id: str | int) -> int:
        """A user's connections to this server."""
        return len(self.registry.of_user(name_user(user_id)))

    def get_stats(self) -> dict[str, Any]:
        """The figures of `/metrics` as JSON, and how this server runs."""
        return self._stats.read()

    async def shutdown(self) -> None:
        """Send clients away in a way that lets them come back elsewhere, and let go of everything."""
        self._gate.draining = True
        await self._drain.close()
        await self._sio.eio.close_all(self.settings.shutdown_timeout)
        await end(*self._running, *self._tasks)
        if self._fleet is not None:
            await self._fleet.leave()
        if self._forwarding is not None:
            await self._forwarding.close()
        await self._expiry.close()
        await self._sio.shutdown()
        await self.cluster.close()
        await self._hub.close()
        await self.limiter.close()
        await self.sessions.close()
        if self._redis is not None:
            await self._redis.aclose()
        log.info("shut down")

    # -- what is served

    @property
    def mode(self) -> Mode:
        """How events pass between servers: `single` not at all, `pubsub` by one Redis, `sharded` by a Redis Cluster."""
        return self.settings.mode

    @property
    def redis(self) -> RedisClient | None:
        """The client for requests to REDIS_URL; None without that, and before `initialize`."""
        return self._redis

    def add_public_routes(self, routes: Sequence[BaseRoute]) -> None:
        """Serve more on the public port; call it before `public_app`."""
        self._extra_routes.extend(routes)

    def public_app(self) -> ASGIApp:
        """The app of the public port. Raises NotInitialized before `initialize`, as all of them."""
        settings = self.settings
        routes = health_routes(self.health, self._is_ready, self._is_superseded)
        if settings.metrics_public:
            routes.append(metrics_route(self.metrics))
        if settings.emit_public:
            routes.extend(emit_routes(self, settings.api_token, self.symbols))
        routes.extend(self._extra_routes)
        return PublicApp(
            self._gate,
            create_app(routes, self._lines),
            require_tls=settings.require_tls,
            socket_path=settings.socket_path,
        )

    def admin_app(self) -> ASGIApp:
        """The app of the admin port."""
        settings = self.settings
        admin = SessionAdmin(self.sessions)
        tokens = settings.admin_token
        # Without the pod's uid nobody could sign for this server and no other.
        signed = SignedRequests(tokens, settings.pod_uid) if tokens and settings.pod_uid else None
        return create_app(
            [
                *health_routes(self.health, self._is_ready, self._is_superseded, private=True),
                metrics_route(self.metrics),
                *emit_routes(self, settings.api_token, self.symbols),
                *admin_routes(admin, self.get_stats, tokens, settings.session_max_age, signed),
                *drain_routes(self._drain, tokens, signed),
            ],
            self._lines,
        )

    def internal_app(self) -> ASGIApp | None:
        """The app of the internal port; None where servers have nothing to pass on to each other."""
        _ = self._gate  # until there is one, nobody knows
        return self._inbox

    def public_upgrades(self) -> Upgrades:
        """Where WebSockets of the public port go when the HTTP server hands over their connections."""
        steps: list[Entrance] = [self._gate]
        if self._forwarder is not None:
            steps.append(self._forwarder)
        settings = self.settings
        entrance = PublicEntrance(steps, require_tls=settings.require_tls, socket_path=settings.socket_path)
        return Upgrades(self._sio.eio, entrance)

    def internal_upgrades(self) -> Upgrades | None:
        """The same of the internal port; None where there is none."""
        return None if self._inbox is None else Upgrades(self._sio.eio, self._inbox)

    def internal_tls(self) -> InternalTls | None:
        """What the internal port shows other servers; None: it speaks no TLS."""
        return None if self._forwarding is None else self._forwarding.tls

    async def internal_listening(self, port: int, *, tls: bool = False) -> None:
        """Tell the other servers that `internal_app` is served; call it before `public_app` is.

        Args:
            port: Where it is served.
            tls: Whether it is served with the certificate of the settings.
        """
        if self._forwarding is not None:
            await self._forwarding.announce(port, tls=tls)

    def listening(self) -> None:
        """Tell that `public_app` is served: from now on, as soon as a Service's endpoints follow, clients come here."""
        self._listening_since = time.monotonic()

    async def send_away(self) -> None:
        """Drain: readiness off, new clients refused, those who are here sent away at the rate that the settings say."""
        await self._drain.finish()
        await self._sio.eio.close_all(self.settings.shutdown_timeout)
        self._hub.broker.give_up()

    async def _handle_socket_io(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._sio.handle_request(scope, receive, send)

    def _make_sid(self) -> str | None:
        return None if self._forwarding is None else self._forwarding.make_sid()

    def _boot(self) -> str:
        return "" if self._forwarding is None else self._forwarding.boot

    def _offered_transports(self) -> list[Transport]:
        waits = self._sio.eio.polling_waits()
        return [one for one in self.settings.offered_transports if one != "polling" or not waits]

    def _relays(self) -> Collection[str]:
        return () if self._forwarding is None else self._forwarding.relays

    def _create_drain(self) -> Drain:
        settings, engine, gate, forwarding = self.settings, self._sio.eio, self._gate, self._forwarding

        def close_door(closed: bool) -> None:
            gate.draining = closed

        def connections() -> Collection[str]:
            # What passes through would end with this server too: all at once, if it were not sent away with the others.
            relays = self._relays()
            return {*engine.sockets, *relays} if relays else engine.sockets

        def hang_up(connection: str) -> None:
            if forwarding is None or not forwarding.hang_up(connection):
                engine.hang_up(connection)

        return Drain(
            PacedDisconnect(
                connections,
                hang_up,
                self.metrics.sent_away,
                pace=None if self._redis is None else FleetPace(self._redis),
            ),
            remaining=lambda: len(engine.sockets) + len(self._relays()),
            close_door=close_door,
            delay=settings.drain_delay,
            rate=settings.drain_rate,
            timeout=settings.drain_timeout,
        )

    def _is_ready(self) -> bool:
        return not self._drain.active

    def _is_superseded(self) -> bool:
        return self._fleet is not None and self._fleet.superseded

    def _state(self) -> State:
        if self._drain.active:
            return "leaving"
        since = self._listening_since
        # Endpoints take as long to follow a pod that comes as one that goes.
        reached = since is not None and time.monotonic() - since >= self.settings.drain_delay
        return "ready" if reached else "starting"

    def _is_full(self) -> bool:
        engine: EngineServer = self._sio.eio
        return engine.count >= self.settings.max_connections and not self._sio.make_room()

    # -- Application of the Socket.IO server

    @property
    def is_local(self) -> bool:
        """Whether nothing is shared with other servers: all is in this process's memory."""
        return self._redis is None

    @property
    def connects_at_once(self) -> bool:
        # Only with our own middleware and no connect handler: what others wrote is awaited in a task.
        return self.is_local and self._own_middleware and self._connect_handler is None and self.sessions.at_hand

    def has_namespace(self, namespace: str) -> bool:
        return self._dispatcher.has_namespace(namespace)

    def read_handshake(self, request: Request) -> str | None:
        name = self.settings.session_cookie_name
        return None if name is None else read_session_cookie(request, name)

    async def connecting(
        self, sid: str, auth: Any, kept: str | None, transport: str, resume: Resume, namespace: str
    ) -> Accepted:
        eio_sid = self._manager.eio_sid_from_sid(sid, namespace) or ""
        connection = Connection(
            sid,
            make_id(),
            self._channel(namespace),
            claims=auth,
            connected_at=time.time(),
            transport=transport,
            namespace=namespace,
            transport_sid=eio_sid,
            cookie=kept or self._find_cookie(eio_sid),
        )
        connection.again = self._sio.has_left(connection.transport_sid)
        started = time.time()
        counted: list[str] = []  # subscriptions of before, for which it holds quotas already
        connection.changes = self._watcher.changes
        try:
            if self._auth is not None:
                await self._auth(connection)
            await self._go_on(connection, resume, counted)
            if self._rate_limit is not None:
                await self._rate_limit(connection)
            session = connection.session
            if session is not None and self.sessions.is_revoked_since(session.id, started):
                raise AuthRefused("SESSION_NOT_FOUND", "revoked")  # deleted between being read and getting here
        except AuthRefused as refused:
            await self._lose(connection, counted)
            self._refused(connection, refused.code, refused.reason)
            raise ConnectRefused(refused.code, MESSAGES[refused.code]) from None
        except (ConnectRefused, TryAgain) as refused:
            await self._lose(connection, counted)
            code = refused.code if isinstance(refused, ConnectRefused) else "TRY_AGAIN"
            self._refused(connection, code)
            raise
        except asyncio.CancelledError:
            self._finish(self._lose(connection, counted))
            raise
        except Exception as error:
            await self._lose(connection, counted)
            if isinstance(error, StoreUnavailable):
                self.metrics.refused("STORE_UNAVAILABLE")
                sentence = "connection put off: the session store does not answer"
                kind = "" if error.cause is None else str(error.cause.code)
                self._lines.write(log.warning, sentence, kind=kind, connection_id=connection.id, **error.fields())
            else:
                self.metrics.refused("INTERNAL")
                log.exception("connection put off", connection_id=connection.id)
            # Stock clients come back about a second after a close; waiting here spreads them.
            await asyncio.sleep(random.uniform(0.1, 1.0))  # noqa: S311 no secret
            raise TryAgain from None
        # Of a second namespace's CONNECT the session is enough; the cookie itself is not kept.
        connection.cookie = None
        if self._connect_handler is None:
            connection.claims = None  # up to a megabyte of the client's choice, with the session id in it
        user = connection.user
        first = [rooms.MARKET_STATUS] if namespace == NAMESPACE else []
        if user is not None:
            first += [rooms.user(user.id), rooms.AUTHENTICATED]
        return Accepted(
            _identity(connection),
            connection.id,
            [qualify(namespace, room) for room in first],
            authenticated=user is not None,
            note=(connection, counted),
        )

    def _refused(self, connection: Connection, code: str, reason: Reason | None = None) -> None:
        self.metrics.refused(code)
        if reason is not None:
            self.metrics.auth_refused(reason)
        kind = reason or code
        fields = {"connection_id": connection.id, "code": code, "reason": reason}
        self._lines.write(log.info, "connection refused", kind=kind, **fields)

    def _find_cookie(self, eio_sid: str) -> str | None:
        """The session id of a client that is in by its cookie, for another namespace on the same transport."""
        if self.settings.session_cookie_name is None:
            return None
        for namespace in self._manager.namespaces_of(eio_sid):
            sid = self._manager.sid_from_eio_sid(eio_sid, namespace)
            other = None if sid is None else self.registry.get(sid)
            if other is not None and other.session is not None and other.by_cookie:
                return self.sessions.sign(other.session.id)
        return None

    async def _go_on(self, connection: Connection, resume: Resume, counted: list[str]) -> None:
        """Take up the connection that the client has lost, if it asks for that and can have it.

        The subscriptions that it counts for it go to `counted`.
        """
        user, own_id = connection.user, connection.id

        async def take_up(connection_id: str, held: Collection[str]) -> bool:
            connection.id = connection_id
            if user is None:
                return True
            subscriptions = [room for room in held if is_subscription(room)]
            counted.extend(room for room in subscriptions if may_be_in(user, room))
            for room in subscriptions:
                if room not in counted:  # its tier has changed since
                    await self.limiter.decrement_subscription(user.id, subscription_member(connection, room))
            members = [subscription_member(connection, room) for room in counted]
            return await self.limiter.take_up_subscriptions(user.id, members)

        resumed = await resume(_identity(connection), lambda room: user is None or may_be_in(user, room), take_up)
        if resumed is not None:
            connection.sid = resumed.sid
            return
        if user is not None:
            for room in counted:  # nothing goes on: what was kept for that is not needed any more
                await self.limiter.decrement_subscription(user.id, subscription_member(connection, room))
        counted.clear()
        connection.id = own_id

    def abandoned(self, accepted: Accepted, *, displaced: bool) -> None:
        connection, counted = _note(accepted)
        connection.closed = True
        self._lines.write(log.info, "connection abandoned", connection_id=connection.id, displaced=displaced)
        if not displaced:
            self._finish(self._lose(connection, counted))
        elif connection.user is not None and self.registry.get(connection.sid) is None:
            # It goes on on another server, which counts it now. On this one, all of it is the other connection's.
            members = [subscription_member(connection, room) for room in counted]
            self.limiter.hand_over(connection.user.id, connection.id, members)

    def connected(self, sid: str, accepted: Accepted, *, recovered: bool) -> Awaitable[None] | None:
        connection, _ = _note(accepted)
        self.registry.add(connection)
        user = connection.user
        if connection.session is not None and user is not None:
            self._expiry.watch(connection.session.id, connection.session.expires_at)
            self._watcher.look_again(connection.session, connection.changes)
        self.metrics.connected(connection.transport)
        fields = {"user_id": user.id if user else None, "transport": connection.transport, "recovered": recovered}
        self._log(connection, "connected", **fields)
        return None if self._connect_handler is None else self._welcome(connection, self._connect_handler)

    async def _welcome(self, connection: Connection, handler: ConnectHandler) -> None:
        try:
            await handler(connection)
        except Exception:
            log.exception("the connect handler failed", connection_id=connection.id)
        finally:
            connection.claims = None

    def event(self, sid: str, name: str, arguments: list[Any]) -> Any:
        connection = self.registry.get(sid)
        return None if connection is None else self._dispatcher.dispatch(connection, name, arguments)

    def disconnected(self, sid: str, reason: str) -> None:
        connection = self.registry.remove(sid)
        if connection is None:
            return
        connection.closed = True
        self.metrics.disconnected(reason)
        self._log(connection, "disconnected", reason=reason)
        if connection.session is not None and not self.registry.of_session(connection.session.id):
            self._expiry.unwatch(connection.session.id)
        held = [room for room in connection.rooms if is_subscription(room)]
        if reason == DISPLACED and connection.user is not None:
            members = [subscription_member(connection, room) for room in held]
            self.limiter.hand_over(connection.user.id, connection.id, members)
        elif self._sio.may_come_back(sid, connection.namespace):
            self._finish(self._lose(connection, held))
        else:
            self._finish(self._give_back(connection, held))

    def _may_recover(self, user: str, pid: str, *, blind: bool) -> bool:
        return self.limiter.may_recover(None if user == ANONYMOUS else user, pid, blind=blind)

    # -- a user with too many connections

    async def _probe_all(self, user_id: str, patience: float) -> list[Probed]:
        return [Probed(*found) for found in await self.cluster.probe_user(user_id, patience)]

    async def _replace(self, user_id: str, connection_id: str) -> bool:
        return await self.cluster.replace(user_id, connection_id)

    async def _probe_here(self, user_id: str, patience: float) -> list[tuple[str, float, bool]]:
        connections = self.registry.of_user(user_id)
        silent = await self._sio.find_silent({one.transport_sid for one in connections}, patience)
        return [
            (one.id, silent.get(one.transport_sid, 0.0), one.transport_sid not in silent)
            for one in connections
            if not one.closed
        ]

    def _replace_here(self, user_id: str, connection_id: str) -> bool:
        for one in self.registry.of_user(user_id):
            if one.id == connection_id:
                log.info("connection replaced: its client does not answer", connection_id=connection_id)
                return self._sio.give_up(one.transport_sid)
        return False

    def _channel(self, namespace: str) -> _Channel:
        channel = self._channels.get(namespace)
        if channel is None:
            channel = self._channels[namespace] = _Channel(self._sio, namespace)
        return channel

    def _describe(self, sid: str) -> Described | None:
        connection = self.registry.get(sid)
        if connection is None:
            return None
        user = connection.user
        eio_sid = self._manager.eio_sid_from_sid(sid, NAMESPACE)
        transport = self._sio.eio.transport_of(eio_sid) if eio_sid is not None else None
        return Described(
            connection.id,
            user.id if user else None,
            transport or "",
            connection.connected_at,
            connection.public_handshake,
            connection.data if connection.has_data else {},
        )

    def _log(self, connection: Connection, sentence: str, **fields: Any) -> None:
        """Tell what becomes of a client: of each transport's first one always, seldom of those that come after it."""
        if connection.again:
            self._lines.write(log.info, sentence, kind="again", connection_id=connection.id, **fields)
        else:
            log.info(sentence, connection_id=connection.id, **fields)

    def _warn_of_sessions(self) -> None:
        settings = self.settings
        if settings.session_max_age > LONG_SESSION:
            log.warning("SESSION_MAX_AGE is more than 30 days", days=round(settings.session_max_age / DAY, 1))
        if settings.session_secrets and settings.session_require_signed is None:
            log.warning(
                "session ids without a signature are accepted: set SESSION_REQUIRE_SIGNED, "
                "which the next version takes for true where there are SESSION_SECRETS"
            )

    def _unsigned_id_accepted(self) -> None:
        self.metrics.unsigned_session_id()
        self._lines.write(log.warning, "a session id without a signature was accepted: the next version refuses it")

    def origin_refused(self, reason: str, origin: str) -> None:
        self.metrics.origin_refused(reason)
        self._lines.write(log.warning, ORIGIN_REFUSED, kind=reason, reason=reason, origin=origin)

    def transport_refused(self, reason: TransportRefusal) -> None:
        self.metrics.transport_refused(reason)
        self._reminders.write(log.warning, TRANSPORT_REFUSED[reason])

    def malformed(self) -> None:
        self.metrics.malformed_packet()

    def limit_exceeded(self, limit: str) -> None:
        self.metrics.limit_exceeded(limit)

    def client_too_slow(self) -> None:
        self.metrics.slow_client()

    # -- Application of the handlers

    async def refresh(self, connection: Connection, raw_session_id: object) -> Session:
        """Put a live connection on another session of the same user.

        Raises:
            AuthRefused: The session cannot be used; the connection stays on its own.
            StoreUnavailable: Nothing is known now.
        """
        user = connection.user
        started = time.time()
        session = await self.sessions.authenticate(raw_session_id, user.id if user else None)
        if self.sessions.is_revoked_since(session.id, started):
            raise AuthRefused("SESSION_NOT_FOUND", "revoked")
        await self._rebind(connection, session)
        return session

    # -- sessions that end or change while connected

    async def _end_sessions(self, session_ids: Collection[str], code: RefusalCode) -> None:
        for session_id in session_ids:
            self._expiry.unwatch(session_id)
            for connection in self.registry.of_session(session_id):
                log.info("session over", connection_id=connection.id, code=code)
                self.metrics.session_ended(code)
                connection.send("error", {"code": code, "message": MESSAGES[code]})
                await self._sio.end(connection.sid, connection.namespace)

    async def _sessions_expired(self, session_ids: Collection[str]) -> None:
        try:
            outcomes = await self.sessions.check(session_ids)
        except StoreUnavailable:
            # Perhaps extended, perhaps not: these clients come back by themselves, and are looked up again then.
            for session_id in session_ids:
                for connection in self.registry.of_session(session_id):
                    self._sio.hang_up(connection.sid, connection.namespace)
            return
        over: dict[RefusalCode, list[str]] = {}
        for session_id, outcome in outcomes.items():
            if isinstance(outcome, Session):
                await self._session_changed(outcome)
            else:
                # A store that deletes what is over (TTL) may have been quicker.
                code: RefusalCode = "SESSION_EXPIRED" if outcome == "SESSION_NOT_FOUND" else outcome
                over.setdefault(code, []).append(session_id)
        for code, ids in over.items():
            await self._end_sessions(ids, code)

    def _connections_hold(self, session: Session) -> bool:
        held = (connection.session for connection in self.registry.of_session(session.id))
        return all(one is not None and one.user == session.user for one in held)

    async def _session_changed(self, session: Session) -> None:
        for connection in self.registry.of_session(session.id):
            if connection.user is not None and connection.user.id != session.user.id:
                await self._end_sessions([session.id], "USER_MISMATCH")
                return
            await self._rebind(connection, session)

    async def _rebind(self, connection: Connection, session: Session) -> None:
        if connection.closed:
            return
        before = connection.session
        self.registry.rebind(connection, session)
        if before is not None and before.id != session.id and not self.registry.of_session(before.id):
            self._expiry.unwatch(before.id)
        self._expiry.watch(session.id, session.expires_at)
        await self._handlers.drop_unpermitted(connection)

    async def _give_back(self, connection: Connection, held: Collection[str] = ()) -> None:
        """Return what a connection holds of its user's quotas."""
        user = connection.user
        if user is None:
            return
        for room in held:
            await self.limiter.decrement_subscription(user.id, subscription_member(connection, room))
        await self.limiter.release_connection(user.id, connection.id)

    async def _lose(self, connection: Connection, held: Collection[str]) -> None:
        """As `_give_back`, but what its client can still recover stays counted until that is over."""
        user = connection.user
        if user is None:
            return
        await self.limiter.lose_subscriptions(user.id, [subscription_member(connection, room) for room in held])
        await self.limiter.release_connection(user.id, connection.id)

    # -- observability

    def _register_health(self) -> None:
        if self._redis is not None:
            redis, broker = self._redis, self._broker
            further = broker.redis if broker is not None and self.settings.adapter_url != "REDIS_URL" else None
            eviction = EvictionWatch()
            explainer = Explainer(place_of(redis))

            async def ping_redis() -> None:
                await check_redis(redis)
                found = await eviction.look("REDIS_URL", redis)
                if further is not None:
                    with naming(further):
                        await check_redis(further)
                    found = await eviction.look("REDIS_CLUSTER_URL", further)
                if broker is not None:
                    broker.may_evict(found.may_evict)
                self.metrics.redis_eviction(eviction.found.may_evict, eviction.found.evicted)
                if broker is not None and not broker.is_subscribed:
                    with naming(broker.redis):
                        raise Failed(Code.NOT_SUBSCRIBED) from broker.trouble

            self.health.register("redis", ping_redis, explainer.explain, mode=self.mode)
        if self._broker is not None and self._broker.other is not None:
            # before events go there, somebody wants to know whether they can
            other = self._broker.other.redis
            self.health.register(OTHER_REDIS, partial(check_redis, other), Explainer(place_of(other)).explain)
        if self.sessions.database is not None:
            database = self.sessions.database
            self.health.register("database", database.ping, Explainer(database.place).explain)

    def _register_figures(self) -> None:
        self.metrics.watch_connections(
            total=lambda: len(self.registry),
            users=lambda: self.registry.users,
            subscriptions=self._subscription_counts,
            transports=self._sio.transports,
        )
        settings = self.settings
        if (broker := self._broker) is not None:
            self.metrics.watch_adapter(waiting=lambda: broker.waiting, channels=lambda: broker.channels)
        self.metrics.limits(
            connections=settings.max_connections, drain_seconds=settings.drain_delay + settings.drain_timeout
        )
        self.metrics.watch_lifecycle(
            drain_seconds=lambda: self._drain.seconds,
            held=lambda: self._gate.held,
            superseded=self._is_superseded,
        )
        self.metrics.watch_relays(lambda: len(self._relays()))

    def _subscription_counts(self) -> dict[str, int]:
        counts = {"portfolio": 0, "trades": 0, "watchlist": 0}
        for room, members in self._manager.room_sizes():
            if is_subscription(room):
                counts[room.partition(":")[0]] += members
        return counts

    def _finish(self, work: Coroutine[Any, Any, None]) -> None:
        """Do what is left of a client that has gone: at once where nothing has to be waited for."""
        stepped = step(work) if self.is_local else work
        if isinstance(stepped, Done):
            return
        task = asyncio.create_task(stepped)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class _Channel:
    """The way of a namespace's connections to the Socket.IO server."""

    __slots__ = ("_namespace", "_prefix", "_sio")

    def __init__(self, sio: SocketServer, namespace: str) -> None:
        self._sio = sio
        self._namespace = namespace
        self._prefix = qualify(namespace, "")

    def send(self, sid: str, event: str, data: Any) -> None:
        self._sio.send(sid, event, data, self._namespace)

    async def join(self, sid: str, room: str) -> None:
        await self._sio.hub.join(sid, self._prefix + room)

    async def leave(self, sid: str, room: str) -> None:
        await self._sio.hub.leave(sid, self._prefix + room)

    def is_in(self, sid: str, room: str) -> bool:
        return self._sio.hub.is_in(sid, self._prefix + room)

    def rooms(self, sid: str) -> set[str]:
        return {room.removeprefix(self._prefix) for room in self._sio.hub.rooms_of(sid)}


def _note(accepted: Accepted) -> tuple[Connection, list[str]]:
    """What `connecting` has noted: the connection, and the rooms that were counted for it before it was let in."""
    note: tuple[Connection, list[str]] = accepted.note
    return note


def _identity(connection: Connection) -> str:
    """Whose a connection is, for its recovery. No user's id can be what stands for all anonymous clients."""
    return ANONYMOUS if connection.user is None else f"user:{connection.user.id}"


def warn_of_misspelt(environ: Mapping[str, str]) -> None:
    """Log the variables of an environment that look like settings and are none."""
    suspects = find_misspelt(environ, SETTINGS)
    for suspect in suspects[:MOST_SUSPECTS]:
        log.warning("this variable is no setting, and is ignored", variable=suspect.name, meant=suspect.meant)
    if len(suspects) > MOST_SUSPECTS:
        log.warning("more variables look like settings and are none", count=len(suspects) - MOST_SUSPECTS)


def create_process(server: WebSocketServer) -> Process:
    """An initialized server's ports: public, admin, and the internal one where it is needed."""
    settings, metrics = server.settings, server.metrics
    internal = server.internal_app()
    limit = read_limit()
    shares = Shares.of(limit, settings.most_tcp_connections, internal=internal is not None)
    needed = settings.max_tcp_connections or settings.max_connections
    if shares.clients < needed:
        log.warning(
            "too few files may be open (RLIMIT_NOFILE) for MAX_CONNECTIONS: fewer TCP connections are taken",
            limit=limit,
            needed=needed,
            taken=shares.clients,
        )

    def guests(port: str, most: int, **bounds: Any) -> Guests:
        timed = HttpLimits(
            head_seconds=settings.head_timeout,
            hurried_head_seconds=settings.head_timeout / 4,
            body_seconds=settings.body_timeout,
            **bounds,
        )
        made = Guests(timed, most=most, evicts_silent=port == "admin", on_refused=metrics.http_refused)
        metrics.watch_port(port, lambda: len(made.connections), most)
        return made

    listeners = [
        Listener(
            "public",
            server.public_app(),
            settings.host,
            settings.port,
            certfile=settings.ssl_certfile,
            keyfile=settings.ssl_keyfile,
            upgrades=server.public_upgrades(),
            guests=guests("public", shares.clients, keep_alive=settings.keep_alive),
            backlog=shares.backlog,
            tls_timeout=settings.tls_timeout,
        ),
        Listener(
            "admin",
            server.admin_app(),
            settings.admin_host,
            settings.admin_port,
            guests=guests("admin", shares.admin, keep_alive=ADMIN_KEEPS),
        ),
    ]
    tls = server.internal_tls()
    if internal is not None:
        # Requests that are passed on come with a signature more, and what the other server knows of the connection.
        own = HttpLimits()
        head = {"head_bytes": own.head_bytes + PASSED_ON_BYTES, "head_lines": own.head_lines + PASSED_ON_LINES}
        listeners.append(
            Listener(
                "internal",
                internal,
                settings.internal_host,
                settings.internal_port,
                upgrades=server.internal_upgrades(),
                guests=guests("internal", shares.servers, keep_alive=SERVER_KEEPS, **head),
                backlog=shares.backlog,
                moves=settings.internal_port_moves,
                tls=None if tls is None else tls.listening,
                also_plain=tls is not None and not tls.required,
                tls_timeout=settings.tls_timeout,
            )
        )

    async def announce(ports: Mapping[str, int]) -> None:
        if "internal" in ports:
            await server.internal_listening(ports["internal"], tls=tls is not None)

    return Process(
        listeners,
        before_stop=server.send_away,
        grace=settings.shutdown_timeout,
        on_listening=server.listening,
        on_bound=announce,
    )
