"""The number that KEDA asks Prometheus for with the chart's query, where Prometheus does not see everything."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from kit.kubernetes.tools import run
from kit.servers.prometheus import promtool

CHART = Path(__file__).parents[2] / "charts" / "tradecast"
LASTING = "30"
"""Scrapes, one each 30 s: the number is asked for at the last one."""


def render_query() -> str:
    done = run(
        *("helm", "template", "tradecast", CHART, "--namespace", "trading", "-f", CHART / "ci" / "keda-values.yaml"),
        *("--show-only", "templates/autoscaling.yaml"),
    )
    assert done.returncode == 0, done.stderr
    (trigger, *_) = yaml.safe_load(done.stdout)["spec"]["triggers"]
    query: str = trigger["metadata"]["query"]
    return query


def server(pod: str, connections: str, up: str, namespace: str = "trading") -> list[dict[str, str]]:
    labels = f'{{namespace="{namespace}", pod="{pod}", job="trading/tradecast"}}'
    return [
        {"series": f"tradecast_connections{labels}", "values": connections},
        {"series": f"up{labels}", "values": up},
    ]


A, B, C = (f"tradecast-5d4f8b9c6-{name}" for name in ("aaaaa", "bbbbb", "ccccc"))
WELL = server(A, f"4000x{LASTING}", f"1x{LASTING}")
CASES: dict[str, tuple[list[dict[str, str]], float | None]] = {
    "all answer": ([*WELL, *server(B, f"3000x{LASTING}", f"1x{LASTING}")], 7_000),
    # half of the servers do not answer Prometheus from some scrape on
    "one is not reached": ([*WELL, *server(B, "3000x9 stale", "1x9 0x20")], 7_000),
    "none is reached": (
        [*server(A, "4000x9 stale", "1x9 0x20"), *server(B, "3000x9 stale", "1x9 0x20")],
        7_000,
    ),
    "one was removed": ([*WELL, *server(B, "3000x9 stale", "1x9 stale")], 4_000),
    "one starts": ([*WELL, *server(C, f"_x{LASTING}", "_x25 0x4")], 4_000),
    "one answers again": ([*WELL, *server(B, "3000x9 stale _x5 1000x14", "1x9 0x6 1x14")], 5_000),
    "another fleet is not reached": (
        [*WELL, *server(A, "9000x9 stale", "1x9 0x20", "other"), *server("b-5d4f8b9c6-aaaaa", "9x9 stale", "0x30")],
        4_000,
    ),
    "nothing is known": ([], None),
}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.replace(" ", "-"))
def test_servers_that_prometheus_does_not_reach_keep_their_connections(case: str, tmp_path: Path) -> None:
    """An HorizontalPodAutoscaler removes servers for a low number; no number at all is an error, and removes none."""
    series, expected = CASES[case]
    asked: dict[str, Any] = {
        "expr": render_query(),
        "eval_time": "15m",
        "exp_samples": [] if expected is None else [{"labels": "{}", "value": expected}],
    }
    test = {"interval": "30s", "input_series": series, "promql_expr_test": [asked]}
    path = tmp_path / "query.yaml"
    path.write_text(json.dumps({"rule_files": [], "tests": [test]}), encoding="utf-8")
    done = promtool("test", "rules", path)
    assert done.returncode == 0, done.stdout + done.stderr
