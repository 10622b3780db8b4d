"""The broker that the settings ask for."""

from __future__ import annotations

from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from tradecast.config.settings import Mode, Settings, UrlName
from tradecast.delivery.memory import MemoryBroker
from tradecast.delivery.redis.broker import RedisBroker, RedisWriter
from tradecast.delivery.redis.partition import BrokerObserver, PartitionConfig
from tradecast.delivery.retention import Retention
from tradecast.redis_client.client import RedisClient, create_redis

MAX_REFRESH = 30.0


def create_retention(settings: Settings) -> Retention:
    """How long things are kept, by RECOVERY_WINDOW, HISTORY_EVENTS and the heartbeat's figures."""
    return Retention(
        window=settings.recovery_window,
        dead_after=settings.ping_interval + settings.ping_timeout,
        refresh=min(MAX_REFRESH, settings.recovery_window / 4),
        events_per_room=settings.history_events,
    )


def create_figures(settings: Settings) -> PartitionConfig:
    """What the adapter runs with."""
    return PartitionConfig(
        timeout=settings.redis_timeout,
        publish_timeout=settings.publish_timeout,
        publish_buffer=settings.publish_buffer,
        publish_batch=settings.publish_batch,
        batch_window=settings.batch_window_ms / 1000,
        linger=settings.channel_linger,
        subscription_batch=settings.subscription_batch,
    )


def create_adapter_redis(settings: Settings, name: UrlName = "REDIS_URL") -> RedisClient:
    """A client that tries once: what the adapter asks for, it repeats itself, in order."""
    return create_redis(settings, name, retry=Retry(NoBackoff(), 0))


def create_broker(
    settings: Settings, watch: BrokerObserver | None = None, other_watch: BrokerObserver | None = None
) -> MemoryBroker | RedisBroker:
    """Of the mode that the settings say: memory for `single`, else Redis.

    Args:
        settings: All of them.
        watch: What is told of the own Redis.
        other_watch: What is told of events that go to the other mode's as well.
    """
    retention, mode, other = create_retention(settings), settings.mode, settings.other_mode
    if mode == "single":
        return MemoryBroker(retention)
    name = settings.url_of(mode)
    return RedisBroker(
        create_adapter_redis(settings, name),
        retention,
        create_figures(settings),
        watch,
        other=None if other is None else create_writer(settings, other, other_watch),
        # What servers tell each other goes through REDIS_URL in both modes, so that they do.
        posts=None if name == "REDIS_URL" else create_adapter_redis(settings),
    )


def create_writer(settings: Settings, mode: Mode, watch: BrokerObserver | None = None) -> RedisWriter:
    """For events of a mode, which is not `single`, without listening. Raises SettingsError without the URL."""
    redis = create_adapter_redis(settings, settings.url_of(mode))
    return RedisWriter(redis, create_retention(settings), create_figures(settings), watch)
