"""The command: `make bench-delivery`. Figures, tables and plots go to build/bench-delivery/."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from delivery import figures, measuring, report, tape
from delivery.figures import Rounds, age_p99, cpu_per_recipient
from delivery.measuring import BUILD, PORTFOLIO, TAPE, Outcome, Plan, measure
from delivery.scenarios import OFF, ON, SCENARIOS
from delivery.snapshots import Snapshots, measure_snapshots
from single import machine
from single.packages import install
from single.progress import Progress
from single.servers import PEERS

SNAPSHOTS = {"on": ON, "off": OFF}


def main() -> None:
    """Measure, and print the tables."""
    plan = Plan()
    parser = argparse.ArgumentParser(prog="make bench-delivery", description="Market data over slow links.")
    parser.add_argument("--rounds", type=int, default=3, help="of the short runs (%(default)s)")
    parser.add_argument("--seconds", type=float, default=plan.seconds, help="of a long run (%(default)s)")
    parser.add_argument("--short", type=float, default=plan.short, help="seconds of a short run (%(default)s)")
    parser.add_argument("--clients", type=int, default=plan.clients)
    parser.add_argument("--trades", type=int, default=plan.trades, help="a second, of all clients together")
    parser.add_argument("--bucket", type=float, default=plan.bucket, help="seconds of a point in the plots")
    parser.add_argument("--only", nargs="+", default=[*SCENARIOS, "snapshots"], choices=[*SCENARIOS, "snapshots"])
    parser.add_argument("--publish", action="store_true", help="put tables and plots into docs/, too")
    parser.add_argument("--again", action="store_true", help="measure nothing: report what was measured last")
    options = parser.parse_args()
    if not options.again:
        amounts = {name: getattr(options, name) for name in ("clients", "trades", "seconds", "short", "bucket")}
        _prepare(Plan(**amounts), options.only)
        figures.keep(measure_all(Plan(**amounts), options.only, options.rounds))
    report.make(publish=options.publish)


def measure_all(plan: Plan, names: Sequence[str], rounds: int) -> Rounds:
    """Long runs once, then the short ones, which take turns within a round."""
    found = Rounds(plan)
    long = [name for name in names if name in SCENARIOS and SCENARIOS[name].is_long]
    short = [name for name in names if name in SCENARIOS and not SCENARIOS[name].is_long]
    snapshots = list(SNAPSHOTS) if "snapshots" in names else []
    progress = Progress(len(long) + rounds * (len(short) + len(snapshots)))
    for name in long:
        title = f"{SCENARIOS[name].title}, {plan.seconds + SCENARIOS[name].fill:.0f} s"
        one = measure(SCENARIOS[name], plan, progress.of(title))
        found.outcomes[name] = [one]
        progress.done(f"{title}: {_told(one)}")
    for number in range(1, rounds + 1):
        for name in short:
            title = f"round {number} of {rounds}: {SCENARIOS[name].title}"
            one = measure(SCENARIOS[name], plan, progress.of(title))
            found.outcomes.setdefault(name, []).append(one)
            progress.done(f"{title}: {_told(one)}")
        for name in snapshots:
            title = f"round {number} of {rounds}: snapshots, retention {name}"
            seen = measure_snapshots(plan, SNAPSHOTS[name], progress.of(title))
            found.snapshots.setdefault(name, []).append(seen)
            progress.done(f"{title}: {_seen(seen)}")
    return found


def _prepare(plan: Plan, names: Sequence[str]) -> None:
    machine.check()
    BUILD.mkdir(parents=True, exist_ok=True)
    measuring.build()
    if "node" in names:
        install(PEERS / "node")
    print("Writing what is published …", flush=True)
    tape.write_tape(TAPE, plan.symbols, plan.rate)
    tape.write_portfolio(PORTFOLIO)


def _told(one: Outcome) -> str:
    words = [f"{cpu_per_recipient(one):.1f} µs a recipient"]
    if "mostWaiting" in one.load:
        if one.load["slow"]["age"]:
            words.append(f"slow p99 {age_p99(one, 'slow') / 1000:.1f} s")
        words.append(f"others p99 {age_p99(one, 'others'):.1f} ms")
        if one.load["mostWaiting"] > 1e6:
            words.append(f"the feed was {one.load['mostWaiting'] / 1e6:.0f} MB behind")
    return ", ".join(words)


def _seen(seen: Snapshots) -> str:
    first = f"first quote p99 {seen.first['p99']:.1f} ms" if seen.first else "no quotes"
    return f"{first}, Redis {seen.redis:.1f} µs a subscription"


if __name__ == "__main__":
    main()
