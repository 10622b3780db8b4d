"""Registers what health checks ask, and what the metrics read of the components."""

from __future__ import annotations

from tradecast.bootstrap.components import Components
from tradecast.causes import Code, Failed
from tradecast.observability.health import DATABASE, OTHER_REDIS, REDIS
from tradecast.redis_client.errors import mark_place
from tradecast.redis_client.eviction import EvictionWatch
from tradecast.redis_client.peer import Explainer


def register_health(components: Components) -> None:
    """Register a check for each dependency that the settings name."""
    settings, health, metrics = (
        components.foundation.settings,
        components.foundation.health,
        components.foundation.metrics,
    )
    broker = components.broker
    if components.redis is not None:
        redis = components.redis
        further = broker.redis if settings.adapter_url != "REDIS_URL" else None
        eviction = EvictionWatch()
        explainer = Explainer(redis.place)

        async def ping_redis() -> None:
            await redis.check()
            found = await eviction.check("REDIS_URL", redis)
            if further is not None:
                with mark_place(further):
                    await further.check()
                found = await eviction.check("REDIS_CLUSTER_URL", further)
            broker.set_eviction(found.may_evict)
            metrics.redis.redis_eviction(eviction.found.may_evict, eviction.found.evicted)
            if not broker.is_subscribed:
                with mark_place(broker.redis or redis):
                    raise Failed(Code.NOT_SUBSCRIBED) from broker.trouble

        health.register(REDIS, ping_redis, explainer.explain, mode=settings.mode)
    if broker.other is not None:
        # before events go there, somebody wants to know whether they can
        other = broker.other.redis
        health.register(OTHER_REDIS, other.check, Explainer(other.place).explain)
    if components.sessions.database is not None:
        database = components.sessions.database
        health.register(DATABASE, database.ping, Explainer(database.place).explain)


def register_figures(components: Components) -> None:
    """Let the metrics read the components' figures when somebody asks for them."""
    settings, metrics, registry = (
        components.foundation.settings,
        components.foundation.metrics,
        components.foundation.registry,
    )
    metrics.connections.watch_connections(registry, components.socket_server)
    metrics.connections.limit_connections(settings.max_connections)
    metrics.events.watch_subscriptions(components.manager)
    if not components.broker.is_local:
        metrics.delivery.watch_adapter(components.broker)
    metrics.lifecycle.watch_lifecycle(components.drain, components.gate, components.readiness)
    metrics.lifecycle.limit_drain(settings.drain_delay + settings.drain_timeout)
    if components.relay is not None:
        metrics.relay.watch_relays(components.relay)
