"""What the dashboards are made of: selectors, queries, panels, rows, variables.

Every panel has a title, a description, a unit and the datasource of the variable; every rate is over
`$__rate_interval`. A test holds that for what comes out.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from grafana_foundation_sdk.builders import common, dashboard, heatmap, prometheus, stat, timeseries
from grafana_foundation_sdk.models import common as common_models
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models import heatmap as heatmap_models
from grafana_foundation_sdk.models import prometheus as prometheus_models

OF_NAMESPACE = 'cluster=~"$cluster", namespace="$namespace"'
SELECTOR = f'{OF_NAMESPACE}, job="$job", pod=~"$pod"'
DATASOURCE = models.DataSourceRef(type_val="prometheus", uid="${datasource}")
TAG = "tradecast"
COUNT, PER_SECOND, EVENTS, SECONDS, BYTES, SHARE = "short", "cps", "eps", "s", "bytes", "percentunit"
HEIGHT = 8
MOST_LINES = 20
"""So many servers have a line of their own; a graph of 2,000 is slow, and nobody can read it."""

NO_DATA = "No data: nothing of this kind has been scraped in this time range"
OPEN_ROWS = 2
"""Rows that are open when the page is; what is in the others is queried when they are."""

SERVER_LINK = (
    "/d/tradecast-server?var-datasource=${datasource}&${cluster:queryparam}&var-namespace=${namespace}"
    "&var-job=${job}&var-pod=${__field.labels.pod}&${__url_time_range}"
)

Panel = timeseries.Panel | stat.Panel | heatmap.Panel


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


def outermost(expr: str) -> str:
    """At most `MOST_LINES` servers: those with the highest values, or the lowest where the lowest is taken of each."""
    return f"{'bottomk' if expr.startswith('min ') else 'topk'}({MOST_LINES}, {expr})"


# -- panels


def graph(
    title: str,
    description: str,
    unit: str,
    *queries: Query,
    span: int = 8,
    stacked: bool = False,
    highest: float | None = None,
    warn: float | None = None,
    alarm: float | None = None,
) -> timeseries.Panel:
    """A graph over time. `span` is its width of 24; `stacked` adds its series up; `highest` ends its axis.

    `warn` and `alarm` are drawn as lines. Of a query for each pod, the outermost are drawn and linked.
    """
    by_pod = any("{{pod}}" in query.legend for query in queries)
    if by_pod:
        description += f" At most {MOST_LINES} servers are drawn; click on a line to see its server."
        queries = tuple(
            Query(outermost(query.expr), query.legend)
            if "{{pod}}" in query.legend and not query.expr.startswith("topk")
            else query
            for query in queries
        )
    panel = (
        timeseries.Panel()
        .title(title)
        .description(description)
        .datasource(DATASOURCE)
        .unit(unit)
        .no_value(NO_DATA)
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
    if warn is not None or alarm is not None:
        panel.thresholds(_thresholds(warn, alarm, "transparent"))
        panel.thresholds_style(common.GraphThresholdsStyleConfig().mode(common_models.GraphThresholdsStyleMode.DASHED))
    if by_pod:
        panel.data_links([dashboard.DashboardLink("This server").url(SERVER_LINK)])
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
        .no_value("-")
        .thresholds(_thresholds(warn, alarm, "green"))
    )
    for target in _targets([Query(expr, title)]):
        panel.with_target(target)
    return panel


def distribution(title: str, description: str, histogram: str, *, span: int = 24) -> heatmap.Panel:
    """How many durations there were of each length, over time: two groups of clients do not hide in a percentile."""
    expr = f"sum by (le) (increase({of(f'{histogram}_bucket')}[$__rate_interval]))"
    return (
        heatmap.Panel()
        .title(title)
        .description(description)
        .datasource(DATASOURCE)
        .unit(SECONDS)
        .no_value(NO_DATA)
        .height(HEIGHT)
        .span(span)
        .calculate(False)
        .color(heatmap.HeatmapColorOptions().mode(heatmap_models.HeatmapColorMode.SCHEME).scheme("Oranges").steps(64))
        .y_axis(heatmap.YAxisConfig().unit(SECONDS))
        .show_y_histogram()
        .with_target(
            prometheus.Dataquery()
            .expr(expr)
            .legend_format("{{le}}")
            .format(prometheus_models.PromQueryFormat.HEATMAP)
            .ref_id("A")
            .range()
            .datasource(DATASOURCE)
        )
    )


def _thresholds(warn: float | None, alarm: float | None, below: str) -> dashboard.ThresholdsConfig:
    steps = [models.Threshold(color=below)]
    steps += [
        models.Threshold(value=value, color=color)
        for value, color in ((warn, "orange"), (alarm, "red"))
        if value is not None
    ]
    return dashboard.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(steps)


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
    for annotation in _annotations():
        board.annotation(annotation)
    ids = itertools.count(1)
    for number, (name, panels) in enumerate(rows):
        row = dashboard.Row(name).id(next(ids))
        if number < OPEN_ROWS:
            board.with_row(row)
        for panel in panels:
            (board if number < OPEN_ROWS else row).with_panel(panel.id(next(ids)))
        if number >= OPEN_ROWS:
            board.with_row(row)
    return board.build()


def _annotations() -> list[dashboard.AnnotationQuery]:
    """What explains a change in a graph: rollouts, drains, alerts."""
    of_fleet = f'{OF_NAMESPACE}, job="$job"'
    return [
        dashboard.AnnotationQuery().name(name).datasource(DATASOURCE).enable(True).icon_color(color).expr(expr)
        for name, color, expr in (
            ("Rollouts", "blue", f"sum(tradecast_superseded{{{of_fleet}}}) > 0"),
            ("Drains", "purple", f"sum by (pod) (tradecast_draining{{{of_fleet}}}) > 0"),
            ("Alerts", "red", f'ALERTS{{{OF_NAMESPACE}, alertname=~"Tradecast.+", alertstate="firing"}}'),
        )
    ]


def _variables(one_pod: bool) -> list[dashboard.DatasourceVariable | dashboard.QueryVariable]:
    source = dashboard.DatasourceVariable("datasource").label("Datasource").type("prometheus")
    pod = _labels("pod", "Server", f'tradecast_connections{{{OF_NAMESPACE}, job="$job"}}')
    every = models.VariableOption(selected=True, text=["All"], value=["$__all"])
    if not one_pod:
        pod = pod.multi(True).include_all(True).all_value(".+").current(every)
    # Where series have no such label, there is only "All".
    cluster = _labels("cluster", "Cluster", "tradecast_connections")
    return [
        source,
        cluster.multi(True).include_all(True).all_value(".*").current(every),
        _labels("namespace", "Namespace", 'tradecast_connections{cluster=~"$cluster"}'),
        _labels("job", "Fleet", f"tradecast_connections{{{OF_NAMESPACE}}}"),
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
