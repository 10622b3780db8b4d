"""Builds the components of a server, each from what is there before it."""

from __future__ import annotations

import secrets

import structlog
from starlette.types import ASGIApp

from tradecast.bootstrap.components import Components, Foundation
from tradecast.bootstrap.factories import (
    OtherRedisObserver,
    create_cluster,
    create_hub,
    create_runtime_config,
    create_socket_server,
)
from tradecast.bootstrap.relay import create_announcement, create_relay
from tradecast.bootstrap.transports import ServerCapacity, ServerTransports
from tradecast.cluster_rpc import Cluster
from tradecast.cluster_rpc.heartbeats import Servers
from tradecast.cluster_rpc.local_clients import Clients as LocalClients
from tradecast.config.settings import Settings, SettingsError, Transport
from tradecast.config.types import DAY
from tradecast.connections.guards import AuthMiddleware, create_auth_middleware
from tradecast.connections.rate_limits import create_rate_limit_middleware
from tradecast.connections.session_sync import SessionSync
from tradecast.delivery.create import create_broker
from tradecast.events.handlers import Handlers
from tradecast.events.subscriptions import Subscriptions
from tradecast.gateway.clients import Clients
from tradecast.gateway.middleware import ConnectionMiddleware
from tradecast.gateway.refusals import Refusals
from tradecast.http.stats import Stats
from tradecast.lifecycle.admission import Admission
from tradecast.lifecycle.drain import Drain
from tradecast.lifecycle.handshake_gate import HandshakeGate
from tradecast.lifecycle.paced_disconnect import PacedDisconnect
from tradecast.lifecycle.pacing import FleetPace
from tradecast.lifecycle.readiness import Readiness
from tradecast.lifecycle.revision_registry import RevisionRegistry
from tradecast.lifecycle.rollout import Rollout
from tradecast.limits.connection_slots import ConnectionSlots
from tradecast.limits.limiter import RateLimiter
from tradecast.observability.throttled_log import ThrottledLog
from tradecast.packets.rooms import LocalManager
from tradecast.polling_relay.announcement import RelayAnnouncement
from tradecast.polling_relay.availability import PollingAvailability
from tradecast.polling_relay.relay_service import RelayService
from tradecast.polling_relay.sids import SignedSids
from tradecast.redis_client.client import RedisClient, check_database, create_redis
from tradecast.runtime_config.file_watcher import WatchedFile
from tradecast.sessions.metrics import SessionMetrics
from tradecast.sessions.revocation import RevocationWatcher
from tradecast.sessions.service import create_sessions
from tradecast.user_id import name_user

# Seconds that a session lasts at most, as the requirements have it.
LONG_SESSION = 30 * DAY
log = structlog.stdlib.get_logger("tradecast.server")


async def build_components(foundation: Foundation) -> Components:
    """Build all parts of a server. A dependency that does not answer is logged, not fatal.

    Raises:
        SettingsError: A URL means nothing, or names a database that Redis does not have.
    """
    settings, metrics, lines, registry = foundation.settings, foundation.metrics, foundation.lines, foundation.registry
    middleware = foundation.middleware
    redis, announcement = await _connect(foundation)
    if middleware.authenticate is None:
        middleware.authenticate = create_auth_middleware(required=settings.auth_required)
    own = middleware.authenticate if isinstance(middleware.authenticate, AuthMiddleware) else None
    middleware.is_own = type(own) is AuthMiddleware and middleware.limit is None
    sessions = create_sessions(
        settings,
        redis,
        on_lookup=metrics.sessions.session_lookup,
        on_batch=metrics.sessions.session_batch,
        on_store_error=metrics.sessions.session_store_error,
        on_unsigned=_UnsignedIds(metrics.sessions, lines).accepted,
        session_collection=own.session_collection if own else None,
    )
    if own is not None:
        own.bind(sessions)
    _warn_of_sessions(settings)
    limiter = RateLimiter(settings, redis, observer=metrics.limits, lines=lines)
    runtime_config = create_runtime_config(settings, metrics.runtime_config)
    adapter_file: WatchedFile | None = None
    if settings.adapter_file is not None:
        adapter_file = WatchedFile(settings.adapter_file, runtime_config)
        await adapter_file.report_first()
    manager = LocalManager()
    broker = create_broker(settings, metrics.delivery, OtherRedisObserver(metrics.delivery))
    servers = Servers(broker.server_id, settings.cluster_lease)
    sids = None if announcement is None else SignedSids(announcement.addresses)
    polling: PollingAvailability | None = None
    if announcement is not None and settings.waits_for_others:
        polling = PollingAvailability(announcement, servers)
    refusals = Refusals(metrics.gateway, lines, ThrottledLog(metrics.process, burst=1))
    socket_server = create_socket_server(settings, refusals, manager, lines, sids, polling)
    subscriptions = Subscriptions(limiter, settings.max_subscriptions_per_user)
    sync = SessionSync(sessions, registry, socket_server, subscriptions, metrics.connections)
    watcher = RevocationWatcher(
        sessions,
        active=registry.session_ids,
        on_ended=sync.end_connections,
        on_changed=sync.apply_change,
        holds=sync.is_applied,
        poll_interval=settings.revocation_poll_interval,
        on_store=metrics.sessions.store_available,
        on_loss=metrics.sessions.sessions_lost,
    )
    clients = Clients(
        middleware,
        sessions,
        limiter,
        foundation.dispatcher,
        registry,
        manager,
        socket_server,
        sync,
        watcher,
        metrics.connections,
        lines,
        cookie=settings.session_cookie_name,
        is_local=redis is None,
    )
    hub = create_hub(
        settings,
        broker,
        manager,
        socket_server,
        metrics.delivery,
        may_recover=clients.may_recover,
        lines=lines,
    )
    socket_server.attach(clients, hub)
    local_clients = LocalClients(
        hub,
        manager,
        socket_server,
        describe=clients.describe,
        of_user=lambda user_id: len(registry.of_user(name_user(user_id))),
        total=registry.__len__,
        probe=clients.probe,
        replace=clients.replace,
    )
    boot = (lambda: "") if announcement is None else (lambda: announcement.boot)
    cluster = create_cluster(
        settings, broker, local_clients, servers, metrics, handlers=foundation.server_events, boot=boot
    )
    if middleware.limit is None:
        middleware.limit = _create_limits(foundation, limiter, cluster)
    runtime_config.add_target(broker)
    sockets: ASGIApp = socket_server.handle_request
    relay: RelayService | None = None
    if announcement is not None:
        relay = create_relay(settings, announcement, sockets, socket_server.eio.sockets, metrics.relay)
        sockets = relay.forwarder
    handlers = Handlers(
        subscriptions,
        foundation.broadcaster,
        sync,
        max_symbols=settings.max_symbols_per_request,
        symbols=foundation.symbols,
        broadcast_any=settings.admin_broadcast_any,
    )
    for route in handlers.routes():
        foundation.dispatcher.register_default(route)
    rollout = Rollout()
    gate = HandshakeGate(
        sockets,
        ServerCapacity(socket_server, settings.max_connections),
        metrics.connections,
        admission=Admission(settings.accept_rate, settings.accept_burst, settings.accept_wait),
        rollout=rollout,
        check=socket_server.eio,
        addresses=socket_server,
    )
    transports = ServerTransports(socket_server.eio, relay)
    pace = None if redis is None else FleetPace(redis)
    drain = Drain(
        PacedDisconnect(transports, metrics.lifecycle, pace=pace),
        gate,
        delay=settings.drain_delay,
        rate=settings.drain_rate,
        timeout=settings.drain_timeout,
    )
    readiness = Readiness(drain, rollout, settings.drain_delay)
    revisions: RevisionRegistry | None = None
    if redis is not None and settings.fleet_revision is not None:
        server_id = settings.pod_uid or secrets.token_hex(16)
        revisions = RevisionRegistry(redis, server_id, settings.fleet_revision, readiness, rollout)

    def offered_transports() -> list[Transport]:
        polled = socket_server.eio.polling.is_offered()
        return [one for one in settings.offered_transports if one != "polling" or polled]

    stats = Stats(
        settings=settings,
        metrics=metrics,
        traffic=metrics.delivery,
        health=foundation.health,
        limiter=limiter,
        broker=broker,
        runtime_config=runtime_config,
        cluster=cluster,
        relay=relay,
        drain=drain,
        superseded=readiness.is_superseded,
        transports=offered_transports,
    )
    return Components(
        foundation,
        redis,
        relay,
        sessions,
        limiter,
        runtime_config,
        adapter_file,
        manager,
        socket_server,
        broker,
        hub,
        cluster,
        clients,
        sync,
        watcher,
        polling,
        gate,
        drain,
        revisions,
        readiness,
        stats,
    )


async def _connect(foundation: Foundation) -> tuple[RedisClient | None, RelayAnnouncement | None]:
    settings = foundation.settings
    if settings.redis_url is None:
        log.warning("no REDIS_URL: running in single-server mode")
        return None, None
    if settings.mode == "single":
        log.warning("mode single, though there is a REDIS_URL: events reach the clients of this server only")
    redis = create_redis(settings)
    try:
        await check_database(redis, settings.redis_timeout)
        return redis, create_announcement(settings, redis)
    except SettingsError:
        await redis.aclose()
        raise


def _create_limits(foundation: Foundation, limiter: RateLimiter, cluster: Cluster) -> ConnectionMiddleware:
    settings, metrics, registry = foundation.settings, foundation.metrics, foundation.registry

    slots = ConnectionSlots(cluster, settings.max_connections_per_user, metrics.limits)
    return create_rate_limit_middleware(limiter, observer=metrics.events, connections=registry, slots=slots)


def _warn_of_sessions(settings: Settings) -> None:
    if settings.session_max_age > LONG_SESSION:
        log.warning("SESSION_MAX_AGE is more than 30 days", days=round(settings.session_max_age / DAY, 1))
    if settings.session_secrets and settings.session_require_signed is None:
        log.warning(
            "session ids without a signature are accepted: set SESSION_REQUIRE_SIGNED, "
            "which the next version takes for true where there are SESSION_SECRETS"
        )


class _UnsignedIds:
    def __init__(self, metrics: SessionMetrics, lines: ThrottledLog) -> None:
        self._metrics = metrics
        self._lines = lines

    def accepted(self) -> None:
        self._metrics.unsigned_session_id()
        self._lines.write(log.warning, "a session id without a signature was accepted: the next version refuses it")
