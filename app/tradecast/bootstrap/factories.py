"""Puts the parts of a server together: by the settings, and watched by the metrics."""

from __future__ import annotations

from collections.abc import Mapping

from tradecast.bootstrap.metrics import ServerMetrics
from tradecast.cluster_rpc import Cluster
from tradecast.cluster_rpc.cluster import ClusterOptions, RelayIdentity
from tradecast.cluster_rpc.local_clients import LocalClients
from tradecast.cluster_rpc.operations import ServerEventHandler
from tradecast.cluster_rpc.reachable_servers import ReachableServers
from tradecast.config.settings import Settings
from tradecast.delivery.broker import Broker
from tradecast.delivery.clients.resumption import RecoveryLimiter
from tradecast.delivery.hub import Hub, HubOptions
from tradecast.delivery.metrics import DeliveryMetrics
from tradecast.delivery.redis.options import PublishResult
from tradecast.delivery.shaping.intake import ShapingOptions
from tradecast.delivery.shaping.metrics import ShapingMetrics
from tradecast.delivery.writer_factory import create_retention
from tradecast.engine.server import Compression
from tradecast.engine.transports.base import Limits
from tradecast.events import kinds
from tradecast.gateway.application import Options
from tradecast.gateway.bounds.packet_allowances import BURST, PER_SECOND
from tradecast.gateway.clients import Clients
from tradecast.gateway.server import SocketServer
from tradecast.observability.throttled_log import ThrottledLog
from tradecast.packets.rooms import LocalManager
from tradecast.runtime_config.manager import RuntimeConfig
from tradecast.runtime_config.metrics import RuntimeConfigMetrics
from tradecast.runtime_config.overrides import extract_runtime_settings


def create_runtime_config(settings: Settings, metrics: RuntimeConfigMetrics) -> RuntimeConfig:
    """The settings that may change at run time; those of the environment are in effect at first."""
    return RuntimeConfig(extract_runtime_settings(settings), metrics, has_other_mode=settings.other_mode is not None)


def create_hub(
    settings: Settings,
    broker: Broker,
    manager: LocalManager,
    server: SocketServer[Clients],
    metrics: DeliveryMetrics,
    *,
    shaping: ShapingMetrics,
    limiter: RecoveryLimiter,
    lines: ThrottledLog,
) -> Hub:
    """The clients of a Socket.IO server between its engine and the broker. Arguments as of `Hub`."""
    options = HubOptions(
        recovery=settings.recovery,
        window=settings.recovery_window,
        refresh=create_retention(settings).refresh,
        buffer_limit=settings.send_queue_limit,
        replay_limit=settings.send_buffer_limit,
        shaping=ShapingOptions(
            feed=kinds.FEED,
            rates=settings.rates,
            max_ages=settings.max_ages,
            age_sample=settings.quote_age_sample,
            observer=shaping,
        ),
    )
    return Hub(broker, manager, server.eio, server, metrics, options, kinds=kinds, limiter=limiter, lines=lines)


def create_cluster(
    settings: Settings,
    broker: Broker,
    clients: LocalClients,
    servers: ReachableServers,
    metrics: ServerMetrics,
    *,
    handlers: Mapping[str, ServerEventHandler],
    relay: RelayIdentity,
) -> Cluster:
    """Requests to all servers, and theirs to this one. Arguments as of `Cluster`."""
    return Cluster(
        broker,
        clients,
        servers,
        ClusterOptions(settings.cluster_lease, settings.cluster_timeout),
        handlers=handlers,
        requests=metrics.cluster,
        messages=metrics.delivery,
        relay=relay,
    )


class OtherRedisObserver:
    """`PublishObserver` of the Redis of the other mode."""

    def __init__(self, metrics: DeliveryMetrics) -> None:
        self._metrics = metrics

    def redis_published(self, result: PublishResult, count: int) -> None:
        """See `DeliveryMetrics.other_redis_published`."""
        self._metrics.other_redis_published(result, count)


def create_options(settings: Settings) -> Options:
    """Engine.IO's and Socket.IO's settings."""
    origins = list(settings.cors_origin)
    return Options(
        transports=list(settings.offered_transports),
        cors_origins="*" if origins == ["*"] else origins or None,
        ping_interval=settings.ping_interval,
        ping_timeout=settings.ping_timeout,
        upgrade_timeout=settings.upgrade_timeout,
        connect_timeout=settings.connect_timeout,
        max_http_buffer_size=settings.max_http_buffer_size,
        compression=Compression(
            messages_above=settings.websocket_compression_above if settings.websocket_compression else None,
            answers=settings.http_compression,
        ),
        limits=Limits(
            settings.send_queue_limit,
            settings.send_buffer_limit,
            unsent=settings.conflate_above_bytes,
            patience=settings.slow_client_patience,
        ),
        # Where more events are allowed, more packets have to be: a client is refused events long before it is closed.
        packet_burst=max(BURST, 2 * settings.rate_limit_global),
        packets_per_second=max(PER_SECOND, 4_000 * settings.rate_limit_global / settings.rate_limit_window_ms),
        most_per_address=settings.max_unauthenticated_per_address,
        trusted_proxies=settings.trusted_proxies,
    )
