"""What the dashboards are made of: selectors, queries, panels, rows, variables.

Every panel has a title, a description, a unit and the datasource of the variable; every rate is over
`$__rate_interval`. A test holds that for what comes out.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.models import common as common_models
from grafana_foundation_sdk.models import dashboard as models

SELECTOR = 'namespace="$namespace", job="$job", pod=~"$pod"'
DATASOURCE = models.DataSourceRef(type_val="prometheus", uid="${datasource}")
TAG = "tradecast"
COUNT, PER_SECOND, EVENTS, SECONDS, BYTES, SHARE = "short", "cps", "eps", "s", "bytes", "percentunit"
HEIGHT = 8

Panel = timeseries.Panel | stat.Panel


@dataclass(frozen=True, slots=True)
class Query:
    """One query of a panel.

    Attributes:
        expr: PromQL with the dashboard's variables.
        legend: Each series' name, with `{{label}}` for its labels.
    """

    expr: str
    legend: str


# -- PromQL


def of(metric: str, extra: str = "") -> str:
    """A metric of the chosen servers; `extra` are further matchers."""
    return f"{metric}{{{SELECTOR}{', ' if extra else ''}{extra}}}"


def rate(metric: str, extra: str = "") -> str:
    """A counter's increase per second."""
    return f"rate({of(metric, extra)}[$__rate_interval])"


def total(expr: str, *by: str) -> str:
    """The sum over servers, one series for each value of these labels."""
    return f"sum by ({', '.join(by)}) ({expr})" if by else f"sum({expr})"


def servers_only(expr: str) -> str:
    """Without the feed, which has no clients and may be scraped by the same job."""
    return f"({expr} and on (pod) {of('tradecast_connections')})"


def share(part: str, whole: str) -> str:
    """A share that is 0 where the whole is 0."""
    return f"{part} / clamp_min({whole}, 1e-9)"


def quantile(q: float, histogram: str, *by: str) -> str:
    """A quantile of a histogram, by its base name, over the chosen servers or for each value of these labels."""
    return f"histogram_quantile({q:g}, {total(rate(f'{histogram}_bucket'), 'le', *by)})"


# -- panels


def graph(
    title: str,
    description: str,
    unit: str,
    *queries: Query,
    span: int = 8,
    stacked: bool = False,
    highest: float | None = None,
) -> timeseries.Panel:
    """A graph over time. `span` is its width of 24; `stacked` adds its series up; `highest` ends its axis."""
    panel = (
        timeseries.Panel()
        .title(title)
        .description(description)
        .datasource(DATASOURCE)
        .unit(unit)
        .min(0)
        .height(HEIGHT)
        .span(span)
        .line_width(1)
        .fill_opacity(20 if stacked else 5)
        .show_points(common_models.VisibilityMode.NEVER)
        .legend(
            common.VizLegendOptions()
            .display_mode(common_models.LegendDisplayMode.TABLE)
            .placement(common_models.LegendPlacement.BOTTOM)
            .show_legend(True)
            .calcs(["lastNotNull", "max"])
        )
        .tooltip(
            common.VizTooltipOptions()
            .mode(common_models.TooltipDisplayMode.MULTI)
            .sort(common_models.SortOrder.DESCENDING)
        )
    )
    if stacked:
        panel.stacking(common.StackingConfig().mode(common_models.StackingMode.NORMAL).group("A"))
    if highest is not None:
        panel.max(highest)
    for target in _targets(queries):
        panel.with_target(target)
    return panel


def single_stat(
    title: str,
    description: str,
    unit: str,
    expr: str,
    *,
    span: int = 3,
    warn: float | None = None,
    alarm: float | None = None,
) -> stat.Panel:
    """One number, with its course behind it: amber from `warn` on, red from `alarm` on."""
    steps = [models.Threshold(color="green")]
    steps += [
        models.Threshold(value=value, color=color) for value, color in ((warn, "orange"), (alarm, "red")) if value
    ]
    panel = (
        stat.Panel()
        .title(title)
        .description(description)
        .datasource(DATASOURCE)
        .unit(unit)
        .height(4)
        .span(span)
        .color_mode(common_models.BigValueColorMode.VALUE)
        .graph_mode(common_models.BigValueGraphMode.AREA)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .thresholds(dashboard.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(steps))
    )
    for target in _targets([Query(expr, title)]):
        panel.with_target(target)
    return panel


def _targets(queries: Sequence[Query]) -> list[prometheus.Dataquery]:
    return [
        prometheus.Dataquery()
        .expr(query.expr)
        .legend_format(query.legend)
        .ref_id(chr(ord("A") + number))
        .range()
        .datasource(DATASOURCE)
        for number, query in enumerate(queries)
    ]


# -- a dashboard


def create_dashboard(
    uid: str, title: str, description: str, rows: Sequence[tuple[str, Sequence[Panel]]], *, one_pod: bool = False
) -> models.Dashboard:
    """A dashboard of rows of panels. `one_pod`: it shows one server at a time, not all or several."""
    board = (
        dashboard.Dashboard(title)
        .uid(uid)
        .description(description)
        .tags([TAG])
        .readonly()
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .time("now-1h", "now")
        .refresh("30s")
        .timezone("browser")
        .link(
            dashboard.DashboardLink("tradecast")
            .type(models.DashboardLinkType.DASHBOARDS)
            .tags([TAG])
            .include_vars(True)
            .keep_time(True)
        )
    )
    for variable in _variables(one_pod):
        board.with_variable(variable)
    ids = itertools.count(1)
    for name, panels in rows:
        board.with_row(dashboard.Row(name).id(next(ids)))
        for panel in panels:
            board.with_panel(panel.id(next(ids)))
    return board.build()


def _variables(one_pod: bool) -> list[dashboard.DatasourceVariable | dashboard.QueryVariable]:
    source = dashboard.DatasourceVariable("datasource").label("Datasource").type("prometheus")
    pod = _labels("pod", "Server", 'tradecast_connections{namespace="$namespace", job="$job"}')
    if not one_pod:
        every = models.VariableOption(selected=True, text=["All"], value=["$__all"])
        pod = pod.multi(True).include_all(True).all_value(".+").current(every)
    return [
        source,
        _labels("namespace", "Namespace", "tradecast_connections"),
        _labels("job", "Fleet", 'tradecast_connections{namespace="$namespace"}'),
        pod,
    ]


def _labels(name: str, label: str, series: str) -> dashboard.QueryVariable:
    """A variable whose values are those of the label of its name."""
    return (
        dashboard.QueryVariable(name)
        .label(label)
        .datasource(DATASOURCE)
        .query({"query": f"label_values({series}, {name})", "refId": name})
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(models.VariableSort.NATURAL_ASC)
    )
