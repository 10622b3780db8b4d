"""The broker that the settings ask for."""

from __future__ import annotations

from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from tradecast.config.settings import Mode, Settings, UrlName
from tradecast.delivery.broker import Broker
from tradecast.delivery.memory import MemoryBroker
from tradecast.delivery.redis.broker import RedisBroker
from tradecast.delivery.redis.options import BrokerObserver, PartitionConfig, PublishObserver
from tradecast.delivery.redis.writer import RedisWriter
from tradecast.delivery.retention import Retention
from tradecast.redis_client.client import RedisClient, create_redis
from tradecast.runtime_config.overrides import extract_runtime_settings

MAX_REFRESH = 30.0


def create_retention(settings: Settings) -> Retention:
    """How long things are kept, by RECOVERY_WINDOW, HISTORY_EVENTS and the heartbeat."""
    return Retention(
        window=settings.recovery_window,
        dead_after=settings.ping_interval + settings.ping_timeout,
        refresh=min(MAX_REFRESH, settings.recovery_window / 4),
        events_per_room=settings.history_events,
    )


def create_partition_config(settings: Settings) -> PartitionConfig:
    """How partitions talk to Redis."""
    return PartitionConfig(settings.redis_timeout, extract_runtime_settings(settings))


def create_adapter_redis(settings: Settings, name: UrlName = "REDIS_URL") -> RedisClient:
    """Create a client that tries once: batch queues repeat what fails, in order."""
    return create_redis(settings, name, retry=Retry(NoBackoff(), 0))


def create_broker(settings: Settings, observer: BrokerObserver, other_observer: PublishObserver) -> Broker:
    """Create the broker of the mode that the settings say: memory for `single`, else Redis.

    Args:
        settings: All of them.
        observer: Observes the Redis of this mode.
        other_observer: Observes events that go to the other mode's as well.
    """
    retention, mode, other = create_retention(settings), settings.mode, settings.other_mode
    if mode == "single":
        return MemoryBroker(retention)
    name = settings.url_of(mode)
    return RedisBroker(
        create_adapter_redis(settings, name),
        retention,
        create_partition_config(settings),
        observer,
        other=None if other is None else create_writer(settings, other, other_observer),
        # Control messages go through REDIS_URL in both modes, so that servers of both receive them.
        control_redis=None if name == "REDIS_URL" else create_adapter_redis(settings),
    )


def create_writer(settings: Settings, mode: Mode, observer: PublishObserver) -> RedisWriter:
    """Create what publishes events of a mode, which is not `single`. Raises SettingsError without the URL."""
    redis = create_adapter_redis(settings, settings.url_of(mode))
    return RedisWriter(redis, create_retention(settings), create_partition_config(settings), observer)
