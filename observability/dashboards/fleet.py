"""The fleet: what an on-call engineer opens first."""

from __future__ import annotations

from grafana_foundation_sdk.models.dashboard import Dashboard

from observability.panels import (
    BYTES,
    COUNT,
    EVENTS,
    MOST_LINES,
    OF_NAMESPACE,
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
    share,
    single_stat,
    total,
)

# The operator's metrics are of the fleets of a namespace, whichever pod exposes them.
OF_FLEETS = OF_NAMESPACE
# kube-state-metrics has labels of its own; the autoscaler is named after the release.
AUTOSCALER = f'{OF_NAMESPACE}, horizontalpodautoscaler=~".*tradecast.*"'


def create() -> Dashboard:
    """The dashboard."""
    return create_dashboard(
        "tradecast-fleet",
        "tradecast / Fleet",
        "All servers of a fleet: service to clients, resource use, lifecycle, operator and autoscaler.",
        [
            ("Service to clients", service()),
            ("Connections", connections()),
            ("Events: rate, errors, duration", events()),
            ("Servers: resource use", servers()),
            ("Lifecycle", lifecycle()),
            ("Requests forwarded between servers", forwarding()),
            ("Operator", operator()),
            ("Autoscaler (needs kube-state-metrics)", autoscaler()),
        ],
    )


def service() -> list[Panel]:
    failed = share(total(rate("tradecast_events_failed_total")), total(rate("tradecast_events_received_total")))
    return [
        single_stat("Connections", "Clients connected to all servers.", COUNT, total(of("tradecast_connections"))),
        single_stat(
            "Events from clients",
            "Events received from clients per second, including refused ones.",
            EVENTS,
            total(rate("tradecast_events_received_total")),
        ),
        single_stat(
            "Deliveries",
            "Events delivered to clients per second, each counted once for each recipient.",
            EVENTS,
            total(rate("tradecast_event_deliveries_total")),
        ),
        single_stat(
            "Response time, p99",
            "99 % of client events are answered within this time.",
            SECONDS,
            quantile(0.99, "tradecast_event_duration_seconds"),
            warn=0.5,
            alarm=1,
        ),
        single_stat(
            "Failed events",
            "Share of client events that failed because of a server error. Alerts at 1 % and 5 %.",
            SHARE,
            failed,
            warn=0.01,
            alarm=0.05,
        ),
        single_stat(
            "Connects per second",
            "Connections accepted per second, including reconnections.",
            PER_SECOND,
            total(rate("tradecast_connects_total", 'result="accepted"')),
        ),
        single_stat(
            "Draining servers",
            "Servers that are disconnecting their clients: in a rollout, after scaling down, or on request.",
            COUNT,
            total(of("tradecast_draining")),
            warn=1,
        ),
        single_stat("Servers", "Servers that answer scrapes.", COUNT, f"count({of('tradecast_connections')})"),
    ]


def connections() -> list[Panel]:
    here = of("tradecast_connections")
    return [
        graph(
            "Connections by server",
            "Clients connected to each server, stacked: the upper edge is the fleet.",
            COUNT,
            Query(total(here, "pod"), "{{pod}}"),
            Query(f"{total(here)} - sum(topk({MOST_LINES}, {total(here, 'pod')}))", "all others"),
            stacked=True,
        ),
        graph(
            "Connection imbalance",
            "Connections of the fullest server as a multiple of the average; 1 is even. Alerts at 1.5.",
            COUNT,
            Query(f"max({here}) / clamp_min(avg({here}), 1)", "fullest / average"),
            warn=1.5,
        ),
        graph(
            "Fullest server, share of its limit",
            "The highest share of MAX_CONNECTIONS that a server has reached. At 100 % it answers 503.",
            SHARE,
            Query(f"max({here} / {of('tradecast_connections_limit')})", "fullest server"),
            highest=1,
            warn=0.9,
        ),
        graph(
            "Connects and disconnects",
            "Connections accepted, refused and closed per second. Both high at the same time: clients are "
            "reconnecting.",
            PER_SECOND,
            Query(total(rate("tradecast_connects_total"), "result"), "{{result}}"),
            Query(total(rate("tradecast_disconnects_total")), "closed"),
        ),
        graph(
            "Disconnects by reason",
            "Connections closed per second, by Socket.IO's reason.",
            PER_SECOND,
            Query(total(rate("tradecast_disconnects_total"), "reason"), "{{reason}}"),
        ),
        graph(
            "Refused connections by code",
            "Connections refused per second. After SERVER_…, ADDRESS_BUSY, STORE_UNAVAILABLE and INTERNAL, clients "
            "retry automatically; the other codes are final. Lower-case reasons explain what is wrong with the "
            "session. This version accepts unsigned ids, the next one refuses them.",
            PER_SECOND,
            Query(total(rate("tradecast_refusals_total"), "code"), "{{code}}"),
            Query(total(rate("tradecast_auth_refusals_total"), "reason"), "{{reason}}"),
            Query(total(rate("tradecast_unsigned_session_ids_total")), "unsigned ids"),
        ),
        graph(
            "Subscriptions",
            "Current subscriptions, by kind.",
            COUNT,
            Query(total(of("tradecast_subscriptions"), "kind"), "{{kind}}"),
        ),
        graph(
            "Connections by transport",
            "Current connections, by transport in use.",
            COUNT,
            Query(total(of("tradecast_transport_connections"), "transport"), "{{transport}}"),
        ),
        graph(
            "Sessions ended",
            "Connections closed per second because their session was deleted or has expired.",
            PER_SECOND,
            Query(total(rate("tradecast_sessions_ended_total"), "code"), "{{code}}"),
        ),
    ]


def events() -> list[Panel]:
    seconds = "tradecast_event_duration_seconds"
    return [
        graph(
            "Events by name",
            "Events received from clients per second, including refused ones.",
            EVENTS,
            Query(total(rate("tradecast_events_received_total"), "event"), "{{event}}"),
        ),
        graph(
            "Failed events by name",
            "Client events per second that failed because of a server error.",
            EVENTS,
            Query(total(rate("tradecast_events_failed_total"), "event"), "{{event}}"),
        ),
        graph(
            "Response time",
            "From an event's arrival to its answer, over all servers and events. Alerts at a p95 of 500 ms.",
            SECONDS,
            *(Query(quantile(q, seconds), f"p{100 * q:g}") for q in (0.5, 0.95, 0.99)),
            warn=0.5,
        ),
        graph(
            "Refused events by reason",
            "Events per second answered with an error, by reason.",
            EVENTS,
            Query(total(rate("tradecast_events_refused_total"), "reason"), "{{reason}}"),
        ),
        graph(
            "Events over a rate limit",
            "Events per second that exceeded a rate limit, by name.",
            EVENTS,
            Query(total(rate("tradecast_rate_limited_total"), "event"), "{{event}}"),
        ),
        graph(
            "Malformed packets and slow clients",
            "Per second: packets that could not be parsed, clients that were disconnected because they did not read, "
            "and log lines that were suppressed because clients caused too many of a kind.",
            PER_SECOND,
            Query(total(rate("tradecast_malformed_packets_total")), "malformed packets"),
            Query(total(rate("tradecast_slow_clients_total"), "reason"), "slow clients: {{reason}}"),
            Query(total(rate("tradecast_log_lines_left_out_total")), "suppressed log lines"),
        ),
        graph(
            "Emitted events by name",
            "Events emitted per second, counted once by each server whose clients may receive them.",
            EVENTS,
            Query(total(rate("tradecast_events_emitted_total"), "event"), "{{event}}"),
            span=12,
        ),
        graph(
            "Deliveries by name",
            "Recipients of those events per second.",
            EVENTS,
            Query(total(rate("tradecast_event_deliveries_total"), "event"), "{{event}}"),
            span=12,
            stacked=True,
        ),
        distribution(
            "Distribution of response times",
            "Events by the time from their arrival to their answer, over all servers.",
            seconds,
        ),
    ]


def servers() -> list[Panel]:
    rss = of("tradecast_memory_rss_bytes")
    return [
        graph(
            "Event loop lag p99",
            "Lag of each server's event loop at the 99th percentile. Everything that the server sends is delayed by "
            "it.",
            SECONDS,
            Query(quantile(0.99, "tradecast_event_loop_lag_seconds", "pod"), "{{pod}}"),
            warn=0.25,
        ),
        graph(
            "CPU by server",
            "CPU used as a share of one core, which is all that an event loop can use, or of the CPU limit if that is "
            "less. Alerts at 70 % and 90 %.",
            SHARE,
            Query(
                total(
                    f"{rate('tradecast_cpu_seconds_total')} / clamp_max({of('tradecast_cpu_limit_cores')}, 1)", "pod"
                ),
                "{{pod}}",
            ),
            highest=1,
            warn=0.7,
            alarm=0.9,
        ),
        graph(
            "Memory by server",
            "Resident memory as a share of the limit. Alerts at 80 % and 90 %.",
            SHARE,
            Query(total(f"{rss} / {of('tradecast_memory_limit_bytes')}", "pod"), "{{pod}}"),
            highest=1,
            warn=0.8,
            alarm=0.9,
        ),
        graph("Resident memory", "Resident memory of each server.", BYTES, Query(total(rss, "pod"), "{{pod}}")),
        graph(
            "Deliveries by server",
            "Events delivered per second by each server.",
            EVENTS,
            Query(total(rate("tradecast_event_deliveries_total"), "pod"), "{{pod}}"),
        ),
        graph(
            "Connects by server",
            "Connections accepted per second by each server.",
            PER_SECOND,
            Query(total(rate("tradecast_connects_total", 'result="accepted"'), "pod"), "{{pod}}"),
        ),
    ]


def lifecycle() -> list[Panel]:
    return [
        graph(
            "Draining",
            "Servers that are draining, superseded servers (new clients go to newer ones), and all servers.",
            COUNT,
            Query(total(of("tradecast_draining")), "draining"),
            Query(total(of("tradecast_superseded")), "superseded"),
            Query(f"count({of('tradecast_connections')})", "all"),
        ),
        graph(
            "Longest drain",
            "Duration of the longest drain, and its limit (DRAIN_DELAY + DRAIN_TIMEOUT).",
            SECONDS,
            Query(f"max({of('tradecast_drain_seconds')})", "longest drain"),
            Query(f"max({of('tradecast_drain_limit_seconds')})", "limit"),
        ),
        graph(
            "Drain rate",
            "Clients that drains disconnect per second now, and drains that had to be faster than their rate because "
            "their time is short.",
            PER_SECOND,
            Query(total(of("tradecast_drain_rate")), "clients per second"),
            Query(total(rate("tradecast_drains_hurried_total")), "hurried drains"),
            Query(total(rate("tradecast_drains_expired_total")), "drains that nobody renewed"),
        ),
        graph(
            "Connections closed by drain, shed or timeout",
            "Connections closed per second by a drain or shed, or all at once because a drain exceeded its time.",
            PER_SECOND,
            Query(total(rate("tradecast_connections_closed_total"), "reason"), "{{reason}}"),
        ),
        graph(
            "Queued handshakes",
            "Handshakes that wait because more arrive than ACCEPT_RATE allows.",
            COUNT,
            Query(total(of("tradecast_handshakes_held"), "pod"), "{{pod}}"),
        ),
        graph(
            "Dependencies",
            "Share of the servers whose last health check found Redis and the database up.",
            SHARE,
            Query(f"avg by (dependency) ({of('tradecast_dependency_up')})", "{{dependency}}"),
            highest=1,
        ),
        graph(
            "Versions",
            "Servers by version: two versions during a rollout.",
            COUNT,
            Query(f"count by (version) ({of('tradecast_build_info')})", "{{version}}"),
            stacked=True,
            span=24,
        ),
    ]


def forwarding() -> list[Panel]:
    return [
        graph(
            "Forwarded requests",
            "Polls and upgrades per second that reached a server other than the one that has the connection.",
            PER_SECOND,
            Query(total(rate("tradecast_forwarded_requests_total"), "result"), "{{result}}"),
        ),
        graph(
            "Relayed WebSockets",
            "WebSockets that a server relays to the server that has the connection.",
            COUNT,
            Query(total(of("tradecast_relayed_websockets"), "pod"), "{{pod}}"),
        ),
        graph(
            "Requests rejected by the internal port",
            "Requests per second that the internal port of another server rejected, by reason.",
            PER_SECOND,
            Query(total(rate("tradecast_internal_refusals_total"), "reason"), "{{reason}}"),
        ),
    ]


def operator() -> list[Panel]:
    def fleet_metric(metric: str) -> str:
        return f"max by (fleet) (tradecast_operator_{metric}{{{OF_FLEETS}}})"

    def increase(metric: str, *by: str) -> str:
        rates = f"rate(tradecast_operator_{metric}{{{OF_FLEETS}}}[$__rate_interval])"
        return f"sum by ({', '.join(by)}) ({rates})"

    since = f"time() - {fleet_metric('last_round_timestamp_seconds')}"
    return [
        graph(
            "Replicas by fleet",
            "Replicas of each fleet: wanted, asked for (the Deployment's), ready, and draining pods.",
            COUNT,
            Query(
                f"max by (fleet, which) (tradecast_operator_replicas{{{OF_FLEETS}}})",
                "{{fleet}} {{which}}",
            ),
        ),
        graph(
            "Connections by fleet",
            "Connections of all pods of each fleet, including draining ones. The autoscaler's metric is derived from "
            "it.",
            COUNT,
            Query(fleet_metric("connections"), "{{fleet}}"),
        ),
        graph(
            "Imbalance and threshold",
            "Connections of the fullest ready pod as a multiple of the mean. Above the threshold, the operator moves "
            "some.",
            COUNT,
            Query(fleet_metric("spread_ratio"), "{{fleet}}"),
            Query(fleet_metric("spread_threshold_ratio"), "{{fleet}} threshold"),
        ),
        graph(
            "Oldest drain",
            "Age of each fleet's oldest drain, and its time limit. Alerts when the limit is exceeded.",
            SECONDS,
            Query(fleet_metric("oldest_drain_seconds"), "{{fleet}}"),
            Query(fleet_metric("drain_limit_seconds"), "{{fleet}} limit"),
        ),
        graph(
            "Conditions that are True",
            "Conditions of each SocketFleet, and overdue drains. Available and AdapterTuned should be True, "
            "RedisLimited and Degraded should not.",
            COUNT,
            Query(
                f'max by (fleet, type) (tradecast_operator_condition{{{OF_FLEETS}, status="True"}})',
                "{{fleet}} {{type}}",
            ),
            Query(fleet_metric("drains_overdue"), "{{fleet}} drains overdue"),
        ),
        graph(
            "Actions by reason",
            "Actions of the operator per second, by event reason.",
            PER_SECOND,
            Query(increase("actions_total", "fleet", "reason"), "{{fleet}} {{reason}}"),
        ),
        graph(
            "Operator rounds",
            "Rounds per second by result. incomplete: not every server answered. Alerts when no round succeeds.",
            PER_SECOND,
            Query(increase("rounds_total", "fleet", "result"), "{{fleet}} {{result}}"),
            stacked=True,
        ),
        graph(
            "Readings of the autoscaler",
            "Requests of the autoscaler for the fleet's metric per second: answered, or unknown, since no number is "
            "certain.",
            PER_SECOND,
            Query(increase("readings_total", "fleet", "result"), "{{fleet}} {{result}}"),
        ),
        graph(
            "Round duration",
            "Duration of a round, and the time since the last round without an error.",
            SECONDS,
            Query(f"histogram_quantile(0.99, {increase('round_seconds_bucket', 'le', 'fleet')})", "{{fleet}} p99"),
            Query(since, "{{fleet}} since the last"),
        ),
        graph(
            "Replica reversals",
            "How often per second the replicas reverse direction, whoever writes them. Alerts at 4 an hour.",
            PER_SECOND,
            Query(increase("replica_reversals_total", "fleet"), "{{fleet}}"),
        ),
        graph(
            "Rollout progress",
            "Share of the clients that are on servers of the new revision; 1 without a rollout.",
            SHARE,
            Query(fleet_metric("rollout_clients_ratio"), "{{fleet}}"),
            highest=1,
        ),
        graph(
            "Urgent drains and suppressed events",
            "Servers that disconnect clients faster than configured because they end soon; and events that it "
            "did not write because there were too many.",
            COUNT,
            Query(fleet_metric("drains_urgent"), "{{fleet}} urgent drains"),
            Query(increase("suppressed_events_total", "fleet"), "{{fleet}} suppressed events"),
        ),
    ]


def autoscaler() -> list[Panel]:
    def most(metric: str) -> str:
        return f"max by (horizontalpodautoscaler) (kube_horizontalpodautoscaler_{metric}{{{AUTOSCALER}}})"

    return [
        graph(
            "Autoscaler replicas",
            "The autoscaler's desired and current replicas, between its bounds.",
            COUNT,
            Query(most("status_desired_replicas"), "desired"),
            Query(most("status_current_replicas"), "current"),
            Query(most("spec_min_replicas"), "minimum"),
            Query(most("spec_max_replicas"), "maximum"),
            span=12,
        ),
        graph(
            "Available replicas",
            "Ready servers, as the Deployment counts them.",
            COUNT,
            Query(
                "max by (deployment) (kube_deployment_status_replicas_available"
                f'{{{OF_NAMESPACE}, deployment=~".*tradecast.*"}})',
                "{{deployment}}",
            ),
            span=12,
        ),
    ]
