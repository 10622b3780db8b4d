"""Figures of one server, as Prometheus metrics and as the requirements' JSON. docs/metrics.md is their table."""

from __future__ import annotations

import math
import platform
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from tradecast.causes import Code
from tradecast.observability.process_stats import CpuMeter, Limits, Memory, read_limits, read_memory
from tradecast.observability.rolling import LastMinute, Rate, RecentLatencies
from tradecast.observability.tally import OTHER, Durations, Tally

CLIENT_EVENTS = (
    *(f"{verb}:{topic}" for verb in ("subscribe", "unsubscribe") for topic in ("portfolio", "trades", "watchlist")),
    *("admin:broadcast", "session:refresh"),
)
SERVER_EVENTS = (
    *("portfolio:update", "trade:executed", "trade:failed", "position:closed"),
    *("notification", "watchlist:quote", "market:status"),
)
SUBSCRIPTIONS = ("portfolio", "trades", "watchlist")
TRANSPORTS = ("websocket", "polling")
LOOKUP_SOURCES = ("memory", "redis", "miss")
DEPENDENCIES = ("redis", "other_redis", "database")
PROBES = ("replaced", "answered", "unknown", "limited")
FOREIGN_KEYS = ("rates", "quotas")
PUBLISH_RESULTS = ("ok", "failed", "uncertain")
RECOVERIES = ("recovered", "malformed", "unknown", "foreign_epoch", "future", "gap", "unavailable", "limited", "quota")
SKIPPED = ("other version", "malformed message", "malformed entry", "malformed session", "error")
REDIS_LAG_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
FILE_RESULTS = ("applied", "refused")
CLUSTER_REQUESTS = (
    *("fetch_sockets", "sockets_join", "sockets_leave", "disconnect_sockets"),
    *("server_side_emit", "emit_with_ack", "count", "probe", "replace"),
)
CLUSTER_RESULTS = ("ok", "incomplete", "failed")
DEPARTURES = ("drain", "shed", "timeout")
CAUSES = frozenset(Code)
# Those that come first to most: there from the first check on, so that a rate sees the first failure.
USUAL_CAUSES = (Code.REFUSED, Code.TIMED_OUT, Code.CLOSED)
FORWARDS = ("answered", "unknown", "unreachable", "timeout", "refused", "aborted", "busy", "invalid", "untrusted")
INTERNAL_REFUSALS = ("signature", "boot", "request")
# What may come, there from the start.
SESSION_CODES = ("AUTH_REQUIRED", "SESSION_NOT_FOUND", "SESSION_EXPIRED", "USER_MISMATCH")
REFUSALS = (
    *(*SESSION_CODES, "TOO_MANY_CONNECTIONS"),
    *("SERVER_BUSY", "SERVER_DRAINING", "SERVER_SUPERSEDED", "ADDRESS_BUSY", "STORE_UNAVAILABLE", "INTERNAL"),
)
AUTH_REASONS = (
    *("no_claim", "bad_claim", "bad_id", "not_signed", "wrong_signature", "no_secrets", "not_in_store", "too_large"),
    *("unreadable", "encrypted", "no_user", "bad_user_id", "no_end", "no_start", "expired", "revoked", "other_user"),
    *("not_in_users", "too_many"),
)
EVENT_REFUSALS = (
    *("ADMIN_REQUIRED", "AUTH_REQUIRED", "INVALID_PAYLOAD", "NOT_SUBSCRIBED", "QUOTA_EXCEEDED", "RATE_LIMITED"),
    *("SYMBOL_INVALID", "SYMBOL_REQUIRED", "TIER_REQUIRED", "UNAVAILABLE", "UNKNOWN_EVENT", "USER_MISMATCH"),
)
DISCONNECTS = ("client disconnect", "ping timeout", "server disconnect", "transport close", "transport error")
CLIENT_LIMITS = ("control_frames", "fragments", "after_close", "connects", "without_connect", "address", "packets")
HTTP_REASONS = (
    *("head_bytes", "head_lines", "query", "chunks", "pipelined", "unwanted_body"),
    *("head_timeout", "body_timeout", "tls_timeout", "tls_error", "tcp_connections", "idle_evicted"),
)
TRANSPORT_REASONS = ("polling_off", "polling_waits", "websocket_off")
ORIGIN_REASONS = ("malformed", "opaque", "other_scheme_or_port", "other_host")
PERCENTILES = (50.0, 95.0, 99.0)
EVENT_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
LAG_SECONDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
BATCH_SIZES = (1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000)
# Codes and reasons come from our code and are few; the bound is for the day on which that is no longer so.
MOST_CODES = 50
_MB = 1024 * 1024


class Metrics:
    """All figures of one server. The methods are cheap and may be called from anywhere in the event loop.

    Label values are bounded: names of events that clients made up count as `other`.

    Args:
        version: What `tradecast_build_info` tells.
        clock: Seconds that never go back.
    """

    def __init__(self, version: str = "", clock: Callable[[], float] = time.monotonic) -> None:
        prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]  # untyped there; half of all lines
        self.registry = registry = CollectorRegistry()
        self._clock = clock
        self._started = clock()
        self._latencies = RecentLatencies(clock)
        self._minute_received = LastMinute(clock)
        self._minute_failed = LastMinute(clock)
        self._received_total = 0
        self._emitted_total = 0
        self._lags = RecentLatencies(clock)
        self._last_lag: float | None = None
        self._published_total = 0
        self._published_rate = Rate(clock)
        self._messages_total = 0
        self._messages_rate = Rate(clock)
        self._gaps_total = self._gap_events_total = self._gap_clients_total = 0
        self._cpu = CpuMeter(clock)
        self._version = version
        self._subscribed: bool | None = None
        self._serves = False
        self._live_connections: Callable[[], int] = lambda: 0
        self._live_users: Callable[[], int] = lambda: 0
        self._live_subscriptions: Callable[[], Mapping[str, int]] = dict
        self._live_transports: Callable[[], Mapping[str, int]] = dict

        def counter(name: str, meaning: str, *labels: str) -> Counter:
            return Counter(f"tradecast_{name}", meaning, labels, registry=registry)

        def tally(name: str, meaning: str, label: str, known: tuple[str, ...], more: int = 0) -> Tally:
            return Tally(registry, f"tradecast_{name}", meaning, label, known, more)

        def gauge(name: str, meaning: str, *labels: str) -> Gauge:
            return Gauge(f"tradecast_{name}", meaning, labels, registry=registry)

        def histogram(name: str, meaning: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
            return Histogram(f"tradecast_{name}", meaning, labels, buckets=buckets, registry=registry)

        self._connects = tally("connects", "Connections asked for", "result", ("accepted", "refused"))
        self._opened = tally("connections_opened", "Connections accepted", "transport", TRANSPORTS)
        self._disconnects = tally("disconnects", "Connections ended", "reason", DISCONNECTS, MOST_CODES)
        self._refusals = tally("refusals", "Connections refused", "code", REFUSALS, MOST_CODES)
        self._auth_refusals = tally("auth_refusals", "Sessions that were not accepted", "reason", AUTH_REASONS)
        self._unsigned_ids = counter("unsigned_session_ids", "Session ids that were accepted without a signature")
        self._sessions_ended = tally(
            "sessions_ended", "Connections ended because of their session", "code", SESSION_CODES, MOST_CODES
        )
        self._received = tally("events_received", "Events from clients", "event", CLIENT_EVENTS)
        self._failed = tally("events_failed", "Events that failed on the server", "event", CLIENT_EVENTS)
        self._refused_events = tally(
            "events_refused", "Events answered with an error", "reason", EVENT_REFUSALS, MOST_CODES
        )
        self._rate_limited = tally("rate_limited", "Events over a rate limit", "event", CLIENT_EVENTS)
        self._seconds = Durations(
            registry, "tradecast_event_duration_seconds", "Time to handle an event", EVENT_SECONDS
        )
        self._emits = tally("events_emitted", "Events emitted", "event", SERVER_EVENTS)
        self._deliveries = tally(
            "event_deliveries", "Recipients of emitted events on this server", "event", SERVER_EVENTS
        )
        self._malformed = counter("malformed_packets", "Packets that were no Socket.IO packets")
        self._limits_exceeded = tally(
            "limits_exceeded", "Transports closed because a client went beyond a limit", "limit", CLIENT_LIMITS
        )
        self._lines_left_out = counter("log_lines_left_out", "Log lines not written because clients caused too many")
        self._http_refused = tally(
            "http_refused", "Requests and connections refused or ended below the application", "reason", HTTP_REASONS
        )
        self._transports_refused = tally(
            "transports_refused", "Requests for a transport that is not offered", "reason", TRANSPORT_REASONS
        )
        self._origins_refused = tally(
            "origins_refused", "Requests of pages that may not connect", "reason", ORIGIN_REASONS
        )
        self._slow_clients = counter("slow_clients", "Clients cut off because they did not read")
        self._fallback = gauge("limiter_fallback", "1 while limits are kept in memory because Redis is away")
        self._fallbacks = tally(
            "limiter_fallback_transitions", "Changes between Redis and memory", "to", ("memory", "redis")
        )
        self._probes = tally("probes", "Tries to find a place for a user with too many connections", "result", PROBES)
        self._foreign_keys = tally(
            "foreign_keys", "Requests under whose keys in Redis something else lay", "of", FOREIGN_KEYS
        )
        self._lookups = tally(
            "session_lookups", "Sessions looked up, by where they were found", "source", LOOKUP_SOURCES
        )
        self._batches = histogram("session_batch_size", "Sessions asked for in one query", BATCH_SIZES)
        self._store_up = gauge("session_store_up", "1 while the session store answers")
        self._store_up.set(1)
        self._store_outages = counter("session_store_outages", "Times that the session store stopped answering")
        self._sessions_lost = gauge(
            "sessions_lost", "Connected sessions that the session store has lost, and whose connections go on"
        )
        self._store_errors = counter("session_store_errors", "Requests that the session store did not answer")
        self._dependency_up = gauge("dependency_up", "1 if the last check found it up", "dependency")
        self._dependency_failures = counter(
            "dependency_failures", "Checks that found it down, by why", "dependency", "cause"
        )
        self._dependency_seconds = gauge("dependency_latency_seconds", "Duration of the last check", "dependency")
        self._redis_publishes = tally(
            "redis_publishes", "Events handed to Redis for all servers", "result", PUBLISH_RESULTS
        )
        self._other_publishes = tally(
            "other_redis_publishes",
            "Events handed to the other mode's Redis as well",
            "result",
            PUBLISH_RESULTS,
        )
        self._others_published = dict.fromkeys(PUBLISH_RESULTS, 0)
        self._recoveries = tally(
            "recoveries", "Tries of clients to go on where their connection was lost", "result", RECOVERIES
        )
        self._gaps = counter("gaps_repaired", "Times that events missed by the subscription were read back")
        self._gap_events = counter("gap_events", "Events that were read back")
        self._gap_clients = counter("gap_clients_lost", "Clients begun anew since events could not be read back")
        self._skipped = tally(
            "messages_skipped", "Messages and entries in Redis that were not understood", "why", SKIPPED
        )
        self._redis_lag = histogram("redis_lag_seconds", "Time of a message through Redis and back", REDIS_LAG_SECONDS)
        self._waiting = gauge("publishes_waiting", "Events that wait for Redis to take them")
        self._channels = gauge("redis_channels", "Channels of Redis that the server listens to")
        self._may_evict = gauge("redis_may_evict", "1 if a Redis may evict keys by its policy; NaN if it does not tell")
        self._evicted = gauge("redis_evicted_keys", "Keys that Redis has evicted since it was started")
        self._adapter_figures = gauge("adapter_settings", "Figures that the adapter runs with", "figure")
        self._adapter_file_error = gauge(
            "adapter_settings_error", "1 while ADAPTER_FILE makes no sense, and earlier figures are in force"
        )
        self._adapter_file_results = tally(
            "adapter_settings_changes", "Contents of ADAPTER_FILE that were found", "result", FILE_RESULTS
        )
        self._connections_limit = gauge("connections_limit", "Connections that the server takes")
        self._tcp_connections = gauge("tcp_connections", "TCP connections now, WebSockets among them", "port")
        self._tcp_limit = gauge("tcp_connections_limit", "TCP connections that a port takes", "port")
        self._drain_limit = gauge("drain_limit_seconds", "Longest time that a drain is meant to take")
        self._lag = histogram("event_loop_lag_seconds", "How late the event loop was", LAG_SECONDS)
        self._sent_away = tally(
            "connections_closed", "Connections closed by a drain or by shedding", "reason", DEPARTURES
        )
        self._drain_seconds = gauge("drain_seconds", "Time since this server began to drain; 0 when it does not")
        self._draining = gauge("draining", "1 while this server drains or is drained")
        self._superseded = gauge("superseded", "1 while new clients are left to servers of a newer revision")
        self._held = gauge("handshakes_held", "Handshakes that wait because too many came at once")
        forwards = counter(
            "forwarded_requests", "Requests for connections of other servers, passed on or not", "transport", "result"
        )
        self._forwards = {(one, result): forwards.labels(one, result) for one in TRANSPORTS for result in FORWARDS}
        self._internal_refusals = tally(
            "internal_refusals", "Requests that the internal port did not take", "reason", INTERNAL_REFUSALS
        )
        requests = counter("cluster_requests", "Requests of this server to all servers", "kind", "result")
        self._cluster_requests = {
            (kind, result): requests.labels(kind, result) for kind in CLUSTER_REQUESTS for result in CLUSTER_RESULTS
        }
        self._relays = gauge("relayed_websockets", "WebSockets that pass through to other servers now")
        registry.register(_Live(self))

    # -- what the server tells of itself

    def watch_connections(
        self,
        *,
        total: Callable[[], int],
        users: Callable[[], int],
        subscriptions: Callable[[], Mapping[str, int]],
        transports: Callable[[], Mapping[str, int]] = dict,
    ) -> None:
        """Where to ask for live counts, each time that figures are read."""
        self._serves = True
        self._live_connections = total
        self._live_users = users
        self._live_subscriptions = subscriptions
        self._live_transports = transports

    def watch_lifecycle(
        self,
        *,
        drain_seconds: Callable[[], float],
        held: Callable[[], int],
        superseded: Callable[[], bool] = lambda: False,
    ) -> None:
        """Where to ask for the state of the drain and of the door, each time that figures are read."""
        self._drain_seconds.set_function(drain_seconds)
        self._draining.set_function(lambda: drain_seconds() > 0)
        self._held.set_function(held)
        self._superseded.set_function(superseded)

    def watch_relays(self, count: Callable[[], int]) -> None:
        """Where to ask for the WebSockets that pass through, each time that figures are read."""
        self._relays.set_function(count)

    def watch_port(self, port: str, count: Callable[[], int], most: int) -> None:
        """Where to ask for the TCP connections of a port, each time that figures are read; how many there may be."""
        self._tcp_connections.labels(port).set_function(count)
        self._tcp_limit.labels(port).set(most)

    def limits(self, *, connections: int, drain_seconds: float) -> None:
        """What the settings allow: connections at a time, and seconds for a drain from its beginning to its end."""
        self._connections_limit.set(connections)
        self._drain_limit.set(drain_seconds)

    def know_event(self, event: str) -> None:
        """Count a client event that is not the contract's by its own name: one with a handler registered for it."""
        for tally in (self._received, self._failed, self._rate_limited):
            tally.know(event)

    # -- connections

    def connected(self, transport: str) -> None:
        """A client was let in."""
        self._connects.count("accepted")
        self._opened.count(transport)

    def refused(self, code: str) -> None:
        """A client was not let in."""
        self._connects.count("refused")
        self._refusals.count(code)

    def auth_refused(self, reason: str) -> None:
        """A client was not let in because of its session; one of `AUTH_REASONS`."""
        self._auth_refusals.count(reason)

    def unsigned_session_id(self) -> None:
        """A session id was accepted though nobody has signed it, and there are secrets to sign with."""
        self._unsigned_ids.inc()

    def sent_away(self, reason: str) -> None:
        """A client's transport was closed by a drain, by shedding, or because a drain took too long."""
        self._sent_away.count(reason)

    def disconnected(self, reason: str) -> None:
        """A client is gone."""
        self._disconnects.count(reason)

    def session_ended(self, code: str) -> None:
        """A connection was ended because its session was deleted or is over."""
        self._sessions_ended.count(code)

    def malformed_packet(self) -> None:
        """A client sent what is no packet."""
        self._malformed.inc()

    def limit_exceeded(self, limit: str) -> None:
        """A client's transport was closed because it went beyond a limit; one of `CLIENT_LIMITS`."""
        self._limits_exceeded.count(limit)

    def log_line_left_out(self) -> None:
        """A line that a client caused was not written, since there were many of its kind."""
        self._lines_left_out.inc()

    def http_refused(self, reason: str) -> None:
        """A request or a connection was refused or ended by the HTTP server; one of `HTTP_REASONS`."""
        self._http_refused.count(reason)

    def origin_refused(self, reason: str) -> None:
        """A page may not connect; one of `ORIGIN_REASONS`."""
        self._origins_refused.count(reason)

    def transport_refused(self, reason: str) -> None:
        """A client asked for a transport that is not offered; one of `TRANSPORT_REASONS`."""
        self._transports_refused.count(reason)

    def slow_client(self) -> None:
        """A client that did not read was cut off."""
        self._slow_clients.inc()

    # -- requests for connections of other servers

    def forwarded(self, transport: str, result: str) -> None:
        """A request for another server's connection was passed on, or was not; one of `FORWARDS`."""
        self._forwards[transport, result].inc()

    def internal_refused(self, reason: str) -> None:
        """The internal port did not take a request; one of `INTERNAL_REFUSALS`."""
        self._internal_refusals.count(reason)

    # -- events

    def event_received(self, event: str) -> None:
        """A client sent an event, whatever comes of it."""
        self._received_total += 1
        self._minute_received.add()
        self._received.count(event)

    def event_handled(self, event: str, seconds: float, failed: bool) -> None:
        """An event was carried out or refused in `seconds`; `failed`: through no fault of the client's."""
        self._latencies.add(seconds)
        self._seconds.observe(seconds)
        if failed:
            self._minute_failed.add()
            self._failed.count(event)

    def event_refused(self, event: str, reason: str) -> None:
        """A client's event was answered with an error. One label: both would be too many series."""
        self._refused_events.count(reason)

    def rate_limited(self, event: str) -> None:
        """A client's event was over a limit."""
        self._rate_limited.count(event)

    def event_emitted(self, event: str, recipients: int) -> None:
        """An event was emitted to `recipients` clients of this server."""
        self._emitted_total += 1
        self._emits.count(event)
        self._deliveries.count(event, recipients)

    # -- what the server depends on

    def limiter_fallback(self, fallen_back: bool) -> None:
        """Memory took over from Redis, or Redis is back."""
        self._fallback.set(fallen_back)
        self._fallbacks.count("memory" if fallen_back else "redis")

    def probed(self, result: str) -> None:
        """The connections of a user with too many were probed: one was `replaced`, all `answered`, or neither."""
        self._probes.count(result)

    def foreign_key(self, of: str) -> None:
        """Something that is none of ours lay under keys of a user's `rates` or `quotas`, and was removed."""
        self._foreign_keys.count(of)

    def session_lookup(self, source: str) -> None:
        """A session was found in memory or in Redis, or had to be fetched (`miss`)."""
        self._lookups.count(source)

    def session_batch(self, size: int) -> None:
        """So many sessions were asked for in one query."""
        self._batches.observe(size)

    def store_available(self, available: bool) -> None:
        """The session store stopped or started answering."""
        self._store_up.set(available)
        if not available:
            self._store_outages.inc()

    def sessions_lost(self, count: int) -> None:
        """The store has lost so many sessions that have a connection here."""
        self._sessions_lost.set(count)

    def session_store_error(self) -> None:
        """The session store did not answer a request."""
        self._store_errors.inc()

    def dependency(self, name: str, up: bool, seconds: float) -> None:
        """A check of a dependency's health (`Health(on_result=metrics.dependency)`)."""
        label = name if name in DEPENDENCIES else OTHER
        self._dependency_up.labels(label).set(up)
        for cause in USUAL_CAUSES:
            self._dependency_failures.labels(label, cause)
        self._dependency_seconds.labels(label).set(seconds)

    def dependency_failed(self, name: str, cause: str) -> None:
        """A check found a dependency down (`Health(on_cause=metrics.dependency_failed)`)."""
        label = name if name in DEPENDENCIES else OTHER
        self._dependency_failures.labels(label, cause if cause in CAUSES else OTHER).inc()

    def redis_subscribed(self, subscribed: bool) -> None:
        """The subscription to the other servers' events stands, or is lost."""
        self._subscribed = subscribed

    def redis_eviction(self, may_evict: bool | None, keys: int) -> None:
        """Whether Redis may evict keys (None: it does not tell), and how many it has evicted."""
        self._may_evict.set(math.nan if may_evict is None else may_evict)
        self._evicted.set(keys)

    def redis_published(self, result: str, count: int) -> None:
        """Events were handed to Redis for all servers: `ok`, `failed`, or `uncertain` when no answer came."""
        self._redis_publishes.count(result, count)
        if result == "ok":
            self._published_total += count

    def other_redis_published(self, result: str, count: int) -> None:
        """Events were handed to the other mode's Redis as well; results as of `redis_published`."""
        self._other_publishes.count(result, count)
        self._others_published[result] += count

    def published_to_other(self) -> dict[str, int]:
        """Events handed to the other mode's Redis since the start, by result."""
        return dict(self._others_published)

    def adapter_figures(self, figures: Mapping[str, float]) -> None:
        """The adapter runs with these from now on."""
        for name, value in figures.items():
            self._adapter_figures.labels(name).set(value)

    def adapter_file(self, result: str) -> None:
        """What is in ADAPTER_FILE was `applied`, or `refused` since it makes no sense."""
        self._adapter_file_results.count(result)
        self._adapter_file_error.set(result == "refused")

    def watch_adapter(self, *, waiting: Callable[[], float], channels: Callable[[], float]) -> None:
        """Where to ask how many events wait for Redis, and how many channels are listened to."""
        self._waiting.set_function(waiting)
        self._channels.set_function(channels)

    def recovery(self, result: str) -> None:
        """A client that came back was `recovered`, or begins anew for this reason."""
        self._recoveries.count(result)

    def redis_lag(self, seconds: float) -> None:
        """A message of this server took so long through Redis and back."""
        self._redis_lag.observe(seconds)
        self._lags.add(seconds)
        self._last_lag = seconds

    def gap_repaired(self, events: int) -> None:
        """The subscription stands again, and this many events that it had missed were read back."""
        self._gaps.inc()
        self._gap_events.inc(events)
        self._gaps_total += 1
        self._gap_events_total += events

    def gap_lost(self, clients: int) -> None:
        """Events could not be read back, and their clients begin anew."""
        self._gap_clients.inc(clients)
        self._gap_clients_total += clients

    def message_skipped(self, why: str) -> None:
        """Something in Redis was not understood."""
        self._skipped.count(why)

    def redis_message(self) -> None:
        """A message came through the subscription."""
        self._messages_total += 1

    def cluster_request(self, kind: str, result: str) -> None:
        """All servers were asked for something: `ok`, `incomplete`, or `failed` since they could not be told."""
        self._cluster_requests[kind, result].inc()

    def loop_lag(self, seconds: float) -> None:
        """The event loop was so late. Called twice a second, so what is sampled is sampled here too."""
        self._lag.observe(seconds)
        self._cpu.sample()
        self._published_rate.sample(self._published_total)
        self._messages_rate.sample(self._messages_total)

    # -- reading

    def render_prometheus(self, accept: str = "") -> tuple[str, bytes]:
        """Content type and text, in the format that an Accept header asks for (text 0.0.4 by default)."""
        try:
            encoder, content_type = choose_encoder(accept)
            return content_type, encoder(self.registry)
        except (ValueError, TypeError):  # it names a version or an escaping that is none
            encoder, content_type = choose_encoder("")
            return content_type, encoder(self.registry)

    def render_json(self) -> dict[str, Any]:
        """The requirements' figures in their shape; docs/metrics.md tells each one's meaning and unit."""
        figures = self.figures()
        subscriptions = self._live_subscriptions()
        p50, p95, p99 = (round(seconds * 1000, 3) for seconds in figures.latencies)
        return {
            "websocket": {
                "totalConnections": self._live_connections(),
                "uniqueUsers": self._live_users(),
                "subscriptions": {kind: subscriptions.get(kind, 0) for kind in SUBSCRIPTIONS},
                "events": {"received": self._received_total, "emitted": self._emitted_total},
            },
            "performance": {
                "latency": {"p50": p50, "p95": p95, "p99": p99},
                "throughput": round(figures.per_second, 3),
                "errorRate": figures.errors_per_minute,
                "errorShare": round(figures.error_share, 6),
            },
            "resources": {
                "memory": {
                    "heapUsed": megabytes(figures.memory.heap_used),
                    "heapTotal": megabytes(figures.memory.heap_total),
                    "rss": megabytes(figures.memory.rss),
                },
                "cpu": round(100 * figures.cores / figures.limits.cpus, 1),
                "uptime": round(figures.uptime, 3),
            },
        }

    def adapter_traffic(self) -> dict[str, Any]:
        """What passes between this server and Redis, for `/admin/stats` (docs/adapter-settings.md has the meanings)."""
        (p99,) = self._lags.percentiles(99)
        last = self._last_lag
        return {
            "publishedPerSecond": round(self._published_rate.per_second(self._published_total), 3),
            "messagesPerSecond": round(self._messages_rate.per_second(self._messages_total), 3),
            "lagMs": {
                "last": None if last is None else round(last * 1000, 3),
                "p99": None if last is None else round(p99 * 1000, 3),
            },
            "gapsRepaired": self._gaps_total,
            "eventsReadBack": self._gap_events_total,
            "clientsBegunAnew": self._gap_clients_total,
        }

    def figures(self) -> Figures:
        """What is computed when it is read."""
        return Figures(
            latencies=self._latencies.percentiles(*PERCENTILES),
            per_second=self._minute_received.per_second(),
            errors_per_minute=self._minute_failed.total(),
            received_per_minute=self._minute_received.total(),
            memory=read_memory(),
            limits=read_limits(),
            cores=self._cpu.cores(),
            uptime=self._clock() - self._started,
        )

    def live(self) -> tuple[int, int, Mapping[str, int], Mapping[str, int]]:
        """Connections, users, subscriptions by kind, connections by transport."""
        return self._live_connections(), self._live_users(), self._live_subscriptions(), self._live_transports()

    @property
    def messages(self) -> int:
        """Messages that came through the subscription."""
        return self._messages_total

    @property
    def serves(self) -> bool:
        """Whether this process has clients; a feed has none, and is not to be counted among the servers."""
        return self._serves

    @property
    def subscribed(self) -> bool | None:
        """Whether the other servers' events are heard; None where there are none to be heard."""
        return self._subscribed

    @property
    def version(self) -> str:
        """The server's version; empty if it was not told."""
        return self._version


class Figures:
    """What is computed when it is read. Seconds, bytes and cores."""

    __slots__ = ("cores", "error_share", "errors_per_minute", "latencies", "limits", "memory", "per_second", "uptime")

    def __init__(
        self,
        *,
        latencies: list[float],
        per_second: float,
        errors_per_minute: int,
        received_per_minute: int,
        memory: Memory,
        limits: Limits,
        cores: float,
        uptime: float,
    ) -> None:
        self.latencies = latencies
        self.per_second = per_second
        self.errors_per_minute = errors_per_minute
        # an event that came before the minute may have failed in it
        self.error_share = errors_per_minute / max(received_per_minute, errors_per_minute, 1)
        self.memory = memory
        self.limits = limits
        self.cores = cores
        self.uptime = uptime


class _Live(Collector):
    """Metrics that are computed when they are read."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def describe(self) -> list[Metric]:
        return []  # nothing is computed to be registered

    def collect(self) -> Iterator[Metric]:
        total, users, subscriptions, transports = self._metrics.live()
        figures = self._metrics.figures()
        if self._metrics.serves:
            yield GaugeMetricFamily("tradecast_connections", "Connections now", value=total)
            yield GaugeMetricFamily("tradecast_users", "Users connected now", value=users)
            yield _family("tradecast_subscriptions", "Subscriptions now", "kind", subscriptions, SUBSCRIPTIONS)
            yield _family("tradecast_transport_connections", "Connections now", "transport", transports, TRANSPORTS)
        quantiles = {f"{percent / 100:g}": value for percent, value in zip(PERCENTILES, figures.latencies, strict=True)}
        yield _family("tradecast_event_latency_seconds", "Recent event handling", "quantile", quantiles, ())
        for name, meaning, value in (
            ("events_per_second", "Events from clients over the last minute", figures.per_second),
            ("errors_per_minute", "Events that failed in the last minute", figures.errors_per_minute),
            ("error_ratio", "Share of the last minute's events that failed", figures.error_share),
            ("memory_heap_used_bytes", "Anonymous memory in RAM (RssAnon)", figures.memory.heap_used),
            ("memory_heap_size_bytes", "Private writable memory (VmData)", figures.memory.heap_total),
            ("memory_rss_bytes", "Memory in RAM (VmRSS)", figures.memory.rss),
            ("memory_limit_bytes", "Memory that the process may use", figures.limits.memory),
            ("cpu_limit_cores", "Cores that the process may use", figures.limits.cpus),
            ("cpu_usage_ratio", "Share of its cores that the process used lately", figures.cores / figures.limits.cpus),
            ("uptime_seconds", "Time since the start", figures.uptime),
        ):
            yield GaugeMetricFamily(f"tradecast_{name}", meaning, value=value)
        yield CounterMetricFamily(
            "tradecast_redis_messages_received",
            "Messages heard through Redis, own ones included",
            value=self._metrics.messages,
        )
        yield CounterMetricFamily("tradecast_cpu_seconds", "CPU time of the process", value=time.process_time())
        if self._metrics.subscribed is not None:  # a server without Redis is not one that lost its subscription
            yield GaugeMetricFamily(
                "tradecast_redis_subscribed",
                "1 while events of other servers are heard through Redis",
                value=self._metrics.subscribed,
            )
        build = {"version": self._metrics.version, "python": platform.python_version()}
        yield InfoMetricFamily("tradecast_build", "What runs here", value=build)


def _family(
    name: str, meaning: str, label: str, values: Mapping[str, float], known: tuple[str, ...]
) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, meaning, labels=[label])
    for value in dict.fromkeys((*known, *values)):
        family.add_metric([value], values.get(value, 0))
    return family


def megabytes(count: int) -> str:
    """Bytes as the requirements show memory: `45.2 MB`, of 1,048,576 bytes each."""
    return f"{count / _MB:.1f} MB"
