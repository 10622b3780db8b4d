"""The command: `make bench-single`. Figures go to build/bench-single/."""

from __future__ import annotations

import argparse
import dataclasses
import json

from single import machine
from single.figures import ROUNDS, SIZES, Rounds
from single.rounds import measure_all
from single.servers import BUILD, SERVERS, build
from single.table import tables


def main() -> None:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(prog="make bench-single", description="Compare tradecast with other servers.")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="how often each server is measured (%(default)s)")
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES), help="numbers of connections")
    parser.add_argument("--servers", nargs="+", default=list(SERVERS), choices=list(SERVERS))
    options = parser.parse_args()
    machine.check()
    build(options.servers)
    rounds = measure_all(options.servers, options.sizes, options.rounds)
    path = BUILD / "figures.json"
    path.write_text(json.dumps(as_json(rounds), indent=1) + "\n")
    report = tables(rounds, options.sizes)
    (BUILD / "report.md").write_text(report + "\n")
    print(f"\n{report}\n\nEvery figure of every round: {path}")


def as_json(rounds: Rounds) -> dict[str, dict[str, list[dict[str, object]]]]:
    """All measurements."""
    return {
        name: {str(size): [dataclasses.asdict(one) for one in some] for size, some in sizes.items()}
        for name, sizes in rounds.items()
    }


if __name__ == "__main__":
    main()
