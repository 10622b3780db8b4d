"""What becomes of the figures: tables, plots, and docs/benchmarks.md."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from delivery import plots
from delivery.figures import FIGURES, kept
from delivery.measuring import BUILD, HERE
from delivery.table import tables

DOCS = HERE.parents[1] / "docs"
PAGE = DOCS / "benchmarks.md"
ALT = {
    "delivery-age": "Age of quotes over time, for slow clients and for the others, with each server",
    "delivery-memory": "Memory of each server, and in the kernel for its sockets over time",
}
BETWEEN = re.compile(r"(<!-- delivery: .*? -->\n).*?(<!-- end of delivery -->)", re.DOTALL)


def make(*, publish: bool) -> None:
    """Print the tables of what was measured last, and draw it.

    Args:
        publish: Put both into docs/ too.
    """
    rounds = kept()
    text = tables(rounds)
    (BUILD / "report.md").write_text(text + "\n")
    print(f"\n{text}\n")
    where = [FIGURES, *plots.draw(rounds, BUILD)]
    if publish:
        pictures = plots.draw(rounds, DOCS / "benchmarks")
        where += [*pictures, _publish(text, pictures)]
    print("\n".join(str(path.relative_to(HERE.parents[1])) for path in where))


def _publish(text: str, pictures: Sequence[Path]) -> Path:
    shown = "\n\n".join(f"![{ALT[path.stem]}]({path.relative_to(DOCS)})" for path in pictures)
    told = f"{text}\n\n{shown}"
    page, count = BETWEEN.subn(lambda found: f"{found[1]}\n{told}\n\n{found[2]}", PAGE.read_text(encoding="utf-8"))
    if count != 1:
        raise SystemExit(f"{PAGE.name} has no place for the figures")
    PAGE.write_text(page, encoding="utf-8")
    return PAGE
