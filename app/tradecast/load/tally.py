"""What all clients of a run saw, added up."""

from __future__ import annotations

from collections import Counter

from tradecast.load.numbering import Reservoir


class Tally:
    """Counters of one run.

    Attributes:
        connected: Clients that are connected now.
        ever_connected: Clients that connected at least once.
        refused: Attempts that the server refused, by code (`HTTP 503` for a refusal at the handshake).
        connect_ms: Milliseconds from opening the connection to the server's CONNECT.
        delivery_ms: Milliseconds from just before publishing to receiving.
        deliveries: Numbered events received, doubles included.
        reconnects: Connections after a client's first.
        disconnects: Connections that ended before the run did, by reason.
        errors: What else went wrong, by kind.
    """

    def __init__(self) -> None:
        self.connected = 0
        self.ever_connected = 0
        self.refused: Counter[str] = Counter()
        self.connect_ms = Reservoir()
        self.delivery_ms = Reservoir()
        self.deliveries = 0
        self.reconnects = 0
        self.disconnects: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
