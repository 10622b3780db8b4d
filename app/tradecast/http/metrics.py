"""Metrics of the HTTP server below the applications: connections of its ports, and what it refuses."""

from __future__ import annotations

import math
from collections.abc import Sized
from typing import Protocol, get_args

from tradecast.engine.http.connection_bounds import RefusalReason
from tradecast.observability.metrics.registry import MetricsRegistry

HTTP_REASONS: tuple[RefusalReason, ...] = get_args(RefusalReason)


class PortConnections(Protocol):
    """A port's connections.

    Attributes:
        connections: Those that are open.
    """

    @property
    def connections(self) -> Sized: ...


class CertificateState(Protocol):
    """A port's certificate.

    Attributes:
        seconds_left: Seconds until it expires, negative when it has; None: it does not say.
        lifetime: Seconds from its beginning to its end; None: it does not say.
        is_stale: Whether there are new files that cannot be used.
    """

    @property
    def seconds_left(self) -> float | None: ...
    @property
    def lifetime(self) -> float | None: ...
    @property
    def is_stale(self) -> bool: ...


class HttpMetrics:
    """Connections of ports, and requests and connections that are refused.

    Args:
        registry: Where they are read.
    """

    def __init__(self, registry: MetricsRegistry) -> None:
        self._refused = registry.tally(
            "http_refused", "Requests and connections refused before the application", "reason", HTTP_REASONS
        )
        self._connections = registry.gauge("tcp_connections", "Current TCP connections, including WebSockets", "port")
        self._limit = registry.gauge("tcp_connections_limit", "Maximum TCP connections of a port", "port")

        self._expiry = registry.gauge(
            "certificate_expiry_seconds", "Time until the certificate of a port expires; negative if it has", "port"
        )
        self._lifetime = registry.gauge(
            "certificate_lifetime_seconds", "Time for which the certificate of a port is valid in all", "port"
        )
        self._stale = registry.gauge(
            "certificate_stale", "1 while a new certificate cannot be used, so that the previous one stays", "port"
        )

    def watch_certificate(self, port: str, certificate: CertificateState) -> None:
        """Read the state of a port's certificate each time that metrics are read."""
        self._expiry.labels(port).set_function(lambda: _or_nan(certificate.seconds_left))
        self._lifetime.labels(port).set_function(lambda: _or_nan(certificate.lifetime))
        self._stale.labels(port).set_function(lambda: certificate.is_stale)

    def watch_port(self, port: str, bounds: PortConnections, most: int) -> None:
        """Count the TCP connections of a port each time that metrics are read; there may be `most` of them."""
        self._connections.labels(port).set_function(lambda: len(bounds.connections))
        self._limit.labels(port).set(most)

    def http_refused(self, reason: str) -> None:
        """A request or a connection was refused or ended by the HTTP server; one of `HTTP_REASONS`."""
        self._refused.count(reason)


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value
