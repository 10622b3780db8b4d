"""What publishes events, by the settings."""

from __future__ import annotations

import pytest

from tradecast.config.settings import load_settings
from tradecast.delivery.writer_factory import (
    MAX_REFRESH,
    create_adapter_redis,
    create_partition_config,
    create_retention,
)
from tradecast.redis_client.single import SingleClient


@pytest.mark.parametrize(("window", "refresh"), [("1", 0.25), ("40", 10), ("120", 30), ("3600", MAX_REFRESH)])
def test_retention_follows_the_settings(window: str, refresh: float) -> None:
    environ = {"RECOVERY_WINDOW": window, "PING_INTERVAL": "7", "PING_TIMEOUT": "3", "HISTORY_EVENTS": "5"}
    kept = create_retention(load_settings(environ))
    assert (kept.window, kept.dead_after, kept.refresh, kept.events_per_room) == (float(window), 10, refresh, 5)


async def test_the_adapters_client_tries_once() -> None:
    redis = create_adapter_redis(load_settings({"REDIS_URL": "redis://127.0.0.1:1"}))
    assert isinstance(redis, SingleClient)
    retry = redis.get_retry()
    assert retry is not None
    assert retry.get_retries() == 0
    await redis.aclose()


def test_a_partition_has_the_timeout_and_the_settings_that_can_change() -> None:
    settings = load_settings({"REDIS_TIMEOUT": "7", "PUBLISH_BATCH": "3"})
    config = create_partition_config(settings)
    assert (config.timeout, config.settings.publish_batch) == (7, 3)
