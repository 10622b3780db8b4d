"""Metrics of clients that break rules (malformed packets, limits, origins, transports), and of compression."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, get_args

from prometheus_client.core import Metric

from tradecast.engine.http.handshake import TransportRefusal
from tradecast.engine.http.origins import REASONS
from tradecast.engine.transports.backlog import Backlog, SlowReason
from tradecast.engine.transports.base import TransportName
from tradecast.observability.metrics.registry import (
    LiveMetrics,
    MetricsRegistry,
    create_counter_family,
    create_gauge_family,
    create_labelled_family,
)

TRANSPORT_REASONS: tuple[TransportRefusal, ...] = get_args(TransportRefusal)
TRANSPORTS: tuple[str, ...] = get_args(TransportName)
SLOW_REASONS: tuple[str, ...] = get_args(SlowReason)
# The engine's, and the gateway's own.
EngineLimit = Literal["control_frames", "fragments", "after_close", "inflated"]
GatewayLimit = Literal["connects", "without_connect", "address", "packets"]
LIMITS: tuple[str, ...] = (*get_args(EngineLimit), *get_args(GatewayLimit))


class GatewayMetrics(LiveMetrics):
    """Clients that are refused or cut off.

    Args:
        registry: Where they are read.
    """

    def __init__(self, registry: MetricsRegistry) -> None:
        self._malformed = registry.counter("malformed_packets", "Packets that could not be parsed as Socket.IO")
        self._limits_exceeded = registry.tally(
            "limits_exceeded", "Transports closed because a client exceeded a limit", "limit", LIMITS
        )
        self._transports_refused = registry.tally(
            "transports_refused", "Requests for a transport that is not offered", "reason", TRANSPORT_REASONS
        )
        self._origins_refused = registry.tally(
            "origins_refused", "Requests from pages that are not allowed to connect", "reason", REASONS
        )
        self._compressing = registry.counter(
            "compression_negotiated", "WebSockets whose client has agreed to permessage-deflate"
        )
        self._compressed = registry.counter(
            "compressed_messages", "Messages compressed for WebSockets, each once for all its recipients"
        )
        self._before = registry.counter("compression_input_bytes", "Bytes of compressed messages before compression")
        self._after = registry.counter("compression_output_bytes", "Bytes of compressed messages after compression")
        self._slow_clients = registry.tally(
            "slow_clients", "Transports closed because the client's link took too few messages", "reason", SLOW_REASONS
        )
        self._backlog: Backlog | None = None
        registry.register(self)

    def watch_backlog(self, backlog: Backlog) -> None:
        """Count what waits for slow clients each time that metrics are read. Before that there are no such metrics."""
        self._backlog = backlog

    def malformed_packet(self) -> None:
        """A client sent what is no Socket.IO packet."""
        self._malformed.inc()

    def limit_exceeded(self, limit: str) -> None:
        """A client's transport was closed because it exceeded a limit; one of `LIMITS`."""
        self._limits_exceeded.count(limit)

    def origin_refused(self, reason: str) -> None:
        """A page may not connect; one of `origins.REASONS`."""
        self._origins_refused.count(reason)

    def transport_refused(self, reason: str) -> None:
        """A client asked for a transport that is not offered; one of `TRANSPORT_REASONS`."""
        self._transports_refused.count(reason)

    def compression_agreed(self) -> None:
        """A client has agreed to compressed messages."""
        self._compressing.inc()

    def message_compressed(self, before: int, after: int) -> None:
        """A message was compressed; bytes before and after."""
        self._compressed.inc()
        self._before.inc(before)
        self._after.inc(after)

    def slow_client(self, reason: str) -> None:
        """The transport of a slow client was closed; one of `SLOW_REASONS`."""
        self._slow_clients.count(reason)

    def collect(self) -> Iterator[Metric]:
        """What waits for slow clients now, and what they were spared."""
        backlog = self._backlog
        if backlog is None:
            return
        waiting = backlog.count()
        yield create_labelled_family(
            "backed_up_clients", "Clients for which messages wait", "transport", waiting.clients, TRANSPORTS
        )
        yield create_gauge_family("queued_messages", "Messages that wait for slow clients", waiting.messages)
        yield create_gauge_family("queued_bytes", "Bytes of the messages that wait for slow clients", waiting.size)
        yield create_counter_family(
            "conflated_messages", "Messages replaced by a newer one before a slow client took them", backlog.conflated
        )
        yield create_counter_family(
            "volatile_dropped", "Volatile messages dropped because a client's link took no more", backlog.dropped
        )
