from __future__ import annotations

import json
from dataclasses import replace

import pytest

from tradecast.load.numbering import Reservoir
from tradecast.load.report import Latency, LoadReport

GOOD = LoadReport(
    clients=2,
    connected=2,
    subscribed=2,
    refused={},
    connect_ms=Latency(1.0, 2.0, 3.0, 4.0),
    published=5,
    uncertain=0,
    deliveries=10,
    expected=10,
    losses=0,
    doubles=0,
    out_of_order=0,
    delivery_ms=Latency(None, None, None, None),
    reconnects=0,
    disconnects={},
    errors={},
    seconds=3.0,
    publish_seconds=1.0,
)


def test_table_has_a_line_for_each_figure() -> None:
    report = replace(GOOD, losses=7, doubles=8, out_of_order=9, refused={"HTTP 503": 4}, errors={"b": 1, "a": 2})
    lines = dict(line.split("  ", 1) for line in report.table().splitlines())
    table = {name.strip(): value.strip() for name, value in lines.items()}
    assert table["losses"] == "7"
    assert table["doubles"] == "8"
    assert table["out of order"] == "9"
    assert table["refused"] == "HTTP 503 4"
    assert table["errors"] == "a 2, b 1"
    assert table["connect"] == "p50 1.0 ms, p95 2.0 ms, p99 3.0 ms, max 4.0 ms"
    assert table["delivery"] == "nothing measured"


def test_dict_can_be_json() -> None:
    decoded = json.loads(json.dumps(GOOD.as_dict()))
    assert decoded["ok"] is True
    assert decoded["connect_ms"] == {"p50": 1.0, "p95": 2.0, "p99": 3.0, "max": 4.0}


@pytest.mark.parametrize(
    "fault",
    [
        {"losses": 1},
        {"doubles": 1},
        {"out_of_order": 1},
        {"subscribed": 1},
        {"uncertain": 1},
        {"refused": {"X": 1}},
        {"errors": {"X": 1}},
    ],
)
def test_any_fault_is_not_ok(fault: dict[str, object]) -> None:
    assert GOOD.ok
    assert not replace(GOOD, **fault).ok  # type: ignore[arg-type] # one field each, of its own type


def test_latency_of_a_series() -> None:
    reservoir = Reservoir()
    for value in range(1, 101):
        reservoir.add(value)
    assert Latency.of(reservoir) == Latency(50, 95, 99, 100)
    assert Latency.of(Reservoir()) == Latency(None, None, None, None)
