"""Metrics of sessions and their store."""

from __future__ import annotations

from typing import get_args

from tradecast.observability.metrics.registry import MetricsRegistry
from tradecast.sessions.cache import Source

BATCH_SIZES = (1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000)


class SessionMetrics:
    """Where sessions are found, and whether their store answers.

    Args:
        registry: Where they are read.
    """

    def __init__(self, registry: MetricsRegistry) -> None:
        self._unsigned_ids = registry.counter("unsigned_session_ids", "Session ids accepted without a signature")
        self._lookups = registry.tally("session_lookups", "Sessions looked up, by source", "source", get_args(Source))
        self._batches = registry.histogram("session_batch_size", "Sessions requested in one query", BATCH_SIZES)
        self._store_up = registry.gauge("session_store_up", "1 while the session store answers")
        self._store_up.set(1)
        self._store_outages = registry.counter(
            "session_store_outages", "Times that the session store stopped answering"
        )
        self._store_errors = registry.counter("session_store_errors", "Requests that the session store did not answer")
        self._lost = registry.gauge("sessions_lost", "Sessions of connected clients that the session store has lost")

    def unsigned_session_id(self) -> None:
        """A session id was accepted though nobody has signed it, and there are secrets to sign with."""
        self._unsigned_ids.inc()

    def session_lookup(self, source: str) -> None:
        """A session was found in memory or in Redis, or had to be fetched (`miss`)."""
        self._lookups.count(source)

    def session_batch(self, size: int) -> None:
        """So many sessions were asked for in one query."""
        self._batches.observe(size)

    def session_store_error(self) -> None:
        """The session store did not answer a request."""
        self._store_errors.inc()

    def store_available(self, available: bool) -> None:
        """The session store stopped or started answering."""
        self._store_up.set(available)
        if not available:
            self._store_outages.inc()

    def sessions_lost(self, count: int) -> None:
        """The store has lost so many sessions that have a connection here."""
        self._lost.set(count)
