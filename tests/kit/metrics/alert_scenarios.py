"""Fleets as Prometheus would see them, for `promtool test rules`: a healthy one, and what happens to it.

A scenario has the series of every metric that the alerts read, so that an alert that is silent has looked at something.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

INTERVAL = 30
"""Seconds between two scrapes, and between two evaluations."""

Values = str
"""A series in promtool's notation, such as `0+10x40` or `100x20 stale`."""

Labels = tuple[tuple[str, str], ...]
Key = tuple[str, Labels]
GONE = "stale"


def key(metric: str, **labels: str) -> Key:
    """A series' name and labels, in an order of its own."""
    return metric, tuple(sorted(labels.items()))


@dataclass
class Scenario:
    """What Prometheus has scraped of one or several fleets.

    Attributes:
        series: Values by name and labels.
        steps: Scrapes.
    """

    steps: int
    series: dict[Key, Values] = field(default_factory=dict)

    def put(self, metric: str, values: Values, **labels: str) -> None:
        """A series, in place of the one that is there."""
        self.series[key(metric, **labels)] = values

    def flat(self, value: float) -> Values:
        """A value that stays."""
        return f"{value:g}x{self.steps}"

    def rising(self, by: float) -> Values:
        """A counter that rises by so much from scrape to scrape."""
        return f"0+{by:g}x{self.steps}"

    def step(self, before: float, after: float, at: int) -> Values:
        """A value that changes at a scrape."""
        return f"{before:g}x{at - 1} {after:g}x{self.steps - at}"

    def tests(self, expected: Iterable[str], labels: Sequence[str]) -> dict[str, Any]:
        """A test of promtool: these alerts fire at any time, and no others.

        Args:
            expected: `Name severity`, or further labels' values behind them, in the order of `labels`.
            labels: Labels by which alerts are told apart.
        """
        minutes = self.steps * INTERVAL // 60
        wanted = [
            ", ".join(f'{name}="{value}"' for name, value in zip(labels, one.split(), strict=True)) for one in expected
        ]
        return {
            "interval": f"{INTERVAL}s",
            "input_series": [
                {"series": f"{metric}{{{', '.join(f'{k}={json.dumps(v)}' for k, v in own)}}}", "values": values}
                for (metric, own), values in self.series.items()
            ],
            "promql_expr_test": [
                {
                    "expr": f"group by ({', '.join(labels)}) "
                    f'(max_over_time(ALERTS{{alertstate="firing"}}[{minutes}m]))',
                    "eval_time": f"{minutes}m",
                    "exp_samples": [{"labels": f"{{{one}}}", "value": 1} for one in wanted],
                }
            ],
        }


@dataclass(frozen=True)
class Fleet:
    """A healthy fleet.

    Attributes:
        scenario: Where its series are.
        servers: How many.
        clients: On each server.
        events: From clients, to each server, between two scrapes.
        publishes: Of each server, between two scrapes.
        deliveries: Of each server, between two scrapes.
        cores: That a server may use: of its node, without a limit.
        where: Further labels: namespace, job, perhaps cluster.
        name: Of the release; its pods' names begin with it.
    """

    scenario: Scenario
    servers: int
    clients: float = 1_000
    events: float = 300
    publishes: float = 300
    deliveries: float = 30_000
    cores: float = 16
    where: Mapping[str, str] = field(default_factory=lambda: {"namespace": "trading", "job": "trading/tradecast"})
    name: str = "tradecast"

    def pod(self, number: int) -> str:
        """A pod's name, as a Deployment gives it."""
        return f"{self.name}-5d4f8b9c6-{number:05d}"

    def pods(self) -> list[str]:
        """All."""
        return [self.pod(number) for number in range(self.servers)]

    def put(self, pod: str, metric: str, values: Values, **labels: str) -> None:
        """A series of one server."""
        self.scenario.put(f"tradecast_{metric}" if metric != "up" else "up", values, pod=pod, **self.where, **labels)

    def build(self) -> Fleet:
        """Put the series of all servers, and of the Deployment, the autoscaler and the operator."""
        for pod in self.pods():
            self.add_server(pod)
        self.add_objects()
        return self

    def add_server(self, pod: str) -> None:
        """A server that is well."""
        s = self.scenario
        gauges = {"connections": self.clients, "connections_limit": 10 * self.clients, "draining": 0, "superseded": 0}
        gauges |= {"redis_subscribed": 1, "session_store_up": 1, "sessions_lost": 0, "limiter_fallback": 0}
        gauges |= {"stale_symbols": 0, "market_open": 1, "memory_rss_bytes": 4e8, "memory_limit_bytes": 1e9}
        gauges |= {"cpu_limit_cores": self.cores, "redis_may_evict": 0, "retained_bytes": 1e6}
        gauges |= {"retained_budget_bytes": 1e9, "publishes_waiting": 0, "adapter_settings_error": 0}
        gauges |= {"cpu_usage_ratio": 0.3 / self.cores, "drain_seconds": 0, "drain_limit_seconds": 505}
        for metric, value in gauges.items():
            self.put(pod, metric, s.flat(value))
        self.put(pod, "up", s.flat(1))
        self.put(pod, "uptime_seconds", f"1000+{INTERVAL}x{s.steps}")
        self.put(pod, "adapter_settings", s.flat(1_000), figure="publish_buffer")
        for dependency in ("redis", "database"):
            self.put(pod, "dependency_up", s.flat(1), dependency=dependency)
        self.put(pod, "subscriptions", s.flat(self.clients), kind="watchlist")
        self.put(pod, "cpu_seconds_total", s.rising(0.3 * INTERVAL))
        self.put(pod, "connects_total", s.rising(0.001 * self.clients), result="accepted")
        self.put(pod, "connects_total", s.flat(0), result="refused")
        for code in ("INTERNAL", "STORE_UNAVAILABLE", "SERVER_BUSY", "ADDRESS_BUSY"):
            self.put(pod, "refusals_total", s.flat(0), code=code)
        self.put(pod, "drains_hurried_total", s.flat(0))
        for reason in ("drain", "shed", "timeout"):
            self.put(pod, "connections_closed_total", s.flat(0), reason=reason)
        self.put(pod, "events_received_total", s.rising(self.events), event="subscribe:trades")
        self.put(pod, "events_failed_total", s.flat(0), event="subscribe:trades")
        self.put(pod, "event_deliveries_total", s.rising(self.deliveries), event="watchlist:quote")
        self.put(pod, "redis_publishes_total", s.rising(self.publishes), result="ok")
        self.put(pod, "redis_publishes_total", s.flat(0), result="failed")
        self.put(pod, "recoveries_total", s.rising(0.001 * self.clients), result="recovered")
        self.put(pod, "recoveries_total", s.flat(0), result="gap")
        self.put(pod, "not_retained_total", s.flat(0), why="budget")
        self.put(pod, "internal_refusals_total", s.flat(0), reason="signature")
        self.put(pod, "http_refused_total", s.flat(0), reason="head_bytes")
        for histogram, count in (("event_duration", self.events), ("event_loop_lag", 60), ("redis_lag", 30)):
            for bound in ("0.1", "0.25", "0.5", "1", "+Inf"):
                self.put(pod, f"{histogram}_seconds_bucket", s.rising(count), le=bound)

    def remove(self, pod: str, at: int, *, node_died: bool = False) -> None:
        """A pod goes at a scrape. `node_died`: its object stays, so Prometheus goes on scraping in vain."""
        for one, values in list(self.scenario.series.items()):
            if dict(one[1]).get("pod") != pod:
                continue
            if one[0] == "up" and node_died:
                self.scenario.series[one] = self.scenario.step(1, 0, at)
            else:
                self.scenario.series[one] = cut(values, at)

    def add_objects(self) -> None:
        """What kube-state-metrics and the operator have of the fleet."""
        s, where = self.scenario, {k: v for k, v in self.where.items() if k != "job"}
        kube = {**where, "job": "kube-state-metrics"}
        for metric, value in (("status_replicas_available", self.servers), ("spec_replicas", self.servers)):
            s.put(f"kube_deployment_{metric}", s.flat(value), deployment=self.name, **kube)
        autoscaler = {"horizontalpodautoscaler": f"keda-hpa-{self.name}", **kube}
        for metric, value in (
            *(("status_desired_replicas", self.servers), ("spec_min_replicas", 1)),
            *(("spec_max_replicas", 2 * self.servers), ("status_current_replicas", self.servers)),
        ):
            s.put(f"kube_horizontalpodautoscaler_{metric}", s.flat(value), **autoscaler)
        for status, value in (("true", 1), ("false", 0), ("unknown", 0)):
            condition = {"condition": "ScalingActive", "status": status}
            s.put("kube_horizontalpodautoscaler_status_condition", s.flat(value), **condition, **autoscaler)
        fleet = {**where, "fleet": self.name, "job": "trading/tradecast-operator"}
        s.put("up", s.flat(1), **{**fleet, "pod": f"{self.name}-operator-0"})
        for result in ("ok", "incomplete", "paused", "waiting", "error"):
            rounds = s.rising(6) if result == "ok" else s.flat(0)
            s.put("tradecast_operator_rounds_total", rounds, result=result, **fleet)
        for result, by in (("answered", 2), ("unknown", 0)):
            s.put("tradecast_operator_readings_total", s.rising(by), result=result, **fleet)
        s.put("tradecast_operator_last_round_timestamp_seconds", s.rising(INTERVAL), **fleet)
        conditions = {"Available": "True", "RedisLimited": "False", "AdminTrusted": "True", "RolloutHeld": "False"}
        for kind, good in conditions.items():
            for status in ("True", "False", "Unknown"):
                values = s.flat(status == good)
                s.put("tradecast_operator_condition", values, type=kind, status=status, **fleet)


def cut(values: Values, at: int) -> Values:
    """A series that ends before a scrape."""
    kept: list[str] = []
    left = at
    for part in values.split():
        start, x, count = part.rpartition("x")
        length = int(count) + (not start.startswith("_")) if x else 1
        if length >= left:
            if left > 0:
                kept.append(f"{start}x{left - 1}" if x else part)
            break
        kept.append(part)
        left -= length
    return " ".join([*kept, GONE])


def write_tests(path: Path, rules: Path, tests: Sequence[Mapping[str, Any]]) -> Path:
    """A file for `promtool test rules`; JSON is YAML."""
    content = {"rule_files": [str(rules)], "evaluation_interval": "1m", "tests": list(tests)}
    path.write_text(json.dumps(content), encoding="utf-8")
    return path
