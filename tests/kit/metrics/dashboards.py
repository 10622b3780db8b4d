"""The queries of a Grafana dashboard's panels, put to a Prometheus as Grafana would put them.

For tests of any Prometheus: `still_without_data(base_url, all_queries(), Variables("namespace", "job"), …)`.
"""

from __future__ import annotations

import asyncio
import json
import math
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from kit.servers.prometheus import ask

FOLDER = Path(__file__).parents[3] / "charts" / "tradecast" / "files" / "dashboards"
NEEDS_KUBE_STATE_METRICS = "needs kube-state-metrics"
"""In the title of a row whose panels have data only where kube-state-metrics runs."""

OPERATOR_ROW = "Operator"
"""The title of the row whose panels have data only where the operator runs."""


@dataclass(frozen=True, slots=True)
class PanelQuery:
    """One query of one panel.

    Attributes:
        dashboard: The file's name without its ending.
        row: The title of the row above the panel.
        panel: The panel's title.
        ref: The query's letter in the panel.
        expr: PromQL with the dashboard's variables.
    """

    dashboard: str
    row: str
    panel: str
    ref: str
    expr: str

    @property
    def needs_kube_state_metrics(self) -> bool:
        """Whether it asks for what servers do not tell."""
        return NEEDS_KUBE_STATE_METRICS in self.row

    @property
    def needs_tls(self) -> bool:
        """Whether it asks for what servers expose only if they have certificates."""
        return "tradecast_certificate_" in self.expr

    @property
    def is_of_operator(self) -> bool:
        """Whether it asks for what the operator tells of the fleets of a namespace."""
        return self.row == OPERATOR_ROW

    def __str__(self) -> str:
        return f"{self.dashboard} / {self.row} / {self.panel} / {self.ref}"


@dataclass(frozen=True, slots=True)
class Variables:
    """What is chosen at the top of a dashboard.

    Attributes:
        namespace: Namespace.
        job: Job of the servers.
        pod: A regular expression of pods.
        rate_interval: What Grafana makes of `$__rate_interval`: at least four times the scrape interval.
        cluster: A regular expression of clusters.
        others: Further variables by name.
    """

    namespace: str
    job: str
    pod: str = ".+"
    rate_interval: str = "1m"
    cluster: str = ".*"
    others: Mapping[str, str] = field(default_factory=dict)

    def put_into(self, expr: str) -> str:
        """The expression as Prometheus gets it.

        Raises:
            KeyError: It has a variable that is not here.
        """
        values = {
            "cluster": self.cluster,
            "namespace": self.namespace,
            "job": self.job,
            "pod": self.pod,
            "__rate_interval": self.rate_interval,
            **self.others,
        }
        return re.sub(r"\$(?:\{(\w+)\}|(\w+))", lambda found: values[found[1] or found[2]], expr)


def load(path: Path) -> dict[str, Any]:
    """A dashboard's JSON."""
    loaded: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return loaded


def panels(dashboard: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every panel with the title of its row, in the order of the page; panels of collapsed rows among them."""
    row = ""
    for panel in dashboard["panels"]:
        if panel["type"] == "row":
            row = panel["title"]
            for inner in panel.get("panels") or ():
                yield row, inner
        else:
            yield row, panel


def queries(path: Path) -> list[PanelQuery]:
    """All queries of a dashboard's panels."""
    return [
        PanelQuery(path.stem, row, panel["title"], target["refId"], target["expr"])
        for row, panel in panels(load(path))
        for target in panel.get("targets") or ()
    ]


def all_queries(folder: Path = FOLDER) -> list[PanelQuery]:
    """All queries of all dashboards in a folder."""
    return [query for path in sorted(folder.glob("*.json")) for query in queries(path)]


def has_data(base_url: str, expr: str, *, start: float, end: float, step: float, above: float = -math.inf) -> bool:
    """Whether a range query gives at least one number; NaN is none.

    Args:
        base_url: Prometheus, such as http://127.0.0.1:9090.
        expr: PromQL without variables.
        start: Unix time in seconds.
        end: The same.
        step: Seconds.
        above: What is not above this is no number that counts.

    Raises:
        ValueError: Prometheus does not take the expression.
        OSError: It was not reached.
    """
    found = ask(base_url, "query_range", query=expr, start=start, end=end, step=step)
    return any(float(value) > above for series in found["result"] for _, value in series["values"])


def without_data(
    base_url: str,
    asked: Iterable[PanelQuery],
    variables: Variables,
    *,
    start: float,
    end: float,
    step: float = 5,
    above: float = -math.inf,
) -> list[PanelQuery]:
    """Those queries for which a panel would say "No data" over this time. Arguments as for `has_data`."""
    return [
        query
        for query in asked
        if not has_data(base_url, variables.put_into(query.expr), start=start, end=end, step=step, above=above)
    ]


async def still_without_data(
    base_url: str,
    asked: Iterable[PanelQuery],
    variables: Variables,
    *,
    since: float,
    within: float,
    step: float = 5,
    above: float = -math.inf,
) -> list[PanelQuery]:
    """Those queries that have no data in time, asked again and again; returns as soon as all have some.

    Args:
        base_url: Prometheus.
        asked: Queries.
        variables: What their variables stand for.
        since: Unix time in seconds at which the time begins that is looked at.
        within: Seconds to wait.
        step: Seconds.
        above: What is not above this is no number that counts.
    """
    deadline = time.monotonic() + within
    missing = list(asked)
    while True:
        look = partial(without_data, start=since, end=time.time(), step=step, above=above)
        missing = await asyncio.to_thread(look, base_url, missing, variables)
        if not missing or time.monotonic() > deadline:
            return missing
        await asyncio.sleep(min(1.0, step))
