"""What was measured, in all rounds, and figures of it."""

from __future__ import annotations

import dataclasses
import json
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from delivery.measuring import BUILD, Outcome, Plan
from delivery.snapshots import Snapshots

FIGURES = BUILD / "figures.json"


@dataclass
class Rounds:
    """All that was measured.

    Attributes:
        plan: How much of everything.
        outcomes: By scenario, one of each round.
        snapshots: With retention and without (`on`, `off`), one of each round.
    """

    plan: Plan
    outcomes: dict[str, list[Outcome]] = field(default_factory=dict)
    snapshots: dict[str, list[Snapshots]] = field(default_factory=dict)


def keep(rounds: Rounds) -> None:
    """Write everything to build/bench-delivery/figures.json."""
    FIGURES.write_text(json.dumps(dataclasses.asdict(rounds)) + "\n")


def kept() -> Rounds:
    """What was measured last."""
    if not FIGURES.exists():
        raise SystemExit("Nothing has been measured yet: make bench-delivery")
    found = json.loads(FIGURES.read_text())
    return Rounds(
        Plan(**found["plan"]),
        {name: [Outcome(**one) for one in some] for name, some in found["outcomes"].items()},
        {name: [Snapshots(**one) for one in some] for name, some in found["snapshots"].items()},
    )


def ratio(some: Sequence[Any], others: Sequence[Any], value: Callable[[Any], float]) -> float | None:
    """The median of the rounds' ratios: round by round, what the machine did meanwhile was about the same for both."""
    found = [value(one) / value(other) for one, other in zip(some, others, strict=False) if value(other) > 0]
    return statistics.median(found) if found else None


def median(some: Sequence[Any], value: Callable[[Any], float]) -> float | None:
    """Of the rounds."""
    return statistics.median(map(value, some)) if some else None


def cpu_per_recipient(one: Outcome) -> float:
    """Processor microseconds of the server for each event that a client received."""
    packets = one.load["packets"]
    return float(one.cpu * 1e6 / packets) if packets else 0.0


def age_p99(one: Outcome, group: str) -> float:
    """Milliseconds: the age of quotes when they were read."""
    age = one.load[group]["age"]
    return float(age["p99"]) if age else 0.0


def series(one: Outcome, group: str, name: str = "ageOverTime", percentile: str = "p99") -> list[float | None]:
    """A percentile in milliseconds for each bucket of a run; None where nothing came."""
    length = round(one.load["seconds"] / one.load["bucket"]) or 1
    return [found[percentile] if found else None for found in one.load[group][name][:length]]


def growth(points: Sequence[float | None]) -> float:
    """The last quarter of a run against its second: 1 is flat. The first one is warming up."""
    known = [point for point in points if point is not None]
    quarter = len(known) // 4
    if quarter == 0:
        return 0.0
    early = statistics.mean(known[quarter : 2 * quarter])
    return statistics.mean(known[-quarter:]) / early if early else 0.0
