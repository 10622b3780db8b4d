"""Metrics of connections: clients that are accepted, refused, connected and disconnected."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol, get_args

from prometheus_client.core import Metric

from tradecast.config.settings import Transport
from tradecast.engine.connection import (
    CLIENT_DISCONNECT,
    PING_TIMEOUT,
    SERVER_DISCONNECT,
    TRANSPORT_CLOSE,
    TRANSPORT_ERROR,
)
from tradecast.observability.metrics.registry import (
    LiveMetrics,
    MetricsRegistry,
    create_gauge_family,
    create_labelled_family,
)
from tradecast.observability.metrics.tally import MOST_CODES
from tradecast.sessions.errors import REASONS, SESSION_CODES

TRANSPORTS: tuple[Transport, ...] = get_args(Transport)
DISCONNECTS = (CLIENT_DISCONNECT, PING_TIMEOUT, SERVER_DISCONNECT, TRANSPORT_CLOSE, TRANSPORT_ERROR)


class LiveConnections(Protocol):
    """The connections of this server.

    Attributes:
        users: How many different users they are of.
    """

    def __len__(self) -> int: ...
    @property
    def users(self) -> int: ...


class LiveTransports(Protocol):
    """Knows the transports of connections."""

    def transports(self) -> Mapping[str, int]:
        """How many connections use which transport now."""
        ...


class ConnectionMetrics(LiveMetrics):
    """Connections of this server.

    Args:
        registry: Where they are read.
        refusals: Codes of refusals that are there from the start; some come from layers above.
    """

    def __init__(self, registry: MetricsRegistry, refusals: Sequence[str] = ()) -> None:
        self._live: LiveConnections | None = None
        self._transports: LiveTransports | None = None
        self._connects = registry.tally("connects", "Connection attempts", "result", ("accepted", "refused"))
        self._opened = registry.tally("connections_opened", "Connections accepted", "transport", TRANSPORTS)
        self._disconnects = registry.tally("disconnects", "Connections closed", "reason", DISCONNECTS, MOST_CODES)
        self._refusals = registry.tally("refusals", "Connections refused", "code", refusals, MOST_CODES)
        self._auth_refusals = registry.tally(
            "auth_refusals", "Clients rejected because of their session", "reason", REASONS
        )
        self._sessions_ended = registry.tally(
            "sessions_ended",
            "Connections closed because their session was deleted or has expired",
            "code",
            SESSION_CODES,
            MOST_CODES,
        )
        self._answered_total = self._failed_total = 0
        self._limit = registry.gauge("connections_limit", "Maximum connections of this server")
        registry.register(self)

    def watch_connections(self, connections: LiveConnections, transports: LiveTransports) -> None:
        """Count connections each time that metrics are read. Before that there are no such metrics."""
        self._live = connections
        self._transports = transports

    def limit_connections(self, most: int) -> None:
        """So many connections the server takes at a time."""
        self._limit.set(most)

    def connected(self, transport: str) -> None:
        """A client was accepted."""
        self._answered_total += 1
        self._connects.count("accepted")
        self._opened.count(transport)

    def refused(self, code: str) -> None:
        """A client was refused: at its handshake, or its CONNECT."""
        self._connects.count("refused")
        self._refusals.count(code)

    def connect_refused(self, code: str) -> None:
        """A client's CONNECT was refused, through the client's own fault."""
        self._answered_total += 1
        self.refused(code)

    def connect_failed(self, code: str) -> None:
        """A client's CONNECT came to nothing, through no fault of the client's."""
        self._answered_total += 1
        self._failed_total += 1
        self.refused(code)

    def auth_refused(self, reason: str) -> None:
        """A client was refused because of its session; one of `sessions.errors.REASONS`."""
        self._auth_refusals.count(reason)

    def disconnected(self, reason: str) -> None:
        """A client is gone."""
        self._disconnects.count(reason)

    def session_ended(self, code: str) -> None:
        """A connection was ended because its session was deleted or has expired."""
        self._sessions_ended.count(code)

    def outcomes(self) -> dict[str, int]:
        """CONNECTs that were answered since the start, and how many of them failed through no fault of the client's."""
        return {"connects": self._answered_total, "connectFailures": self._failed_total}

    def totals(self) -> dict[str, Any]:
        """Connections and users now, as `/metrics` has them in JSON."""
        live = self._live
        return {
            "totalConnections": 0 if live is None else len(live),
            "uniqueUsers": 0 if live is None else live.users,
        }

    def collect(self) -> Iterator[Metric]:
        """The connections now. A process without clients, a feed, has none, and is not counted among the servers."""
        if self._live is None or self._transports is None:
            return
        yield create_gauge_family("connections", "Current connections", len(self._live))
        yield create_gauge_family("users", "Distinct users connected", self._live.users)
        counts = self._transports.transports()
        yield create_labelled_family("transport_connections", "Current connections", "transport", counts, TRANSPORTS)
