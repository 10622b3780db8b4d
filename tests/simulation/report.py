"""The whole simulation: `make simulation` writes tables to stdout, and the pictures of docs/operator.md.

`python -m simulation.report opening rollout` lives through these alone, in seconds.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

from simulation import opening, rollout
from simulation.autoscaler import Behavior
from simulation.picture import Line, Panel, svg
from simulation.run import Day, Scenario, under_operator, under_plain_hpa

DOCS = Path(__file__).parents[2] / "docs"
PICTURE = DOCS / "operator-simulation.svg"
CHART = Scenario("40 pods, the chart's defaults", 40)
# A fleet of this size needs the HPA's steps and the rates of a fleet of this size.
LARGE = Scenario(
    "2,000 pods, 50 times the rates and steps",
    2000,
    behavior=Behavior(up_pods=200, down_pods=50),
    rate=5000,
    shed=2500,
)
FEWEST = replace(CHART, name="40 pods, behind an ingress that picks the pod with the fewest connections", fewest=True)
HEAD = (
    "",
    "moved by rebalancing",
    "disconnected by scale-down",
    "most of these per second",
    "by the rollout",
    "most of these per second",
    "longest away (s)",
    "pod-hours",
    "overloaded pod-minutes",
    "minutes above 1.25",
    "writes",
    "turns",
)


def operator(scenario: Scenario) -> Day:
    """The HPA on the SocketFleet."""
    return under_operator(scenario)


def unbalanced(scenario: Scenario) -> Day:
    """The same without rebalancing."""
    return under_operator(scenario, rebalance=False)


def plain(scenario: Scenario) -> Day:
    """The HPA on the Deployment, whose pods drain as the chart says."""
    return under_plain_hpa(scenario)


def hasty(scenario: Scenario) -> Day:
    """The same with the 30 s that Kubernetes gives a pod where nobody says otherwise."""
    return under_plain_hpa(replace(scenario, grace=30))


VARIANTS: Sequence[tuple[str, Callable[[Scenario], Day]]] = (
    ("operator", operator),
    ("operator, no rebalancing", unbalanced),
    ("plain HPA, the chart's time for a drain", plain),
    ("plain HPA, 30 s of drain", hasty),
)

# What the settings do, on the first of the two.
LEVERS: Sequence[tuple[str, Scenario]] = (
    *((f"threshold {at:g}", replace(CHART, threshold=at)) for at in (1.1, 1.15, 1.25, 1.4, 1.6)),
    *((f"rebalancing at {rate:g}/s", replace(CHART, shed=rate)) for rate in (25, 50, 100, 200)),
    *((f"metric held for {hold:g} s", replace(CHART, hold=hold)) for hold in (1, 120, 300)),
)


def row(name: str, day: Day) -> str:
    """A day in a line of a table."""
    tally = day.tally
    values = (
        f"{tally.forced['shed']:,}",
        f"{tally.forced['drain']:,}",
        f"{tally.peak['drain']:,.0f}",
        f"{tally.forced['rollout']:,}",
        f"{tally.peak['rollout']:,.0f}",
        f"{tally.away:g}",
        f"{tally.pod_seconds / 3600:,.0f}",
        f"{tally.overload_seconds / 60:,.0f}",
        f"{sum(spread > 1.25 for spread in day.spread)}",
        f"{tally.writes}",
        f"{tally.turns}",
    )
    return f"| {name} | {' | '.join(values)} |"


def table(title: str, days: Sequence[tuple[str, Day]]) -> str:
    """Days, and how long it took to live through them."""
    rows = [title, "", f"| {' | '.join(HEAD)} |", f"|{' --- |' * len(HEAD)}", *(row(name, day) for name, day in days)]
    return "\n".join(["", *rows, "", f"({sum(day.seconds for _, day in days):.0f} s of processor time)", ""])


def picture(scenario: Scenario, days: Sequence[tuple[str, Day]]) -> str:
    """People and pods, the fullest pod, and the spread."""
    own, other = days[0][1], days[2][1]
    most = scenario.pods * scenario.per_replica
    colours = (("operator", "#0b6e4f", own), ("plain HPA", "#c1440e", other))
    room = [Line("people", "#888", thin(own.times, own.people), dashed=True)]
    room += [Line(f"room, {name}", colour, thin(day.times, room_of(day, scenario))) for name, colour, day in colours]
    limit = scenario.per_replica * 1.2
    full = [Line("overloaded above", "#888", [(0.0, limit), (24.0, limit)], dashed=True)]
    full += [Line(name, colour, thin(day.times, day.fullest)) for name, colour, day in colours]
    spread = [Line("threshold", "#888", [(0.0, 1.25), (24.0, 1.25)], dashed=True)]
    spread += [Line(name, colour, thin(day.times, day.spread)) for name, colour, day in colours]
    return svg(
        [
            Panel("People, and what the pods are meant to hold", room, most * 1.25),
            Panel("Connections of the fullest pod", full, 12_000),
            Panel("Fullest pod to mean", spread, 2.0, 1.0),
        ],
        24,
    )


def room_of(day: Day, scenario: Scenario) -> list[int]:
    """What its pods are meant to hold, at each time."""
    return [pods * scenario.per_replica for pods in day.pods]


def thin(times: Sequence[float], values: Sequence[float], step: int = 3) -> list[tuple[float, float]]:
    """The highest of each few values: peaks stay."""
    return [(times[at], max(values[at : at + step])) for at in range(0, len(values), step)]


def report_opening() -> None:
    """The market's opening, with and without a cron trigger."""
    days = [(scenario, opening.open_market(scenario)) for scenario in opening.OPENINGS]
    sys.stdout.write(f"\nThe market opens\n\n{opening.table(days)}")
    (DOCS / "opening-simulation.svg").write_text(opening.picture(days), encoding="utf-8")


def report_rollout() -> None:
    """A rollout at the peak."""
    outcomes = [(plan, rollout.roll_out(plan)) for plan in rollout.ROLLOUTS]
    sys.stdout.write(f"\nA rollout with 100,000 clients\n\n{rollout.table(outcomes)}")
    (DOCS / "rollout-simulation.svg").write_text(rollout.picture(outcomes), encoding="utf-8")


def report_days() -> None:
    """Whole days."""
    out = sys.stdout
    with ProcessPoolExecutor(max_workers=2) as pool:
        for scenario in (CHART, FEWEST, LARGE):
            days = [(name, pool.submit(run, scenario)) for name, run in VARIANTS]
            done = [(name, day.result()) for name, day in days]
            out.write(table(scenario.name, done))
            out.flush()
            if scenario is CHART:
                PICTURE.write_text(picture(scenario, done), encoding="utf-8")
        days = [(name, pool.submit(operator, scenario)) for name, scenario in LEVERS]
        out.write(table("The operator's settings, 40 pods", [(name, day.result()) for name, day in days]))


PARTS = {"opening": report_opening, "rollout": report_rollout, "days": report_days}


def main(arguments: Sequence[str]) -> int:
    """Simulate the parts named, or all."""
    for name in arguments or PARTS:
        PARTS[name]()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
