"""The configuration of a partition, and its observers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

PublishResult = Literal["ok", "failed", "uncertain"]


class RuntimeValues(Protocol):
    """The settings of a partition that can change at run time: `RuntimeSettings`, or all of `Settings`."""

    @property
    def history_events(self) -> int: ...
    @property
    def publish_batch(self) -> int: ...
    @property
    def batch_window_ms(self) -> float: ...
    @property
    def publish_buffer(self) -> int: ...
    @property
    def publish_timeout(self) -> float: ...
    @property
    def channel_linger(self) -> float: ...
    @property
    def subscription_batch(self) -> int: ...


@dataclass(frozen=True, slots=True)
class PartitionConfig:
    """How a partition talks to Redis.

    Attributes:
        timeout: Seconds that one request to Redis may take.
        settings: Those that can change at run time, as they are at first.
    """

    timeout: float
    settings: RuntimeValues


class PublishObserver(Protocol):
    """Observes the results of publishing: the metrics."""

    def redis_published(self, result: PublishResult, count: int) -> None:
        """This number of events was published to Redis: `ok`, `failed`, or `uncertain` if Redis did not answer."""
        ...


class BrokerObserver(PublishObserver, Protocol):
    """Observes a broker over Redis; the metrics do."""

    def redis_subscribed(self, subscribed: bool) -> None:
        """The subscription to the other servers' events is active, or is lost."""
        ...

    def redis_message(self) -> None:
        """A message came through the subscription."""
        ...

    def redis_lag(self, seconds: float) -> None:
        """The round trip of a message of this server through Redis took this long, in seconds."""
        ...

    def gap_repaired(self, events: int) -> None:
        """The subscription is active again, and this many missed events were replayed."""
        ...

    def message_skipped(self, why: str) -> None:
        """A message or an entry was not understood."""
        ...

    def values_retained(self, partition: int, size: int, *, too_large: int, over_budget: int) -> None:
        """So many bytes are retained in a partition; so many values and rooms are not, of those just looked at."""
        ...


class NullBrokerObserver:
    """`BrokerObserver` for a process that measures nothing: a publisher, or a control channel beside the events'."""

    def redis_published(self, result: PublishResult, count: int) -> None:
        """Ignore it."""

    def redis_subscribed(self, subscribed: bool) -> None:
        """Ignore it."""

    def redis_message(self) -> None:
        """Ignore it."""

    def redis_lag(self, seconds: float) -> None:
        """Ignore it."""

    def gap_repaired(self, events: int) -> None:
        """Ignore it."""

    def message_skipped(self, why: str) -> None:
        """Ignore it."""

    def values_retained(self, partition: int, size: int, *, too_large: int, over_budget: int) -> None:
        """Ignore it."""
