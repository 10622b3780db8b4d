"""The broker that the settings ask for."""

from __future__ import annotations

from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from tradecast.adapter.history import Retention
from tradecast.adapter.memory_broker import MemoryBroker
from tradecast.adapter.redis import RedisClient, create_redis
from tradecast.adapter.redis_broker import RedisBroker, RedisWriter
from tradecast.adapter.redis_partition import Figures, Watch
from tradecast.settings import Settings

MAX_REFRESH = 30.0


def create_retention(settings: Settings) -> Retention:
    """How long things are kept, by RECOVERY_WINDOW, HISTORY_EVENTS and the heartbeat's figures."""
    return Retention(
        window=settings.recovery_window,
        dead_after=settings.ping_interval + settings.ping_timeout,
        refresh=min(MAX_REFRESH, settings.recovery_window / 4),
        events_per_room=settings.history_events,
    )


def create_figures(settings: Settings) -> Figures:
    """What the adapter runs with."""
    return Figures(
        timeout=settings.redis_timeout,
        publish_timeout=settings.publish_timeout,
        publish_buffer=settings.publish_buffer,
        publish_batch=settings.publish_batch,
        batch_window=settings.batch_window_ms / 1000,
        linger=settings.channel_linger,
        subscription_batch=settings.subscription_batch,
    )


def create_adapter_redis(settings: Settings) -> RedisClient:
    """A client that tries once: what the adapter asks for, it repeats itself, in order."""
    return create_redis(settings, retry=Retry(NoBackoff(), 0))


def create_broker(settings: Settings, watch: Watch | None = None) -> MemoryBroker | RedisBroker:
    """Memory without REDIS_URL: mode `single`. Else Redis: mode `pubsub`, or `sharded` on Redis Cluster."""
    retention = create_retention(settings)
    if settings.redis_url is None:
        return MemoryBroker(retention)
    return RedisBroker(create_adapter_redis(settings), retention, create_figures(settings), watch)


def create_writer(settings: Settings, watch: Watch | None = None) -> RedisWriter:
    """For a process that only publishes. Raises SettingsError without REDIS_URL."""
    return RedisWriter(create_adapter_redis(settings), create_retention(settings), create_figures(settings), watch)
