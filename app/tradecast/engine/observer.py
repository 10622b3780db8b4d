"""What the engine reports about its clients."""

from __future__ import annotations

from tradecast.engine.http.handshake import TransportRefusal
from tradecast.engine.transports.backlog import SlowReason


class Observer:
    """Is notified of what happens to clients. This one ignores it; override what you need."""

    def client_too_slow(self, sid: str, reason: SlowReason) -> None:
        """A client's transport is closed because its link takes too little; it may not be asked to send from here."""

    def packet_malformed(self) -> None:
        """A client was cut off because of what it sent."""

    def limit_exceeded(self, limit: str) -> None:
        """A client was cut off because it went beyond a limit of this name."""

    def compression_agreed(self) -> None:
        """A client's messages may be compressed from now on, and those to it."""

    def message_compressed(self, before: int, after: int) -> None:
        """A message is compressed, once for all clients that get it; bytes before and after."""

    def page_left(self, sid: str) -> None:
        """A client's close frame says that its page was left (RFC 6455 §7.4.1, 1001), as a browser's does."""

    def origin_refused(self, reason: str, origin: str) -> None:
        """A page may not connect: one of `origins.REASONS`, and its origin as far as it may be shown."""

    def transport_refused(self, reason: TransportRefusal) -> None:
        """A client asked for a transport that there is, but not here, or not now."""

    def heartbeat_sent(self, sid: str) -> None:
        """A heartbeat goes to a client, behind all that was sent to it before."""

    def heartbeat_answered(self, sid: str) -> None:
        """A client has answered a heartbeat, so it has received all that was sent before that."""
