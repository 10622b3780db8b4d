"""The broker that the settings ask for."""

from __future__ import annotations

from collections.abc import Mapping

from tradecast.config.settings import Settings
from tradecast.delivery.broker import Broker
from tradecast.delivery.memory import MemoryBroker
from tradecast.delivery.redis.broker import RedisBroker
from tradecast.delivery.redis.options import BrokerObserver, PublishObserver
from tradecast.delivery.writer_factory import (
    create_adapter_redis,
    create_partition_config,
    create_retention,
    create_writer,
)


def create_broker(
    settings: Settings,
    observer: BrokerObserver,
    other_observer: PublishObserver,
    recent: Mapping[str, int] | None = None,
) -> Broker:
    """Create the broker of the mode that the settings say: memory for `single`, else Redis.

    Args:
        settings: All of them.
        observer: Observes the Redis of this mode.
        other_observer: Observes events that go to the other mode's as well.
        recent: The counted events that stay for later subscribers, each with how many.
    """
    retention, mode, other = create_retention(settings, recent), settings.mode, settings.other_mode
    if mode == "single":
        return MemoryBroker(retention, observer)
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
