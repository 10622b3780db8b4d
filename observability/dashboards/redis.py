"""Redis, as seen by the servers. Redis itself is not scraped."""

from __future__ import annotations

from grafana_foundation_sdk.models.dashboard import Dashboard

from observability.panels import (
    BYTES,
    COUNT,
    EVENTS,
    PER_SECOND,
    SECONDS,
    SHARE,
    Panel,
    Query,
    create_dashboard,
    distribution,
    graph,
    of,
    quantile,
    rate,
    servers_only,
    share,
    single_stat,
    total,
)

REDIS = 'dependency="redis"'


def create() -> Dashboard:
    """The dashboard."""
    return create_dashboard(
        "tradecast-redis",
        "tradecast / Redis",
        "Redis as seen by the servers of a fleet: reachability, events between servers, limits, sessions.",
        [
            ("Now", now()),
            ("Reachability", reachability()),
            ("Events between servers", pubsub()),
            ("Recovery: missed events", recovery()),
            ("Adapter settings", adapter_settings()),
            ("Limits and sessions", limits_and_sessions()),
        ],
    )


def now() -> list[Panel]:
    return [
        single_stat(
            "Servers that reach Redis",
            "Servers whose last health check found Redis up.",
            COUNT,
            total(servers_only(of("tradecast_dependency_up", REDIS))),
            span=4,
        ),
        single_stat(
            "Subscribed servers",
            "Servers that are subscribed to the other servers' events.",
            COUNT,
            total(of("tradecast_redis_subscribed")),
            span=4,
        ),
        single_stat(
            "Servers counting limits in memory",
            "Servers that count rate limits in memory because Redis does not answer.",
            COUNT,
            total(of("tradecast_limiter_fallback")),
            span=4,
            warn=1,
        ),
        single_stat(
            "Publishes per second",
            "Events published to Redis per second.",
            EVENTS,
            total(rate("tradecast_redis_publishes_total")),
            span=4,
        ),
        single_stat(
            "Failed publishes",
            "Share of those events that Redis did not accept. No client receives them; their emitters got an error.",
            SHARE,
            share(
                total(rate("tradecast_redis_publishes_total", 'result="failed"')),
                total(rate("tradecast_redis_publishes_total")),
            ),
            span=4,
            warn=0.0001,
            alarm=0.01,
        ),
        single_stat(
            "Slowest health check",
            "Latency of Redis at the last health check, on the slowest server.",
            SECONDS,
            f"max({of('tradecast_dependency_latency_seconds', REDIS)})",
            span=4,
            warn=0.1,
            alarm=1,
        ),
    ]


def reachability() -> list[Panel]:
    return [
        graph(
            "Redis up",
            "1 while a server's last health check found Redis up, including its subscription.",
            COUNT,
            Query(f"min by (pod) ({of('tradecast_dependency_up', REDIS)})", "{{pod}}"),
            span=6,
            highest=1,
        ),
        graph(
            "Subscribed",
            "1 while a server is subscribed to the other servers' events.",
            COUNT,
            Query(f"min by (pod) ({of('tradecast_redis_subscribed')})", "{{pod}}"),
            span=6,
            highest=1,
        ),
        graph(
            "Why dependencies are down",
            "Failed health checks of Redis and the database per second, by cause. docs/check.md lists the remedies.",
            PER_SECOND,
            Query(
                total(rate("tradecast_dependency_failures_total"), "dependency", "cause"), "{{dependency}} {{cause}}"
            ),
            span=6,
        ),
        graph(
            "Redis health check latency",
            "Duration of each server's last health check.",
            SECONDS,
            Query(f"max by (pod) ({of('tradecast_dependency_latency_seconds', REDIS)})", "{{pod}}"),
            span=6,
        ),
    ]


def pubsub() -> list[Panel]:
    return [
        graph(
            "Publishes to Redis",
            "Events published to Redis per second: accepted, failed, or uncertain if Redis did not answer. While "
            "servers "
            "publish for both modes, also those to the Redis of the other mode.",
            EVENTS,
            Query(total(rate("tradecast_redis_publishes_total"), "result"), "{{result}}"),
            Query(total(rate("tradecast_other_redis_publishes_total"), "result"), "other mode: {{result}}"),
        ),
        graph(
            "Publishes by server",
            "Events published to Redis per second by each server.",
            EVENTS,
            Query(total(rate("tradecast_redis_publishes_total"), "pod"), "{{pod}}"),
        ),
        graph(
            "Messages by server",
            "Messages per second that each server receives through Redis: events of rooms that have clients on it, and "
            "one a second of its own.",
            EVENTS,
            Query(total(rate("tradecast_redis_messages_received_total"), "pod"), "{{pod}}"),
        ),
    ]


def recovery() -> list[Panel]:
    return [
        graph(
            "Recoveries by result",
            "Reconnecting clients per second: recovered, or why they start a new session.",
            PER_SECOND,
            Query(total(rate("tradecast_recoveries_total"), "result"), "{{result}}"),
        ),
        graph(
            "Redis round trip",
            "Round trip of a server's own message through Redis, measured once a second.",
            SECONDS,
            Query(quantile(0.5, "tradecast_redis_lag_seconds"), "median"),
            Query(quantile(0.99, "tradecast_redis_lag_seconds"), "p99"),
            warn=0.5,
        ),
        graph(
            "Events waiting for Redis",
            "Events of each server that Redis has not accepted yet. Their emitters are blocked.",
            EVENTS,
            Query(total(of("tradecast_publishes_waiting"), "pod"), "{{pod}}"),
        ),
        graph(
            "Gaps repaired",
            "Repaired subscriptions, and events replayed for them, per second.",
            PER_SECOND,
            Query(total(rate("tradecast_gaps_repaired_total")), "gaps"),
            Query(total(rate("tradecast_gap_events_total")), "events"),
        ),
        graph(
            "Unrepaired gaps and skipped messages",
            "Per second: clients that had to start a new session because events could not be replayed, and skipped "
            "messages.",
            PER_SECOND,
            Query(total(rate("tradecast_gap_clients_lost_total")), "clients"),
            Query(total(rate("tradecast_messages_skipped_total"), "why"), "skipped: {{why}}"),
        ),
        graph(
            "Subscribed channels by server",
            "Channels that each server is subscribed to, its own included.",
            COUNT,
            Query(total(of("tradecast_redis_channels"), "pod"), "{{pod}}"),
        ),
        graph(
            "Snapshots",
            "Rooms that clients joined, per second: values of before were there (hit), or not (miss), or could not be "
            "read (failed).",
            PER_SECOND,
            Query(total(rate("tradecast_snapshots_total"), "result"), "{{result}}"),
        ),
        graph(
            "Retained values",
            "Bytes of values that stay for later subscribers, and what they may take.",
            BYTES,
            Query(f"max ({of('tradecast_retained_bytes')})", "retained"),
            Query(f"max ({of('tradecast_retained_budget_bytes')})", "budget"),
        ),
        graph(
            "Values not retained",
            "Per second: values that are too large to stay, and rooms whose values went because the budget was used "
            "up.",
            PER_SECOND,
            Query(total(rate("tradecast_not_retained_total"), "why"), "{{why}}"),
        ),
        graph(
            "Evicted keys",
            "Keys evicted since Redis started; and, by server, 1 while its policy allows eviction, which makes "
            "clients start a new session.",
            COUNT,
            Query(f"max ({of('tradecast_redis_evicted_keys')})", "keys"),
            Query(f"max by (pod) ({of('tradecast_redis_may_evict')})", "may evict: {{pod}}"),
        ),
        graph(
            "Requests to all servers",
            "Per second, by result. incomplete: not all servers answered. failed: the request could not be sent.",
            PER_SECOND,
            Query(total(rate("tradecast_cluster_requests_total"), "result"), "{{result}}"),
            span=16,
        ),
        distribution(
            "Distribution of the round trip",
            "Round trips of servers' own messages through Redis, one a second from each server.",
            "tradecast_redis_lag_seconds",
        ),
    ]


def adapter_settings() -> list[Panel]:
    return [
        graph(
            "Settings in effect",
            "Adapter settings in effect, from ADAPTER_FILE or the environment; the largest value if servers differ.",
            COUNT,
            Query(f"max by (figure) ({of('tradecast_adapter_settings')})", "{{figure}}"),
        ),
        graph(
            "ADAPTER_FILE refused",
            "1 while a server has found an invalid file and keeps its previous settings.",
            COUNT,
            Query(f"max by (pod) ({of('tradecast_adapter_settings_error')})", "{{pod}}"),
            highest=1,
        ),
        graph(
            "ADAPTER_FILE changes",
            "Changed contents per second that servers read, by result.",
            PER_SECOND,
            Query(total(rate("tradecast_adapter_settings_changes_total"), "result"), "{{result}}"),
        ),
    ]


def limits_and_sessions() -> list[Panel]:
    lookups = "tradecast_session_lookups_total"
    return [
        graph(
            "Rate limits in memory by server",
            "1 while a server counts rate limits in memory.",
            COUNT,
            Query(f"max by (pod) ({of('tradecast_limiter_fallback')})", "{{pod}}"),
            highest=1,
        ),
        graph(
            "Changes between Redis and memory",
            "How often per second servers switched their limits from Redis to memory and back, and how often a user's "
            "keys held foreign data.",
            PER_SECOND,
            Query(total(rate("tradecast_limiter_fallback_transitions_total"), "to"), "to {{to}}"),
            Query(total(rate("tradecast_foreign_keys_total"), "of"), "foreign keys: {{of}}"),
        ),
        graph(
            "Events over a rate limit",
            "Events per second that exceeded a rate limit, by name.",
            EVENTS,
            Query(total(rate("tradecast_rate_limited_total"), "event"), "{{event}}"),
        ),
        graph(
            "Session look-ups by source",
            "Sessions looked up per second: found in the cache (memory or Redis), or fetched from the store (miss).",
            PER_SECOND,
            Query(total(rate(lookups), "source"), "{{source}}"),
        ),
        graph(
            "Session cache",
            "Share of the session look-ups answered by the cache (memory or Redis).",
            SHARE,
            Query(share(total(rate(lookups, 'source!="miss"')), total(rate(lookups))), "hits"),
            highest=1,
        ),
        graph(
            "Session store errors",
            "Requests per second that the session store (Redis or MongoDB) did not answer, and sessions of connected "
            "clients that it has lost all at once.",
            PER_SECOND,
            Query(total(rate("tradecast_session_store_errors_total")), "errors"),
            Query(total(of("tradecast_sessions_lost")), "sessions lost"),
        ),
    ]
