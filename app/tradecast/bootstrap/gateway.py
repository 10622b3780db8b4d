"""Builds the Socket.IO server with all that refers to it: its hub, its application, and requests to all servers."""

from __future__ import annotations

from dataclasses import dataclass

from tradecast.bootstrap.components import Foundation
from tradecast.bootstrap.factories import create_cluster, create_hub, create_options
from tradecast.cluster_rpc import Cluster
from tradecast.cluster_rpc.cluster import NoRelay
from tradecast.cluster_rpc.local_clients import LocalClients
from tradecast.cluster_rpc.reachable_servers import ReachableServers
from tradecast.connections.rate_limits import create_rate_limit_middleware
from tradecast.connections.records import ConnectionRecords
from tradecast.connections.session_sync import SessionSync
from tradecast.connections.session_watch import SessionWatch
from tradecast.delivery.broker import Broker
from tradecast.delivery.hub import Hub
from tradecast.engine.ids import SidMaker
from tradecast.engine.server import PollingPolicy
from tradecast.events.subscriptions import Subscriptions
from tradecast.gateway.clients import Clients
from tradecast.gateway.live_clients import LiveClients
from tradecast.gateway.middleware import ConnectionMiddleware, ConnectSteps, DefaultMiddleware
from tradecast.gateway.quotas import ConnectionQuotas, RecoveryQuota
from tradecast.gateway.refusals import Refusals
from tradecast.gateway.server import SocketServer
from tradecast.limits.connection_slots import ConnectionSlots
from tradecast.limits.limiter import RateLimiter
from tradecast.observability.throttled_log import ThrottledLog
from tradecast.packets.rooms import LocalManager
from tradecast.polling_relay.announcement import RelayAnnouncement
from tradecast.sessions.revocation import RevocationWatcher
from tradecast.sessions.service import Sessions


@dataclass(frozen=True, slots=True, kw_only=True)
class Below:
    """What the gateway stands on.

    Attributes:
        foundation: What whoever runs the server has set.
        authenticate: The product's own authentication.
        sessions: Where sessions are looked up.
        limiter: Counts events, connections and subscriptions of users.
        subscriptions: Which rooms clients may subscribe to.
        broker: Carries events between servers.
        servers: The other servers, as far as their heartbeats say.
        announcement: This server's part in relaying requests; None: none are relayed.
        is_local: Whether nothing is shared with other servers.
    """

    foundation: Foundation
    authenticate: ConnectionMiddleware
    sessions: Sessions
    limiter: RateLimiter
    subscriptions: Subscriptions
    broker: Broker
    servers: ReachableServers
    announcement: RelayAnnouncement | None
    is_local: bool


@dataclass(frozen=True, slots=True)
class Applied:
    """Components that are built along with the Socket.IO server."""

    cluster: Cluster
    sync: SessionSync
    watcher: RevocationWatcher


@dataclass(frozen=True, slots=True)
class Gateway:
    """A Socket.IO server, and the components that are built along with it."""

    server: SocketServer[Clients]
    applied: Applied


def build_gateway(below: Below, manager: LocalManager, sids: SidMaker | None, polling: PollingPolicy | None) -> Gateway:
    """Build the Socket.IO server.

    Args:
        below: What it stands on.
        manager: Rooms on this server.
        sids: Makes the sids of transports; None: random ones.
        polling: Whether clients may begin with polling; None: always.
    """
    foundation = below.foundation
    metrics, lines = foundation.metrics, foundation.lines
    refusals = Refusals(metrics.gateway, lines, ThrottledLog(metrics.process, burst=1))
    builder = _Builder(below, manager)
    options = create_options(foundation.settings)
    server = SocketServer(refusals, manager, options, builder, sids=sids, polling=polling, lines=lines)
    return Gateway(server, builder.applied[0])


class _Builder:
    """Builds what a server serves (`gateway.server.Builder`)."""

    def __init__(self, below: Below, manager: LocalManager) -> None:
        self._below = below
        self._manager = manager
        self.applied: list[Applied] = []

    def build_hub(self, server: SocketServer[Clients]) -> Hub:
        below, foundation = self._below, self._below.foundation
        return create_hub(
            foundation.settings,
            below.broker,
            self._manager,
            server,
            foundation.metrics.delivery,
            shaping=foundation.metrics.shaping,
            limiter=RecoveryQuota(below.limiter),
            lines=foundation.lines,
        )

    def build_application(self, server: SocketServer[Clients], hub: Hub) -> Clients:
        below, foundation = self._below, self._below.foundation
        settings, metrics = foundation.settings, foundation.metrics
        sync = SessionSync(below.sessions, foundation.registry, server, below.subscriptions, metrics.connections)
        watcher = RevocationWatcher(below.sessions, sync, metrics.sessions, settings.revocation_poll_interval)
        cluster = self._build_cluster(server, hub)
        self.applied.append(Applied(cluster, sync, watcher))
        return Clients(
            ConnectSteps(foundation.middleware, DefaultMiddleware(below.authenticate, self._build_limits(cluster))),
            below.sessions,
            SessionWatch(foundation.registry, sync.expiry, watcher),
            ConnectionQuotas(below.limiter),
            foundation.dispatcher,
            ConnectionRecords(metrics.connections, foundation.lines),
            self._manager,
            server,
            cookie=settings.session_cookie_name,
            is_local=below.is_local,
        )

    def _build_cluster(self, server: SocketServer[Clients], hub: Hub) -> Cluster:
        below, foundation = self._below, self._below.foundation
        live = LiveClients(foundation.registry, self._manager, server.eio, server.transport_table)
        clients = LocalClients(hub, self._manager, server, live)
        return create_cluster(
            foundation.settings,
            below.broker,
            clients,
            below.servers,
            foundation.metrics,
            handlers=foundation.server_events,
            relay=below.announcement or NoRelay(),
        )

    def _build_limits(self, cluster: Cluster) -> ConnectionMiddleware:
        foundation = self._below.foundation
        metrics = foundation.metrics
        slots = ConnectionSlots(cluster, foundation.settings.max_connections_per_user, metrics.limits)
        return create_rate_limit_middleware(
            self._below.limiter, observer=metrics.events, connections=foundation.registry, slots=slots
        )
