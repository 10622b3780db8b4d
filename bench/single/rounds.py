"""Measuring: each server in turn, again and again."""

from __future__ import annotations

from collections.abc import Sequence

from single.figures import Rounds, is_whole
from single.measurement import Measurement, Plan, measure
from single.progress import Progress
from single.servers import SERVERS


def measure_all(names: Sequence[str], sizes: Sequence[int], rounds: int) -> Rounds:
    """Measure each server at each size, `rounds` times.

    Servers take turns within a round, so that what else the machine does falls on all of them. At the
    largest size broadcasts and disconnections are left out.
    """
    found: dict[str, dict[int, list[Measurement]]] = {name: {size: [] for size in sizes} for name in names}
    progress = Progress(rounds * len(sizes) * len(names))
    for number in range(1, rounds + 1):
        for size in sizes:
            for name in names:
                what = f"round {number} of {rounds}: ({SERVERS[name].key}) {name}, {size:,} connections"
                one = measure(name, Plan(size, whole=is_whole(size)), progress.of(what))
                found[name][size].append(one)
                progress.done(f"{what}: {told(one)}")
    return found


def told(one: Measurement) -> str:
    """A measurement in a few words."""
    words = [f"connect {one.cpu['connect']:.0f} µs", f"echo {one.cpu['echo']:.1f} µs"]
    if "paced" in one.cpu:
        words.append(f"recipient {one.cpu['paced']:.1f} µs")
    return ", ".join([*words, f"{one.memory['connected'] / 1000:.1f} KB"])
