"""The names of metrics that a PromQL expression asks for, and those that a server exposes."""

from __future__ import annotations

import re
from pathlib import Path

DOCS = Path(__file__).parents[3] / "docs"
PAGES = ("metrics.md", "operator.md")
OPERATOR = "tradecast_operator_"
"""What the names of the operator's metrics begin with; they are of a fleet, not of a server."""
FOREIGN = frozenset(
    {
        "up",
        "kube_horizontalpodautoscaler_status_desired_replicas",
        "kube_horizontalpodautoscaler_status_current_replicas",
        "kube_horizontalpodautoscaler_spec_max_replicas",
        "kube_horizontalpodautoscaler_spec_min_replicas",
        "kube_horizontalpodautoscaler_status_condition",
        "kube_deployment_status_replicas_available",
        "kube_deployment_spec_replicas",
        "kube_pod_status_phase",
        "container_cpu_cfs_throttled_periods_total",
        "container_cpu_cfs_periods_total",
    }
)
"""Metrics of Prometheus itself, kube-state-metrics and cAdvisor that dashboards and alerts may use."""

_STRING = re.compile(r"\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'")
_LABELS = re.compile(r"\b(by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)")
_NAME = re.compile(r"(?<![\w$.\[])[a-zA-Z_:][\w:]*(?!\w)(?!\s*\()")
_WORDS = frozenset({"and", "or", "unless", "bool", "inf", "nan"})


def documented() -> frozenset[str]:
    """The series of servers and operator; tests elsewhere hold these tables and the code's registries together."""
    names: set[str] = set()
    for line in (line for page in PAGES for line in (DOCS / page).read_text(encoding="utf-8").splitlines()):
        if row := re.match(r"\| `(tradecast_\w+)` \| (\w+)", line):
            names |= {f"{row[1]}{end}" for end in ("_bucket", "_sum", "_count")} if row[2] == "histogram" else {row[1]}
    return frozenset(names)


def names_in(expression: str) -> frozenset[str]:
    """The metrics in an expression; functions, labels and values are not among them."""
    text = re.sub(r"#.*", "", _STRING.sub('""', expression))
    text = re.sub(r"\{[^}]*\}", "", text)
    text = re.sub(r"\[[^\]]*\]", "", text)
    text = _LABELS.sub("", text)
    text = re.sub(r"\boffset\s+\w+", "", text)
    return frozenset(name for name in _NAME.findall(text) if name.lower() not in _WORDS)
