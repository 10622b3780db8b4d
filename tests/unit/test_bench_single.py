"""The single-server benchmark's arithmetic: what it says of figures that are known."""

from __future__ import annotations

import json

import pytest

from single import short
from single.bars import verdicts
from single.figures import CPU, LATENCY, REQUIREMENTS_SIZE, figure, main_size
from single.measurement import Measurement
from single.table import tables

CONNECT = CPU[0]


def measured(connect: float, p99: float = 1.0) -> Measurement:
    return Measurement(
        cpu={"connect": connect},
        latency={"connect": {"p50": 1.0, "p95": 1.0, "p99": p99, "max": 2.0}},
        memory={"connected": 4_500.0},
    )


def rounds(ours: list[float], base: list[float], size: int = 5_000) -> dict[str, dict[int, list[Measurement]]]:
    return {"tradecast": {size: [measured(one) for one in ours]}, "node": {size: [measured(one) for one in base]}}


def test_a_ratio_is_of_the_same_round_and_the_median_counts() -> None:
    found = figure(CONNECT, "tradecast", 5_000, rounds([100, 400, 150], [400, 800, 300]))
    assert found is not None
    assert (found.low, found.median, found.high) == (100, 150, 400)
    assert found.ratio == 0.5  # of 0.25, 0.5, 0.5; that of the medians would be 0.375


def test_what_was_not_measured_has_no_figure() -> None:
    some = rounds([100], [200])
    assert figure(CPU[-1], "tradecast", 5_000, some) is None
    assert figure(CONNECT, "tradecast", 10_000, some) is None
    del some["node"]
    alone = figure(CONNECT, "tradecast", 5_000, some)
    assert alone is not None
    assert alone.ratio is None


def test_percentiles_and_units() -> None:
    p99 = next(row for row in LATENCY if row.key == "connect p99")
    assert p99.of(measured(1, p99=7.5)) == 7.5
    memory = next(row for row in short.ROWS if row.key == "memory connected")
    assert memory.of(measured(1)) == 4.5  # KB


def test_costs_are_shown_at_the_largest_size_that_is_measured_whole() -> None:
    assert main_size([1_000, 5_000, 10_000]) == 5_000
    assert main_size([1_000]) == 1_000
    assert main_size([10_000]) == 10_000


@pytest.mark.parametrize(("connect", "verdict"), [(100, "holds"), (150, "DOES NOT HOLD")])
def test_the_report_says_which_bars_hold(connect: float, verdict: str) -> None:
    text = tables(rounds([connect], [200]), [5_000])
    assert f"| CPU per connection, ratio to (b) | ≤ 0.50 | {connect / 200:.2f} | {verdict} |" in text
    assert "load test" not in text


def test_bars_against_others_are_reported_where_those_were_measured() -> None:
    some = rounds([100], [200])
    assert [one.title for one in verdicts(some, 5_000)] == [
        "CPU per connection, ratio to (b)",
        "memory per connection, ratio to (b)",
        "connect p99, ratio to (b)",
    ]
    some["bun"] = {5_000: [measured(90)]}
    last = list(verdicts(some, 5_000))[-1]
    assert not last.holds
    assert "CPU per connection" in last.found


def test_the_report_has_the_requirements_load_test() -> None:
    text = tables(rounds([100], [200], REQUIREMENTS_SIZE), [REQUIREMENTS_SIZE])
    assert "| connect p99, ms | < 500 (300) | 1.0 | 1.0 |" in text


def test_the_short_form_fails_beyond_one_and_a_half_times_what_is_recorded() -> None:
    recorded = {"cpu connect": 0.4, "cpu echo": 0.8}
    assert short.worse({"cpu connect": 0.6, "cpu echo": 1.2}, recorded) == []
    assert short.worse({"cpu connect": 0.61, "cpu echo": 0.1}, recorded) == ["cpu connect"]


def test_every_row_of_the_short_form_is_recorded() -> None:
    recorded = json.loads(short.RECORDED.read_text())
    assert recorded.keys() == {row.key for row in short.ROWS}
    assert all(value > 0 for value in recorded.values())
