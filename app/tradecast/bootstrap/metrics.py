"""All metrics of one server, of the collectors that stand beside what they count. docs/metrics.md is their table."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, get_args

from prometheus_client import CollectorRegistry

from tradecast.cluster_rpc.metrics import ClusterMetrics
from tradecast.connections.metrics import ConnectionMetrics
from tradecast.delivery.metrics import DeliveryMetrics
from tradecast.delivery.shaping.metrics import ShapingMetrics
from tradecast.events.emit_requests import PAYLOADS
from tradecast.events.metrics import EventMetrics
from tradecast.gateway.metrics import GatewayMetrics
from tradecast.http.metrics import HttpMetrics
from tradecast.lifecycle.handshake_gate import RefusalCode as GateCode
from tradecast.lifecycle.metrics import LifecycleMetrics
from tradecast.limits.metrics import LimitMetrics
from tradecast.observability.metrics.dependencies import DependencyMetrics
from tradecast.observability.metrics.process import ProcessMetrics
from tradecast.observability.metrics.registry import MetricsRegistry
from tradecast.polling_relay.metrics import RelayMetrics
from tradecast.redis_client.metrics import RedisMetrics
from tradecast.runtime_config.metrics import RuntimeConfigMetrics
from tradecast.sessions.errors import RefusalCode
from tradecast.sessions.metrics import SessionMetrics

# Why a client is refused: its session, the gate before the handshake, or an error of the server.
REFUSALS: tuple[str, ...] = (*get_args(RefusalCode), *get_args(GateCode), "STORE_UNAVAILABLE", "INTERNAL")


class ServerMetrics:
    """The metrics of one server; each collector is an attribute. They are cheap, and for one event loop.

    Args:
        version: Of the server, for `tradecast_build_info`.
        clock: Seconds that never go back.
    """

    def __init__(self, version: str = "", clock: Callable[[], float] = time.monotonic) -> None:
        self._registry = registry = MetricsRegistry()
        self.connections = ConnectionMetrics(registry, REFUSALS)
        self.sessions = SessionMetrics(registry)
        self.events = EventMetrics(registry, clock)
        self.delivery = DeliveryMetrics(registry, tuple(PAYLOADS), clock)
        self.shaping = ShapingMetrics(registry)
        self.limits = LimitMetrics(registry)
        self.gateway = GatewayMetrics(registry)
        self.http = HttpMetrics(registry)
        self.cluster = ClusterMetrics(registry)
        self.relay = RelayMetrics(registry)
        self.lifecycle = LifecycleMetrics(registry)
        self.redis = RedisMetrics(registry)
        self.runtime_config = RuntimeConfigMetrics(registry)
        self.dependencies = DependencyMetrics(registry)
        self.process = ProcessMetrics(registry, version, [self.delivery], clock)

    @property
    def registry(self) -> CollectorRegistry:
        """Prometheus' registry of all of them."""
        return self._registry.collectors

    def render_prometheus(self, accept: str = "") -> tuple[str, bytes]:
        """Content type and text, in the format that an Accept header asks for (text 0.0.4 by default)."""
        return self._registry.render(accept)

    def render_json(self) -> dict[str, Any]:
        """The values that `/metrics` has in JSON; docs/metrics.md has each one's meaning and unit."""
        return {
            "websocket": {
                **self.connections.totals(),
                "subscriptions": self.events.subscriptions(),
                "events": {"received": self.events.received, "emitted": self.delivery.emitted},
            },
            "performance": self.events.performance(),
            "resources": self.process.resources(),
        }

    def outcomes(self) -> dict[str, int]:
        """How connects and events went since the start, for whoever compares servers: an operator, in a rollout."""
        return {**self.connections.outcomes(), **self.events.outcomes()}
