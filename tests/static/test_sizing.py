"""docs/sizing.md and the chart: each default that holds because something was measured says so, and holds."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "tradecast"
SIZING = (ROOT / "docs" / "sizing.md").read_text(encoding="utf-8")
UNITS = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30}
MEBIBYTE = 2**20


def table(first: str) -> list[dict[str, str]]:
    """The table of docs/sizing.md whose first column has this name, a dictionary for each line."""
    (found,) = re.findall(rf"^\| {re.escape(first)} \|.*\n\|[ -|]+\n(?:\|.*\n)+", SIZING, re.MULTILINE)
    head, _, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in found.splitlines())
    return [dict(zip(head, row, strict=True)) for row in rows]


def measured(column: str) -> dict[int, float]:
    """A column of what was measured, by the number of clients."""
    rows = ((row["clients"], row[column]) for row in table("clients"))
    return {number(clients): number(value) for clients, value in rows if value != "–"}


def number(text: str) -> Any:
    """A number as the tables have it."""
    plain = text.replace(",", "")
    return float(plain) if "." in plain else int(plain)


def chart(path: str, values: str = "values.yaml") -> Any:
    """A value of the chart, by its path with dots."""
    found = yaml.safe_load((CHART / values).read_text(encoding="utf-8"))
    for name in path.split("."):
        found = found[name]
    return found


def memory(path: str, values: str = "values.yaml") -> float:
    """An amount of memory, in bytes."""
    text = chart(path, values)
    return float(text[:-2]) * UNITS[text[-2:]]


def processor(path: str, values: str = "values.yaml") -> float:
    """A number of cores."""
    text = str(chart(path, values))
    return float(text[:-1]) / 1000 if text.endswith("m") else float(text)


def container(clients: int) -> float:
    """Bytes that a container with so many clients takes: the process, and what the kernel keeps of connections."""
    return measured("memory (MiB)")[clients] * MEBIBYTE + 1024 * clients * measured("kernel, KiB per client")[clients]


TARGET, MOST = chart("autoscaling.connectionsPerReplica"), chart("server.maxConnections")
DEFAULTS = table("value")


@pytest.mark.parametrize("row", DEFAULTS, ids=[row["value"] for row in DEFAULTS])
def test_the_table_has_the_chart_s_defaults(row: dict[str, str]) -> None:
    assert str(chart(row["value"].strip("`"))) == row["default"].replace(",", "")


def test_the_table_has_every_default_that_depends_on_size() -> None:
    parts = ("requests.cpu", "requests.memory", "limits.memory")
    sized = {f"{of}.resources.{part}" for of in ("server", "feed", "operator") for part in parts}
    wanted = sized | {"server.maxConnections", "autoscaling.connectionsPerReplica"}
    assert {row["value"].strip("`") for row in DEFAULTS} == wanted


def test_what_the_defaults_promise_was_measured_and_nothing_was_lost() -> None:
    lost = measured("events lost")
    assert lost[TARGET] == lost[MOST] == 0
    assert MOST >= 2 * TARGET, "the clients of one server find room on another"


def test_a_server_with_its_target_has_what_it_requests() -> None:
    assert container(TARGET) <= memory("server.resources.requests.memory") <= 3 * container(TARGET)
    assert measured("cores")[TARGET] <= processor("server.resources.requests.cpu")


def test_a_full_server_keeps_below_its_limit_and_a_core() -> None:
    # What slow clients may have queued comes on top (SEND_BUFFER_LIMIT each).
    assert 2 * container(MOST) <= memory("server.resources.limits.memory")
    assert measured("cores")[MOST] < 0.9


def test_a_rollout_s_reconnects_leave_time_for_events() -> None:
    """At the rate of drains, spread over as many servers as the least, and with all their events."""
    connecting = measured("ms of CPU to connect one")[TARGET] / 1000
    each = chart("drain.connectionsPerSecond") / chart("autoscaling.minReplicas")
    assert measured("cores")[TARGET] + connecting * each < 0.9


def test_production_requests_no_less() -> None:
    values = "values-production.yaml"
    for path in ("server.resources.requests.memory", "server.resources.limits.memory"):
        assert memory(path, values) >= memory(path)
    assert processor("server.resources.requests.cpu", values) >= processor("server.resources.requests.cpu")


def test_no_processor_limit_throttles_anybody() -> None:
    for of in ("server", "feed", "operator"):
        assert "cpu" not in chart(f"{of}.resources.limits")
