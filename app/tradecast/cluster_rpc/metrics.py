"""Metrics of requests to all servers."""

from __future__ import annotations

from itertools import product
from typing import get_args

from tradecast.cluster_rpc.cluster import Result
from tradecast.cluster_rpc.operations import KINDS
from tradecast.observability.metrics.registry import MetricsRegistry


class ClusterMetrics:
    """Requests of this server to all servers.

    Args:
        registry: Where they are read.
    """

    def __init__(self, registry: MetricsRegistry) -> None:
        requests = registry.counter("cluster_requests", "Requests of this server to all servers", "kind", "result")
        self._requests = {
            (kind, result): requests.labels(kind, result) for kind, result in product(KINDS, get_args(Result))
        }

    def cluster_request(self, kind: str, result: str) -> None:
        """All servers got a request: `ok`, `incomplete` (not all answered), or `failed` (it could not be sent)."""
        self._requests[kind, result].inc()
