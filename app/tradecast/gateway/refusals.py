"""Counts and logs what the engine reports, before it is known whose client it is: most of all, whom it refuses."""

from __future__ import annotations

from typing import Final

import structlog

from tradecast.engine.http.handshake import TransportRefusal
from tradecast.engine.transports.backlog import SlowReason
from tradecast.gateway.metrics import GatewayMetrics
from tradecast.observability.throttled_log import ThrottledLog

ORIGIN_REFUSED: Final = "page refused: its origin is neither in CORS_ORIGIN nor the address that it requested"
TRANSPORT_REFUSED: Final[dict[TransportRefusal, str]] = {
    "polling_off": "a client that begins with polling was refused, and keeps retrying: TRANSPORTS has no polling",
    "websocket_off": "a client that begins with WebSocket was refused, and keeps retrying: TRANSPORTS has no websocket",
    "polling_waits": "a client that begins with polling was refused, and retries: polling is not offered yet",
}
TOO_SLOW: Final[dict[SlowReason, str]] = {
    "slow": "a client's connection was closed, and it reconnects: messages for it waited longer than "
    "SLOW_CLIENT_TIMEOUT, since its network or the client takes too few",
    "silent": "a client's connection was closed, and it reconnects if it is still there: it took nothing for "
    "SLOW_CLIENT_TIMEOUT",
    "queue_full": "a client's connection was closed, and it reconnects: more messages waited for it than "
    "SEND_QUEUE_LIMIT or SEND_BUFFER_LIMIT allows, since its network or the client takes too few",
}
log = structlog.stdlib.get_logger("tradecast.server")


class Refusals:
    """Clients that are refused or cut off (`GatewayObserver`), as metrics and log lines.

    Args:
        metrics: Counts.
        lines: Writes what clients can cause.
        reminders: Writes lines that retrying clients cause every few seconds, until somebody corrects the settings.
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
        """Count a client that asked for a transport that is not offered; it is logged once a minute."""
        self._metrics.transport_refused(reason)
        self._reminders.write(log.warning, TRANSPORT_REFUSED[reason])

    def malformed(self) -> None:
        """Count a malformed packet."""
        self._metrics.malformed_packet()

    def limit_exceeded(self, limit: str) -> None:
        """Count a client that was cut off."""
        self._metrics.limit_exceeded(limit)

    def client_too_slow(self, reason: SlowReason) -> None:
        """Count and log a client whose transport is closed because its link takes too little."""
        self._metrics.slow_client(reason)
        self._lines.write(log.info, TOO_SLOW[reason], kind=reason)

    def compression_agreed(self) -> None:
        """Count a client whose messages may be compressed."""
        self._metrics.compression_agreed()

    def message_compressed(self, before: int, after: int) -> None:
        """Count a message that was compressed; bytes before and after."""
        self._metrics.message_compressed(before, after)
