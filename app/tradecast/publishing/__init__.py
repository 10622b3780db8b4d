"""Emits events from any process, through Redis: depends on redis and orjson only, once it has its settings."""

from tradecast.publishing.publisher import Publisher
from tradecast.publishing.sync_publisher import SyncPublisher

__all__ = ["Publisher", "SyncPublisher"]
