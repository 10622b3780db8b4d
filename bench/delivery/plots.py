"""The report as pictures (SVG): how old quotes are over time, and what servers keep for slow clients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Picture

from delivery.bars import AGE
from delivery.figures import Rounds, series
from delivery.scenarios import NODE, OURS, PYTHON
from single.plots import INK, OURS_COLOUR, STYLE, save

SHOWN = {
    "tradecast": (OURS, OURS_COLOUR, "-"),
    "node": (NODE, "#bc4c00", "-"),
    "python_socketio": (PYTHON, "#6e7781", "-"),
}


def draw(rounds: Rounds, folder: Path) -> list[Path]:
    """Write all pictures into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context(STYLE):
        return [save(_ages(rounds), folder / "delivery-age.svg"), save(_memory(rounds), folder / "delivery-memory.svg")]


def _ages(rounds: Rounds) -> Picture:
    picture = Picture(figsize=(11, 3.9), layout="constrained")
    plan = rounds.plan
    picture.suptitle(
        f"Age of quotes when clients read them, p99, seconds (a line up is ten times older): {plan.clients:,} clients, "
        f"{plan.each} of {plan.symbols} symbols each, {plan.rate} quotes/s a symbol",
        fontsize=10,
        x=0.01,
        ha="left",
    )
    slow, others = picture.subplots(1, 2, sharey=True)
    for axes, group, title in ((slow, "slow", "the 5 % that read 10 KB/s"), (others, "others", "the other 95 %")):
        axes.set_title(title, loc="left")
        axes.set_yscale("log")
        lines = {}
        for name, (_, colour, style) in SHOWN.items():
            for one in rounds.outcomes.get(name, [])[:1]:
                bucket = one.load["bucket"]
                points = [(bucket * (at + 0.5), age / 1000) for at, age in enumerate(series(one, group)) if age]
                if points:
                    axes.plot(*zip(*points, strict=True), style, color=colour, linewidth=1.8)
                    lines[name] = points
        axes.axhline(AGE / 1000, color=INK, linewidth=0.8, linestyle=":")
        axes.set_xlabel("seconds")
        _name_lines(axes, lines)
    slow.yaxis.set_major_formatter("{x:g}")
    slow.annotate("bar: 2 s", (0, AGE / 1000), xytext=(2, 3), textcoords="offset points", color=INK)
    return picture


def _memory(rounds: Rounds) -> Picture:
    picture = Picture(figsize=(11, 3.4), layout="constrained")
    picture.suptitle("What is kept for clients, MB", fontsize=10, x=0.01, ha="left")
    process, sockets = picture.subplots(1, 2)
    for axes, column, title in ((process, 1, "memory of the server (PSS)"), (sockets, 2, "in the kernel's sockets")):
        axes.set_title(title, loc="left")
        lines = {}
        for name, (_, colour, style) in SHOWN.items():
            for one in rounds.outcomes.get(name, [])[:1]:
                points = [(point[0], max(0, point[column]) / 1e6) for point in one.over_time]
                if points:
                    axes.plot(*zip(*points, strict=True), style, color=colour, linewidth=1.8)
                    lines[name] = points
        axes.set_ylim(bottom=0)
        axes.set_xlabel("seconds")
        _name_lines(axes, lines)
    return picture


def _name_lines(axes: Axes, lines: Mapping[str, Sequence[tuple[float, float]]]) -> None:
    """Put each line's name at its end, the names apart from each other."""
    if not lines:
        return
    axes.margins(x=0.02)
    ends = sorted(lines, key=lambda name: lines[name][-1][1])
    before = float("-inf")
    for name in ends:
        title, colour, _ = SHOWN[name]
        x, y = lines[name][-1]
        height = axes.transData.transform((x, y))[1]
        shift = max(0.0, before + 13 - height)
        before = height + shift
        axes.annotate(
            title,
            (x, y),
            xytext=(6, shift * 72 / axes.figure.dpi - 3),
            textcoords="offset points",
            color=colour,
            annotation_clip=False,
        )
