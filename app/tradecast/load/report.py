"""What a run of `tradecast load` found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from tradecast.load.numbering import Reservoir


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds; None where nothing was measured."""

    p50: float | None
    p95: float | None
    p99: float | None
    max: float | None

    @classmethod
    def of(cls, reservoir: Reservoir) -> Latency:
        p50, p95, p99 = reservoir.percentiles((0.50, 0.95, 0.99))
        return cls(p50, p95, p99, reservoir.maximum if reservoir.count else None)


@dataclass(frozen=True, slots=True)
class LoadReport:
    """The results of one run.

    Attributes:
        clients: How many were asked for.
        connected: How many connected at least once.
        subscribed: How many had all their subscriptions answered before publishing began; only they are expected
            to receive.
        refused: Refused attempts by code.
        connect_ms: From opening the connection to being in the namespace.
        published: Events that the server took.
        uncertain: Events that it may or may not have taken (a post failed); they count neither as expected nor as lost.
        deliveries: Numbered events received by all clients, doubles included.
        expected: Deliveries there should be, each client and event once.
        losses: Expected deliveries that did not come.
        doubles: Deliveries of what the client had already.
        out_of_order: Deliveries that came after a later event of the same stream.
        delivery_ms: From just before publishing to receiving.
        reconnects: Connections after a client's first.
        disconnects: Connections that ended before the run did, by reason.
        errors: What else went wrong, by kind.
        seconds: How long the run took, and how long it published.
        publish_seconds: See `seconds`.
    """

    clients: int
    connected: int
    subscribed: int
    refused: Mapping[str, int]
    connect_ms: Latency
    published: int
    uncertain: int
    deliveries: int
    expected: int
    losses: int
    doubles: int
    out_of_order: int
    delivery_ms: Latency
    reconnects: int
    disconnects: Mapping[str, int]
    errors: Mapping[str, int]
    seconds: float
    publish_seconds: float

    @property
    def ok(self) -> bool:
        """Every client subscribed and everything came once, in order, without an error."""
        return (
            self.subscribed == self.clients
            and not (self.losses or self.doubles or self.out_of_order)
            and not (self.refused or self.errors or self.uncertain)
        )

    def as_dict(self) -> dict[str, Any]:
        """The report as values of JSON."""
        return {**asdict(self), "ok": self.ok}

    def table(self) -> str:
        """The report as a table for people."""
        rows = [
            ("clients", f"{self.connected} of {self.clients} connected, {self.subscribed} subscribed"),
            ("refused", _format_counts(self.refused)),
            ("connect", _format_latency(self.connect_ms)),
            ("published", f"{self.published} events in {self.publish_seconds:.1f} s" + self._doubt()),
            ("deliveries", f"{self.deliveries} of {self.expected} expected"),
            ("losses", str(self.losses)),
            ("doubles", str(self.doubles)),
            ("out of order", str(self.out_of_order)),
            ("delivery", _format_latency(self.delivery_ms)),
            ("reconnects", str(self.reconnects)),
            ("disconnects", _format_counts(self.disconnects)),
            ("errors", _format_counts(self.errors)),
        ]
        width = max(len(name) for name, _ in rows)
        return "\n".join(f"{name:<{width}}  {value}" for name, value in rows)

    def _doubt(self) -> str:
        return f", {self.uncertain} uncertain" if self.uncertain else ""


def _format_counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items())) or "none"


def _format_latency(latency: Latency) -> str:
    if latency.p50 is None or latency.p95 is None or latency.p99 is None or latency.max is None:
        return "nothing measured"
    return f"p50 {latency.p50:.1f} ms, p95 {latency.p95:.1f} ms, p99 {latency.p99:.1f} ms, max {latency.max:.1f} ms"
