"""Builds the components of a server, each from what is there before it."""

from __future__ import annotations

import secrets

import structlog
from starlette.types import ASGIApp

from tradecast.bootstrap.components import Components, Foundation
from tradecast.bootstrap.factories import OtherRedisObserver, create_runtime_config
from tradecast.bootstrap.gateway import Below, build_gateway
from tradecast.bootstrap.relay import create_announcement, create_relay
from tradecast.bootstrap.transports import ServerCapacity, ServerTransports
from tradecast.cluster_rpc.reachable_servers import ReachableServers
from tradecast.config.settings import Settings, SettingsError
from tradecast.config.types import DAY
from tradecast.connections.guards import create_auth_middleware
from tradecast.delivery.create import create_broker
from tradecast.events.handlers import Handlers
from tradecast.events.kinds import RECENT_EVENTS
from tradecast.events.subscriptions import Subscriptions
from tradecast.http.stats import Stats
from tradecast.lifecycle.admission import Admission
from tradecast.lifecycle.certificate import load_public_certificate
from tradecast.lifecycle.draining.drain import Drain
from tradecast.lifecycle.draining.paced_disconnect import PacedDisconnect
from tradecast.lifecycle.draining.pacing import FleetPace
from tradecast.lifecycle.draining.receivers import FleetReceivers
from tradecast.lifecycle.handshake_gate import HandshakeGate
from tradecast.lifecycle.readiness import Readiness
from tradecast.lifecycle.revision_registry import RevisionRegistry
from tradecast.lifecycle.rollout import Rollout
from tradecast.limits.limiter import RateLimiter
from tradecast.packets.rooms import LocalManager
from tradecast.polling_relay.announcement import RelayAnnouncement
from tradecast.polling_relay.availability import PollingAvailability
from tradecast.polling_relay.relay_service import RelayService
from tradecast.polling_relay.sids import SignedSids
from tradecast.redis_client.client import RedisClient, check_database, create_redis
from tradecast.runtime_config.file_watcher import WatchedFile
from tradecast.sessions.create import create_sessions

# Seconds that a session lasts at most, as the requirements have it.
LONG_SESSION = 30 * DAY
log = structlog.stdlib.get_logger("tradecast.server")


async def build_components(foundation: Foundation) -> Components:
    """Build all parts of a server. A dependency that does not answer is logged, not fatal.

    Raises:
        SettingsError: A URL means nothing, or names a database that Redis does not have; or a certificate cannot be
            used.
    """
    settings, metrics, lines = foundation.settings, foundation.metrics, foundation.lines
    certificate = load_public_certificate(settings)
    redis, announcement = await _connect_redis(foundation)
    authentication = foundation.middleware.sessions or create_auth_middleware(required=settings.auth_required)
    sessions = create_sessions(
        settings,
        redis,
        observer=metrics.sessions,
        lines=lines,
        session_collection=authentication.session_collection,
    )
    _warn_of_sessions(settings)
    limiter = RateLimiter(settings, redis, observer=metrics.limits, lines=lines)
    runtime_config = create_runtime_config(settings, metrics.runtime_config)
    adapter_file: WatchedFile | None = None
    if settings.adapter_file is not None:
        adapter_file = WatchedFile(settings.adapter_file, runtime_config)
        await adapter_file.report_first()
    manager = LocalManager()
    metrics.delivery.set_retention_budget(settings.retain_budget_bytes)
    broker = create_broker(settings, metrics.delivery, OtherRedisObserver(metrics.delivery), RECENT_EVENTS)
    servers = ReachableServers(broker.server_id, settings.cluster_lease)
    sids = None if announcement is None else SignedSids(announcement.addresses)
    polling: PollingAvailability | None = None
    if announcement is not None and settings.waits_for_others:
        polling = PollingAvailability(announcement, servers)
    subscriptions = Subscriptions(limiter, settings.max_subscriptions_per_user)
    below = Below(
        foundation=foundation,
        authenticate=authentication.create(sessions),
        sessions=sessions,
        limiter=limiter,
        subscriptions=subscriptions,
        broker=broker,
        servers=servers,
        announcement=announcement,
        is_local=redis is None,
    )
    gateway = build_gateway(below, manager, sids, polling)
    socket_server, applied = gateway.server, gateway.applied
    runtime_config.add_target(broker)
    sockets: ASGIApp = socket_server.handle_request
    relay: RelayService | None = None
    if announcement is not None:
        relay = create_relay(settings, announcement, sockets, socket_server.eio.sockets, metrics.relay)
        sockets = relay.forwarder
    handlers = Handlers(
        subscriptions,
        foundation.broadcaster,
        applied.sync,
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
        addresses=socket_server.transport_table,
    )
    transports = ServerTransports(socket_server.eio, relay)
    receivers = FleetReceivers(applied.cluster, rollout, settings.accept_rate)
    pace = None if redis is None else FleetPace(redis, receivers)
    drain = Drain(
        PacedDisconnect(transports, metrics.lifecycle, pace=pace),
        gate,
        metrics.lifecycle,
        delay=settings.drain_delay,
        rate=settings.drain_rate,
        timeout=settings.drain_timeout,
        reserve=settings.shutdown_timeout,
        notice=settings.platform_notice,
    )
    readiness = Readiness(drain, rollout, settings.drain_delay)
    revisions: RevisionRegistry | None = None
    if redis is not None and settings.fleet_revision is not None:
        server_id = settings.pod_uid or secrets.token_hex(16)
        revisions = RevisionRegistry(redis, server_id, settings.fleet_revision, readiness, rollout)

    stats = Stats(
        settings=settings,
        metrics=metrics,
        traffic=metrics.delivery,
        health=foundation.health,
        limiter=limiter,
        broker=broker,
        runtime_config=runtime_config,
        cluster=applied.cluster,
        relay=relay,
        drain=drain,
        rollout=readiness,
        polling=socket_server.eio.polling,
    )
    return Components(
        foundation=foundation,
        redis=redis,
        relay=relay,
        sessions=sessions,
        limiter=limiter,
        runtime_config=runtime_config,
        adapter_file=adapter_file,
        manager=manager,
        socket_server=socket_server,
        broker=broker,
        hub=socket_server.hub,
        cluster=applied.cluster,
        clients=socket_server.application,
        sync=applied.sync,
        watcher=applied.watcher,
        polling=polling,
        gate=gate,
        drain=drain,
        revisions=revisions,
        readiness=readiness,
        certificate=certificate,
        stats=stats,
    )


async def _connect_redis(foundation: Foundation) -> tuple[RedisClient | None, RelayAnnouncement | None]:
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


def _warn_of_sessions(settings: Settings) -> None:
    if settings.session_max_age > LONG_SESSION:
        log.warning("SESSION_MAX_AGE is more than 30 days", days=round(settings.session_max_age / DAY, 1))
    if settings.session_secrets and settings.session_require_signed is None:
        log.warning(
            "session ids without a signature are accepted: set SESSION_REQUIRE_SIGNED, "
            "which the next version takes for true where there are SESSION_SECRETS"
        )
