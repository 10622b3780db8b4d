"""The report as text: Markdown tables, as docs/benchmarks.md shows them."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence

from delivery.bars import bytes_of_deltas, bytes_of_portfolio, verdicts
from delivery.figures import Rounds, age_p99, cpu_per_recipient, growth, median, ratio, series
from delivery.measuring import Outcome
from delivery.scenarios import SCENARIOS

LONG = [name for name, scenario in SCENARIOS.items() if scenario.is_long]
COSTS = ("off", "without slow", "with slow", "deltas", "all deltas")


def tables(rounds: Rounds) -> str:
    """All of the report."""
    plan = rounds.plan
    parts = [
        f"### {plan.clients:,} clients, 5 % of them slow: ages of quotes, trades, memory",
        _long(rounds),
        "### Cost for each recipient: median of the rounds",
        _costs(rounds),
    ]
    if rounds.snapshots:
        parts += ["### Snapshots, through Redis: median of the rounds", _snapshots(rounds)]
    bars = [[one.title, one.bar, one.found, "holds" if one.holds else "DOES NOT HOLD"] for one in verdicts(rounds)]
    parts += ["### What tradecast is to reach", _markdown(["", "bar", "found", ""], bars)]
    return "\n\n".join(parts)


def _long(rounds: Rounds) -> str:
    head = [
        "",
        "seconds",
        "slow: age p50, s",
        "slow: age p99, s",
        "in the last bucket, s",
        "slow: trades",
        "others: p50 / p99, ms",
    ]
    head += ["memory at the end, MB", "feed behind by, MB", "core of server / load"]
    rows = [[SCENARIOS[name].title, *_long_row(one)] for name in LONG for one in rounds.outcomes.get(name, [])]
    return _markdown(head, rows)


def _long_row(one: Outcome) -> list[str]:
    slow, others = one.load["slow"], one.load["others"]
    ages = [age for age in series(one, "slow") if age is not None]
    trades = ", ".join(f"{slow[key]:,} {key}" for key in ("missing", "disordered", "doubled") if slow[key])
    memory = (one.over_time[-1][1] + one.over_time[-1][2]) / 1e6 if one.over_time else 0.0
    return [
        f"{one.load['seconds']:.0f}",
        f"{_of(slow, 'p50') / 1000:.2f}",
        f"{_of(slow, 'p99') / 1000:.2f}",
        f"{ages[-1] / 1000:.2f} (×{growth(ages):.1f})" if ages else "–",
        trades or "all, in order",
        f"{_of(others, 'p50'):.1f} / {_of(others, 'p99'):.1f}",
        f"{memory:.0f}",
        f"{one.load['mostWaiting'] / 1e6:.1f}",
        f"{one.server:.0%} / {one.load_cpu:.0%}",
    ]


def _of(group: dict[str, dict[str, float] | None], percentile: str) -> float:
    age = group["age"]
    return age[percentile] if age else 0.0


def _costs(rounds: Rounds) -> str:
    rows = []
    for name in (*COSTS, "portfolios", "compressed"):
        some = rounds.outcomes.get(name, [])
        if not some:
            continue
        base = rounds.outcomes.get("portfolios" if name == "compressed" else "off", [])
        times = None if name == "portfolios" else ratio(some, base, cpu_per_recipient)
        cells = [f"{median(some, cpu_per_recipient):.1f}", "–" if times is None else f"{times:.2f}"]
        if SCENARIOS[name].portfolios:
            cells += [f"{median(some, bytes_of_portfolio):,.0f}", "–"]
        else:
            share = median(some, bytes_of_deltas)
            cells += [f"{share:.2f} of a whole quote" if share else "–", f"{median(some, _others):.1f}"]
        rows.append([SCENARIOS[name].title, *cells])
    return _markdown(["", "CPU per recipient, µs", "ratio to all off", "bytes", "age of others p99, ms"], rows)


def _others(one: Outcome) -> float:
    return age_p99(one, "others")


def _snapshots(rounds: Rounds) -> str:
    rows = []
    for name, some in rounds.snapshots.items():
        firsts = [one.first for one in some if one.first]
        p50, p99 = (f"{statistics.median(one[at] for one in firsts):.1f}" if firsts else "–" for at in ("p50", "p99"))
        redis, server = (median(some, lambda one: one.redis), median(some, lambda one: one.server))
        rows.append([f"retention {name}", p50, p99, f"{redis:.1f}", f"{server:.1f}"])
    head = ["", "first quote p50, ms", "p99, ms", "Redis CPU per subscription, µs", "server CPU per subscription, µs"]
    return _markdown(head, rows)


def _markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
