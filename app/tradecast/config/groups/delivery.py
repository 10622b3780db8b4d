"""Delivery of events between servers, and recovery."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

from tradecast.config.groups.base import Group
from tradecast.config.patterns import Bounds, PatternValues, parse_pattern_values
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
    split_list,
)

# Events a second. Below, a value would be stale before it is sent; beyond, a timer cannot tell them apart.
RATES = Bounds(0.1, 1000)
# Seconds without a quote.
MAX_AGES = Bounds(1, 86_400)


def check_rates(entries: tuple[str, ...]) -> tuple[str, ...]:
    """Patterns with events a second."""
    parse_pattern_values(entries, RATES)
    return entries


def check_max_ages(entries: tuple[str, ...]) -> tuple[str, ...]:
    """Patterns with seconds."""
    parse_pattern_values(entries, MAX_AGES)
    return entries


Rates = Annotated[tuple[str, ...], BeforeValidator(split_list), AfterValidator(check_rates)]
MaxAges = Annotated[tuple[str, ...], BeforeValidator(split_list), AfterValidator(check_max_ages)]


class DeliverySettings(Group):
    """Recovery, history, publishing, and requests to all servers."""

    recovery: bool = Field(True, description="Let clients resume after a lost connection (connection state recovery)")
    recovery_window: Annotated[float, Field(ge=1, le=3600)] = Field(
        120, description="Seconds after a lost connection within which a client can resume without missing events"
    )
    history_events: HistoryEvents = runtime_field("history_events")
    retain_seconds: Annotated[float, Field(ge=0, le=604_800)] = Field(
        86_400,
        description="Seconds that the newest value of each latest-wins event, and the newest counted events of each "
        "room, stay for clients that subscribe later ([client.md](client.md#what-you-get-at-once)); 0: none stay, and "
        "clients get no snapshot",
    )
    retain_value_bytes: Annotated[int, Field(ge=256, le=1_000_000)] = Field(
        16_384, description="Bytes of the largest value that stays for later subscribers"
    )
    retain_budget_bytes: Annotated[int, Field(ge=0)] = Field(
        268_435_456,
        description="Bytes that all such values may take in Redis, or in a single server's memory; beyond that, those "
        "of the rooms that were written to least recently go first. It never delays or refuses an event",
    )
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
    throttle: Rates = Field(
        (),
        description="Latest-wins events a second of each key, by patterns of symbols (or of the names of events other "
        "than `watchlist:quote`): `*=10,BTC*=2`; `*` stands for any characters, and the most specific pattern counts. "
        "From 0.1 to 1000; empty: all events are sent ([client.md](client.md#fewer-quotes))",
    )
    stale_after: MaxAges = Field(
        (),
        description="Seconds without a quote after which a symbol is stale, by patterns of symbols as in THROTTLE: "
        "`*=60,BTC*=5`. From 1 to 86400; empty: no symbol is ever stale ([client.md](client.md#stale-quotes))",
    )
    quote_age_sample: Annotated[int, Field(ge=0, le=1_000_000)] = Field(
        100, description="Of so many quotes, one has its age measured (`tradecast_quote_age_seconds`); 0: none"
    )

    @property
    def rates(self) -> PatternValues:
        """THROTTLE by name."""
        return parse_pattern_values(self.throttle, RATES)

    @property
    def max_ages(self) -> PatternValues:
        """STALE_AFTER by name."""
        return parse_pattern_values(self.stale_after, MAX_AGES)
