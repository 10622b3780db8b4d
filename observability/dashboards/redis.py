"""Redis, as the servers see it. Redis itself is not scraped."""

from __future__ import annotations

from grafana_foundation_sdk.models.dashboard import Dashboard

from observability.panels import (
    COUNT,
    EVENTS,
    PER_SECOND,
    SECONDS,
    SHARE,
    Panel,
    Query,
    create_dashboard,
    figure,
    graph,
    of,
    quantile,
    rate,
    servers_only,
    share,
    total,
)

REDIS = 'dependency="redis"'


def create() -> Dashboard:
    """The dashboard."""
    return create_dashboard(
        "tradecast-redis",
        "tradecast / Redis",
        "Redis as the servers of a fleet see it: reachability, events between servers, limits, sessions.",
        [
            ("Now", now()),
            ("Reachability", reachability()),
            ("Events between servers", pubsub()),
            ("Recovery: what clients and servers missed", recovery()),
            ("Figures of the adapter", figures()),
            ("Limits and sessions", limits_and_sessions()),
        ],
    )


def now() -> list[Panel]:
    return [
        figure(
            "Servers that reach Redis",
            "Servers whose last health check found Redis up.",
            COUNT,
            total(servers_only(of("tradecast_dependency_up", REDIS))),
            span=4,
        ),
        figure(
            "Servers that hear the others",
            "Servers whose subscription to the other servers' events stands.",
            COUNT,
            total(of("tradecast_redis_subscribed")),
            span=4,
        ),
        figure(
            "Limits kept in memory",
            "Servers that count rate limits by themselves because Redis does not answer.",
            COUNT,
            total(of("tradecast_limiter_fallback")),
            span=4,
            warn=1,
        ),
        figure(
            "Publishes per second",
            "Events handed to Redis, per second.",
            EVENTS,
            total(rate("tradecast_redis_publishes_total")),
            span=4,
        ),
        figure(
            "Failed publishes",
            "Share of those events that Redis did not take; nobody has them, and who emitted them was told.",
            SHARE,
            share(
                total(rate("tradecast_redis_publishes_total", 'result="failed"')),
                total(rate("tradecast_redis_publishes_total")),
            ),
            span=4,
            warn=0.0001,
            alarm=0.01,
        ),
        figure(
            "Slowest health check",
            "How long the slowest server waited for Redis at its last health check.",
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
            "1 while a server's last health check found Redis up; the subscription counts.",
            COUNT,
            Query(f"min by (pod) ({of('tradecast_dependency_up', REDIS)})", "{{pod}}"),
            span=6,
            highest=1,
        ),
        graph(
            "Subscribed",
            "1 while a server hears the other servers' events.",
            COUNT,
            Query(f"min by (pod) ({of('tradecast_redis_subscribed')})", "{{pod}}"),
            span=6,
            highest=1,
        ),
        graph(
            "Why dependencies are down",
            "Health checks per second that found Redis or the database down, by why: docs/check.md says what to do.",
            PER_SECOND,
            Query(
                total(rate("tradecast_dependency_failures_total"), "dependency", "cause"), "{{dependency}} {{cause}}"
            ),
            span=6,
        ),
        graph(
            "Redis answers health checks in",
            "How long each server's last health check took.",
            SECONDS,
            Query(f"max by (pod) ({of('tradecast_dependency_latency_seconds', REDIS)})", "{{pod}}"),
            span=6,
        ),
    ]


def pubsub() -> list[Panel]:
    return [
        graph(
            "Publishes to Redis",
            "Events handed to Redis per second: taken, failed, and uncertain where no answer came; and, while servers "
            "publish for both modes, the same to the other mode's.",
            EVENTS,
            Query(total(rate("tradecast_redis_publishes_total"), "result"), "{{result}}"),
            Query(total(rate("tradecast_other_redis_publishes_total"), "result"), "other mode: {{result}}"),
        ),
        graph(
            "Publishes by server",
            "Events handed to Redis per second by each server.",
            EVENTS,
            Query(total(rate("tradecast_redis_publishes_total"), "pod"), "{{pod}}"),
        ),
        graph(
            "Messages by server",
            "Messages per second that each server gets through Redis: events of rooms that it has clients in, and one "
            "a second of its own.",
            EVENTS,
            Query(total(rate("tradecast_redis_messages_received_total"), "pod"), "{{pod}}"),
        ),
    ]


def recovery() -> list[Panel]:
    return [
        graph(
            "Clients that come back",
            "Clients per second that ask to go on where their connection was lost: recovered, or why they begin anew.",
            PER_SECOND,
            Query(total(rate("tradecast_recoveries_total"), "result"), "{{result}}"),
        ),
        graph(
            "Through Redis and back",
            "How long a message of a server's own takes through Redis, tried once a second.",
            SECONDS,
            Query(quantile(0.5, "tradecast_redis_lag_seconds"), "median"),
            Query(quantile(0.99, "tradecast_redis_lag_seconds"), "p99"),
        ),
        graph(
            "Events that wait for Redis",
            "Events that each server has yet to hand to Redis; emitters wait for them.",
            EVENTS,
            Query(total(of("tradecast_publishes_waiting"), "pod"), "{{pod}}"),
        ),
        graph(
            "Gaps repaired",
            "Lost subscriptions that were made good, and the events read back for them, per second.",
            PER_SECOND,
            Query(total(rate("tradecast_gaps_repaired_total")), "gaps"),
            Query(total(rate("tradecast_gap_events_total")), "events"),
        ),
        graph(
            "Nothing to read back",
            "Clients per second that began anew because events could not be read back, and messages that were skipped.",
            PER_SECOND,
            Query(total(rate("tradecast_gap_clients_lost_total")), "clients"),
            Query(total(rate("tradecast_messages_skipped_total"), "why"), "skipped: {{why}}"),
        ),
        graph(
            "Channels by server",
            "Rooms that each server listens to, itself included.",
            COUNT,
            Query(total(of("tradecast_redis_channels"), "pod"), "{{pod}}"),
        ),
        graph(
            "Keys that Redis evicted",
            "Since it was started, and by server 1 while its policy lets it evict: clients begin anew by that.",
            COUNT,
            Query(f"max ({of('tradecast_redis_evicted_keys')})", "keys"),
            Query(f"max by (pod) ({of('tradecast_redis_may_evict')})", "may evict: {{pod}}"),
        ),
        graph(
            "Requests to all servers",
            "Per second, by result: incomplete where not all have answered, failed where they could not be told.",
            PER_SECOND,
            Query(total(rate("tradecast_cluster_requests_total"), "result"), "{{result}}"),
            span=16,
        ),
    ]


def figures() -> list[Panel]:
    return [
        graph(
            "Figures in force",
            "What servers run with, from ADAPTER_FILE or the settings; the largest where servers differ.",
            COUNT,
            Query(f"max by (figure) ({of('tradecast_adapter_settings')})", "{{figure}}"),
        ),
        graph(
            "ADAPTER_FILE refused",
            "1 while a server has found a file that makes no sense, and goes on with earlier figures.",
            COUNT,
            Query(f"max by (pod) ({of('tradecast_adapter_settings_error')})", "{{pod}}"),
            highest=1,
        ),
        graph(
            "ADAPTER_FILE found changed",
            "Contents per second that servers found, and what became of them.",
            PER_SECOND,
            Query(total(rate("tradecast_adapter_settings_changes_total"), "result"), "{{result}}"),
        ),
    ]


def limits_and_sessions() -> list[Panel]:
    lookups = "tradecast_session_lookups_total"
    return [
        graph(
            "Rate limits in memory",
            "1 while a server counts rate limits by itself.",
            COUNT,
            Query(f"max by (pod) ({of('tradecast_limiter_fallback')})", "{{pod}}"),
            highest=1,
        ),
        graph(
            "Changes between Redis and memory",
            "How often servers gave Redis up for their limits, and found it again, per second; and how often something "
            "that is none of ours lay under a user's keys.",
            PER_SECOND,
            Query(total(rate("tradecast_limiter_fallback_transitions_total"), "to"), "to {{to}}"),
            Query(total(rate("tradecast_foreign_keys_total"), "of"), "none of ours: {{of}}"),
        ),
        graph(
            "Events over a rate limit",
            "Events per second that were over a limit, by their name.",
            EVENTS,
            Query(total(rate("tradecast_rate_limited_total"), "event"), "{{event}}"),
        ),
        graph(
            "Session look-ups by source",
            "Sessions looked up per second: found in memory or in Redis, or fetched from the store (miss).",
            PER_SECOND,
            Query(total(rate(lookups), "source"), "{{source}}"),
        ),
        graph(
            "Session cache",
            "Share of the session look-ups that the cache in memory or Redis answered.",
            SHARE,
            Query(share(total(rate(lookups, 'source!="miss"')), total(rate(lookups))), "hits"),
            highest=1,
        ),
        graph(
            "Session store errors",
            "Requests per second that the session store, Redis or MongoDB, did not answer; and how many sessions of "
            "connected clients it has lost all at once.",
            PER_SECOND,
            Query(total(rate("tradecast_session_store_errors_total")), "errors"),
            Query(total(of("tradecast_sessions_lost")), "sessions lost"),
        ),
    ]
