"""Metrics of requests for connections of other servers."""

from __future__ import annotations

from collections.abc import Sized
from itertools import product
from typing import Protocol, get_args

from tradecast.config.settings import Transport
from tradecast.observability.metrics.registry import MetricsRegistry
from tradecast.polling_relay.inbox import Reason
from tradecast.polling_relay.refusals import Result


class RelayedWebSockets(Protocol):
    """Relays WebSockets.

    Attributes:
        relays: The WebSockets that are relayed now.
    """

    @property
    def relays(self) -> Sized: ...


class RelayMetrics:
    """Requests that are forwarded to other servers, and those that other servers forward to this one.

    Args:
        registry: Where they are read.
    """

    def __init__(self, registry: MetricsRegistry) -> None:
        forwards = registry.counter(
            "forwarded_requests", "Requests for connections of other servers, by outcome", "transport", "result"
        )
        self._forwards = {
            (transport, result): forwards.labels(transport, result)
            for transport, result in product(get_args(Transport), get_args(Result))
        }
        self._refusals = registry.tally(
            "internal_refusals", "Requests that the internal port rejected", "reason", get_args(Reason)
        )
        self._relays = registry.gauge("relayed_websockets", "WebSockets being relayed to other servers")

    def watch_relays(self, relay: RelayedWebSockets) -> None:
        """Count the relayed WebSockets each time that metrics are read."""
        self._relays.set_function(lambda: len(relay.relays))

    def forwarded(self, transport: str, result: str) -> None:
        """A request for another server's connection was forwarded, or was not."""
        self._forwards[transport, result].inc()

    def internal_refused(self, reason: str) -> None:
        """The internal port did not take a request."""
        self._refusals.count(reason)
