"""What becomes of the figures: a JSON file, tables, plots, and docs/benchmarks.md."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Sequence
from pathlib import Path

from single import plots
from single.figures import Rounds, main_size
from single.measurement import Measurement
from single.servers import BUILD, HERE
from single.table import tables

FIGURES = BUILD / "figures.json"
DOCS = HERE.parents[1] / "docs"
PAGE = DOCS / "benchmarks.md"
ALT = {
    "cpu": "Processor time of each server per connection, echo, subscription, recipient and disconnection",
    "latency": "Times that clients wait to be connected, and for a broadcast, with each server",
    "memory": "Memory per connection of each server at 1,000, 5,000 and 10,000 connections",
}
BETWEEN = re.compile(r"(<!-- figures: .*? -->\n).*?(<!-- end -->)", re.DOTALL)


def keep(rounds: Rounds) -> None:
    """Write every figure of every round to build/bench-single/figures.json."""
    found = {
        name: {str(size): [dataclasses.asdict(one) for one in some] for size, some in sizes.items()}
        for name, sizes in rounds.items()
    }
    FIGURES.write_text(json.dumps(found, indent=1) + "\n")


def kept() -> Rounds:
    """What was measured last."""
    if not FIGURES.exists():
        raise SystemExit("Nothing has been measured yet: make bench-single")
    found = json.loads(FIGURES.read_text())
    return {
        name: {int(size): [Measurement(**one) for one in some] for size, some in sizes.items()}
        for name, sizes in found.items()
    }


def make(*, publish: bool) -> None:
    """Print the tables of what was measured last, and draw it.

    Args:
        publish: Put both into docs/ too.
    """
    rounds = kept()
    sizes = sorted({size for of_server in rounds.values() for size in of_server})
    text = tables(rounds, sizes)
    (BUILD / "report.md").write_text(text + "\n")
    print(f"\n{text}\n")
    where = [FIGURES, *plots.draw(rounds, main_size(sizes), sizes, BUILD)]
    if publish:
        pictures = plots.draw(rounds, main_size(sizes), sizes, DOCS / "benchmarks")
        where += [*pictures, _publish(text, pictures)]
    print("\n".join(str(path.relative_to(HERE.parents[1])) for path in where))


def _publish(text: str, pictures: Sequence[Path]) -> Path:
    shown = "\n\n".join(f"![{ALT[path.stem]}]({path.relative_to(DOCS)})" for path in pictures)
    told = f"{text}\n\n### In pictures\n\n{shown}"
    page, count = BETWEEN.subn(lambda found: f"{found[1]}\n{told}\n\n{found[2]}", PAGE.read_text(encoding="utf-8"))
    if count != 1:
        raise SystemExit(f"{PAGE.name} has no place for the figures")
    PAGE.write_text(page, encoding="utf-8")
    return PAGE
