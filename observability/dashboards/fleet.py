"""The fleet: what on-call looks at first."""

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
    figure,
    graph,
    of,
    quantile,
    rate,
    share,
    total,
)

# The operator's metrics are of the fleets of a namespace, whichever pod tells them.
OF_FLEETS = 'namespace="$namespace"'
# kube-state-metrics has labels of its own; the autoscaler is named after the release.
AUTOSCALER = 'namespace="$namespace", horizontalpodautoscaler=~".*tradecast.*"'


def create() -> Dashboard:
    """The dashboard."""
    return create_dashboard(
        "tradecast-fleet",
        "tradecast / Fleet",
        "All servers of a fleet: what clients see, what servers use, how the fleet changes.",
        [
            ("What clients see", service()),
            ("Connections", connections()),
            ("Events: rate, errors, duration", events()),
            ("Servers: what they use", servers()),
            ("Lifecycle", lifecycle()),
            ("Requests for connections of other servers", forwarding()),
            ("Operator", operator()),
            ("Autoscaler (needs kube-state-metrics)", autoscaler()),
        ],
    )


def service() -> list[Panel]:
    failed = share(total(rate("tradecast_events_failed_total")), total(rate("tradecast_events_received_total")))
    return [
        figure("Connections", "Clients connected now, to all servers.", COUNT, total(of("tradecast_connections"))),
        figure(
            "Events from clients",
            "Events that clients send per second, refused ones included.",
            EVENTS,
            total(rate("tradecast_events_received_total")),
        ),
        figure(
            "Deliveries",
            "Events delivered to clients per second, each counted once for each recipient.",
            EVENTS,
            total(rate("tradecast_event_deliveries_total")),
        ),
        figure(
            "Time to answer, p99",
            "99 % of the clients' events are answered within this time.",
            SECONDS,
            quantile(0.99, "tradecast_event_duration_seconds"),
            warn=0.5,
            alarm=1,
        ),
        figure(
            "Failed events",
            "Share of the clients' events that failed through no fault of theirs. Alerts at 1 % and 5 %.",
            SHARE,
            failed,
            warn=0.01,
            alarm=0.05,
        ),
        figure(
            "Connects per second",
            "Connections accepted per second, those of clients that come back included.",
            PER_SECOND,
            total(rate("tradecast_connects_total", 'result="accepted"')),
        ),
        figure(
            "Draining servers",
            "Servers that send their clients away now: in a rollout, after scaling down, or on request.",
            COUNT,
            total(of("tradecast_draining")),
            warn=1,
        ),
        figure("Servers", "Servers that answer scrapes.", COUNT, f"count({of('tradecast_connections')})"),
    ]


def connections() -> list[Panel]:
    here = of("tradecast_connections")
    return [
        graph(
            "Connections by server",
            "Clients connected to each server; stacked, so that the upper edge is the fleet.",
            COUNT,
            Query(total(here, "pod"), "{{pod}}"),
            stacked=True,
        ),
        graph(
            "Spread",
            "Connections of the fullest server as a multiple of the average: 1 is even. An alert comes at 1.5.",
            COUNT,
            Query(f"max({here}) / clamp_min(avg({here}), 1)", "fullest / average"),
        ),
        graph(
            "Fullest server's share of its limit",
            "Connections of each server as a share of MAX_CONNECTIONS: the highest. At 100 % it answers 503.",
            SHARE,
            Query(f"max({here} / {of('tradecast_connections_limit')})", "fullest server"),
            highest=1,
        ),
        graph(
            "Connects and disconnects",
            "Connections accepted, refused and ended per second. Both high at the same time: clients reconnect.",
            PER_SECOND,
            Query(total(rate("tradecast_connects_total"), "result"), "{{result}}"),
            Query(total(rate("tradecast_disconnects_total")), "ended"),
        ),
        graph(
            "Disconnects by reason",
            "Connections ended per second, by the reason that Socket.IO gives.",
            PER_SECOND,
            Query(total(rate("tradecast_disconnects_total"), "reason"), "{{reason}}"),
        ),
        graph(
            "Refused connections by code",
            "Connections refused per second. After SERVER_…, ADDRESS_BUSY, STORE_UNAVAILABLE and INTERNAL clients "
            "come back by themselves; the other codes are final, and in small letters is what was wrong with the "
            "session. Unsigned ids are accepted by this version, and refused by the next.",
            PER_SECOND,
            Query(total(rate("tradecast_refusals_total"), "code"), "{{code}}"),
            Query(total(rate("tradecast_auth_refusals_total"), "reason"), "{{reason}}"),
            Query(total(rate("tradecast_unsigned_session_ids_total")), "unsigned ids"),
        ),
        graph(
            "Subscriptions",
            "Subscriptions now, by kind.",
            COUNT,
            Query(total(of("tradecast_subscriptions"), "kind"), "{{kind}}"),
        ),
        graph(
            "Connections by transport",
            "Connections now, by the transport in use.",
            COUNT,
            Query(total(of("tradecast_transport_connections"), "transport"), "{{transport}}"),
        ),
        graph(
            "Sessions ended",
            "Connections ended per second because their session was deleted or is over.",
            PER_SECOND,
            Query(total(rate("tradecast_sessions_ended_total"), "code"), "{{code}}"),
        ),
    ]


def events() -> list[Panel]:
    seconds = "tradecast_event_duration_seconds"
    return [
        graph(
            "Events by name",
            "Events that clients send per second, refused ones included.",
            EVENTS,
            Query(total(rate("tradecast_events_received_total"), "event"), "{{event}}"),
        ),
        graph(
            "Failed events by name",
            "Events per second that failed through no fault of the client's.",
            EVENTS,
            Query(total(rate("tradecast_events_failed_total"), "event"), "{{event}}"),
        ),
        graph(
            "Time to answer",
            "From an event's arrival to its answer, over all servers and events. An alert comes at a p95 of 500 ms.",
            SECONDS,
            *(Query(quantile(q, seconds), f"p{100 * q:g}") for q in (0.5, 0.95, 0.99)),
        ),
        graph(
            "Refused events by reason",
            "Events per second that were answered with an error, by its reason.",
            EVENTS,
            Query(total(rate("tradecast_events_refused_total"), "reason"), "{{reason}}"),
        ),
        graph(
            "Events over a rate limit",
            "Events per second that were over a limit, by their name.",
            EVENTS,
            Query(total(rate("tradecast_rate_limited_total"), "event"), "{{event}}"),
        ),
        graph(
            "Malformed packets and slow clients",
            "Packets per second that were none, clients per second that were cut off because they did not read, and "
            "log lines per second that were not written because clients caused too many of a kind.",
            PER_SECOND,
            Query(total(rate("tradecast_malformed_packets_total")), "malformed packets"),
            Query(total(rate("tradecast_slow_clients_total")), "slow clients"),
            Query(total(rate("tradecast_log_lines_left_out_total")), "log lines left out"),
        ),
        graph(
            "Emitted events by name",
            "Events emitted per second, each counted once by every server whose clients may get it.",
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
    ]


def servers() -> list[Panel]:
    rss = of("tradecast_memory_rss_bytes")
    return [
        graph(
            "Event loop lag p99",
            "How late each server's event loop is, at the 99th percentile. Everything that it sends is as late.",
            SECONDS,
            Query(quantile(0.99, "tradecast_event_loop_lag_seconds", "pod"), "{{pod}}"),
        ),
        graph(
            "CPU by server",
            "CPU used over the last minute as a share of what the server may use. Alerts at 70 % and 90 %.",
            SHARE,
            Query(total(of("tradecast_cpu_usage_ratio"), "pod"), "{{pod}}"),
            highest=1,
        ),
        graph(
            "Memory by server",
            "Memory in RAM as a share of what the server may use. Alerts at 80 % and 90 %.",
            SHARE,
            Query(total(f"{rss} / {of('tradecast_memory_limit_bytes')}", "pod"), "{{pod}}"),
            highest=1,
        ),
        graph("Resident memory", "Memory in RAM of each server.", BYTES, Query(total(rss, "pod"), "{{pod}}")),
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
            "Servers that send their clients away now, those that leave new clients to newer servers, and all.",
            COUNT,
            Query(total(of("tradecast_draining")), "draining"),
            Query(total(of("tradecast_superseded")), "superseded"),
            Query(f"count({of('tradecast_connections')})", "all"),
        ),
        graph(
            "Longest drain",
            "Time since the longest drain began, and the time that it may take (DRAIN_DELAY and DRAIN_TIMEOUT).",
            SECONDS,
            Query(f"max({of('tradecast_drain_seconds')})", "longest drain"),
            Query(f"max({of('tradecast_drain_limit_seconds')})", "limit"),
        ),
        graph(
            "Closed by drain, shedding, time-out",
            "Connections closed per second by servers that drain or shed, or at once because a drain took too long.",
            PER_SECOND,
            Query(total(rate("tradecast_connections_closed_total"), "reason"), "{{reason}}"),
        ),
        graph(
            "Handshakes held",
            "Handshakes that wait for their turn because more come than ACCEPT_RATE lets in.",
            COUNT,
            Query(total(of("tradecast_handshakes_held"), "pod"), "{{pod}}"),
        ),
        graph(
            "Dependencies",
            "Share of the servers whose last check found Redis and the database up.",
            SHARE,
            Query(f"avg by (dependency) ({of('tradecast_dependency_up')})", "{{dependency}}"),
            highest=1,
        ),
        graph(
            "Versions",
            "Servers by the version that they run: two of them in a rollout.",
            COUNT,
            Query(f"count by (version) ({of('tradecast_build_info')})", "{{version}}"),
            stacked=True,
        ),
    ]


def forwarding() -> list[Panel]:
    return [
        graph(
            "Passed on",
            "Polls and upgrades per second that came to another server than the one that has the connection.",
            PER_SECOND,
            Query(total(rate("tradecast_forwarded_requests_total"), "result"), "{{result}}"),
        ),
        graph(
            "WebSockets that pass through",
            "Upgrades that came to another server: it carries them to the one that has the connection.",
            COUNT,
            Query(total(of("tradecast_relayed_websockets"), "pod"), "{{pod}}"),
        ),
        graph(
            "Not taken by the internal port",
            "Requests per second that another server's internal port did not take, by reason.",
            PER_SECOND,
            Query(total(rate("tradecast_internal_refusals_total"), "reason"), "{{reason}}"),
        ),
    ]


def operator() -> list[Panel]:
    def told(metric: str) -> str:
        return f"max by (fleet) (tradecast_operator_{metric}{{{OF_FLEETS}}})"

    def increase(metric: str, *by: str) -> str:
        rates = f"rate(tradecast_operator_{metric}{{{OF_FLEETS}}}[$__rate_interval])"
        return f"sum by ({', '.join(by)}) ({rates})"

    since = f"time() - {told('last_round_timestamp_seconds')}"
    return [
        graph(
            "Operator's replicas",
            "Replicas of each fleet: wanted, asked for (the Deployment's), ready, and pods that drain.",
            COUNT,
            Query(
                f"max by (fleet, which) (tradecast_operator_replicas{{{OF_FLEETS}}})",
                "{{fleet}} {{which}}",
            ),
        ),
        graph(
            "Connections that the operator sees",
            "Connections of all pods of each fleet, draining ones too: what autoscalers are told comes of it.",
            COUNT,
            Query(told("connections"), "{{fleet}}"),
        ),
        graph(
            "Spread and its threshold",
            "Connections of the fullest ready pod as a multiple of the mean; above the threshold they are moved.",
            COUNT,
            Query(told("spread_ratio"), "{{fleet}}"),
            Query(told("spread_threshold_ratio"), "{{fleet}} threshold"),
        ),
        graph(
            "Operator's drains",
            "Age of each fleet's oldest drain, and the time that it may take. An alert comes when it is over.",
            SECONDS,
            Query(told("oldest_drain_seconds"), "{{fleet}}"),
            Query(told("drain_limit_seconds"), "{{fleet}} limit"),
        ),
        graph(
            "Conditions that are true",
            "Of each SocketFleet: Available and AdapterTuned should be, RedisLimited and Degraded not. Overdue drains.",
            COUNT,
            Query(
                f'max by (fleet, type) (tradecast_operator_condition{{{OF_FLEETS}, status="True"}})',
                "{{fleet}} {{type}}",
            ),
            Query(told("drains_overdue"), "{{fleet}} drains overdue"),
        ),
        graph(
            "Actions by reason",
            "What the operator does per second, by the reason that its events have.",
            PER_SECOND,
            Query(increase("actions_total", "fleet", "reason"), "{{fleet}} {{reason}}"),
        ),
        graph(
            "Operator's rounds",
            "Rounds per second by result; incomplete: not every server answered. An alert comes without good ones.",
            PER_SECOND,
            Query(increase("rounds_total", "fleet", "result"), "{{fleet}} {{result}}"),
            stacked=True,
        ),
        graph(
            "Time that a round takes",
            "From observing to telling, and the time since the last round that was no error.",
            SECONDS,
            Query(f"histogram_quantile(0.99, {increase('round_seconds_bucket', 'le', 'fleet')})", "{{fleet}} p99"),
            Query(since, "{{fleet}} since the last"),
        ),
        graph(
            "Turns of the replicas",
            "Times per second that replicas turn round, whoever writes them. An alert comes at 4 an hour.",
            PER_SECOND,
            Query(increase("replica_reversals_total", "fleet"), "{{fleet}}"),
        ),
    ]


def autoscaler() -> list[Panel]:
    def most(metric: str) -> str:
        return f"max by (horizontalpodautoscaler) (kube_horizontalpodautoscaler_{metric}{{{AUTOSCALER}}})"

    return [
        graph(
            "Replicas that the autoscaler wants",
            "What the autoscaler wants and has, between its bounds.",
            COUNT,
            Query(most("status_desired_replicas"), "wanted"),
            Query(most("status_current_replicas"), "there"),
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
                '{namespace="$namespace", deployment=~".*tradecast.*"})',
                "{{deployment}}",
            ),
            span=12,
        ),
    ]
