from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from kit.clock import HandClock
from kit.metrics.values import Samples, read_samples
from tradecast.bootstrap.metrics import ServerMetrics
from tradecast.engine.message import Message
from tradecast.engine.transports.backlog import Backlog, SlowReason
from tradecast.engine.transports.outbox import Outbox
from tradecast.observability.metrics.dependencies import USUAL_CAUSES

DOCS = Path(__file__).parents[3] / "docs" / "metrics.md"
# What a new server exposes: names, types, labels and values, as dashboards and alerts expect them.
EXPOSED = Path(__file__).with_name("metrics_of_a_new_server.txt")
# Of the process, different each time.
OF_THE_PROCESS = re.compile(r"tradecast_(memory|cpu)_.*|tradecast_build_info")


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def metrics(clock: HandClock) -> ServerMetrics:
    return ServerMetrics("1.2.3", clock)


def samples(metrics: ServerMetrics) -> Samples:
    return read_samples(metrics.render_prometheus("")[1])


def value(metrics: ServerMetrics, name: str, **labels: str) -> float:
    return samples(metrics)[f"tradecast_{name}", frozenset(labels.items())]


class Live:
    """What metrics read of a server when they are read."""

    users, waiting, channels, seconds, rate, limit, held = 1, 4, 5, 0.0, 0.0, 65.5, 0
    replaced, buffered, stale, is_market_open = 17, 3, 2, True
    relays: Sequence[str] = ("a", "b", "c", "d")
    seconds_left, lifetime, is_stale = 86_400.5, 7_776_000.0, True

    def __init__(self) -> None:
        self.connections: list[str] = ["a"]
        self.rooms: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self.connections)

    def transports(self) -> dict[str, int]:
        """As of `LiveTransports`."""
        return {"polling": 1, "websocket": 2}

    def room_sizes(self) -> Iterator[tuple[str, int]]:
        """As of `RoomSizes`."""
        return iter(self.rooms.items())

    def is_superseded(self) -> bool:
        """As of `Supersession`."""
        return False


class SlowTransport:
    """A transport for which messages wait."""

    name = "websocket"

    def __init__(self) -> None:
        self.outbox: Outbox | None = None

    def cut_off(self, reason: SlowReason) -> None:
        """As of `BackedUp`."""


def touch_everything(metrics: ServerMetrics) -> None:
    live = Live()
    metrics.connections.connected("websocket")
    metrics.connections.refused("SESSION_EXPIRED")
    metrics.connections.disconnected("transport close")
    metrics.connections.session_ended("SESSION_NOT_FOUND")
    metrics.connections.limit_connections(100)
    metrics.connections.watch_connections(live, live)
    metrics.events.event_received("subscribe:trades")
    metrics.events.event_refused("subscribe:trades", "QUOTA_EXCEEDED")
    metrics.events.event_handled("subscribe:trades", 0.01, True)
    metrics.events.rate_limited("subscribe:trades")
    metrics.events.watch_subscriptions(live)
    metrics.limits.limiter_fallback(True)
    metrics.gateway.malformed_packet()
    metrics.gateway.slow_client("slow")
    metrics.gateway.watch_backlog(Backlog(15))
    metrics.gateway.origin_refused("opaque")
    metrics.gateway.transport_refused("polling_off")
    metrics.http.http_refused("query")
    metrics.http.watch_port("public", live, 2)
    metrics.http.watch_certificate("public", live)
    metrics.process.loop_lag(0.1)
    metrics.sessions.session_lookup("redis")
    metrics.sessions.session_batch(7)
    metrics.sessions.store_available(False)
    metrics.sessions.session_store_error()
    metrics.dependencies.dependency("redis", True, 0.02)
    metrics.dependencies.dependency_failed("redis", "refused")
    metrics.redis.redis_eviction(True, 12)
    metrics.delivery.event_emitted("notification", 3)
    metrics.shaping.quote_age(0.3)
    metrics.shaping.watch_shaping(live)
    metrics.delivery.redis_subscribed(True)
    metrics.delivery.redis_published("ok", 3)
    metrics.delivery.redis_published("failed", 1)
    metrics.delivery.redis_published("uncertain", 1)
    metrics.delivery.other_redis_published("ok", 2)
    metrics.delivery.watch_adapter(live)
    metrics.delivery.recovery("recovered")
    metrics.delivery.recovery("gap")
    metrics.delivery.redis_lag(0.01)
    metrics.delivery.gap_repaired(7)
    metrics.delivery.gap_lost(2)
    metrics.delivery.message_skipped("malformed message")
    metrics.delivery.redis_message()
    metrics.runtime_config.adapter_figures({"publish_batch": 64})
    metrics.runtime_config.adapter_file("applied")
    metrics.runtime_config.adapter_file("refused")
    metrics.cluster.cluster_request("probe", "incomplete")
    metrics.relay.forwarded("polling", "answered")
    metrics.relay.forwarded("websocket", "unreachable")
    metrics.relay.internal_refused("signature")
    metrics.relay.watch_relays(live)
    metrics.lifecycle.watch_lifecycle(live, live, live)


@pytest.mark.parametrize(
    ("name", "labels", "expected"),
    [
        ("certificate_expiry_seconds", {"port": "public"}, 86_400.5),
        ("certificate_lifetime_seconds", {"port": "public"}, 7_776_000.0),
        ("certificate_stale", {"port": "public"}, 1),
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
        ("quote_age_seconds_sum", {}, 0.3),
        ("throttled_events_total", {}, 17),
        ("throttle_buffered_events", {}, 3),
        ("stale_symbols", {}, 2),
        ("market_open", {}, 1),
        ("rate_limited_total", {"event": "subscribe:trades"}, 1),
        ("limiter_fallback", {}, 1),
        ("limiter_fallback_transitions_total", {"to": "memory"}, 1),
        ("malformed_packets_total", {}, 1),
        ("origins_refused_total", {"reason": "opaque"}, 1),
        ("transports_refused_total", {"reason": "polling_off"}, 1),
        ("slow_clients_total", {"reason": "slow"}, 1),
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
        ("cluster_requests_total", {"kind": "probe", "result": "incomplete"}, 1),
        ("forwarded_requests_total", {"transport": "polling", "result": "answered"}, 1),
        ("forwarded_requests_total", {"transport": "websocket", "result": "unreachable"}, 1),
        ("internal_refusals_total", {"reason": "signature"}, 1),
        ("relayed_websockets", {}, 4),
        ("connections_limit", {}, 100),
        ("drain_limit_seconds", {}, 65.5),
    ],
)
def test_each_call_shows(metrics: ServerMetrics, name: str, labels: dict[str, str], expected: float) -> None:
    before = samples(metrics).get((f"tradecast_{name}", frozenset(labels.items())), 0)
    assert before == (1 if name == "session_store_up" else 0)
    touch_everything(metrics)
    assert value(metrics, name, **labels) == pytest.approx(expected)


def test_live_counts_are_read_when_metrics_are(metrics: ServerMetrics) -> None:
    live = Live()
    live.connections = ["a", "b", "c"]
    live.rooms = {"portfolio:u": 1, "watchlist:AAPL": 3, "watchlist:MSFT": 2, "user:u": 9, "authenticated": 9}
    metrics.connections.watch_connections(live, live)
    metrics.events.watch_subscriptions(live)
    assert value(metrics, "connections") == 3
    live.connections.append("d")
    assert value(metrics, "connections") == 4
    assert value(metrics, "users") == 1
    assert value(metrics, "subscriptions", kind="watchlist") == 5
    assert value(metrics, "subscriptions", kind="trades") == 0
    assert value(metrics, "transport_connections", transport="polling") == 1
    websocket = metrics.render_json()["websocket"]
    assert websocket["totalConnections"] == 4
    assert websocket["uniqueUsers"] == 1
    assert websocket["subscriptions"] == {"portfolio": 1, "trades": 0, "watchlist": 5}


async def test_what_waits_for_slow_clients_is_read_when_metrics_are(metrics: ServerMetrics) -> None:
    backlog = Backlog(15)
    metrics.gateway.watch_backlog(backlog)
    assert value(metrics, "backed_up_clients", transport="websocket") == 0
    transport, outbox = SlowTransport(), Outbox()
    transport.outbox = outbox
    volatile, quote = Message(["v"]), Message(["quote"])
    volatile.is_volatile, quote.key = True, "AAPL"
    for message in (Message(["a"]), quote, quote, quote, volatile):
        backlog.put(transport, outbox, outbox.put(message, 0.0))
    assert value(metrics, "backed_up_clients", transport="websocket") == 1
    assert value(metrics, "backed_up_clients", transport="polling") == 0
    assert value(metrics, "queued_messages") == 2
    assert value(metrics, "queued_bytes") == len("4a") + len("4quote")
    assert value(metrics, "conflated_messages_total") == 2
    assert value(metrics, "volatile_dropped_total") == 1
    backlog.drained(transport, "sid")
    assert value(metrics, "backed_up_clients", transport="websocket") == 0
    assert value(metrics, "queued_bytes") == 0
    backlog.close()


def test_what_has_no_clients_is_not_counted_among_the_servers(metrics: ServerMetrics) -> None:
    def shown() -> set[str]:
        return {name for name, _ in samples(metrics) if re.search("connections|users|subscriptions", name)}

    before, live = shown(), Live()
    live.connections = []
    metrics.connections.watch_connections(live, live)
    metrics.events.watch_subscriptions(live)
    assert shown() - before == {
        *("tradecast_connections", "tradecast_users", "tradecast_transport_connections", "tradecast_subscriptions")
    }
    assert value(metrics, "connections") == 0


def test_names_from_clients_do_not_become_labels(metrics: ServerMetrics) -> None:
    before = len(samples(metrics))
    for n in range(1_000):
        name = f"made-up-{n}"
        metrics.events.event_received(name)
        metrics.events.event_handled(name, 0.001, True)
        metrics.events.rate_limited(name)
        metrics.delivery.event_emitted(name, 1)
        metrics.connections.connected(name)
        metrics.sessions.session_lookup(name)
        metrics.dependencies.dependency(name, True, 0.1)
        metrics.dependencies.dependency_failed(name, name)
    assert len(samples(metrics)) <= before + 4 + len(USUAL_CAUSES)
    for metric in ("events_received_total", "events_failed_total", "rate_limited_total", "events_emitted_total"):
        assert value(metrics, metric, event="other") == 1_000


def shape(found: Any) -> Any:
    return {key: shape(item) for key, item in found.items()} if isinstance(found, dict) else type(found).__name__


def test_json_has_the_requirements_shape(metrics: ServerMetrics, clock: HandClock) -> None:
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


def test_two_servers_in_one_process_are_apart(metrics: ServerMetrics) -> None:
    other = ServerMetrics()
    metrics.connections.connected("websocket")
    assert value(other, "connects_total", result="accepted") == 0


# -- the table in docs/metrics.md


def exposed(metrics: ServerMetrics) -> Iterator[tuple[str, str, frozenset[str]]]:
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


def test_the_table_has_every_metric_and_no_other(metrics: ServerMetrics) -> None:
    table = {(row[0].strip("`"), row[1], frozenset(re.findall(r"`(\w+)`", row[2]))) for row in documented()}
    assert table == set(exposed(metrics))
    assert len(documented()) == len(table)


def test_every_row_has_meaning_and_unit() -> None:
    for row in documented():
        assert row[3], row
        assert row[4], row


def test_names_follow_the_conventions(metrics: ServerMetrics) -> None:
    for name, kind, _ in exposed(metrics):
        assert re.fullmatch(r"tradecast_[a-z_]+", name)
        assert name.endswith("_total") == (kind == "counter")
        if kind == "histogram":
            assert name.endswith(("_seconds", "_size"))


def test_the_json_table_has_every_value_and_no_other(metrics: ServerMetrics) -> None:
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


def lines_of(metrics: ServerMetrics) -> Iterator[str]:
    for family in metrics.registry.collect():
        yield f"# {family.name} {family.type}"
        for sample in family.samples:
            if not OF_THE_PROCESS.fullmatch(sample.name):
                labels = ",".join(f'{name}="{label}"' for name, label in sorted(sample.labels.items()))
                yield f"{sample.name}{{{labels}}} {float(sample.value)}"


def test_a_new_server_exposes_what_dashboards_and_alerts_expect(metrics: ServerMetrics) -> None:
    assert sorted(lines_of(metrics)) == EXPOSED.read_text().splitlines()
