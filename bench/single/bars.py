"""What tradecast is to reach, and whether it does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from single.figures import CPU, LATENCY, MEMORY, Rounds, figure

OURS, BUN, RUST = "tradecast", "bun", "rust"
LARGEST = 10_000
ROWS = {row.key: row for row in (*CPU, *LATENCY, *MEMORY)}
# Ratios to Node's Socket.IO, where all is measured.
RATIOS = {
    "cpu connect": 0.50,
    "cpu echo": 0.85,
    "cpu subscribe": 1.0,
    "cpu paced": 0.65,
    "memory connected": 0.27,
    "connect p99": 0.7,
    "delivery p99": 0.7,
}
# KB for a connection, at the largest size.
KILOBYTES = {"memory echoed": 6.0, "memory subscribed": 7.0}


@dataclass(frozen=True)
class Verdict:
    """A bar, what was measured, and whether it holds."""

    title: str
    bar: str
    found: str
    holds: bool


def verdicts(rounds: Rounds, size: int) -> Iterator[Verdict]:
    """Those bars for which there are figures; ratios at `size` connections."""
    for key, most in RATIOS.items():
        one = figure(ROWS[key], OURS, size, rounds)
        if one is not None and one.ratio is not None:
            yield Verdict(f"{_name(key)}, ratio to (b)", f"≤ {most:.2f}", f"{one.ratio:.2f}", one.ratio <= most)
    for key, most in KILOBYTES.items():
        one = figure(ROWS[key], OURS, LARGEST, rounds)
        if one is not None:
            title = f"{_name(key)} at {LARGEST:,}, KB"
            yield Verdict(title, f"≤ {most:.1f}", f"{one.median:.1f}", one.median <= most)
    ours = figure(ROWS["cpu paced"], OURS, size, rounds)
    for letter, other in (("c", BUN), ("e", RUST)):
        theirs = figure(ROWS["cpu paced"], other, size, rounds)
        if ours is not None and theirs is not None:
            title = f"{_name('cpu paced')}, below ({letter}), µs"
            yield Verdict(title, f"< {theirs.median:.1f}", f"{ours.median:.1f}", ours.median < theirs.median)
    behind = list(_behind(rounds, size))
    if behind or figure(ROWS["cpu connect"], BUN, size, rounds) is not None:
        found = f"not: {'; '.join(behind)}" if behind else "all"
        yield Verdict("moonshot: every row ahead of (c)", "all", found, not behind)


def _behind(rounds: Rounds, size: int) -> Iterator[str]:
    for key in ROWS:
        ours, theirs = (figure(ROWS[key], name, size, rounds) for name in (OURS, BUN))
        if ours is not None and theirs is not None and ours.median >= theirs.median:
            yield _name(key)


def _name(key: str) -> str:
    title = ROWS[key].title
    return title.rsplit(",", 1)[0] if title.endswith((", µs", ", ms", ", KB")) else title
