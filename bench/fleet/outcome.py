"""The benchmark's table, and what ours is held to."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Mapping, Sequence

from fleet.measuring import Killed, Round
from fleet.processes import BASE, OURS

REDIS_BAR = 4.0
# A server without members may take this much of a core more than when nothing flows: what such figures differ by.
NOTHING = 0.005


def medians(rounds: Sequence[Round]) -> Round:
    """Of each figure; losses are summed up."""
    columns = {field.name: [getattr(one, field.name) for one in rounds] for field in dataclasses.fields(Round)}
    return Round(**{name: (sum if name == "lost" else statistics.median)(some) for name, some in columns.items()})


def total(kills: Sequence[Killed]) -> Killed:
    return Killed(*(sum(some) for some in zip(*(dataclasses.astuple(one) for one in kills), strict=True)))


def table(figures: Mapping[str, Round], losses: Mapping[str, Killed]) -> str:
    """The figures in columns, with what they are of redis-adapter's."""

    def ratio(value: float, base: float) -> str:
        return f" ({value / base:.2f}×)" if base > 0 else ""

    def costs(name: str) -> list[str]:
        base = getattr(figures[BASE], name) if BASE in figures else 0
        return [f"{getattr(one, name):.1f}{ratio(getattr(one, name), base)}" for one in figures.values()]

    def shares(name: str) -> list[str]:
        return [f"{getattr(one, name):.2%}" for one in figures.values()]

    rows = [
        ["", *figures],
        ["CPU of all servers, µs per delivered event", *costs("servers")],
        ["  while nothing flows, of a core", *shares("servers_idle")],
        ["CPU of a server without members, µs per event", *(f"{one.empty:.1f}" for one in figures.values())],
        ["  while nothing flows, of a core", *shares("empty_idle")],
        ["  while events flow, of a core", *shares("empty_busy")],
        ["CPU of Redis, µs per event", *costs("redis")],
        ["CPU of the publisher, µs per event", *costs("publisher")],
        ["latency p50, ms", *costs("p50")],
        ["latency p99, ms", *costs("p99")],
        ["lost while nothing fails", *(str(one.lost) for one in figures.values())],
    ]
    if losses:
        rows += [
            ["lost when a server is killed", *(f"{one.lost} of {one.due}" for one in losses.values())],
            ["  came twice", *(str(one.doubled) for one in losses.values())],
            ["  clients that went on", *(f"{one.recovered} of {one.reconnected}" for one in losses.values())],
        ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows]
    return "\n".join(lines)


def verdicts(figures: Mapping[str, Round], losses: Mapping[str, Killed]) -> list[tuple[bool, str]]:
    """What ours is held to, and whether it holds."""
    if OURS not in figures:
        return []
    ours = figures[OURS]
    more = ours.empty_busy - ours.empty_idle
    found = [(more < NOTHING, f"a server without members takes nothing for events: {more:+.2%} of a core")]
    if BASE in figures:
        ratio = ours.redis / figures[BASE].redis
        found.append(
            (ratio <= REDIS_BAR, f"Redis takes at most {REDIS_BAR:g} times what redis-adapter's does: {ratio:.2f}")
        )
    lost = ours.lost + (losses[OURS].lost if losses else 0)
    found.append((lost == 0, f"no event is lost: {lost}"))
    return found
