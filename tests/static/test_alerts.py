"""The alerts: what promtool says of them, and that names, runbook and tests go with them."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from kit.metrics.metric_names import FOREIGN, OPERATOR, documented, names_in
from kit.servers.prometheus import promtool

ROOT = Path(__file__).parents[2]
RULES = ROOT / "charts" / "tradecast" / "files" / "alerts.yaml"
CASES = sorted((ROOT / "tests" / "alerts").glob("*.yaml"))
RUNBOOK = ROOT / "docs" / "runbook.md"
RUNBOOK_URL = "https://github.com/tradecast/tradecast/blob/main/docs/runbook.md"
ENTRY = ("Meaning", "Impact", "Diagnosis", "Mitigation")
# The requirements' alert lists, row by row: severity, the metric that knows, and what it is compared with.
REQUIRED = {
    "TradecastRedisDown": ("critical", 'dependency_up{dependency="redis"', "== 0"),
    "TradecastDatabaseDown": ("critical", 'dependency_up{dependency="database"', "== 0"),
    "TradecastErrorRateCritical": ("critical", "events_failed_total", "> 0.05"),
    "TradecastMemoryCritical": ("critical", "memory_rss_bytes", "> 0.9"),
    "TradecastCPUCritical": ("critical", "cpu_seconds_total", "> 0.9"),
    "TradecastErrorRateHigh": ("warning", "events_failed_total", "> 0.01"),
    "TradecastMemoryHigh": ("warning", "memory_rss_bytes", "> 0.8"),
    "TradecastCPUHigh": ("warning", "cpu_seconds_total", "> 0.7"),
    "TradecastLatencyHigh": ("warning", "histogram_quantile(0.95", "> 0.5"),
}
# What the chart replaces in the matchers of kube-state-metrics' metrics.
MARKS = {
    "kube_deployment": 'deployment=~".*tradecast.*"',
    "kube_horizontalpodautoscaler": 'horizontalpodautoscaler=~".*tradecast.*"',
    "kube_pod": 'pod=~".*tradecast.*"',
}
# Critical, though nothing in them is a share or a volume: all servers are concerned, or the pager's own eyes.
WITHOUT_SHARE = {
    *("TradecastNoServerReady", "TradecastMetricsAbsent", "TradecastOperatorStalled"),
    *("TradecastAutoscalerBlind", "TradecastAutoscalerGetsNoReading", "TradecastCertificateExpired"),
}


@cache
def rules() -> dict[str, Any]:
    groups = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"] if "alert" in rule}


@cache
def entries() -> dict[str, str]:
    """The runbook's entries by their heading."""
    parts = re.split(r"^### (\w+)\n", RUNBOOK.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


@cache
def cases() -> dict[str, list[dict[str, Any]]]:
    """The tests of each alert, for promtool."""
    found: dict[str, list[dict[str, Any]]] = {}
    for path in CASES:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        assert [(path.parent / name).resolve() for name in content["rule_files"]] == [RULES]
        for one in content["tests"]:
            for test in one["alert_rule_test"]:
                found.setdefault(test["alertname"], []).append(test)
    return found


ALERTS = sorted(rules())
RECORDED = {
    rule["record"]: rule
    for group in yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    for rule in group["rules"]
    if "record" in rule
}


def test_promtool_takes_the_rules() -> None:
    done = promtool("check", "rules", "--lint=all", "--lint-fatal", RULES)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(ALERTS) + len(RECORDED)} rules found" in done.stdout


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_alerts_fire_and_are_silent_as_expected(path: Path, tmp_path: Path) -> None:
    """With the rules that a file is about: promtool evaluates all that it is given at each step."""
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    about = {test["alertname"] for one in content["tests"] for test in one["alert_rule_test"]}
    chosen = [rules()[name] for name in sorted(about)]
    recorded = [one for one in RECORDED.values() if any(one["record"] in rule["expr"] for rule in chosen)]
    (tmp_path / "rules.yaml").write_text(json.dumps({"groups": [{"name": "some", "rules": [*recorded, *chosen]}]}))
    (tmp_path / "cases.yaml").write_text(json.dumps({**content, "rule_files": ["rules.yaml"]}))
    done = promtool("test", "rules", tmp_path / "cases.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "SUCCESS" in done.stdout


@pytest.mark.parametrize("alert", ALERTS)
def test_each_alert_is_tested_firing_and_silent(alert: str) -> None:
    tests = cases().get(alert, [])
    firing = [expected for test in tests for expected in test["exp_alerts"] or ()]
    assert firing
    assert any(not test["exp_alerts"] for test in tests)
    for expected in firing:
        assert set(expected["exp_annotations"]) == {"summary", "description", "runbook_url"}
        assert expected["exp_labels"]["severity"] == rules()[alert]["labels"]["severity"]


@pytest.mark.parametrize("alert", ALERTS)
def test_each_alert_says_what_whom_and_where_to_read_on(alert: str) -> None:
    rule = rules()[alert]
    assert re.fullmatch(r"Tradecast(?:[A-Z][a-z]+|CPU)+", alert)
    assert rule["labels"].keys() == {"severity"}
    assert rule["labels"]["severity"] in ("critical", "warning", "info")
    notes = rule["annotations"]
    assert notes.keys() == {"summary", "description", "runbook_url"}
    # one sentence, the same for all alerts that are grouped
    assert re.fullmatch(r"[A-Z][^{}]*\.", notes["summary"])
    assert notes["description"].endswith(".")
    assert "{{" in notes["description"]
    assert notes["runbook_url"] == f"{RUNBOOK_URL}#{alert.lower()}"


@pytest.mark.parametrize("name", [*ALERTS, *RECORDED])
def test_rules_know_their_metrics_and_their_fleet(name: str) -> None:
    """Each selector has a matcher that the chart replaces by its release's names."""
    expression = (RECORDED.get(name) or rules()[name])["expr"]
    names = names_in(expression)
    assert names
    assert names <= documented() | FOREIGN | RECORDED.keys()
    for metric in names - {"up"}:
        mark = 'rules="tradecast"' if metric in RECORDED else 'pod=~".*"'
        mark = 'fleet=~".*"' if metric.startswith(OPERATOR) else mark
        if metric.startswith("kube_"):
            mark = next(one for kind, one in MARKS.items() if metric.startswith(kind))
        found = re.findall(rf"(?<![\w:]){metric}(?![\w:])(\{{[^}}]*\}})?", expression)
        assert found
        assert all(mark in matchers for matchers in found), metric


@pytest.mark.parametrize("name", [*ALERTS, *RECORDED])
def test_rules_keep_the_cluster(name: str) -> None:
    """A Prometheus may have several clusters; what is added up or compared is of one."""
    expression = (RECORDED.get(name) or rules()[name])["expr"]
    for labels in re.findall(r"\b(?:by|on) \(([^)]*)\)", expression):
        assert labels.split(", ")[0] == "cluster", labels
    if name in ALERTS:
        assert re.search(r"\b(?:by \(cluster, namespace|without \(rules\))", expression)


@pytest.mark.parametrize("alert", [name for name in ALERTS if rules()[name]["labels"]["severity"] == "critical"])
def test_critical_alerts_are_of_a_share_or_a_volume(alert: str) -> None:
    if alert not in WITHOUT_SHARE:
        assert re.search(r">= 0\.05\b|>= \d\d\b|clamp_min\(|< 0\.75 ", rules()[alert]["expr"])


def test_the_runbook_has_the_alerts_and_no_others() -> None:
    assert sorted(entries()) == ALERTS


@pytest.mark.parametrize("alert", ALERTS)
def test_each_entry_of_the_runbook_is_whole(alert: str) -> None:
    found = re.findall(r"^- \*\*([\w ]+)\*\*: \S", entries()[alert], flags=re.MULTILINE)
    assert tuple(found) == ENTRY


def test_the_runbook_names_alerts_that_exist() -> None:
    named = set(re.findall(r"\bTradecast[A-Z]\w+", RUNBOOK.read_text(encoding="utf-8")))
    assert named == set(ALERTS)


def test_commands_of_the_runbook_run_as_they_are_written() -> None:
    """With a namespace, and with what `kubectl scale`, `logs` and `rollout` cannot do without."""
    text = " ".join(RUNBOOK.read_text(encoding="utf-8").split())
    found = re.findall(r"`kubectl ([^`]+)`", text)
    assert len(found) > 20
    for command in found:
        assert command.startswith(("-n $NS ", "-n $OPERATOR_NS ", "-n keda ")) or command in {"drain", "get nodes"}
        assert " scale " not in command or "--replicas=" in command
        assert not command.endswith(" describe")
        assert "logs" not in command or re.search(r" (POD|-l )", command), command
        assert "rollout" not in command or "deployment/" in command, command


@pytest.mark.parametrize("alert", REQUIRED)
def test_the_requirements_lists_are_there(alert: str) -> None:
    severity, metric, threshold = REQUIRED[alert]
    rule = rules()[alert]
    assert rule["labels"]["severity"] == severity
    assert metric in rule["expr"]
    assert threshold in rule["expr"]
    # three checks of 30 s are the shortest that counts
    assert rule["for"] in ("90s", "5m")


def test_the_table_of_the_requirements_rows_is_complete() -> None:
    page = (ROOT / "docs" / "monitoring.md").read_text(encoding="utf-8")
    for alert in REQUIRED:
        assert re.search(rf"^\| (critical|warning) \|.*`{alert}`", page, flags=re.MULTILINE), alert


def test_nothing_in_the_rules_is_for_helm() -> None:
    """The chart includes the file as it is; a Go template that Helm would have to fill in is a mistake."""
    text = RULES.read_text(encoding="utf-8")
    assert not re.search(r"\{\{-?\s*(include|\.Values|\.Release|\.Chart)", text)


@pytest.mark.parametrize(
    ("expression", "names"),
    [
        ('sum by (namespace, job) (rate(a_total{code=~"x|y"}[5m])) / b > bool 0.5', {"a_total", "b"}),
        ("a offset 5m unless on (pod) max by (pod) (max_over_time(d[10m])) == 1", {"a", "d"}),
        ("absent(last_over_time(a[1h])) or clamp_min(0.5 * b, 1e3)", {"a", "b"}),
        ("histogram_quantile(0.99, sum by (le) (rate(a_bucket[$__rate_interval])))", {"a_bucket"}),
    ],
)
def test_metrics_are_found_in_expressions(expression: str, names: set[str]) -> None:
    assert names_in(expression) == names
