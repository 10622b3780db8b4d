"""Delivery of events between servers, and recovery."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from tradecast.config.groups.base import Group
from tradecast.config.runtime_settings import (
    BatchWindow,
    ChannelLinger,
    HistoryEvents,
    PublishBatch,
    PublishBoth,
    PublishBuffer,
    PublishTimeout,
    SubscriptionBatch,
    runtime_field,
)
from tradecast.config.types import (
    Seconds,
)


class DeliverySettings(Group):
    """Recovery, history, publishing, and requests to all servers."""

    recovery: bool = Field(True, description="Let clients resume after a lost connection (connection state recovery)")
    recovery_window: Annotated[float, Field(ge=1, le=3600)] = Field(
        120, description="Seconds after a lost connection within which a client can resume without missing events"
    )
    history_events: HistoryEvents = runtime_field("history_events")
    publish_timeout: PublishTimeout = runtime_field("publish_timeout")
    publish_buffer: PublishBuffer = runtime_field("publish_buffer")
    publish_batch: PublishBatch = runtime_field("publish_batch")
    batch_window_ms: BatchWindow = runtime_field("batch_window_ms")
    channel_linger: ChannelLinger = runtime_field("channel_linger")
    subscription_batch: SubscriptionBatch = runtime_field("subscription_batch")
    publish_both: PublishBoth = runtime_field("publish_both")
    adapter_file: str | None = Field(
        None,
        description="YAML or JSON file with values that override those of the settings and take effect as soon as "
        "the file changes (docs/adapter-settings.md lists them); it may be missing",
    )
    cluster_lease: Annotated[float, Field(ge=0.5, le=60)] = Field(
        4,
        description="Seconds of silence after which a server counts as gone: requests to all servers no longer "
        "wait for it, and its connections do not count ([cluster.md](cluster.md)). Each server sends "
        "four heartbeats in that time",
    )
    cluster_timeout: Seconds = Field(
        5,
        description="Seconds that servers, or clients with their acknowledgements, may take to answer a request to "
        "all servers",
    )
