"""What becomes of each client, as metrics and log lines."""

from __future__ import annotations

from typing import Any

import structlog

from tradecast.connections.connection import Connection
from tradecast.connections.metrics import ConnectionMetrics
from tradecast.observability.throttled_log import ThrottledLog
from tradecast.sessions.errors import Reason, StoreUnavailable

log = structlog.stdlib.get_logger("tradecast.server")


class ConnectionRecords:
    """Counts and logs clients that are accepted, refused or deferred, and those that leave.

    A transport's first client always gets its lines; clients that follow on the same transport, and clients that are
    refused, get theirs throttled, since they may come as often as they like.

    Args:
        metrics: Counts them.
        lines: Writes the throttled lines.
    """

    def __init__(self, metrics: ConnectionMetrics, lines: ThrottledLog) -> None:
        self._metrics = metrics
        self._lines = lines

    def connected(self, connection: Connection, *, recovered: bool) -> None:
        """A client is connected; `recovered`: it has resumed a lost connection."""
        self._metrics.connected(connection.transport)
        user = connection.user
        fields = {"user_id": user.id if user else None, "transport": connection.transport, "recovered": recovered}
        self._log(connection, "connected", **fields)

    def disconnected(self, connection: Connection, reason: str) -> None:
        """A client that was connected has left, for one of `DISCONNECTS`."""
        self._metrics.disconnected(reason)
        self._log(connection, "disconnected", reason=reason)

    def abandoned(self, connection: Connection, *, displaced: bool, failed: bool) -> None:
        """A client was accepted, but is not connected: see `Application.abandoned`."""
        if failed:
            self._metrics.connect_failed("INTERNAL")
        self._lines.write(log.info, "connection abandoned", connection_id=connection.id, displaced=displaced)

    def refused(self, connection: Connection, code: str, reason: Reason | None = None) -> None:
        """A client was refused with this code; `reason`: what is wrong with its session."""
        self._metrics.connect_refused(code)
        self._log_refusal(connection, code, reason)

    def asked_to_retry(self, connection: Connection) -> None:
        """A client was refused for now, by a step that whoever runs the server has set."""
        self._metrics.connect_failed("TRY_AGAIN")
        self._log_refusal(connection, "TRY_AGAIN", None)

    def deferred(self, connection: Connection, error: Exception) -> None:
        """A client was refused for now, because of an error on this side; it retries."""
        if isinstance(error, StoreUnavailable):
            self._metrics.connect_failed("STORE_UNAVAILABLE")
            sentence = "connection deferred: the session store does not answer"
            kind = "" if error.cause is None else str(error.cause.code)
            self._lines.write(log.warning, sentence, kind=kind, connection_id=connection.id, **error.fields())
        else:
            self._metrics.connect_failed("INTERNAL")
            log.error("connection deferred", connection_id=connection.id, exc_info=error)

    def _log_refusal(self, connection: Connection, code: str, reason: Reason | None) -> None:
        if reason is not None:
            self._metrics.auth_refused(reason)
        fields = {"connection_id": connection.id, "code": code, "reason": reason}
        self._lines.write(log.info, "connection refused", kind=reason or code, **fields)

    def _log(self, connection: Connection, sentence: str, **fields: Any) -> None:
        if connection.reuses_transport:
            self._lines.write(log.info, sentence, kind="again", connection_id=connection.id, **fields)
        else:
            log.info(sentence, connection_id=connection.id, **fields)
