"""One server."""

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
    share,
    single_stat,
    total,
)


def create() -> Dashboard:
    """The dashboard."""
    return create_dashboard(
        "tradecast-server",
        "tradecast / Server",
        "One server: its clients, its events, its resources, its sessions.",
        [
            ("Now", now()),
            ("Clients", clients()),
            ("Events", events()),
            ("Market data", market_data()),
            ("Resources", resources()),
            ("Sessions and dependencies", sessions()),
            ("Lifecycle", lifecycle()),
        ],
        one_pod=True,
    )


def now() -> list[Panel]:
    memory = f"max({of('tradecast_memory_rss_bytes')} / {of('tradecast_memory_limit_bytes')})"
    return [
        single_stat("Connections", "Connected clients.", COUNT, total(of("tradecast_connections"))),
        single_stat("Users", "Distinct users connected.", COUNT, total(of("tradecast_users"))),
        single_stat(
            "Events from clients",
            "Events received from clients per second, over the last minute.",
            EVENTS,
            total(of("tradecast_events_per_second")),
        ),
        single_stat(
            "Failed events",
            "Share of the last minute's events that failed because of a server error.",
            SHARE,
            f"max({of('tradecast_error_ratio')})",
            warn=0.01,
            alarm=0.05,
        ),
        single_stat(
            "CPU",
            "CPU used as a share of one core, which is all that a loop can use, or of the limit if that is less.",
            SHARE,
            f"max({rate('tradecast_cpu_seconds_total')} / clamp_max({of('tradecast_cpu_limit_cores')}, 1))",
            warn=0.7,
            alarm=0.9,
        ),
        single_stat("Memory", "Resident memory as a share of the limit.", SHARE, memory, warn=0.8, alarm=0.9),
        single_stat("Draining", "1 while the server is draining.", COUNT, f"max({of('tradecast_draining')})", warn=1),
        single_stat("Uptime", "Time since the start.", SECONDS, f"max({of('tradecast_uptime_seconds')})"),
    ]


def clients() -> list[Panel]:
    return [
        graph(
            "Connections and limit",
            "Connected clients and TCP connections, and their limits (MAX_CONNECTIONS, MAX_TCP_CONNECTIONS).",
            COUNT,
            Query(total(of("tradecast_connections")), "connections"),
            Query(total(of("tradecast_connections_limit")), "limit"),
            Query(total(of("tradecast_tcp_connections")), "TCP"),
            Query(total(of("tradecast_tcp_connections_limit")), "TCP limit"),
        ),
        graph(
            "Connections by transport",
            "Current connections, by transport in use.",
            COUNT,
            Query(total(of("tradecast_transport_connections"), "transport"), "{{transport}}"),
            stacked=True,
        ),
        graph(
            "New connections by transport",
            "Connections accepted per second, by their first transport.",
            PER_SECOND,
            Query(total(rate("tradecast_connections_opened_total"), "transport"), "{{transport}}"),
        ),
        graph(
            "Compressed WebSocket messages",
            "Messages compressed per second (WEBSOCKET_COMPRESSION), each once for all its recipients.",
            PER_SECOND,
            Query(total(rate("tradecast_compressed_messages_total")), "messages"),
        ),
        graph(
            "New connections that agree to compression",
            "WebSockets accepted per second, upgrades included, whose client has agreed to permessage-deflate.",
            PER_SECOND,
            Query(total(rate("tradecast_compression_negotiated_total")), "connections"),
        ),
        graph(
            "Size of messages after compression",
            "Size of compressed messages, as a share of their size before.",
            SHARE,
            Query(
                share(
                    total(rate("tradecast_compression_output_bytes_total")),
                    total(rate("tradecast_compression_input_bytes_total")),
                ),
                "share",
            ),
        ),
        graph(
            "Disconnects by reason",
            "Connections closed per second, by Socket.IO's reason.",
            PER_SECOND,
            Query(total(rate("tradecast_disconnects_total"), "reason"), "{{reason}}"),
        ),
        graph(
            "Refused connections by code",
            "Connections refused per second, by code; requests refused at the HTTP level, by reason; and probes of the "
            "connections of users who have too many.",
            PER_SECOND,
            Query(total(rate("tradecast_refusals_total"), "code"), "{{code}}"),
            Query(total(rate("tradecast_http_refused_total"), "reason"), "HTTP {{reason}}"),
            Query(total(rate("tradecast_probes_total"), "result"), "probes: {{result}}"),
        ),
        graph(
            "Clients disconnected by the server",
            "Per second: clients disconnected because they did not read or exceeded a limit, refused origins and "
            "transports, and malformed packets.",
            PER_SECOND,
            Query(total(rate("tradecast_slow_clients_total"), "reason"), "slow clients: {{reason}}"),
            Query(total(rate("tradecast_origins_refused_total"), "reason"), "origins {{reason}}"),
            Query(total(rate("tradecast_malformed_packets_total")), "malformed packets"),
            Query(total(rate("tradecast_limits_exceeded_total"), "limit"), "{{limit}}"),
            Query(total(rate("tradecast_transports_refused_total"), "reason"), "transports {{reason}}"),
        ),
        graph(
            "Slow clients",
            "Clients for which messages wait since their link takes no more, and the messages that wait; clients that "
            "poll are among them between two polls. Replays go out as the links of recovered clients take them.",
            COUNT,
            Query(total(of("tradecast_backed_up_clients"), "transport"), "clients, {{transport}}"),
            Query(total(of("tradecast_queued_messages")), "messages"),
            Query(total(of("tradecast_replays_under_way")), "replays"),
        ),
        graph(
            "Bytes that wait for slow clients",
            "A message that waits for several clients counts for each, though memory holds it once.",
            BYTES,
            Query(total(of("tradecast_queued_bytes")), "bytes"),
        ),
        graph(
            "What slow clients were spared",
            "Per second: messages that a newer one replaced before it was sent, and volatile ones that were dropped.",
            PER_SECOND,
            Query(total(rate("tradecast_conflated_messages_total")), "conflated"),
            Query(total(rate("tradecast_volatile_dropped_total")), "volatile dropped"),
        ),
    ]


def events() -> list[Panel]:
    seconds = "tradecast_event_duration_seconds"
    recipients = share(total(rate("tradecast_event_deliveries_total")), total(rate("tradecast_events_emitted_total")))
    return [
        graph(
            "Events by name",
            "Events received from clients per second.",
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
            "From an event's arrival to its answer.",
            SECONDS,
            *(Query(quantile(q, seconds), f"p{100 * q:g}") for q in (0.5, 0.95, 0.99)),
            warn=0.5,
        ),
        graph(
            "Emitted events by name",
            "Events emitted per second to this server's clients.",
            EVENTS,
            Query(total(rate("tradecast_events_emitted_total"), "event"), "{{event}}"),
        ),
        graph(
            "Deliveries by name",
            "Recipients of those events per second.",
            EVENTS,
            Query(total(rate("tradecast_event_deliveries_total"), "event"), "{{event}}"),
            stacked=True,
        ),
        graph(
            "Recipients per event",
            "Average number of this server's clients that receive an event.",
            COUNT,
            Query(recipients, "recipients"),
        ),
    ]


def market_data() -> list[Panel]:
    ages = "tradecast_quote_age_seconds"
    delta_bytes = total(rate("tradecast_delta_bytes_total", 'form="delta"'))
    replaced_bytes = total(rate("tradecast_delta_replaced_bytes_total"))
    return [
        graph(
            "Age of quotes",
            "Age of quotes when they are sent, by their publisher's timestamp; of a sample (QUOTE_AGE_SAMPLE).",
            SECONDS,
            *(Query(quantile(q, ages), f"p{100 * q:g}") for q in (0.5, 0.99)),
        ),
        graph(
            "Throttled events",
            "Latest-wins events per second that were not sent because a newer one replaced them (THROTTLE), and those "
            "that wait now.",
            COUNT,
            Query(total(rate("tradecast_throttled_events_total")), "replaced per second"),
            Query(total(of("tradecast_throttle_buffered_events")), "buffered"),
        ),
        graph(
            "Stale symbols",
            "Symbols with subscribers for which no quote has come for longer than STALE_AFTER, and whether the market "
            "is open (1) or closed (0).",
            COUNT,
            Query(f"max({of('tradecast_stale_symbols')})", "stale symbols"),
            Query(f"max({of('tradecast_market_open')})", "market open"),
        ),
        graph(
            "Deltas",
            "Messages per second to clients that want deltas, by form; rooms whose last event is kept for them.",
            PER_SECOND,
            Query(total(rate("tradecast_delta_messages_total"), "form"), "{{form}}"),
            Query(total(of("tradecast_delta_rooms")), "rooms"),
            span=12,
        ),
        graph(
            "Size of deltas",
            "Bytes of deltas as a share of the events that they were sent for.",
            SHARE,
            Query(share(delta_bytes, replaced_bytes), "deltas to whole events"),
            span=12,
        ),
    ]


def resources() -> list[Panel]:
    lag = "tradecast_event_loop_lag_seconds"
    return [
        graph(
            "Event loop lag",
            "Lag of the event loop. Everything that the server sends is delayed by it.",
            SECONDS,
            *(Query(quantile(q, lag), f"p{100 * q:g}") for q in (0.5, 0.99)),
            warn=0.25,
        ),
        graph(
            "CPU and limit",
            "Cores used, and cores available to the process.",
            COUNT,
            Query(total(rate("tradecast_cpu_seconds_total")), "used"),
            Query(total(of("tradecast_cpu_limit_cores")), "limit"),
        ),
        graph(
            "Memory and limit",
            "Resident memory, the anonymous part of it (objects and buffers), and the limit.",
            BYTES,
            Query(total(of("tradecast_memory_rss_bytes")), "resident"),
            Query(total(of("tradecast_memory_heap_used_bytes")), "anonymous"),
            Query(total(of("tradecast_memory_limit_bytes")), "limit"),
        ),
        distribution("Distribution of event loop lag", "Measurements of the lag of the event loop, two a second.", lag),
    ]


def sessions() -> list[Panel]:
    batches = total(rate("tradecast_session_batch_size_count"))
    return [
        graph(
            "Session look-ups",
            "Sessions looked up per second, by source: the cache (memory or Redis), or the store (miss).",
            PER_SECOND,
            Query(total(rate("tradecast_session_lookups_total"), "source"), "{{source}}"),
        ),
        graph(
            "Sessions per query",
            "Average number of sessions in one query to the store; 0 without queries.",
            COUNT,
            Query(share(total(rate("tradecast_session_batch_size_sum")), batches), "sessions"),
        ),
        graph(
            "Session store errors",
            "Requests per second that the session store did not answer, and outages per second.",
            PER_SECOND,
            Query(total(rate("tradecast_session_store_errors_total")), "errors"),
            Query(total(rate("tradecast_session_store_outages_total")), "outages"),
        ),
        graph(
            "Dependencies up",
            "1 while the last health check succeeded; for the session store, while look-ups succeed.",
            COUNT,
            Query(f"min by (dependency) ({of('tradecast_dependency_up')})", "{{dependency}}"),
            Query(f"min({of('tradecast_session_store_up')})", "session store"),
            span=12,
            highest=1,
        ),
        graph(
            "Health check latency",
            "Duration of the last health check.",
            SECONDS,
            Query(f"max by (dependency) ({of('tradecast_dependency_latency_seconds')})", "{{dependency}}"),
            span=12,
        ),
    ]


def lifecycle() -> list[Panel]:
    return [
        graph(
            "Certificates",
            "Time until the certificate of each port expires, and 1 while new files of it cannot be used. Alerts at a "
            "week, or at a quarter of its lifetime.",
            SECONDS,
            Query(f"min by (port) ({of('tradecast_certificate_expiry_seconds')})", "{{port}}"),
            Query(
                f"0.25 * min by (port) ({of('tradecast_certificate_lifetime_seconds')})",
                "{{port}}: a quarter of the lifetime",
            ),
            Query(f"max by (port) ({of('tradecast_certificate_stale')})", "{{port}}: files cannot be used"),
            span=24,
        ),
        graph(
            "Drain",
            "Duration of the drain, and its limit.",
            SECONDS,
            Query(f"max({of('tradecast_drain_seconds')})", "draining for"),
            Query(f"max({of('tradecast_drain_limit_seconds')})", "limit"),
        ),
        graph(
            "Connections closed by drain, shed or timeout",
            "Connections closed per second because the server drains or sheds, or because a drain exceeded its time.",
            PER_SECOND,
            Query(total(rate("tradecast_connections_closed_total"), "reason"), "{{reason}}"),
        ),
        graph(
            "Queued handshakes",
            "Handshakes that wait because more arrive than ACCEPT_RATE allows.",
            COUNT,
            Query(total(of("tradecast_handshakes_held")), "queued"),
        ),
    ]
