"""The report as text: Markdown tables, as docs/benchmarks.md shows them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from single.bars import verdicts
from single.figures import CPU, LATENCY, MEMORY, REQUIREMENTS, REQUIREMENTS_SIZE, Rounds, Row, figure, main_size
from single.measurement import AT_ONCE
from single.servers import BASE, SERVERS

PHASES = ("connect", "first echo", "echo", "subscribe", "paced", "ten a tick", "disconnect")


def tables(rounds: Rounds, sizes: Sequence[int]) -> str:
    """All of the report."""
    main = main_size(sizes)
    count = max(len(some) for sizes_of in rounds.values() for some in sizes_of.values())
    head = f"### {main:,} connections: median of {count} rounds (smallest–largest), and the ratio to (b)"
    parts = [head, _costs(rounds, main)]
    parts += ["### Memory per connection at so many connections, KB (PSS)", _memory(rounds, sizes)]
    if REQUIREMENTS_SIZE in sizes:
        parts += ["### The requirements' load test: 1,000 connections, medians", _requirements(rounds)]
    parts += [f"### Where the time went at {main:,}: part of a core that server / load took", _shares(rounds, main)]
    if bars := _bars(rounds, main):
        parts += ["### What tradecast is to reach", bars]
    return "\n\n".join(parts)


def _costs(rounds: Rounds, size: int) -> str:
    rows = [[row.title, *(_cell(row, name, size, rounds) for name in rounds)] for row in (*CPU, *LATENCY)]
    return _markdown(["", *_titles(rounds)], rows)


def _memory(rounds: Rounds, sizes: Sequence[int]) -> str:
    rows = []
    for size in sizes:
        for row in MEMORY:
            title = f"{size:,}: {row.title.removesuffix(', KB')}"
            rows.append([title, *(_cell(row, name, size, rounds) for name in rounds)])
    return _markdown(["", *_titles(rounds)], rows)


def _requirements(rounds: Rounds) -> str:
    rows = []
    for row, asked in REQUIREMENTS:
        found = [figure(row, name, REQUIREMENTS_SIZE, rounds) for name in rounds]
        rows.append([row.title, asked, *("–" if one is None else _short(one.median) for one in found)])
    return _markdown(["", "the requirements: target (actual)", *_titles(rounds)], rows)


def _shares(rounds: Rounds, size: int) -> str:
    rows = []
    for phase in PHASES:
        cells = []
        for name in rounds:
            shares = [figure(Row(phase, phase, group, phase), name, size, rounds) for group in ("server", "load")]
            cells.append(" / ".join("–" if one is None else f"{one.median:.0%}" for one in shares))
        rows.append([phase, *cells])
    return _markdown([f"{AT_ONCE} at a time", *_titles(rounds)], rows)


def _bars(rounds: Rounds, size: int) -> str:
    found = verdicts(rounds, size)
    rows = [[one.title, one.bar, one.found, "holds" if one.holds else "DOES NOT HOLD"] for one in found]
    return _markdown(["", "bar", "found", ""], rows) if rows else ""


def _cell(row: Row, name: str, size: int, rounds: Rounds) -> str:
    found = figure(row, name, size, rounds)
    if found is None:
        return "–"
    text = f"{_short(found.median)} ({_short(found.low)}–{_short(found.high)})"
    return text if name == BASE or found.ratio is None else f"{text} **{found.ratio:.2f}**"


def _short(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}"


def _titles(names: Iterable[str]) -> list[str]:
    return [f"({SERVERS[name].key}) {SERVERS[name].title}" for name in names]


def _markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
