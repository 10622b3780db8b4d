"""The command: `make bench-single`. Figures, tables and plots go to build/bench-single/."""

from __future__ import annotations

import argparse

from single import figures, machine, report
from single.rounds import measure_all
from single.servers import SERVERS, build


def main() -> None:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(prog="make bench-single", description="Compare tradecast with other servers.")
    parser.add_argument("--rounds", type=int, default=figures.ROUNDS, help="measurements of each server (%(default)s)")
    parser.add_argument("--sizes", type=int, nargs="+", default=list(figures.SIZES), help="numbers of connections")
    parser.add_argument("--servers", nargs="+", default=list(SERVERS), choices=list(SERVERS))
    parser.add_argument("--publish", action="store_true", help="put tables and plots into docs/, too")
    parser.add_argument("--again", action="store_true", help="measure nothing: report what was measured last")
    options = parser.parse_args()
    if not options.again:
        machine.check()
        build(options.servers)
        report.keep(measure_all(options.servers, options.sizes, options.rounds))
    report.make(publish=options.publish)


if __name__ == "__main__":
    main()
