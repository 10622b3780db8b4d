"""The components of a server: what there is of each, in which order it starts, and in which it ends."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from tradecast.background.tasks import TaskSet
from tradecast.bootstrap.metrics import ServerMetrics
from tradecast.cluster_rpc import Cluster
from tradecast.cluster_rpc.operations import ServerEventHandler
from tradecast.config.settings import Settings
from tradecast.connections.registry import ConnectionRegistry
from tradecast.connections.session_sync import SessionSync
from tradecast.delivery.broker import Broker
from tradecast.delivery.hub import Hub
from tradecast.events.dispatcher import Dispatcher
from tradecast.events.handlers import Broadcaster
from tradecast.events.symbols import Symbols
from tradecast.gateway.clients import Clients
from tradecast.gateway.middleware import Middleware
from tradecast.gateway.server import SocketServer
from tradecast.http.stats import Stats
from tradecast.lifecycle.certificate import RenewedCertificate
from tradecast.lifecycle.draining.drain import Drain
from tradecast.lifecycle.handshake_gate import HandshakeGate
from tradecast.lifecycle.readiness import Readiness
from tradecast.lifecycle.revision_registry import RevisionRegistry
from tradecast.limits.limiter import RateLimiter
from tradecast.observability.health import Health
from tradecast.observability.loop_lag import LoopLag
from tradecast.observability.throttled_log import ThrottledLog
from tradecast.packets.rooms import LocalManager
from tradecast.polling_relay.availability import PollingAvailability
from tradecast.polling_relay.relay_service import RelayService
from tradecast.redis_client.client import RedisClient
from tradecast.runtime_config.file_watcher import WatchedFile
from tradecast.runtime_config.manager import RuntimeConfig
from tradecast.sessions.revocation import RevocationWatcher
from tradecast.sessions.service import Sessions


@dataclass(frozen=True, slots=True)
class Foundation:
    """What there is before anything is connected, and what whoever runs the server has set."""

    settings: Settings
    metrics: ServerMetrics
    health: Health
    lines: ThrottledLog
    registry: ConnectionRegistry
    dispatcher: Dispatcher
    middleware: Middleware
    broadcaster: Broadcaster
    symbols: Symbols
    server_events: Mapping[str, ServerEventHandler]


@dataclass(frozen=True, slots=True, kw_only=True)
class Components:
    """The parts of an initialized server; all are there, or the building has failed."""

    foundation: Foundation
    redis: RedisClient | None
    relay: RelayService | None
    sessions: Sessions
    limiter: RateLimiter
    runtime_config: RuntimeConfig
    adapter_file: WatchedFile | None
    manager: LocalManager
    socket_server: SocketServer[Clients]
    broker: Broker
    hub: Hub
    cluster: Cluster
    clients: Clients
    sync: SessionSync
    watcher: RevocationWatcher
    polling: PollingAvailability | None
    gate: HandshakeGate
    drain: Drain
    revisions: RevisionRegistry | None
    readiness: Readiness
    certificate: RenewedCertificate | None
    stats: Stats
    running: TaskSet = field(default_factory=TaskSet)

    async def start(self) -> None:
        """Start the background loops, the revision registry first: an old server that restarts accepts no client."""
        settings = self.foundation.settings
        await self.limiter.start()
        if self.revisions is not None:
            await self.revisions.refresh()
            self.running.spawn(self.revisions.run(), name="revisions")
        await self.hub.start()
        # Subscribe to the other servers now, not at the first client; wait as long as for any answer of Redis.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(settings.redis_timeout):
                await self.broker.wait_until_subscribed()
        if self.adapter_file is not None:
            self.running.spawn(self.adapter_file.run(), name="adapter file")
        await self.cluster.start()
        if self.polling is not None:
            self.running.spawn(self.polling.run(), name="polling availability")
        if self.certificate is not None:
            self.running.spawn(self.certificate.run(), name="certificate")
        self.running.spawn(self.watcher.run(), name="revocation")
        self.running.spawn(self.foundation.health.run(), name="health")
        self.running.spawn(LoopLag(self.foundation.metrics.process).run(), name="loop lag")

    async def close(self) -> None:
        """Close the clients' transports so that they reconnect elsewhere, and release all resources."""
        self.gate.stop_accepting()
        await self.drain.close()
        await self.socket_server.eio.close_all(self.foundation.settings.shutdown_timeout)
        await self.running.close()
        await self.clients.tasks.close()
        if self.revisions is not None:
            await self.revisions.leave()
        if self.relay is not None:
            await self.relay.close()
        await self.sync.expiry.close()
        await self.socket_server.shutdown()
        await self.cluster.close()
        await self.hub.close()
        await self.limiter.close()
        await self.sessions.close()
        if self.redis is not None:
            await self.redis.aclose()
