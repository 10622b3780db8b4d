"""The delivery benchmark's arithmetic: what it says of figures that are known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from delivery import tape
from delivery.bars import verdicts
from delivery.figures import Rounds, growth, series
from delivery.measuring import Outcome, Plan
from delivery.snapshots import Snapshots
from delivery.table import tables

NONE = {"quote": 0, "delta": 0, "whole": 0, "trade": 0, "portfolio": 0, "compressed": 0}


def ages(p99: float) -> dict[str, float]:
    return {"count": 10, "p50": p99 / 2, "p95": p99, "p99": p99, "max": p99}


def outcome(slow: list[float], others: float = 10.0, *, cpu: float = 1.0, missing: int = 0, **load: Any) -> Outcome:
    group = {
        "age": ages(slow[-1]),
        "ageOfWorstSymbolP99": slow[-1],
        "ageOverTime": [ages(one) for one in slow],
        **{"missing": missing, "disordered": 0, "doubled": 0, "older": 0},
    }
    figures = {"counts": NONE, "bytes": NONE, "packets": 100, "seconds": len(slow), "bucket": 1.0, "mostWaiting": 0}
    found = {**figures, "slow": group, "others": {**group, "age": ages(others)}, **load}
    return Outcome(found, cpu=cpu, over_time=[(float(second), 10**8, 0, 0) for second in range(len(slow))])


def judged(**outcomes: Outcome) -> dict[str, bool]:
    rounds = Rounds(Plan(), {name.replace("_", " "): [one] for name, one in outcomes.items()})
    return {one.title: one.holds for one in verdicts(rounds)}


def test_ages_that_grow_do_not_hold() -> None:
    flat = judged(tradecast=outcome([500.0] * 8))
    grown = judged(tradecast=outcome([200.0, 400.0, 600.0, 800.0, 1_000.0, 1_200.0, 1_400.0, 1_600.0]))
    assert all(flat.values())
    assert [title for title, holds in grown.items() if not holds] == ["the same over time, last quarter to second"]


@pytest.mark.parametrize(("slow", "missing", "failed"), [(2_500.0, 0, "age of slow"), (500.0, 1, "trades to them")])
def test_old_quotes_and_lost_trades_do_not_hold(slow: float, missing: int, failed: str) -> None:
    found = judged(tradecast=outcome([slow] * 8, missing=missing))
    assert [title.startswith(failed) for title, holds in found.items() if not holds] == [True]


def test_ratios_are_of_the_same_round() -> None:
    found = judged(
        with_slow=outcome([1.0], others=11.4),
        without_slow=outcome([1.0], others=10.0, cpu=1.2),
        off=outcome([1.0], cpu=1.0),
    )
    assert found["p99 of the others, to a run without slow clients"]
    assert not found["CPU per recipient, throttling, conflation and retention on, to all off"]


def test_bytes_of_deltas_count_the_whole_quotes_between_them() -> None:
    counts = {**NONE, "quote": 10, "delta": 9, "whole": 1}
    sizes = {**NONE, "quote": 3_000, "delta": 900, "whole": 300}
    (found,) = verdicts(Rounds(Plan(), {"deltas": [outcome([1.0], counts=counts, bytes=sizes)]}))
    assert (found.found, found.holds) == ("0.40", True)


def test_snapshots_need_quotes() -> None:
    on, off = Snapshots(ages(40.0), redis=14.0), Snapshots(None, redis=10.0)
    found = list(verdicts(Rounds(Plan(), {}, {"on": [on], "off": [off]})))
    assert [one.holds for one in found] == [True, True]
    assert not list(verdicts(Rounds(Plan(), {}, {"on": [off], "off": [off]})))


def test_growth_leaves_the_beginning_out() -> None:
    assert growth([0.1, 1.0, 1.0, 1.0]) == 1.0
    assert growth([1.0, None, 2.0, 3.0, 4.0]) == 2.0
    assert growth([]) == 0.0


def test_a_series_ends_with_the_run() -> None:
    assert series(outcome([1.0, 2.0], seconds=1.0), "slow") == [1.0]


def test_the_report_says_what_does_not_hold() -> None:
    text = tables(Rounds(Plan(), {"tradecast": [outcome([3_000.0] * 8)]}))
    assert "| 3,000 | DOES NOT HOLD |" in text
    assert "all, in order" in text


def test_the_tape_has_real_prices_that_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("bokeh_sampledata")
    monkeypatch.setattr(tape, "SECONDS", 2)
    tape.write_tape(tmp_path / "tape", symbols=7, rate=3)
    lines = [line.split("\t") for line in (tmp_path / "tape").read_text().splitlines()]
    assert [int(number) for number, _ in lines] == list(range(7)) * 6
    assert len({json.loads(quote)["volume"] for number, quote in lines if number == "0"}) == 6
    tape.write_portfolio(tmp_path / "portfolio")
    assert 10_000 <= len((tmp_path / "portfolio").read_text()) < 10_500
