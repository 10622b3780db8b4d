"""Health checks of what a server depends on, and what its metrics read of its components."""

from __future__ import annotations

from tradecast.bootstrap.components import Components
from tradecast.causes import Code, Failed
from tradecast.observability.health import DATABASE, OTHER_REDIS, REDIS
from tradecast.redis_client.client import RedisClient
from tradecast.redis_client.errors import mark_place
from tradecast.redis_client.eviction import EvictionWatch
from tradecast.redis_client.peer import Explainer


class RedisDependency:
    """The Redis of REDIS_URL, that of events where it is another, and the subscription to the other servers' events.

    Args:
        components: Of the server.
        redis: Of REDIS_URL.
    """

    def __init__(self, components: Components, redis: RedisClient) -> None:
        self._broker = components.broker
        self._metrics = components.foundation.metrics.redis
        self._redis = redis
        self._further = self._broker.redis if components.foundation.settings.adapter_url != "REDIS_URL" else None
        self._eviction = EvictionWatch()

    async def check(self) -> None:
        """See `Dependency`."""
        await self._redis.check()
        found = await self._eviction.check("REDIS_URL", self._redis)
        if self._further is not None:
            with mark_place(self._further):
                await self._further.check()
            found = await self._eviction.check("REDIS_CLUSTER_URL", self._further)
        self._broker.set_eviction(found.may_evict)
        self._metrics.redis_eviction(self._eviction.found.may_evict, self._eviction.found.evicted)
        if not self._broker.is_subscribed:
            with mark_place(self._broker.redis or self._redis):
                raise Failed(Code.NOT_SUBSCRIBED) from self._broker.trouble


def register_health(components: Components) -> None:
    """Register a check for each dependency that the settings name."""
    health, redis, other = components.foundation.health, components.redis, components.broker.other
    if redis is not None:
        mode = components.foundation.settings.mode
        health.register(REDIS, RedisDependency(components, redis), Explainer(redis.place), mode=mode)
    if other is not None:
        # Before events are published there, an operator has to know whether they can be.
        health.register(OTHER_REDIS, other.redis, Explainer(other.redis.place))
    database = components.sessions.database
    if database is not None:
        health.register(DATABASE, database, Explainer(database.place))


def watch_components(components: Components) -> None:
    """Let the metrics read the components each time that they are read."""
    settings, metrics = components.foundation.settings, components.foundation.metrics
    metrics.connections.watch_connections(components.foundation.registry, components.socket_server)
    metrics.connections.limit_connections(settings.max_connections)
    metrics.gateway.watch_backlog(components.socket_server.eio.backlog)
    metrics.events.watch_subscriptions(components.manager)
    metrics.delivery.watch_replays(components.hub.clients)
    if not components.broker.is_local:
        metrics.delivery.watch_adapter(components.broker)
    metrics.delivery.watch_deltas(components.hub.deltas)
    metrics.shaping.watch_shaping(components.hub.intake)
    metrics.lifecycle.watch_lifecycle(components.drain, components.gate, components.readiness)
    if components.certificate is not None:
        metrics.http.watch_certificate("public", components.certificate)
    if components.relay is not None and components.relay.tls is not None:
        metrics.http.watch_certificate("internal", components.relay.tls)
    if components.relay is not None:
        metrics.relay.watch_relays(components.relay)
