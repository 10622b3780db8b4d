"""Lines over a day, or a part of one, as SVG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, LEFT, RIGHT, HEIGHT, GAP, TOP = 960, 64, 28, 200, 48, 40
GRID = 4


@dataclass(frozen=True, slots=True)
class Line:
    """One line; what it is, its colour, its points, and whether it is dashed."""

    name: str
    colour: str
    points: Sequence[tuple[float, float]]
    dashed: bool = False


@dataclass(frozen=True, slots=True)
class Panel:
    """Lines under one title, from 0 or `low` to `high`; what is above is drawn at the edge."""

    title: str
    lines: Sequence[Line]
    high: float
    low: float = 0.0


def svg(panels: Sequence[Panel], width: float, ticks: Sequence[tuple[float, str]] = ()) -> str:
    """The panels, one under the other, from 0 to `width`, with words below some places (the hours of a day)."""
    ticks = ticks or [(hour, f"{hour}:00") for hour in range(0, int(width) + 1, 2)]
    height = TOP + len(panels) * (HEIGHT + GAP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" '
        'font-size="12">',
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
    ]
    for place, panel in enumerate(panels):
        parts += _panel(panel, TOP + place * (HEIGHT + GAP), width, ticks)
    return "\n".join([*parts, "</svg>", ""])


def _panel(panel: Panel, top: float, width: float, ticks: Sequence[tuple[float, str]]) -> list[str]:
    across = (WIDTH - LEFT - RIGHT) / width
    down = HEIGHT / (panel.high - panel.low)
    bottom = top + HEIGHT
    parts = [f'<text x="{LEFT}" y="{top - 10}" font-weight="bold" fill="#222">{panel.title}</text>']
    for step in range(GRID + 1):
        value = panel.low + (panel.high - panel.low) * step / GRID
        y = bottom - step * HEIGHT / GRID
        parts.append(f'<line x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}" stroke="#ddd"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end" fill="#555">{_number(value)}</text>')
    for place, word in ticks:
        x = LEFT + place * across
        parts.append(f'<text x="{x:.1f}" y="{bottom + 16}" text-anchor="middle" fill="#555">{word}</text>')
    x = float(WIDTH - RIGHT)
    for line in reversed(panel.lines):
        x -= 7 * len(line.name) + 36
        parts.append(_legend(line, x, top - 14))
    for line in panel.lines:
        points = " ".join(
            f"{LEFT + place * across:.1f},{bottom - (min(panel.high, max(panel.low, value)) - panel.low) * down:.1f}"
            for place, value in line.points
        )
        parts.append(f'<polyline fill="none" {_stroke(line)} points="{points}"/>')
    return parts


def _legend(line: Line, x: float, y: float) -> str:
    return (
        f'<line x1="{x:.0f}" y1="{y}" x2="{x + 20:.0f}" y2="{y}" {_stroke(line)}/>'
        f'<text x="{x + 25:.0f}" y="{y + 4}" fill="#222">{line.name}</text>'
    )


def _stroke(line: Line) -> str:
    return f'stroke="{line.colour}" stroke-width="1.5"' + (' stroke-dasharray="5 3"' if line.dashed else "")


def _number(value: float) -> str:
    if value >= 1_000_000:
        return f"{value / 1_000_000:g}M"
    return f"{value / 1000:g}k" if value >= 1000 else f"{value:.4g}"
