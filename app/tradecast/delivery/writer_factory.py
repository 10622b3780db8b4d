"""What publishes events to Redis. It needs no server, and no pydantic before there are settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from tradecast.delivery.redis.options import PartitionConfig, PublishObserver
from tradecast.delivery.redis.writer import RedisWriter
from tradecast.delivery.retention import RetainLimits, Retention
from tradecast.redis_client.client import RedisClient, create_redis

if TYPE_CHECKING:  # pydantic is only needed where settings are read
    from tradecast.config.settings import Mode, Settings, UrlName

MAX_REFRESH = 30.0


def create_retention(settings: Settings, recent: Mapping[str, int] | None = None) -> Retention:
    """How long things are kept, by RECOVERY_WINDOW, HISTORY_EVENTS, the heartbeat and RETAIN_SECONDS.

    Args:
        settings: All of them.
        recent: The counted events that stay for later subscribers, each with how many.
    """
    return Retention(
        window=settings.recovery_window,
        dead_after=settings.ping_interval + settings.ping_timeout,
        refresh=min(MAX_REFRESH, settings.recovery_window / 4),
        events_per_room=settings.history_events,
        retain=RetainLimits(
            settings.retain_seconds, settings.retain_value_bytes, settings.retain_budget_bytes, recent or {}
        ),
    )


def create_partition_config(settings: Settings) -> PartitionConfig:
    """How partitions talk to Redis."""
    return PartitionConfig(settings.redis_timeout, settings)


def create_adapter_redis(settings: Settings, name: UrlName = "REDIS_URL") -> RedisClient:
    """Create a client that tries once: batch queues repeat what fails, in order."""
    return create_redis(settings, name, retry=Retry(NoBackoff(), 0))


def create_writer(settings: Settings, mode: Mode, observer: PublishObserver) -> RedisWriter:
    """Create what publishes events of a mode, which is not `single`. Raises SettingsError without the URL."""
    redis = create_adapter_redis(settings, settings.url_of(mode))
    return RedisWriter(redis, create_retention(settings), create_partition_config(settings), observer)
