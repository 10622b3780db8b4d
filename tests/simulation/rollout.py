"""A rollout of a fleet at its peak: how fast clients have to reconnect, and whether there is a place for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from simulation.cluster import TICK, Cluster, Tally
from simulation.picture import Line, Panel, svg

SETTLE = 60.0


@dataclass(frozen=True, slots=True)
class Rollout:
    """A fleet whose servers all end.

    Attributes:
        name: What it is.
        grace: Seconds for which a server that ends disconnects its clients paced (`drain.timeoutSeconds`).
        rate: Clients disconnected per second, by all servers together.
        adaptive: Whether servers that run out of time disconnect clients faster.
        pods: In the fleet.
        per_replica: Clients of each.
        seed: Of all that is random.
    """

    name: str
    grace: float
    rate: float = 100
    adaptive: bool = True
    pods: int = 20
    per_replica: int = 5000
    seed: int = 1

    @property
    def clients(self) -> int:
        """All of them."""
        return self.pods * self.per_replica


@dataclass(slots=True)
class Outcome:
    """What came of it.

    Attributes:
        tally: The sums.
        seconds: From the change of the template to the end of the last old pod.
        times: Of each tick, in seconds.
        reconnects: Per second, in each.
        old: Clients of old pods, at its end.
    """

    tally: Tally
    seconds: float = 0.0
    times: list[float] = field(default_factory=list)
    reconnects: list[float] = field(default_factory=list)
    old: list[int] = field(default_factory=list)


def roll_out(plan: Rollout) -> Outcome:
    """Replace all pods while everybody stays connected, and follow it to its end."""
    cluster = Cluster(
        plan.pods,
        plan.clients,
        per_replica=plan.per_replica,
        grace=plan.grace,
        rate=plan.rate,
        session=1e9,  # nobody leaves: the most that can be
        adaptive=plan.adaptive,
        seed=plan.seed,
    )
    cluster.tick(plan.clients)
    began, outcome = cluster.now, Outcome(cluster.tally)
    cluster.roll()
    while not outcome.seconds or cluster.now - began < outcome.seconds + SETTLE:
        forced = cluster.tally.forced.total()
        cluster.tick(plan.clients)
        old = [server for server in cluster.servers if server.revision != cluster.revision]
        outcome.times.append(cluster.now - began)
        outcome.reconnects.append((cluster.tally.forced.total() - forced) / TICK)
        outcome.old.append(sum(server.clients for server in old))
        if not old and not outcome.seconds:
            outcome.seconds = cluster.now - began
    return outcome


# 100,000 clients. The first is what the chart did before it derived the time and servers adapted the rate.
ROLLOUTS: Sequence[Rollout] = (
    Rollout("60 s at 100/s, then all at once (before)", 60, adaptive=False),
    Rollout("60 s at 100/s, or faster if time is short", 60),
    Rollout("1,000 s at 100/s, as the chart derives it", 1000),
    Rollout("200 s at 500/s, as the chart derives it", 200, rate=500),
)


def table(outcomes: Sequence[tuple[Rollout, Outcome]]) -> str:
    """What each came to, as a table."""
    head = ("", "reconnects", "most per second", "of these at once", "refused", "longest away (s)", "seconds")
    rows = [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}"]
    for plan, outcome in outcomes:
        tally = outcome.tally
        values = (
            f"{tally.forced.total():,}",
            f"{tally.peak['rollout']:,.0f}",
            f"{tally.cut.total():,}",
            f"{tally.refused:,}",
            f"{tally.away:g}",
            f"{outcome.seconds:,.0f}",
        )
        rows.append(f"| {plan.name} | {' | '.join(values)} |")
    return "\n".join([*rows, ""])


def picture(outcomes: Sequence[tuple[Rollout, Outcome]]) -> str:
    """Clients of the old pods, and reconnects per second."""
    colours = ("#c1440e", "#d99a2b", "#0b6e4f", "#2a5caa")
    names = ("60 s, then at once", "60 s, faster", "1,000 s", "200 s at 500/s")
    kinds = [(name, colour, outcome) for name, colour, (_, outcome) in zip(names, colours, outcomes, strict=True)]
    old = [Line(name, colour, _minutes(one.times, one.old)) for name, colour, one in kinds]
    reconnects = [Line(name, colour, _minutes(one.times, one.reconnects)) for name, colour, one in kinds]
    return svg(
        [
            Panel("Clients of old pods", old, 100_000),
            Panel("Reconnects per second, over 5 s", reconnects, 5000),
            Panel("The same, up to 600", reconnects, 600),
        ],
        20,
        [(minute, f"{minute} min") for minute in range(0, 21, 2)],
    )


def _minutes(times: Sequence[float], values: Sequence[float]) -> list[tuple[float, float]]:
    return [(time / 60, value) for time, value in zip(times, values, strict=True)]
