"""What a fleet costs and loses: ours against Node's Socket.IO with redis-adapter and with redis-streams-adapter.

Three servers, a third of 5,000 rooms on each, one member in each room; an own redis-server for each measurement. One
process publishes numbered events evenly over time, each to one room, through the system's own emitter; another one
holds all clients, and is the same for all systems. Where we keep a history and offsets, redis-adapter keeps nothing,
and streams-adapter has connection state recovery on. Then:

- events flow, and what servers, Redis and publisher take of the processor is read before and after; for Redis and
  publisher less what they take while nothing flows;
- a fourth server comes, without clients: what it takes while nothing flows, and while events do;
- on another fleet, behind a balancer, stock clients hold rooms while one server is killed (SIGKILL): how many of the
  numbers each client never gets.

Systems take turns, several rounds; the table has medians. Needs Linux, redis-server and Node.js. Load stays on
127.0.0.1. Every figure goes to build/bench-cluster.json, what processes say to build/bench-cluster/.

    make bench-cluster
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import json
import sys

from fleet.measuring import Killed, Round, kill, measure
from fleet.outcome import medians, table, total, verdicts
from fleet.processes import BUILD, NODE, SYSTEMS
from fleet.progress import Progress
from single.packages import install

# With half of the events later than this, others had the processors: events wait, and are handled many at a time.
BUSY_MS = 20.0
TRIES = 3


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS, default=SYSTEMS)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=6, help="of each reading")
    parser.add_argument("--warm-up", type=float, default=5, help="seconds, at twice the rate: V8 compiles meanwhile")
    parser.add_argument("--rate", type=float, default=1000, help="events per second")
    parser.add_argument("--rooms", type=int, default=5000)
    parser.add_argument("--clients", type=int, default=300, help="a multiple of three")
    parser.add_argument("--kills", type=int, default=1, help="how often a server is killed, for each system")
    parser.add_argument("--kill-rate", type=float, default=300, help="events per second meanwhile")
    parser.add_argument("--crowd", type=int, default=60, help="stock clients")
    parser.add_argument("--rooms-each", type=int, default=10)
    parser.add_argument("--before", type=float, default=3, help="seconds of events before a server is killed")
    parser.add_argument("--after", type=float, default=7, help="and afterwards")
    return parser.parse_args()


async def main() -> int:
    """Measure; 1 if something does not hold."""
    options = arguments()
    await asyncio.to_thread(install, NODE)
    (BUILD / "bench-cluster").mkdir(parents=True, exist_ok=True)
    progress = Progress()
    rounds: dict[str, list[Round]] = {system: [] for system in options.systems}
    kills: dict[str, list[Killed]] = {system: [] for system in options.systems}
    for number in range(1, options.rounds + 1):
        for system in options.systems:
            what = f"round {number} of {options.rounds}: {system}"
            for _ in range(TRIES):
                found = await measure(system, options, progress, what)
                if found.p50 < BUSY_MS:
                    break
                progress.done(f"{what}: p50 {found.p50:.0f} ms, the machine was busy with something else")
            rounds[system].append(found)
            progress.done(
                f"{what}: servers {found.servers:.1f} µs, Redis {found.redis:.1f} µs, "
                f"without members {found.empty:.1f} µs, p50 {found.p50:.2f} ms, p99 {found.p99:.2f} ms, "
                f"lost {found.lost}"
            )
    for number in range(1, options.kills + 1):
        for system in options.systems:
            what = f"kill {number} of {options.kills}: {system}"
            killed = await kill(system, options, progress, what)
            kills[system].append(killed)
            progress.done(
                f"{what}: lost {killed.lost} of {killed.due}, twice {killed.doubled}, "
                f"{killed.recovered} of {killed.reconnected} clients went on"
            )
    figures = {system: medians(some) for system, some in rounds.items() if some}
    losses = {system: total(some) for system, some in kills.items() if some}
    report = {
        "options": vars(options),
        "rounds": {system: list(map(dataclasses.asdict, some)) for system, some in rounds.items()},
        "kills": {system: list(map(dataclasses.asdict, some)) for system, some in kills.items()},
        "medians": {system: dataclasses.asdict(one) for system, one in figures.items()},
    }
    (BUILD / "bench-cluster.json").write_text(json.dumps(report, indent=2) + "\n")
    print()
    if figures:
        print(table(figures, losses))
    held = verdicts(figures, losses)
    for fine, text in held:
        print(f"{'holds' if fine else 'DOES NOT HOLD'}: {text}")
    return 0 if all(fine for fine, _ in held) else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
