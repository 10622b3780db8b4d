"""The market opens: with the servers that connections ask for, and with those that a cron trigger asked for before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from simulation.curve import OPENING
from simulation.picture import Line, Panel, svg
from simulation.run import Cron, Day, Scenario, under_operator

# The chart's values-production.yaml, with a market that opens at 0.5 hours: 100,000 people, 20 servers of 5,000.
FOLLOW = Scenario("the connections alone", 20, shape=OPENING, rollout=-1, rate=500, most=20, noise=0.002, sample=5.0)
# From half an hour before to half an hour after; the first minutes of the window are before the picture's.
BEFORE = Cron(0.0, 1.0, 16)
READY = (20.0, 60.0)
NEW_NODES = (120.0, 240.0)
OPENINGS: Sequence[Scenario] = (
    replace(FOLLOW, start=READY),
    replace(FOLLOW, name="with the cron trigger", start=READY, cron=BEFORE),
    replace(FOLLOW, name="the connections alone, nodes have to be added", start=NEW_NODES),
    replace(FOLLOW, name="with the cron trigger, nodes have to be added", start=NEW_NODES, cron=BEFORE),
)


def open_market(scenario: Scenario) -> Day:
    """Live through one of them."""
    return under_operator(scenario)


def table(days: Sequence[tuple[Scenario, Day]]) -> str:
    """What each came to, as a table."""
    head = ("", "attempts refused", "most per second", "seconds with any", "most without a place", "pod-hours")
    rows = [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}"]
    for scenario, day in days:
        away = max(people - connected for people, connected in zip(day.people, day.connected, strict=True))
        tally = day.tally
        values = (
            f"{tally.refused:,}",
            f"{tally.peak_refused:,.0f}",
            f"{tally.refusing:,.0f}",
            f"{away:,}",
            f"{tally.pod_seconds / 3600:.1f}",
        )
        rows.append(f"| {scenario.name} | {' | '.join(values)} |")
    return "\n".join([*rows, ""])


def picture(days: Sequence[tuple[Scenario, Day]]) -> str:
    """Connections, refused attempts and pods, from a few minutes before the opening on; of the days with new nodes."""
    begin, end = 0.4, 1.0
    (_, alone), (_, early) = days[2:]
    kinds = (("connections alone", "#c1440e", alone), ("with the cron trigger", "#0b6e4f", early))

    def part(day: Day, values: Sequence[float]) -> list[tuple[float, float]]:
        pairs = zip(day.times, values, strict=True)
        return [(60 * (hour - begin), value) for hour, value in pairs if begin <= hour <= end]

    connected = [Line("people", "#888", part(alone, alone.people), dashed=True)]
    connected += [Line(name, colour, part(day, day.connected)) for name, colour, day in kinds]
    refused = [Line(name, colour, part(day, day.refused)) for name, colour, day in kinds]
    pods = [Line(name, colour, part(day, day.pods)) for name, colour, day in kinds]
    return svg(
        [
            Panel("Connections", connected, 120_000),
            Panel("Refused attempts per second", refused, 12_000),
            Panel("Pods, those that start among them", pods, 24),
        ],
        60 * (end - begin),
        [(minute, f"9:{minute + 24:02d}") for minute in range(0, 36, 6)] + [(36, "10:00")],
    )
