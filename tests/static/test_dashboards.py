"""The dashboards: committed as the code writes them, and each panel as a panel should be."""

from __future__ import annotations

import re
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from kit.kubernetes.fake_api import Granted
from kit.metrics.dashboards import FOLDER, PanelQuery, Variables, all_queries, load, panels
from kit.metrics.metric_names import FOREIGN, OPERATOR, documented, names_in
from observability import build
from tradecast.bootstrap.metrics import ServerMetrics
from tradecast.connections.registry import ConnectionRegistry
from tradecast.packets.rooms import LocalManager
from tradecast_operator.metrics import FleetMetrics
from tradecast_operator.metrics import Metrics as OperatorMetrics

ROOT = Path(__file__).parents[2]
NAMES = sorted(build.DASHBOARDS)
PANELS = [(name, row, panel) for name in NAMES for row, panel in panels(load(FOLDER / f"{name}.json"))]
QUERIES = all_queries()
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
# Grafana's ids of units, of those that are used here
UNITS = {"short", "cps", "eps", "s", "bytes", "percentunit"}

each_panel = pytest.mark.parametrize(
    ("name", "row", "panel"), PANELS, ids=[f"{name}-{panel['title']}" for name, _, panel in PANELS]
)
each_query = pytest.mark.parametrize("query", QUERIES, ids=str)


def test_there_is_a_file_for_each_and_no_other() -> None:
    assert sorted(path.stem for path in FOLDER.iterdir()) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_what_is_committed_is_what_the_code_writes(name: str) -> None:
    assert (FOLDER / f"{name}.json").read_text(encoding="utf-8") == build.render(name), "run: make docs"


def test_the_check_sees_a_changed_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(build, "FOLDER", tmp_path / "dashboards")
    assert build.main(["--check"]) == 1
    assert build.main([]) == 0
    assert build.main(["--check"]) == 0
    (tmp_path / "dashboards" / "redis.json").write_text("{}")
    capsys.readouterr()
    assert build.main(["--check"]) == 1
    assert capsys.readouterr().out.startswith("redis.json:")


@pytest.mark.parametrize("name", NAMES)
def test_each_dashboard_can_be_found_and_stays_as_it_is(name: str) -> None:
    board = load(FOLDER / f"{name}.json")
    assert board["uid"] == f"tradecast-{name}"
    assert board["title"].startswith("tradecast / ")
    assert board["description"]
    assert board["tags"] == ["tradecast"]
    assert board["editable"] is False
    assert [variable["name"] for variable in board["templating"]["list"]] == [
        *("datasource", "cluster", "namespace", "job", "pod")
    ]
    annotations = board["annotations"]["list"]
    assert [one["name"] for one in annotations] == ["Rollouts", "Drains", "Alerts"]
    for one in annotations:
        assert one["enable"]
        assert one["datasource"] == SOURCE
        assert 'cluster=~"$cluster", namespace="$namespace"' in one["expr"]
    rows = [panel for panel in board["panels"] if panel["type"] == "row"]
    ids = Counter(panel["id"] for panel in [*rows, *(panel for _, panel in panels(board))])
    assert 0 not in ids
    assert set(ids.values()) == {1}
    assert [bool(row.get("collapsed")) for row in rows] == [False, False, *[True] * (len(rows) - 2)]
    for row in rows:
        assert bool(row.get("panels")) == bool(row.get("collapsed"))


@pytest.mark.parametrize("name", NAMES)
def test_variables_ask_the_chosen_datasource(name: str) -> None:
    source, *asked = load(FOLDER / f"{name}.json")["templating"]["list"]
    assert (source["type"], source["query"]) == ("datasource", "prometheus")
    for variable in asked:
        assert variable["type"] == "query"
        assert variable["datasource"] == SOURCE
        assert variable["query"]["query"].startswith("label_values(tradecast_connections")
        assert variable["query"]["query"].endswith(f", {variable['name']})")
        # pods come and go: asked again when the time range changes
        assert variable["refresh"] == 2
    assert asked[0]["name"] == "cluster"
    assert asked[0]["allValue"] == ".*"
    pod = asked[-1]
    assert bool(pod.get("multi")) == bool(pod.get("includeAll")) == (name != "server")


@pytest.mark.parametrize("name", NAMES)
def test_panels_fill_the_grid_without_overlap(name: str) -> None:
    board = load(FOLDER / f"{name}.json")["panels"]
    assert_filled([panel for panel in board if not panel.get("collapsed")])
    for row in board:
        if row.get("collapsed"):
            assert_filled(row["panels"])


def assert_filled(placed: list[dict[str, Any]]) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in placed:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not taken & cells, panel["title"]
        taken |= cells
    lines = sorted({y for _, y in taken})
    if not any(panel["type"] == "row" for panel in placed):  # collapsed rows may stand between
        assert all(after - before == 1 for before, after in pairwise(lines))
    assert len(taken) == 24 * len(lines), "a row is not filled to its end"


@each_panel
def test_each_panel_says_what_it_shows(name: str, row: str, panel: dict[str, Any]) -> None:
    assert row
    assert panel["title"]
    assert panel["description"].endswith(".")
    assert panel["description"] != panel["title"]
    assert panel["fieldConfig"]["defaults"]["unit"] in UNITS
    assert panel["datasource"] == SOURCE
    assert panel["targets"]
    for target in panel["targets"]:
        assert target["datasource"] == SOURCE
        assert target["legendFormat"]
    refs = [target["refId"] for target in panel["targets"]]
    assert len(set(refs)) == len(refs)


@each_panel
def test_large_fleets_draw_few_lines_that_lead_on(name: str, row: str, panel: dict[str, Any]) -> None:
    of_pods = [target for target in panel["targets"] if "{{pod}}" in target["legendFormat"]]
    for target in of_pods:
        assert re.match(r"(topk|bottomk)\(20, ", target["expr"])
    links = panel["fieldConfig"]["defaults"].get("links", [])
    assert bool(links) == bool(of_pods)
    for link in links:
        assert link["url"].startswith("/d/tradecast-server?")
        assert "var-pod=${__field.labels.pod}" in link["url"]


@each_panel
def test_panels_without_data_say_why(name: str, row: str, panel: dict[str, Any]) -> None:
    assert panel["fieldConfig"]["defaults"]["noValue"]


def test_histograms_are_shown_whole() -> None:
    heatmaps = {panel["title"]: panel for _, _, panel in PANELS if panel["type"] == "heatmap"}
    assert len(heatmaps) == 3
    for panel in heatmaps.values():
        assert panel["targets"][0]["format"] == "heatmap"
        assert panel["targets"][0]["expr"].startswith("sum by (le) (increase(")


def test_thresholds_are_those_of_the_alerts() -> None:
    drawn = {
        panel["title"]: [step["value"] for step in panel["fieldConfig"]["defaults"]["thresholds"]["steps"][1:]]
        for board, _, panel in PANELS
        if board == "fleet" and panel["type"] == "timeseries" and "thresholds" in panel["fieldConfig"]["defaults"]
    }
    assert drawn == {
        "Connection imbalance": [1.5],
        "Fullest server, share of its limit": [0.9],
        "Response time": [0.5],
        "Event loop lag p99": [0.25],
        "CPU by server": [0.7, 0.9],
        "Memory by server": [0.8, 0.9],
    }


@pytest.mark.parametrize("name", NAMES)
def test_titles_are_not_used_twice(name: str) -> None:
    titles = [panel["title"] for board, _, panel in PANELS if board == name]
    assert len(set(titles)) == len(titles)


@each_query
def test_queries_are_of_metrics_that_exist(query: PanelQuery) -> None:
    names = names_in(query.expr)
    assert names
    assert names <= documented() | FOREIGN
    assert query.needs_kube_state_metrics == bool(names & FOREIGN)
    assert {name.startswith(OPERATOR) for name in names} == {query.is_of_operator}


@each_query
def test_queries_are_of_what_was_chosen(query: PanelQuery) -> None:
    for matchers in re.findall(r"\{([^}]*)\}", query.expr):
        assert 'cluster=~"$cluster", namespace="$namespace"' in matchers
        if query.is_of_operator:
            assert "job" not in matchers
        elif not query.needs_kube_state_metrics:
            assert 'job="$job"' in matchers
            assert 'pod=~"$pod"' in matchers
    assert len(re.findall(r"\{", query.expr)) >= len(names_in(query.expr))


@each_query
def test_rates_are_over_grafanas_interval(query: PanelQuery) -> None:
    ranges = re.findall(r"\[([^\]]*)\]", query.expr)
    assert set(ranges) <= {"$__rate_interval"}
    counters = [name for name in names_in(query.expr) if name.endswith(("_total", "_bucket", "_sum", "_count"))]
    assert len(ranges) >= len(counters), "a counter without a rate"
    # what is added up is a rate: the sum of counters hides that one of them began anew
    assert not re.search(r"rate\(\s*sum", query.expr)


class NoTransports:
    """A server without connections."""

    def transports(self) -> dict[str, int]:
        """None of any."""
        return {}


def test_the_labels_that_are_asked_for_exist() -> None:
    metrics = ServerMetrics("1")
    metrics.connections.watch_connections(ConnectionRegistry(), NoTransports())
    metrics.events.watch_subscriptions(LocalManager())
    labels = {"le", "pod", "namespace", "job", "horizontalpodautoscaler", "deployment", "dependency", "figure"}
    labels |= {"which", "cause", "port"}
    operator = OperatorMetrics()
    fleet = FleetMetrics(operator, "trading", "fleet", Granted())
    fleet.begin()
    fleet.report_conditions({"Available": "True"})
    families = [*metrics.registry.collect(), *operator.registry.collect()]
    labels |= {label for family in families for sample in family.samples for label in sample.labels}
    for query in QUERIES:
        for group in re.findall(r"\bby \(([^)]*)\)", query.expr):
            assert {label.strip() for label in group.split(",")} <= labels, query


def test_the_runbook_names_panels_that_exist() -> None:
    text = " ".join((ROOT / "docs" / "runbook.md").read_text(encoding="utf-8").split())
    named = set(re.findall(r'"([A-Z][^"{}]+)"', text))
    rows = {re.sub(r" \(.*", "", row) for _, row, _ in PANELS}
    assert named
    assert named <= {panel["title"] for _, _, panel in PANELS} | rows


def test_the_documented_metrics_that_matter_are_shown() -> None:
    shown = {name for query in QUERIES for name in names_in(query.expr)}
    hidden = {name for name in documented() - shown if not name.endswith(("_bucket", "_sum", "_count"))}
    # what else there is says the same in another way, and is for people with curl
    assert hidden <= {
        "tradecast_cpu_usage_ratio",
        "tradecast_errors_per_minute",
        "tradecast_event_latency_seconds",
        "tradecast_memory_heap_size_bytes",
        "tradecast_operator_active",
    }


def test_variables_are_put_in() -> None:
    variables = Variables("ns", "fleet", pod="a|b", rate_interval="20s", others={"x": "1"})
    put = variables.put_into('rate(a{namespace="$namespace", pod=~"${pod}"}[$__rate_interval]) > $x')
    assert put == 'rate(a{namespace="ns", pod=~"a|b"}[20s]) > 1'
    with pytest.raises(KeyError):
        variables.put_into("$nothing")
