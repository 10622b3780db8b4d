from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from kit.clock import HandClock
from tradecast.observability.metrics import AUTH_REASONS, MOST_CODES, REFUSALS, USUAL_CAUSES, Metrics, megabytes
from tradecast.sessions.errors import REASONS

DOCS = Path(__file__).parents[3] / "docs" / "metrics.md"


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def metrics(clock: HandClock) -> Metrics:
    return Metrics("1.2.3", clock)


def samples(metrics: Metrics) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """All samples as a scraper reads them."""
    _, text = metrics.render_prometheus("")
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def value(metrics: Metrics, name: str, **labels: str) -> float:
    return samples(metrics)[f"tradecast_{name}", frozenset(labels.items())]


def touch_everything(metrics: Metrics) -> None:
    metrics.connected("websocket")
    metrics.refused("SESSION_EXPIRED")
    metrics.disconnected("transport close")
    metrics.session_ended("SESSION_NOT_FOUND")
    metrics.event_received("subscribe:trades")
    metrics.event_refused("subscribe:trades", "QUOTA_EXCEEDED")
    metrics.event_handled("subscribe:trades", 0.01, True)
    metrics.event_emitted("notification", 3)
    metrics.rate_limited("subscribe:trades")
    metrics.limiter_fallback(True)
    metrics.malformed_packet()
    metrics.slow_client()
    metrics.http_refused("query")
    metrics.origin_refused("opaque")
    metrics.transport_refused("polling_off")
    metrics.watch_port("public", lambda: 1, 2)
    metrics.loop_lag(0.1)
    metrics.session_lookup("redis")
    metrics.session_batch(7)
    metrics.store_available(False)
    metrics.session_store_error()
    metrics.dependency("redis", True, 0.02)
    metrics.dependency_failed("redis", "refused")
    metrics.redis_subscribed(True)
    metrics.redis_eviction(True, 12)
    metrics.redis_published("ok", 3)
    metrics.redis_published("failed", 1)
    metrics.redis_published("uncertain", 1)
    metrics.other_redis_published("ok", 2)
    metrics.watch_adapter(waiting=lambda: 4, channels=lambda: 5)
    metrics.recovery("recovered")
    metrics.recovery("gap")
    metrics.redis_lag(0.01)
    metrics.gap_repaired(7)
    metrics.adapter_figures({"publish_batch": 64})
    metrics.adapter_file("applied")
    metrics.adapter_file("refused")
    metrics.gap_lost(2)
    metrics.message_skipped("malformed message")
    metrics.redis_message()
    metrics.forwarded("polling", "answered")
    metrics.forwarded("websocket", "unreachable")
    metrics.internal_refused("signature")
    metrics.watch_relays(lambda: 4)
    metrics.limits(connections=100, drain_seconds=65.5)
    metrics.watch_connections(total=lambda: 1, users=lambda: 1, subscriptions=dict)


@pytest.mark.parametrize(
    ("name", "labels", "expected"),
    [
        ("connects_total", {"result": "accepted"}, 1),
        ("connects_total", {"result": "refused"}, 1),
        ("connections_opened_total", {"transport": "websocket"}, 1),
        ("refusals_total", {"code": "SESSION_EXPIRED"}, 1),
        ("disconnects_total", {"reason": "transport close"}, 1),
        ("sessions_ended_total", {"code": "SESSION_NOT_FOUND"}, 1),
        ("events_received_total", {"event": "subscribe:trades"}, 1),
        ("events_refused_total", {"reason": "QUOTA_EXCEEDED"}, 1),
        ("events_failed_total", {"event": "subscribe:trades"}, 1),
        ("event_duration_seconds_count", {}, 1),
        ("event_duration_seconds_sum", {}, 0.01),
        ("events_emitted_total", {"event": "notification"}, 1),
        ("event_deliveries_total", {"event": "notification"}, 3),
        ("rate_limited_total", {"event": "subscribe:trades"}, 1),
        ("limiter_fallback", {}, 1),
        ("limiter_fallback_transitions_total", {"to": "memory"}, 1),
        ("malformed_packets_total", {}, 1),
        ("origins_refused_total", {"reason": "opaque"}, 1),
        ("transports_refused_total", {"reason": "polling_off"}, 1),
        ("slow_clients_total", {}, 1),
        ("event_loop_lag_seconds_sum", {}, 0.1),
        ("session_lookups_total", {"source": "redis"}, 1),
        ("session_batch_size_sum", {}, 7),
        ("session_store_up", {}, 0),
        ("session_store_outages_total", {}, 1),
        ("session_store_errors_total", {}, 1),
        ("dependency_up", {"dependency": "redis"}, 1),
        ("dependency_latency_seconds", {"dependency": "redis"}, 0.02),
        ("dependency_failures_total", {"dependency": "redis", "cause": "refused"}, 1),
        ("redis_subscribed", {}, 1),
        ("redis_may_evict", {}, 1),
        ("redis_evicted_keys", {}, 12),
        ("redis_publishes_total", {"result": "ok"}, 3),
        ("redis_publishes_total", {"result": "failed"}, 1),
        ("other_redis_publishes_total", {"result": "ok"}, 2),
        ("redis_publishes_total", {"result": "uncertain"}, 1),
        ("publishes_waiting", {}, 4),
        ("redis_channels", {}, 5),
        ("recoveries_total", {"result": "recovered"}, 1),
        ("recoveries_total", {"result": "gap"}, 1),
        ("redis_lag_seconds_sum", {}, 0.01),
        ("gaps_repaired_total", {}, 1),
        ("gap_events_total", {}, 7),
        ("adapter_settings", {"figure": "publish_batch"}, 64),
        ("adapter_settings_error", {}, 1),
        ("adapter_settings_changes_total", {"result": "applied"}, 1),
        ("adapter_settings_changes_total", {"result": "refused"}, 1),
        ("gap_clients_lost_total", {}, 2),
        ("messages_skipped_total", {"why": "malformed message"}, 1),
        ("redis_messages_received_total", {}, 1),
        ("forwarded_requests_total", {"transport": "polling", "result": "answered"}, 1),
        ("forwarded_requests_total", {"transport": "websocket", "result": "unreachable"}, 1),
        ("internal_refusals_total", {"reason": "signature"}, 1),
        ("relayed_websockets", {}, 4),
        ("connections_limit", {}, 100),
        ("drain_limit_seconds", {}, 65.5),
    ],
)
def test_each_call_shows(metrics: Metrics, name: str, labels: dict[str, str], expected: float) -> None:
    before = samples(metrics).get((f"tradecast_{name}", frozenset(labels.items())), 0)
    assert before == (1 if name == "session_store_up" else 0)
    touch_everything(metrics)
    assert value(metrics, name, **labels) == pytest.approx(expected)


def test_the_way_back_shows(metrics: Metrics) -> None:
    metrics.limiter_fallback(True)
    metrics.limiter_fallback(False)
    metrics.store_available(False)
    metrics.store_available(True)
    assert value(metrics, "limiter_fallback") == 0
    assert value(metrics, "limiter_fallback_transitions_total", to="redis") == 1
    assert value(metrics, "session_store_up") == 1
    assert value(metrics, "session_store_outages_total") == 1


def test_live_counts_are_asked_for_when_read(metrics: Metrics) -> None:
    counts = {"n": 3}
    metrics.watch_connections(
        total=lambda: counts["n"],
        users=lambda: 2,
        subscriptions=lambda: {"portfolio": 1, "watchlist": counts["n"]},
        transports=lambda: {"polling": 1, "websocket": 2},
    )
    assert value(metrics, "connections") == 3
    counts["n"] = 5
    assert value(metrics, "connections") == 5
    assert value(metrics, "users") == 2
    assert value(metrics, "subscriptions", kind="watchlist") == 5
    assert value(metrics, "subscriptions", kind="trades") == 0
    assert value(metrics, "transport_connections", transport="polling") == 1
    websocket = metrics.render_json()["websocket"]
    assert websocket["totalConnections"] == 5
    assert websocket["uniqueUsers"] == 2
    assert websocket["subscriptions"] == {"portfolio": 1, "trades": 0, "watchlist": 5}


def test_what_has_no_clients_is_not_counted_among_the_servers(metrics: Metrics) -> None:
    def shown() -> set[str]:
        return {name for name, _ in samples(metrics) if "connections" in name or "users" in name}

    before = shown()
    metrics.watch_connections(total=lambda: 0, users=lambda: 0, subscriptions=dict)
    assert {"tradecast_connections", "tradecast_users", "tradecast_transport_connections"} <= shown() - before
    assert value(metrics, "connections") == 0


def test_names_from_clients_do_not_become_labels(metrics: Metrics) -> None:
    before = len(samples(metrics))
    for n in range(1_000):
        name = f"made-up-{n}"
        metrics.event_received(name)
        metrics.event_handled(name, 0.001, True)
        metrics.rate_limited(name)
        metrics.event_emitted(name, 1)
        metrics.connected(name)
        metrics.session_lookup(name)
        metrics.dependency(name, True, 0.1)
        metrics.dependency_failed(name, name)
    assert len(samples(metrics)) <= before + 4 + len(USUAL_CAUSES)
    for metric in ("events_received_total", "events_failed_total", "rate_limited_total", "events_emitted_total"):
        assert value(metrics, metric, event="other") == 1_000


def test_codes_are_bounded(metrics: Metrics) -> None:
    for n in range(1_000):
        metrics.refused(f"CODE_{n}")
    found = [labels for name, labels in samples(metrics) if name == "tradecast_refusals_total"]
    assert len(found) == len(REFUSALS) + MOST_CODES + 1
    assert value(metrics, "refusals_total", code="other") == 1_000 - MOST_CODES
    assert value(metrics, "refusals_total", code="CODE_0") == 1


def test_registered_events_count_by_their_name(metrics: Metrics) -> None:
    metrics.know_event("custom")
    metrics.event_received("custom")
    assert value(metrics, "events_received_total", event="custom") == 1


def shape(found: Any) -> Any:
    return {key: shape(item) for key, item in found.items()} if isinstance(found, dict) else type(found).__name__


def test_json_has_the_requirements_shape(metrics: Metrics, clock: HandClock) -> None:
    touch_everything(metrics)
    clock.now += 5
    rendered = metrics.render_json()
    assert shape(rendered) == {
        "websocket": {
            "totalConnections": "int",
            "uniqueUsers": "int",
            "subscriptions": {"portfolio": "int", "trades": "int", "watchlist": "int"},
            "events": {"received": "int", "emitted": "int"},
        },
        "performance": {
            "latency": {"p50": "float", "p95": "float", "p99": "float"},
            "throughput": "float",
            "errorRate": "int",
            "errorShare": "float",
        },
        "resources": {
            "memory": {"heapUsed": "str", "heapTotal": "str", "rss": "str"},
            "cpu": "float",
            "uptime": "float",
        },
    }
    memory = rendered["resources"]["memory"]
    assert all(re.fullmatch(r"\d+\.\d MB", text) for text in memory.values())
    assert all(float(text.split()[0]) > 1 for text in memory.values())
    assert rendered["resources"]["uptime"] == 5
    assert rendered["websocket"]["events"] == {"received": 1, "emitted": 1}


def test_performance_figures(metrics: Metrics, clock: HandClock) -> None:
    for n in range(100):
        metrics.event_received("subscribe:trades")
        metrics.event_handled("subscribe:trades", (n + 1) / 1000, failed=n < 5)
    clock.now += 50
    performance = metrics.render_json()["performance"]
    assert performance["latency"] == {"p50": 50, "p95": 95, "p99": 99}
    assert performance["throughput"] == 2
    assert performance["errorRate"] == 5
    assert performance["errorShare"] == 0.05
    assert value(metrics, "event_latency_seconds", quantile="0.95") == pytest.approx(0.095)
    assert value(metrics, "events_per_second") == 2
    assert value(metrics, "errors_per_minute") == 5
    assert value(metrics, "error_ratio") == 0.05
    clock.now += 20
    assert metrics.render_json()["performance"]["errorRate"] == 0
    assert metrics.render_json()["performance"]["latency"]["p50"] == 50
    clock.now += 300
    assert metrics.render_json()["performance"] == {
        "latency": {"p50": 0, "p95": 0, "p99": 0},
        "throughput": 0,
        "errorRate": 0,
        "errorShare": 0,
    }


def test_traffic_of_the_adapter(metrics: Metrics, clock: HandClock) -> None:
    quiet = metrics.adapter_traffic()
    assert quiet["lagMs"] == {"last": None, "p99": None}
    assert quiet["publishedPerSecond"] == quiet["messagesPerSecond"] == 0
    clock.now += 10
    for lag in (0.002, 0.009, 0.004):
        metrics.redis_lag(lag)
    metrics.redis_published("ok", 50)
    metrics.redis_published("failed", 50)
    for _ in range(20):
        metrics.redis_message()
    metrics.gap_repaired(7)
    metrics.gap_repaired(0)
    metrics.gap_lost(3)
    assert metrics.adapter_traffic() == {
        "publishedPerSecond": 5,
        "messagesPerSecond": 2,
        "lagMs": {"last": 4, "p99": 9},
        "gapsRepaired": 2,
        "eventsReadBack": 7,
        "clientsBegunAnew": 3,
    }
    for _ in range(240):  # sampled as long as the loop turns
        clock.now += 0.5
        metrics.loop_lag(0)
    assert metrics.adapter_traffic()["publishedPerSecond"] == metrics.adapter_traffic()["messagesPerSecond"] == 0


def test_a_good_file_ends_the_error(metrics: Metrics) -> None:
    metrics.adapter_file("refused")
    metrics.adapter_file("applied")
    assert value(metrics, "adapter_settings_error") == 0


def test_resources_are_this_processs(metrics: Metrics) -> None:
    assert value(metrics, "memory_rss_bytes") > 10_000_000
    assert value(metrics, "memory_heap_used_bytes") <= value(metrics, "memory_rss_bytes") * 1.1
    assert value(metrics, "memory_limit_bytes") > value(metrics, "memory_rss_bytes")
    assert value(metrics, "cpu_limit_cores") > 0
    assert value(metrics, "cpu_seconds_total") > 0
    assert [
        labels for name, labels in samples(metrics) if name == "tradecast_build_info" and ("version", "1.2.3") in labels
    ]


def test_formats(metrics: Metrics) -> None:
    content_type, text = metrics.render_prometheus("")
    assert content_type.startswith("text/plain; version=0.0.4")
    assert text.startswith(b"# HELP")
    assert b"_created" not in text
    content_type, text = metrics.render_prometheus("application/openmetrics-text; version=1.0.0")
    assert content_type.startswith("application/openmetrics-text")
    assert text.endswith(b"# EOF\n")
    for odd in (
        "text/plain; version=x",
        "application/openmetrics-text; version=1.x",
        "text/plain; version=1.0.0; escaping=x",
        ";;,,=",
        "*/*",
    ):
        assert metrics.render_prometheus(odd)[1]


def test_two_servers_in_one_process_are_apart(metrics: Metrics) -> None:
    other = Metrics()
    metrics.connected("websocket")
    assert value(other, "connects_total", result="accepted") == 0


def test_megabytes() -> None:
    assert megabytes(47_395_635) == "45.2 MB"


# -- the table in docs/metrics.md


def exposed(metrics: Metrics) -> Iterator[tuple[str, str, frozenset[str]]]:
    """Name, type and labels of every metric, after each method was called."""
    touch_everything(metrics)
    for family in metrics.registry.collect():
        name = family.name + {"counter": "_total", "info": "_info"}.get(family.type, "")
        kind = "gauge" if family.type == "info" else family.type
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        yield name, kind, frozenset(labels)


def documented() -> list[list[str]]:
    rows = [
        [cell.strip() for cell in line.strip("| \n").split("|")]
        for line in DOCS.read_text().splitlines()
        if line.startswith("| `tradecast_")
    ]
    assert all(len(row) == 5 for row in rows)
    return rows


def test_the_table_tells_of_every_metric_and_of_no_other(metrics: Metrics) -> None:
    table = {(row[0].strip("`"), row[1], frozenset(re.findall(r"`(\w+)`", row[2]))) for row in documented()}
    assert table == set(exposed(metrics))
    assert len(documented()) == len(table)


def test_every_row_tells_meaning_and_unit() -> None:
    for row in documented():
        assert row[3], row
        assert row[4], row


def test_names_follow_the_conventions(metrics: Metrics) -> None:
    for name, kind, _ in exposed(metrics):
        assert re.fullmatch(r"tradecast_[a-z_]+", name)
        assert name.endswith("_total") == (kind == "counter")
        if kind == "histogram":
            assert name.endswith(("_seconds", "_size"))


def test_the_json_table_tells_of_every_figure_and_of_no_other(metrics: Metrics) -> None:
    def leaves(found: Any, path: str) -> Iterator[str]:
        if not isinstance(found, dict):
            yield path
            return
        for key, item in found.items():
            yield from leaves(item, f"{path}.{key}" if path else key)

    table = []
    for line in DOCS.read_text().splitlines():
        if re.match(r"\| `(websocket|performance|resources)\.", line):
            first, *rest = re.findall(r"`([\w.]+)`", line.split("|")[1])
            table += [first, *(first.rpartition(".")[0] + one for one in rest)]
    assert sorted(table) == sorted(leaves(metrics.render_json(), ""))


def test_every_reason_of_a_refusal_is_there_from_the_start() -> None:
    assert set(AUTH_REASONS) == set(REASONS)
