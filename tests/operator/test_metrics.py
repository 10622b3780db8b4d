"""The operator's metrics: named as Prometheus wants them, and in docs/operator.md, all of them and no others."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import generate_latest

from kit.kubernetes.fake_api import Granted
from kit.servers.prometheus import find
from tradecast_operator.metrics import REASONS, RESULTS, STATUSES, FleetMetrics, Metrics, ReplicaCourse

ROOT = Path(__file__).parents[2]
CODE = ROOT / "operator" / "tradecast_operator"


@pytest.fixture
def metrics() -> Metrics:
    """Each metric has a series of the fleet trading/full, some of trading/other too."""
    made = Metrics()
    full = FleetMetrics(made, "trading", "full", Granted())
    full.begin()
    FleetMetrics(made, "trading", "other", Granted(held=False)).begin()
    fleet = ("trading", "full")
    made.round_seconds.labels(*fleet).observe(0.1)
    made.replicas.labels(*fleet, "wanted").set(3)
    for gauge in (made.connections, made.spread, made.spread_threshold):
        gauge.labels(*fleet).set(1)
    for gauge in (made.drain_seconds, made.drain_limit_seconds, made.drain_overdue, made.drains_urgent, made.rollout):
        gauge.labels(*fleet).set(1)
    full.report_conditions({"Available": "True"})
    return made


def exposed(metrics: Metrics) -> Iterator[tuple[str, str, frozenset[str]]]:
    """Name, type and labels of each."""
    for family in metrics.registry.collect():
        samples = [sample for sample in family.samples if not sample.name.endswith("_created")]
        labels = frozenset(label for sample in samples for label in sample.labels if label != "le")
        yield family.name + ("_total" if family.type == "counter" else ""), family.type, labels


def rows() -> list[list[str]]:
    """The table of docs/operator.md."""
    lines = (ROOT / "docs" / "operator.md").read_text(encoding="utf-8").splitlines()
    return [
        [cell.strip() for cell in line.strip("| \n").split("|")]
        for line in lines
        if line.startswith("| `tradecast_operator_")
    ]


def test_the_table_has_every_metric_and_no_other(metrics: Metrics) -> None:
    table = {(row[0].strip("`"), row[1], frozenset(re.findall(r"`(\w+)`", row[2]))) for row in rows()}
    assert table == {(name, kind, labels - {"namespace", "fleet"}) for name, kind, labels in exposed(metrics)}
    assert len(rows()) == len(table)
    assert all(len(row) == 5 and row[3] and row[4] for row in rows())


def test_each_is_of_a_fleet(metrics: Metrics) -> None:
    assert all(labels >= {"namespace", "fleet"} for _, _, labels in exposed(metrics))


def test_promtool_finds_nothing_against_the_names(metrics: Metrics) -> None:
    command = (find("promtool"), "check", "metrics")
    done = subprocess.run(
        command, input=generate_latest(metrics.registry), capture_output=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")


def test_the_table_has_the_values_of_the_labels() -> None:
    text = {row[0].strip("`"): row[3] for row in rows()}
    for name, values in (("rounds_total", RESULTS), ("actions_total", REASONS), ("condition", STATUSES)):
        for value in values:
            assert re.search(rf"\b{value}\b", text[f"tradecast_operator_{name}"]), value


def test_every_reason_is_counted_from_the_beginning() -> None:
    found = {reason for path in CODE.rglob("*.py") for reason in re.findall(r'\breason="(\w+)"', path.read_text())}
    assert found == set(REASONS)


def test_a_fleet_is_counted_from_the_beginning_and_forgotten_at_its_end(metrics: Metrics) -> None:
    labels = {"namespace": "trading", "fleet": "other"}
    told = metrics.registry.get_sample_value
    assert told("tradecast_operator_actions_total", {**labels, "reason": "DrainOverdue"}) == 0
    assert told("tradecast_operator_rounds_total", {**labels, "result": "ok"}) == 0
    assert told("tradecast_operator_replica_reversals_total", labels) == 0
    assert told("tradecast_operator_last_round_timestamp_seconds", labels)
    metrics.forget("trading", "full")
    metrics.forget("trading", "nobody")
    left = {sample.labels["fleet"] for family in metrics.registry.collect() for sample in family.samples}
    assert left == {"other"}


@pytest.mark.parametrize(
    ("seen", "turns"),
    [
        ([3], 0),
        ([3, 3, 4, 4, 6, 9], 0),
        ([9, 8, 8, 7, 3], 0),
        ([3, 5, 4], 1),
        ([3, 5, 5, 4, 4, 3, 3, 6], 2),
        ([3, 5, 3, 5, 3, 5], 4),
    ],
)
def test_turns_are_counted_however_many_steps_they_have(seen: list[int], turns: int) -> None:
    course = ReplicaCourse()
    assert sum(course.count_reversals(count) for count in seen) == turns


def test_what_others_write_back_between_two_rounds_is_a_turn() -> None:
    course = ReplicaCourse()
    assert [course.count_reversals(3, 5) for _ in range(3)] == [0, 2, 2]
