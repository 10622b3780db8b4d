"""Counts and logs what clients are refused or cut off for, before it is known who they are."""

from __future__ import annotations

from typing import Final

import structlog

from tradecast.engine.http.handshake import TransportRefusal
from tradecast.gateway.metrics import GatewayMetrics
from tradecast.observability.throttled_log import ThrottledLog

ORIGIN_REFUSED: Final = "a page may not connect: its origin is not in CORS_ORIGIN, nor the address that it asked for"
TRANSPORT_REFUSED: Final[dict[TransportRefusal, str]] = {
    "polling_off": "a client that begins with polling was refused, and tries again for ever: TRANSPORTS has no polling",
    "websocket_off": "a client that begins with WebSocket was refused, and tries again for ever: TRANSPORTS has none",
    "polling_waits": "a client that begins with polling was refused, and tries again: polling is not offered yet",
}
log = structlog.stdlib.get_logger("tradecast.server")


class Refusals:
    """What the Socket.IO server tells of strangers (`GatewayObserver`), as metrics and log lines.

    Args:
        metrics: Counts.
        lines: Writes what clients can cause.
        reminders: Writes what each client that comes back causes every few seconds, until the operator acts.
    """

    def __init__(self, metrics: GatewayMetrics, lines: ThrottledLog, reminders: ThrottledLog) -> None:
        self._metrics = metrics
        self._lines = lines
        self._reminders = reminders

    def origin_refused(self, reason: str, origin: str) -> None:
        """Count a page that may not connect, and log its origin."""
        self._metrics.origin_refused(reason)
        self._lines.write(log.warning, ORIGIN_REFUSED, kind=reason, reason=reason, origin=origin)

    def transport_refused(self, reason: TransportRefusal) -> None:
        """Count a client that asked for a transport that is not offered; a line a minute tells of it."""
        self._metrics.transport_refused(reason)
        self._reminders.write(log.warning, TRANSPORT_REFUSED[reason])

    def malformed(self) -> None:
        """Count a packet that is none."""
        self._metrics.malformed_packet()

    def limit_exceeded(self, limit: str) -> None:
        """Count a client that was cut off."""
        self._metrics.limit_exceeded(limit)

    def client_too_slow(self) -> None:
        """Count a client that does not read."""
        self._metrics.slow_client()
