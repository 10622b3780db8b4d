"""What tradecast is to reach, and whether it does."""

from __future__ import annotations

from collections.abc import Iterator

from delivery.figures import Rounds, age_p99, cpu_per_recipient, growth, median, ratio, series
from delivery.measuring import Outcome
from single.bars import Verdict

AGE = 2_000.0
# From the second quarter of the run to the last one; what is measured in a bucket varies by so much.
FLAT = 1.25
FLAT_MEMORY = 1.05
OTHERS = 1.15
DELTAS = 0.5
COMPRESSED = 0.35
CPU = 1.10
SNAPSHOT = 50.0
REDIS = 1.5


def verdicts(rounds: Rounds) -> Iterator[Verdict]:
    """Those bars for which there are figures, in the order of the issue's table."""
    found = rounds.outcomes
    for one in found.get("tradecast", []):
        yield from _of_slow(one)
    if (times := ratio(found.get("with slow", []), found.get("without slow", []), _others)) is not None:
        yield Verdict(
            "p99 of the others, to a run without slow clients", f"≤ {OTHERS}", f"{times:.2f}", times <= OTHERS
        )
    for one in found.get("tradecast", []):
        grown = growth(_memory(one, rounds.plan.seconds))
        title = "server memory over time, last quarter to second"
        yield Verdict(title, f"flat (≤ {FLAT_MEMORY})", f"{grown:.2f}", 0 < grown <= FLAT_MEMORY)
    if (share := median(found.get("deltas", []), bytes_of_deltas)) is not None and share > 0:
        yield Verdict("bytes, deltas to full", f"≤ {DELTAS}", f"{share:.2f}", share <= DELTAS)
    yield from _of_compression(rounds)
    if (times := ratio(found.get("without slow", []), found.get("off", []), cpu_per_recipient)) is not None:
        title = "CPU per recipient, throttling, conflation and retention on, to all off"
        yield Verdict(title, f"≤ {CPU:.2f}", f"{times:.2f}", times <= CPU)
    yield from _of_snapshots(rounds)


def bytes_of_deltas(one: Outcome) -> float:
    """Bytes of a quote to those who asked for deltas, to those of a whole one."""
    counts, sizes = one.load["counts"], one.load["bytes"]
    if not counts["delta"] or not counts["quote"]:
        return 0.0
    small = (sizes["delta"] + sizes["whole"]) / (counts["delta"] + counts["whole"])
    return float(small / (sizes["quote"] / counts["quote"]))


def bytes_of_portfolio(one: Outcome) -> float:
    """On the wire."""
    sizes, counts = one.load["bytes"], one.load["counts"]
    return float((sizes["portfolio"] + sizes["compressed"]) / (counts["portfolio"] + counts["compressed"]))


def _others(one: Outcome) -> float:
    return age_p99(one, "others")


def _memory(one: Outcome, seconds: float) -> list[float]:
    """Bytes of the process and of its sockets, in the last seconds of a run."""
    begin = max((passed for passed, *_ in one.over_time), default=0.0) - seconds
    return [float(pss + sockets) for passed, pss, sockets, _ in one.over_time if passed >= begin]


def _of_slow(one: Outcome) -> Iterator[Verdict]:
    slow = one.load["slow"]
    worst = slow["ageOfWorstSymbolP99"]
    title = "age of slow clients' newest quote at receipt, p99 of the worst symbol, ms"
    yield Verdict(title, f"< {AGE:,.0f}", f"{worst:,.0f}", 0 < worst < AGE)
    grown = growth(series(one, "slow"))
    yield Verdict("the same over time, last quarter to second", f"flat (≤ {FLAT})", f"{grown:.2f}", 0 < grown <= FLAT)
    wrong = {name: slow[name] for name in ("missing", "disordered", "doubled")}
    told = ", ".join(f"{count:,} {name}" for name, count in wrong.items() if count) or "all, in order"
    yield Verdict("trades to them", "all, in order", told, not any(wrong.values()))
    older = slow["older"] + one.load["others"]["older"]
    yield Verdict("quotes older than one before", "0", f"{older:,}", older == 0)


def _of_compression(rounds: Rounds) -> Iterator[Verdict]:
    some, whole = rounds.outcomes.get("compressed", []), rounds.outcomes.get("portfolios", [])
    if not any(one.load["counts"]["compressed"] for one in some):
        return
    share = ratio(some, whole, bytes_of_portfolio)
    if share is not None:
        yield Verdict("bytes, 10 KB portfolios compressed", f"≤ {COMPRESSED}", f"{share:.2f}", share <= COMPRESSED)


def _of_snapshots(rounds: Rounds) -> Iterator[Verdict]:
    on = [one for one in rounds.snapshots.get("on", []) if one.first]
    p99 = median(on, lambda one: one.first["p99"])
    if p99 is None:
        return
    title = "snapshot on subscribe, a room that the server has never seen, p99, ms"
    yield Verdict(title, f"< {SNAPSHOT:.0f}", f"{p99:.1f}", p99 < SNAPSHOT)
    times = ratio(on, rounds.snapshots.get("off", []), lambda one: one.redis)
    if times is not None:
        yield Verdict("Redis CPU per subscription, to without", f"≤ {REDIS}", f"{times:.2f}", times <= REDIS)
