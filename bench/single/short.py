"""The short form: `make bench-short`. Two servers, ratios against those that are recorded; for CI.

Tells whether tradecast has become dearer against Node's Socket.IO, on whatever machine it runs. `make bench-record`
writes the ratios anew.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path

from single import machine
from single.figures import CPU, LATENCY, MEMORY, Rounds, figure
from single.rounds import measure_all
from single.servers import BASE, build

RECORDED = Path(__file__).parent / "recorded.json"
CONNECTIONS = 1_000
ROUNDS = 3
ALLOWED = 1.5
OURS = "tradecast"
# The first echo of few clients is Node compiling, more than anything else.
ROWS = tuple(row for row in (*CPU, *LATENCY, *MEMORY) if row.key != "cpu first echo")


def main() -> int:
    """Measure, and compare or record; the process's exit code."""
    parser = argparse.ArgumentParser(prog="make bench-short", description="Compare ratios with those recorded.")
    parser.add_argument("--record", action="store_true", help="write the ratios down instead")
    options = parser.parse_args()
    machine.check()
    build((OURS, BASE))
    print(f"{CONNECTIONS:,} connections to tradecast and to Node's Socket.IO, {ROUNDS} rounds (a minute) …", flush=True)
    ratios = ratios_of(measured())
    if options.record:
        RECORDED.write_text(json.dumps({key: round(value, 3) for key, value in ratios.items()}, indent=2) + "\n")
        print(f"Recorded in {RECORDED.name}.")
        return 0
    recorded: dict[str, float] = json.loads(RECORDED.read_text())
    if worse(ratios, recorded):
        print("A ratio is over what is allowed: once more, in case the machine was busy.", flush=True)
        again = ratios_of(measured())
        ratios = {key: min(value, again[key]) for key, value in ratios.items()}
    print(compared(ratios, recorded))
    if failed := worse(ratios, recorded):
        print(f"FAILED: {', '.join(failed)} over {ALLOWED} times what is recorded, twice in a row.")
        return 1
    print("No ratio is over what is allowed.")
    return 0


def measured() -> Rounds:
    """All rounds of the short form."""
    return measure_all((OURS, BASE), (CONNECTIONS,), ROUNDS)


def ratios_of(rounds: Rounds) -> dict[str, float]:
    """The median ratio of each row, by the row's key."""
    found = {row.key: figure(row, OURS, CONNECTIONS, rounds) for row in ROWS}
    return {key: one.ratio for key, one in found.items() if one is not None and one.ratio is not None}


def worse(ratios: Mapping[str, float], recorded: Mapping[str, float]) -> list[str]:
    """The keys of the rows that are over what is allowed."""
    return [key for key, value in recorded.items() if ratios[key] > value * ALLOWED]


def compared(ratios: Mapping[str, float], recorded: Mapping[str, float]) -> str:
    """A table with a line for each row."""
    lines = [f"{'ratio to Node':<40}{'now':>8}{'recorded':>10}{'allowed':>9}"]
    for row in ROWS:
        if row.key in recorded:
            before, now = recorded[row.key], ratios[row.key]
            mark = "  !" if now > before * ALLOWED else ""
            lines.append(f"{row.title:<40}{now:>8.2f}{before:>10.2f}{before * ALLOWED:>9.2f}{mark}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
