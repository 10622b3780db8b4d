"""Figures of several rounds: smallest, median, largest, and ratios to Node's Socket.IO."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from single.measurement import Measurement
from single.servers import BASE

SIZES = (1_000, 5_000, 10_000)
MAIN_SIZE = 5_000
ROUNDS = 5

Rounds = Mapping[str, Mapping[int, Sequence[Measurement]]]
"""Server → connections → one measurement of each round."""


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        key: Its name in the JSON, and in what is recorded.
        title: With its unit.
        group: Field of `Measurement`.
        phase: Key in it.
        percentile: Of a latency.
        scale: What the figure is divided by, to come to the title's unit.
    """

    key: str
    title: str
    group: str
    phase: str
    percentile: str | None = None
    scale: float = 1.0

    def of(self, found: Measurement) -> float | None:
        """The figure of one measurement, in the title's unit; None where it was not measured."""
        value = getattr(found, self.group).get(self.phase)
        if value is not None and self.percentile is not None:
            value = value[self.percentile]
        return None if value is None else value / self.scale


CPU = (
    Row("cpu connect", "CPU per connection, µs", "cpu", "connect"),
    Row("cpu first echo", "CPU per first echo, µs", "cpu", "first echo"),
    Row("cpu echo", "CPU per echo, µs", "cpu", "echo"),
    Row("cpu subscribe", "CPU per subscription, µs", "cpu", "subscribe"),
    Row("cpu paced", "CPU per recipient, one a tick, µs", "cpu", "paced"),
    Row("cpu ten a tick", "CPU per recipient, ten a tick, µs", "cpu", "ten a tick"),
    Row("cpu disconnect", "CPU per disconnection, µs", "cpu", "disconnect"),
)
LATENCY = (
    Row("connect p50", "connect p50, ms", "latency", "connect", "p50"),
    Row("connect p95", "connect p95, ms", "latency", "connect", "p95"),
    Row("connect p99", "connect p99, ms", "latency", "connect", "p99"),
    Row("delivery p50", "delivery p50, one a tick, ms", "latency", "paced", "p50"),
    Row("delivery p99", "delivery p99, one a tick, ms", "latency", "paced", "p99"),
    Row("delivery ten p99", "delivery p99, ten a tick, ms", "latency", "ten a tick", "p99"),
)
MEMORY = (
    Row("memory connected", "memory per connection, KB", "memory", "connected", scale=1000),
    Row("memory echoed", "memory after an echo, KB", "memory", "echoed", scale=1000),
    Row("memory subscribed", "memory after a subscription, KB", "memory", "subscribed", scale=1000),
)
# The load test of the requirements' "Performance", with its targets and what it calls actual.
REQUIREMENTS_SIZE = 1_000
REQUIREMENTS = (
    (Row("seconds connect", "1,000 clients connected, s", "seconds", "connect"), "(4.4)"),
    (LATENCY[0], "< 50 (30)"),
    (LATENCY[1], "< 200 (150)"),
    (LATENCY[2], "< 500 (300)"),
    (MEMORY[0], "< 10 (8)"),
    (Row("delivery max", "a broadcast has reached 1,000, ms", "latency", "paced", "max"), "200: < 1000 (800)"),
)


@dataclass(frozen=True)
class Figure:
    """One row's figures of one server.

    Attributes:
        ratio: The median of the rounds' ratios to Node in the same round; None where Node was not measured.
    """

    low: float
    median: float
    high: float
    ratio: float | None


def is_whole(size: int) -> bool:
    """Whether everything is measured at a size; at others it is memory only."""
    return size <= MAIN_SIZE


def main_size(sizes: Sequence[int]) -> int:
    """The number of connections at which costs are shown: the largest at which they are measured."""
    return max(filter(is_whole, sizes), default=max(sizes))


def figure(row: Row, name: str, size: int, rounds: Rounds) -> Figure | None:
    """A row's figures of one server at one size; None where there are none."""
    values = _values(row, rounds.get(name, {}).get(size, ()))
    if not values:
        return None
    base = _values(row, rounds.get(BASE, {}).get(size, ()))
    ratio = None
    if base:
        # Round by round: what the machine did meanwhile was about the same for both.
        ratio = statistics.median(one / other for one, other in zip(values, base, strict=False) if other > 0)
    return Figure(min(values), statistics.median(values), max(values), ratio)


def _values(row: Row, found: Iterable[Measurement]) -> list[float]:
    return [value for one in found if (value := row.of(one)) is not None]
