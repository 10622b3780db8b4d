"""Metrics of events on their way: through Redis, and to the clients of this server."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, Protocol, get_args

from prometheus_client.core import CounterMetricFamily, Metric

from tradecast.delivery.recovery import RESULTS
from tradecast.delivery.redis.options import PublishResult
from tradecast.delivery.shaping.snapshots import SNAPSHOT_RESULTS, SnapshotResult
from tradecast.observability.metrics.registry import LiveMetrics, MetricsRegistry, create_gauge_family
from tradecast.observability.metrics.rolling import Rate, RecentLatencies

PUBLISH_RESULTS: tuple[PublishResult, ...] = get_args(PublishResult)
SkipReason = Literal["other version", "malformed message", "malformed entry", "malformed session", "error"]
SKIP_REASONS: tuple[SkipReason, ...] = get_args(SkipReason)
DELTA_FORMS = ("delta", "whole")
LAG_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)


class BrokerQueues(Protocol):
    """A broker as the metrics read it.

    Attributes:
        waiting: Events that wait for Redis.
        channels: Channels of Redis to which the server is subscribed.
    """

    @property
    def waiting(self) -> int: ...
    @property
    def channels(self) -> int: ...


class Deltas(Protocol):
    """What is kept for clients that want deltas, as the metrics read it."""

    def __len__(self) -> int:
        """Of how many rooms the last event is kept."""
        ...


class ReplayCounts(Protocol):
    """The clients of this server, as the metrics read them."""

    @property
    def replays(self) -> int:
        """To how many of them what they missed is being sent."""
        ...


class DeliveryMetrics(LiveMetrics):
    """Events that are emitted, published, received, recovered and lost.

    Args:
        registry: Where they are read.
        events: Names that are counted separately; all others count as `other`.
        clock: Seconds that never go back.

    Attributes:
        emitted: Events emitted since the start.
    """

    def __init__(
        self, registry: MetricsRegistry, events: Sequence[str] = (), clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.emitted = 0
        self._subscribed: bool | None = None
        self._lags = RecentLatencies(clock)
        self._last_lag: float | None = None
        self._published_total = self._messages_total = 0
        self._published_rate, self._messages_rate = Rate(clock), Rate(clock)
        self._gaps_total = self._gap_events_total = self._gap_clients_total = 0
        self._others_published: dict[str, int] = dict.fromkeys(PUBLISH_RESULTS, 0)
        self._emits = registry.tally("events_emitted", "Events emitted", "event", events)
        self._deliveries = registry.tally(
            "event_deliveries", "Recipients of emitted events on this server", "event", events
        )
        self._publishes = registry.tally("redis_publishes", "Events published to Redis", "result", PUBLISH_RESULTS)
        self._other_publishes = registry.tally(
            "other_redis_publishes", "Events also published to the Redis of the other mode", "result", PUBLISH_RESULTS
        )
        self._deltas = registry.tally(
            "delta_messages", "Events to clients that want deltas, by what was sent", "form", DELTA_FORMS
        )
        self._delta_bytes = registry.tally("delta_bytes", "Bytes of those events", "form", DELTA_FORMS)
        self._delta_rooms = registry.gauge("delta_rooms", "Rooms whose last event is kept for clients that want deltas")
        self._delta_replaced = registry.counter("delta_replaced_bytes", "Bytes of the events that deltas were sent for")
        self._recoveries = registry.tally(
            "recoveries", "Reconnecting clients, by outcome of their recovery", "result", RESULTS
        )
        self._gaps = registry.counter("gaps_repaired", "Lost subscriptions that were repaired")
        self._gap_events = registry.counter("gap_events", "Events replayed by repairs")
        self._gap_clients = registry.counter(
            "gap_clients_lost", "Clients that had to start a new session because events could not be replayed"
        )
        self._skipped = registry.tally(
            "messages_skipped", "Messages and entries in Redis that were skipped", "why", SKIP_REASONS
        )
        self._snapshots = registry.tally(
            "snapshots", "Rooms that clients joined, by whether values of before were there", "result", SNAPSHOT_RESULTS
        )
        self._not_retained = registry.tally(
            "not_retained",
            "What does not stay for later subscribers: values that are too large, rooms beyond the budget",
            "why",
            ("too_large", "budget"),
        )
        self._retained: dict[int, int] = {}
        self._retained_bytes = registry.gauge(
            "retained_bytes", "Bytes of values that stay for later subscribers, in all partitions"
        )
        self._retained_bytes.set_function(lambda: sum(self._retained.values()))
        self._budget = registry.gauge("retained_budget_bytes", "RETAIN_BUDGET_BYTES")
        self._lag = registry.histogram("redis_lag_seconds", "Round trip of a message through Redis", LAG_SECONDS)
        self._waiting = registry.gauge("publishes_waiting", "Events waiting for Redis")
        self._channels = registry.gauge("redis_channels", "Redis channels that the server is subscribed to")
        self._replays = registry.gauge("replays_under_way", "Clients to which what they missed is being sent")
        registry.register(self)

    def watch_replays(self, clients: ReplayCounts) -> None:
        """Count the replays that are under way each time that metrics are read."""
        self._replays.set_function(lambda: clients.replays)

    def watch_adapter(self, broker: BrokerQueues) -> None:
        """Read a broker's queues each time that metrics are read."""
        self._waiting.set_function(lambda: broker.waiting)
        self._channels.set_function(lambda: broker.channels)

    def watch_deltas(self, deltas: Deltas) -> None:
        """Read what is kept for deltas each time that metrics are read."""
        self._delta_rooms.set_function(lambda: len(deltas))

    def event_emitted(self, event: str, recipients: int) -> None:
        """An event was emitted to `recipients` clients of this server."""
        self.emitted += 1
        self._emits.count(event)
        self._deliveries.count(event, recipients)

    def deltas_delivered(self, recipients: int, size: int, replaced: int) -> None:
        """So many clients were sent what had changed, of so many bytes, in place of an event of so many."""
        self._deltas.count("delta", recipients)
        self._delta_bytes.count("delta", recipients * size)
        self._delta_replaced.inc(recipients * replaced)

    def wholes_delivered(self, recipients: int, size: int) -> None:
        """So many clients that want deltas were sent a whole event of so many bytes."""
        self._deltas.count("whole", recipients)
        self._delta_bytes.count("whole", recipients * size)

    def recovery(self, result: str) -> None:
        """A client that came back was `recovered`, or starts a new session for this reason."""
        self._recoveries.count(result)

    def snapshots_read(self, result: SnapshotResult, rooms: int) -> None:
        """So many rooms were joined, and something was there for the client, nothing, or it could not be read."""
        self._snapshots.count(result, rooms)

    def values_retained(self, partition: int, size: int, *, too_large: int, over_budget: int) -> None:
        """So many bytes are retained in a partition; so many values and rooms are not, of those just looked at."""
        self._retained[partition] = size
        self._not_retained.count("too_large", too_large)
        self._not_retained.count("budget", over_budget)

    def set_retention_budget(self, size: int) -> None:
        """What all retained values may take, in bytes."""
        self._budget.set(size)

    def redis_subscribed(self, subscribed: bool) -> None:
        """The subscription to the other servers' events is active, or is lost."""
        self._subscribed = subscribed

    def redis_published(self, result: str, count: int) -> None:
        """Events were handed to Redis for all servers; `uncertain`: no answer came."""
        self._publishes.count(result, count)
        if result == "ok":
            self._published_total += count

    def other_redis_published(self, result: str, count: int) -> None:
        """Events were handed to the other mode's Redis as well; results as of `redis_published`."""
        self._other_publishes.count(result, count)
        self._others_published[result] += count

    def redis_message(self) -> None:
        """A message came through the subscription."""
        self._messages_total += 1

    def redis_lag(self, seconds: float) -> None:
        """A message of this server took so long through Redis and back."""
        self._lag.observe(seconds)
        self._lags.add(seconds)
        self._last_lag = seconds

    def gap_repaired(self, events: int) -> None:
        """The subscription is active again, and this many missed events were replayed."""
        self._gaps.inc()
        self._gap_events.inc(events)
        self._gaps_total += 1
        self._gap_events_total += events

    def gap_lost(self, clients: int) -> None:
        """Events could not be replayed, and their clients start new sessions."""
        self._gap_clients.inc(clients)
        self._gap_clients_total += clients

    def message_skipped(self, why: str) -> None:
        """Something in Redis was not understood; one of `SKIP_REASONS`."""
        self._skipped.count(why)

    def published_to_other(self) -> dict[str, int]:
        """Events handed to the other mode's Redis since the start, by result."""
        return dict(self._others_published)

    def adapter_traffic(self) -> dict[str, Any]:
        """What passes between this server and Redis, for `/admin/stats` (docs/adapter-settings.md has the meanings)."""
        (p99,) = self._lags.percentiles(99)
        last = self._last_lag
        return {
            "publishedPerSecond": round(self._published_rate.per_second(self._published_total), 3),
            "messagesPerSecond": round(self._messages_rate.per_second(self._messages_total), 3),
            "lagMs": {
                "last": None if last is None else round(last * 1000, 3),
                "p99": None if last is None else round(p99 * 1000, 3),
            },
            "gapsRepaired": self._gaps_total,
            "eventsReadBack": self._gap_events_total,
            "clientsBegunAnew": self._gap_clients_total,
        }

    def sample(self) -> None:
        """Note the totals of which rates are computed. To be called at least every few seconds."""
        self._published_rate.sample(self._published_total)
        self._messages_rate.sample(self._messages_total)

    def collect(self) -> Iterator[Metric]:
        """Read the state of the subscription."""
        yield CounterMetricFamily(
            "tradecast_redis_messages_received",
            "Messages received through Redis, own ones included",
            value=self._messages_total,
        )
        if self._subscribed is not None:  # a server without Redis is not one that lost its subscription
            yield create_gauge_family(
                "redis_subscribed", "1 while events of other servers are heard through Redis", self._subscribed
            )
