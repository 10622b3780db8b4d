"""The report as pictures (SVG): what servers cost, how long clients wait, what a connection takes of memory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Picture

from single.figures import CPU, LATENCY, MEMORY, Figure, Rounds, Row, figure
from single.servers import BASE, SERVERS

OURS = "tradecast"
OURS_COLOUR, BASE_COLOUR, OTHER_COLOUR = "#1f6feb", "#6e7781", "#b6bec7"
INK = "#24292f"
# A bar is cut off at so many times the larger of tradecast's and Node's: one dear server would flatten the others.
CUT = 1.8
STYLE = {
    "font.size": 9,
    "font.family": "sans-serif",
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": "#d0d7de",
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": INK,
    "ytick.color": INK,
    "svg.hashsalt": "tradecast",  # the same figures make the same file
    "svg.fonttype": "path",
}


def draw(rounds: Rounds, size: int, sizes: Sequence[int], folder: Path) -> list[Path]:
    """Write all pictures.

    Args:
        rounds: What was measured.
        size: Connections at which costs and times are shown.
        sizes: Connections at which memory is shown.
        folder: Where they go.
    """
    folder.mkdir(parents=True, exist_ok=True)
    costs = [row for row in CPU if row.key != "cpu first echo"]
    at = f"at {size:,} connections"
    pictures = {
        "cpu": (f"Processor time of the server, µs, {at}", [(row, size) for row in costs]),
        "latency": (f"What clients wait for, ms, {at}", [(row, size) for row in LATENCY]),
        "memory": ("Memory per connection, KB (PSS)", [(row, one) for one in sizes for row in MEMORY]),
    }
    with mpl.rc_context(STYLE):
        return [
            save(_picture(panels, title, rounds), folder / f"{name}.svg") for name, (title, panels) in pictures.items()
        ]


def _picture(panels: Sequence[tuple[Row, int]], title: str, rounds: Rounds) -> Picture:
    columns = 3
    lines = -(-len(panels) // columns)
    picture = Picture(figsize=(11, 0.9 + 2.1 * lines), layout="constrained")
    legend = "bar: median of the rounds; line: smallest to largest; →: cut off; less is better"
    picture.suptitle(f"{title}\n{legend}", fontsize=10, x=0.01, ha="left")
    axes = picture.subplots(lines, columns, squeeze=False)
    for number, (row, size) in enumerate(panels):
        line, column = divmod(number, columns)
        several = len({size for _, size in panels}) > 1
        name = row.title.rsplit(",", 1)[0]
        _bars(axes[line][column], row, size, rounds, f"{name}, {size:,}" if several else name, named=column == 0)
    return picture


def _bars(axes: Axes, row: Row, size: int, rounds: Rounds, title: str, *, named: bool) -> None:
    found = {name: one for name in rounds if (one := figure(row, name, size, rounds)) is not None}
    axes.set_title(title, loc="left")
    axes.tick_params(left=False, bottom=False, labelbottom=False, labelleft=named)
    axes.spines["bottom"].set_visible(False)
    places = [-place for place in range(len(found))]
    axes.set_yticks(places, [f"({SERVERS[name].key}) {SERVERS[name].short}" for name in found])
    if not found:
        return
    edge = _edge(found)
    axes.set_xlim(0, edge * 1.28)  # room for the last number
    for place, (name, one) in zip(places, found.items(), strict=True):
        colour = {OURS: OURS_COLOUR, BASE: BASE_COLOUR}.get(name, OTHER_COLOUR)
        shown = min(one.median, edge)
        axes.barh(place, shown, height=0.62, color=colour)
        if one.high <= edge:
            axes.plot([one.low, one.high], [place, place], color=INK, linewidth=1, solid_capstyle="butt")
        text = f"{one.median:,.0f}" if one.median >= 100 else f"{one.median:.1f}"
        end = max(shown, min(one.high, edge)) if one.high <= edge else shown
        axes.text(end + edge * 0.02, place, f"{text} →" if one.median > edge else text, va="center")


def _edge(found: dict[str, Figure]) -> float:
    """Where bars are cut off."""
    most = max(one.high for one in found.values())
    compared = [one.high for name, one in found.items() if name in (OURS, BASE)]
    return min(most, CUT * max(compared)) if compared else most


def save(picture: Picture, path: Path) -> Path:
    """Write a picture as SVG; the same figures make the same file."""
    picture.savefig(path, metadata={"Date": None, "Creator": None}, facecolor="white")
    # matplotlib leaves blanks at the ends of lines
    path.write_text("\n".join(line.rstrip() for line in path.read_text().splitlines()) + "\n")
    return path
