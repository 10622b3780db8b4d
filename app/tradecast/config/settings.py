"""Every setting of the server, once: name, type, default, meaning.

The environment variable has the setting's name in upper case (``REDIS_URL``, ``PING_INTERVAL``, …). A value that
makes no sense stops the start with `SettingsError`, which names the variable and never repeats a secret's value.
`docs/settings.md` is made from this module and checked against it.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from datetime import date
from ipaddress import IPv6Address
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)

from tradecast.config.misspelt import Suspect, find_misspelt
from tradecast.config.origins import parse_allowed
from tradecast.config.runtime_settings import (
    BatchWindow,
    ChannelLinger,
    HistoryEvents,
    PublishBatch,
    PublishBoth,
    PublishBuffer,
    PublishTimeout,
    SubscriptionBatch,
    runtime_field,
)

DAY = 86_400
Transport = Literal["websocket", "polling"]
StoreName = Literal["memory", "redis", "mongodb"]
UrlName = Literal["REDIS_URL", "REDIS_CLUSTER_URL"]
Mode = Literal["single", "pubsub", "sharded"]
CLUSTER_SCHEMES = ("redis+cluster", "rediss+cluster")
REDIS_SCHEMES = ("redis", "rediss", "redis+sentinel", "rediss+sentinel", *CLUSTER_SCHEMES, "unix")
MONGODB_SCHEMES = ("mongodb", "mongodb+srv")
LISTS = ("cors_origin", "transports", "session_secrets", "session_admin_values", "api_token", "admin_token")
SEGMENT = re.compile(r"[A-Za-z0-9._~-]{1,100}")
# Routes of the public port: everything below Socket.IO's path is Socket.IO's.
TAKEN_PATHS = ("/health", "/metrics", "/api/emit", "/demo/static")
FILES = (
    *("ssl_certfile", "ssl_keyfile", "redis_ca_file", "redis_cert_file", "redis_key_file", "mongodb_ca_file"),
    *("internal_cert_file", "internal_key_file", "internal_ca_file"),
)
CLUSTER_NODE = r"(?:\[[0-9A-Fa-f:.]+\]|[^][:,@/?#\s]+)(?::\d{1,5})?"
CLUSTER_URL = re.compile(rf"rediss?\+cluster://(?:[^/?#\s]*@)?{CLUSTER_NODE}(?:,{CLUSTER_NODE})*/?", re.IGNORECASE)

# Why a server cannot publish for both modes.
NO_OTHER = "needs another Redis: REDIS_CLUSTER_URL beside REDIS_URL, and mode pubsub or sharded"

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
MOST_SECONDS = 900


def _check_seconds(seconds: float) -> float:
    if seconds > MOST_SECONDS:  # Node's figures are milliseconds: its PING_INTERVAL=25000 would be seven hours here
        raise ValueError(f"is in seconds, not in milliseconds, and at most {MOST_SECONDS}")
    return seconds


Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False), AfterValidator(_check_seconds)]
Count = Annotated[int, Field(ge=1)]


def _check_host(host: str) -> str:
    """An address to listen on, in one form."""
    host = _without_brackets(host)
    if host in ("", EVERYWHERE):
        return EVERYWHERE
    if ":" not in host:
        if not re.fullmatch(r"[0-9A-Za-z_-]+(\.[0-9A-Za-z_-]+)*\.?", host):
            raise ValueError("is an address or a name, without a port, or `*` for every address")
        return host
    address = _ipv6(host)
    return EVERYWHERE if int(address) == 0 else _in_one_form(address)


def _check_advertised(host: str | None) -> str | None:
    """An address that others can ask for, in one form."""
    if host is None:
        return None
    host = _without_brackets(host)
    if ":" in host:
        address = _ipv6(host)
        if address.scope_id is not None:
            raise ValueError("an address with a zone (`%eth0`) means nothing on another machine")
        host = _in_one_form(address)
    elif not re.fullmatch(r"[0-9A-Za-z._-]{1,253}", host):
        raise ValueError("is an address or a name, without a scheme and a port")
    if host in ("::", "0.0.0.0"):  # noqa: S104 refused
        raise ValueError("is any address, which others cannot connect to")
    return host


def _without_brackets(host: str) -> str:
    """As in a URL, where an IPv6 address has brackets."""
    return host[1:-1] if host.startswith("[") and host.endswith("]") else host


def _ipv6(host: str) -> IPv6Address:
    try:
        return IPv6Address(host)
    except ValueError:
        raise ValueError("is no IPv6 address (and has no port)") from None


def _in_one_form(address: IPv6Address) -> str:
    # Java and others write an IPv4 address so, which is no address of an IPv6 socket of ours.
    return str(address if address.ipv4_mapped is None else address.ipv4_mapped)


# Every address of the machine, of both families. A container is reached from outside; the admin port is guarded by a
# token, the internal one takes signed requests only.
EVERYWHERE = "*"
WILDCARDS = ("0.0.0.0", EVERYWHERE)  # noqa: S104 addresses to listen on that are none to connect to
Host = Annotated[str, AfterValidator(_check_host)]
Port = Annotated[int, Field(ge=0, le=65_535)]


class SettingsError(ValueError):
    """One or more settings make no sense; the text has a line for each, with the variable's name."""


class Settings(BaseModel):
    """What one server runs with. Times are in seconds unless the name says otherwise."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    # -- listening
    host: Host = Field(
        EVERYWHERE,
        description="Address or name that the public port listens on; `*` (or `::`): every address, IPv4's and IPv6's, "
        "as far as the machine has them; `0.0.0.0`: IPv4's alone",
    )
    port: Port = Field(8000, description="Public port: Socket.IO, health, and what the settings allow")
    admin_host: Host = Field(EVERYWHERE, description="The same for the admin port")
    admin_port: Port = Field(
        9100, description="Admin port: metrics, emit, stats, sessions; never behind the public Service"
    )
    internal_host: Host = Field(EVERYWHERE, description="The same for the internal port")
    internal_port: Port = Field(
        9200,
        description="Internal port: what other servers pass on, so that polling needs no session affinity; served "
        "where REDIS_URL is set and TRANSPORTS is empty or has polling; never behind a Service. Where neither this nor "
        "TRANSPORTS is set and the port is taken, another one is used, which the other servers are told",
    )
    advertised_address: str | None = Field(
        None,
        description="Address or name, without a port, at which the other servers reach the internal port (Kubernetes: "
        "the pod's IP); absent: INTERNAL_HOST, or if that is any address, the one towards Redis",
    )
    internal_cert_file: str | None = Field(
        None,
        description="PEM certificate chain for the internal port, which then speaks TLS; of all servers for "
        "INTERNAL_SERVER_NAME ([security.md](security.md#between-servers)). The three files are read anew on change",
    )
    internal_key_file: str | None = Field(None, description="PEM private key of INTERNAL_CERT_FILE")
    internal_ca_file: str | None = Field(None, description="PEM bundle that signs the servers' INTERNAL_CERT_FILE")
    internal_server_name: str = Field(
        "tradecast-internal",
        pattern=r"^[0-9A-Za-z](?:[0-9A-Za-z.-]{0,251}[0-9A-Za-z])?$",
        description="Name that the certificate of every server's internal port is for, whatever its address",
    )
    internal_require_tls: bool = Field(
        False,
        description="Let nothing pass between servers without TLS; if false, servers that have no TLS (yet) are spoken "
        "to without, and may speak so themselves",
    )
    ssl_certfile: str | None = Field(None, description="PEM certificate chain for the public port")
    ssl_keyfile: str | None = Field(None, description="PEM private key for the public port")
    require_tls: bool = Field(
        False,
        description="Refuse requests that did not arrive over TLS, by X-Forwarded-Proto (health stays open)",
    )
    socket_path: str = Field(
        "/socket.io/",
        description="Path of Socket.IO on the public port, with or without slashes around it: what clients give as "
        "`path`, unless a proxy takes a prefix away ([client.md](client.md#another-path))",
    )
    cors_origin: tuple[str, ...] = Field(
        (),
        description="Origins whose pages may connect, comma-separated, of any scheme: `https://example.com`, "
        "`https://*.example.com` (one label), `capacitor://localhost`, `file://`, `null`; `*` for any; empty for the "
        "address that was asked for ([security.md](security.md#pages-of-other-sites))",
    )
    shutdown_timeout: Seconds = Field(10, description="Seconds given to connections and requests at shutdown")
    max_tcp_connections: int | None = Field(
        None,
        ge=1,
        description="TCP connections of the public port, WebSockets among them, and the same for the internal one; "
        "beyond, idle ones are closed, else the new one; absent: twice MAX_CONNECTIONS and 256. Fewer where the limit "
        "on open files (RLIMIT_NOFILE) does not allow so many",
    )
    keep_alive: Seconds = Field(
        75,
        description="Seconds that a connection of the public port may be idle between requests: longer than a load "
        "balancer in front keeps it (AWS: 60, nginx: 60), which answers 502 otherwise. Behind Traefik (90) 95, behind "
        "Google's (600) 620",
    )
    head_timeout: Seconds = Field(
        20,
        description="Seconds that a client may take to send the head of a request; a quarter of it while half of "
        "MAX_TCP_CONNECTIONS are used",
    )
    body_timeout: Seconds = Field(
        30, description="Seconds that a client may take to send a body, and one more for each 500 bytes of it"
    )
    tls_timeout: Seconds = Field(
        10, description="Seconds that a TLS handshake may take, on the public and on the internal port"
    )

    strict_settings: bool = Field(
        False,
        description="Stop the start where a variable looks like a setting and is none (`API_TOKENS`, `REDIS_HOST`, "
        "`REDIS_PASSWORD_FILE`); if false the log warns of it",
    )

    # -- draining and accepting
    drain_delay: Annotated[float, Field(ge=0, le=3600)] = Field(
        0,
        description="Seconds between readiness off and the first client sent away: until a Service's endpoints follow",
    )
    drain_rate: Positive = Field(
        100,
        description="Clients sent away per second by drains and shedding, of all servers together where they have a "
        "Redis in common",
    )
    drain_timeout: Positive = Field(
        60, le=DAY, description="Seconds for sending clients away; those who are left are then closed at once"
    )
    accept_rate: Positive = Field(500, description="New connections let in per second, in the long run")
    accept_burst: Count = Field(1000, description="New connections let in at once after a quiet time")
    accept_wait: Annotated[float, Field(ge=0, le=15)] = Field(
        5, description="Seconds a new connection beyond that is held before it is told 503 (clients give up after 20)"
    )

    # -- rollouts
    fleet_revision: str | None = Field(
        None,
        max_length=200,
        description="What is deployed, another word for each rollout (Kubernetes: the label pod-template-hash). With "
        "it and REDIS_URL, servers leave new clients to those of a newer revision; absent: they do not",
    )
    pod_name: str | None = Field(None, max_length=300, description="This server's name, for `/admin/stats`")
    pod_uid: str | None = Field(
        None,
        max_length=200,
        description="What tells this server from all others and outlives restarts of its container (Kubernetes: the "
        "pod's uid); absent: made up at each start, and an operator cannot sign its requests to it",
    )

    # -- Engine.IO
    transports: tuple[Transport, ...] = Field(
        (),
        description="Transports offered; empty for `websocket,polling`, with REDIS_URL as soon as all servers there "
        "serve the internal port, which polling on several servers needs; until then, and embedded under ASGI without "
        "that port, `websocket` alone ([client.md](client.md#transports))",
    )
    ping_interval: Seconds = Field(25, description="Seconds between heartbeats")
    ping_timeout: Seconds = Field(60, description="Seconds a client may take to answer a heartbeat")
    upgrade_timeout: Seconds = Field(10, description="Seconds an upgrade from polling to WebSocket may take")
    connect_timeout: Seconds = Field(45, description="Seconds a client may stay without joining the namespace")
    max_http_buffer_size: Count = Field(1_000_000, description="Largest message a client may send, bytes")
    send_queue_limit: Count = Field(
        10_000, description="Messages that may wait for a client that does not read, before it is cut off"
    )
    send_buffer_limit: Count = Field(
        4_000_000, description="Bytes that may wait for such a client; a single message may be larger"
    )
    max_connections: Count = Field(10_000, description="Connections this server takes; the surplus is told 503")
    max_unauthenticated_per_address: Annotated[int, Field(ge=0)] = Field(
        1_000,
        description="Connections of this server that one client address (of IPv6: one /64 network) may have while "
        "their clients are not authenticated; the surplus is told 503. 0: any number. Not counted where "
        "TRUSTED_PROXIES is 0 and the address is a private one, which is a load balancer's",
    )
    trusted_proxies: Annotated[int, Field(ge=0, le=20)] = Field(
        0,
        description="Proxies and load balancers in front, each of which adds the address that it was asked from to "
        "the end of X-Forwarded-For: tells the client's own entry from what the client wrote",
    )

    # -- dependencies
    redis_url: SecretStr | None = Field(
        None,
        description="redis://, rediss://, redis+sentinel://host:port,host:port/db/service, "
        "redis+cluster://host:port,host:port or unix://; absent: single-server mode. Of redis-py's options those that "
        "make sense work (`?ssl_cert_reqs=none`), any other stops the start",
    )
    redis_cluster_url: SecretStr | None = Field(
        None,
        description="redis+cluster://host:port,host:port or rediss+cluster://: a Redis Cluster beside REDIS_URL's one "
        "Redis, for mode `sharded`; everything but events, their history and recovery stays at REDIS_URL. User, "
        "password and files of the REDIS_ settings hold for both "
        "([redis.md](redis.md#from-one-mode-to-another))",
    )
    adapter_mode: Literal["auto", "single", "pubsub", "sharded"] = Field(
        "auto",
        description="How events pass between servers: not at all (single), through one Redis (pubsub), or through a "
        "Redis Cluster (sharded); auto: single without REDIS_URL, sharded where that is a Cluster's, else pubsub",
    )
    redis_username: str | None = Field(None, description="ACL user, where not in the URL")
    redis_password: SecretStr | None = Field(None, description="Password, where not in the URL")
    redis_sentinel_username: str | None = Field(None, description="ACL user of the Sentinels")
    redis_sentinel_password: SecretStr | None = Field(None, description="Password of the Sentinels")
    redis_ca_file: str | None = Field(None, description="PEM bundle that signs Redis' certificate")
    redis_cert_file: str | None = Field(None, description="PEM client certificate for Redis")
    redis_key_file: str | None = Field(None, description="PEM key of the client certificate for Redis")
    redis_timeout: Seconds = Field(2, description="Seconds each try of a Redis request may take (at most 3 retries)")
    recovery: bool = Field(
        True, description="Let clients go on where their connection was lost (connection state recovery)"
    )
    recovery_window: Annotated[float, Field(ge=1, le=3600)] = Field(
        120, description="Seconds after a lost connection within which a client can go on with nothing missed"
    )
    history_events: HistoryEvents = runtime_field("history_events")
    publish_timeout: PublishTimeout = runtime_field("publish_timeout")
    publish_buffer: PublishBuffer = runtime_field("publish_buffer")
    publish_batch: PublishBatch = runtime_field("publish_batch")
    batch_window_ms: BatchWindow = runtime_field("batch_window_ms")
    channel_linger: ChannelLinger = runtime_field("channel_linger")
    subscription_batch: SubscriptionBatch = runtime_field("subscription_batch")
    publish_both: PublishBoth = runtime_field("publish_both")
    adapter_file: str | None = Field(
        None,
        description="YAML or JSON file with figures that win over those of the settings, and are taken as soon as the "
        "file changes (docs/adapter-settings.md names them); it may be missing",
    )
    cluster_lease: Annotated[float, Field(ge=0.5, le=60)] = Field(
        4,
        description="Seconds of silence after which a server counts as gone: requests to all servers do not wait for "
        "it any more, and its connections do not count ([cluster.md](cluster.md)). Four times within it, each tells "
        "the others of itself",
    )
    cluster_timeout: Seconds = Field(
        5, description="Seconds that servers, or clients with their acknowledgements, may take to answer such a request"
    )
    mongodb_uri: SecretStr | None = Field(None, description="mongodb:// or mongodb+srv://; absent: no database")
    mongodb_database: str | None = Field(None, description="Database; absent: the one in MONGODB_URI, else `test`")
    mongodb_ca_file: str | None = Field(None, description="PEM bundle that signs MongoDB's certificate")
    mongodb_timeout: Seconds = Field(2, description="Seconds one MongoDB request may take, finding a server included")

    # -- sessions
    auth_required: bool = Field(
        True, description="Refuse clients without a session; if false they get market:status only"
    )
    session_store: Literal["auto", "memory", "redis", "mongodb"] = Field(
        "auto",
        description="Where sessions live; auto: mongodb if MONGODB_URI is set, else redis if REDIS_URL is, else memory",
    )
    session_collection: str = Field(
        "sessions", min_length=1, description="MongoDB collection of the sessions (connect-mongo)"
    )
    session_key_prefix: str = Field("sess:", description="Prefix of session keys in Redis (connect-redis)")
    session_secrets: tuple[SecretStr, ...] = Field(
        (),
        description="Secrets that sign session ids (express-session), comma-separated, any of them is accepted; a JSON "
        "list where one has a comma or outer spaces",
    )
    session_require_signed: bool | None = Field(
        None,
        description="Refuse session ids that are not signed. Absent: they are accepted with a warning where there are "
        "SESSION_SECRETS; from the next version on they are refused then, unless this is `false`",
    )
    session_cookie_name: str | None = Field(
        None,
        pattern=r"^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}$",
        description="Cookie of the session's id (express-session: `connect.sid`), which the handshake's Cookie header "
        "has: for pages that cannot read it. Taken where the client's `auth` has no sessionID or an empty one; needs a "
        "CORS_ORIGIN other than `*`",
    )
    session_user_path: str = Field(
        "passport.user",
        min_length=1,
        description="Where the user is in the session's JSON; `.`: it is the session itself",
    )
    session_field_id: str = Field("id", min_length=1, description="Field of the user's id")
    session_field_name: str = Field("name", description="Field of the user's name")
    session_field_email: str = Field("email", description="Field of the user's e-mail address")
    session_field_admin: str = Field(
        "isAdmin",
        description="Field that makes an admin, when its value, or one in its list, is in SESSION_ADMIN_VALUES",
    )
    session_admin_values: tuple[str, ...] = Field(
        ("true", "1"),
        description="Those values, comma-separated, in any case; `true` is JSON's too, and `1` the number",
    )
    session_field_tier: str = Field(
        "subscriptionTier", description="Field of the tier: free, premium or enterprise, in any case"
    )
    session_tiers: tuple[tuple[str, Literal["free", "premium", "enterprise"]], ...] = Field(
        (),
        description="What other values of that field mean, comma-separated: `gold=premium,2=enterprise`; what is "
        "neither here nor a tier's name counts as free",
    )
    users_collection: str | None = Field(
        None,
        description="MongoDB collection that tells tier and admin flag (and name, e-mail) instead of the session",
    )
    users_id_field: str = Field("_id", min_length=1, description="Field of that collection that holds the user's id")
    session_max_age: Positive = Field(
        30 * DAY,
        le=3650 * DAY,
        description="Longest time a session is honoured, from its start on, however often it is renewed; more than "
        "30 days are allowed with a warning",
    )
    session_cache_ttl: float = Field(
        30,
        ge=0,
        le=300,
        description="Seconds a session read from the store is remembered, in memory and in Redis; 0: never",
    )
    revocation_poll_interval: Annotated[float, Field(gt=0, le=1)] = Field(
        0.5, description="Seconds between looks for deleted sessions where the store has no change stream"
    )

    # -- limits
    max_connections_per_user: Count = Field(10, description="Connections one user may have at a time")
    max_subscriptions_per_user: Count = Field(
        50, description="Subscriptions one user may have at a time, over all connections"
    )
    max_symbols_per_request: Count = Field(100, description="Symbols in one subscribe:watchlist")
    symbol_pattern: str | None = Field(
        None,
        max_length=1_000,
        description="Regular expression that the whole of a symbol has to match, such as `[A-Z.]{1,10}`; absent: a "
        "symbol is 1 to 64 printable ASCII characters, in the case in which it is sent",
    )
    admin_broadcast_any: bool = Field(
        False, description="Let admin:broadcast send the contract's own events, such as trade:executed, too"
    )
    rate_limit_window_ms: Annotated[int, Field(ge=1_000)] = Field(
        60_000, description="Window of the rate limits, milliseconds"
    )
    rate_limit_global: Count = Field(1_000, description="Events per user and window, all together")
    rate_limit_subscribe: Count = Field(100, description="Per user, window and subscribe event")
    rate_limit_unsubscribe: Count = Field(100, description="Per user, window and unsubscribe event")
    rate_limit_broadcast: Count = Field(1_000, description="admin:broadcast per admin and window")
    rate_limit_refresh: Count = Field(10, description="session:refresh per user and window")

    # -- HTTP
    metrics_public: bool = Field(True, description="Serve /metrics on the public port too")
    emit_public: bool = Field(True, description="Serve /api/emit on the public port too")
    api_token: tuple[SecretStr, ...] = Field(
        (), description="Bearer tokens for /api/emit, comma-separated; none: emit is closed"
    )
    admin_token: tuple[SecretStr, ...] = Field(
        (), description="Bearer tokens for /admin, comma-separated; none: loopback only"
    )

    # -- observability
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="debug, info, warning or error")
    log_format: Literal["json", "console"] = Field("json", description="json, or console for people")
    sentry_dsn: SecretStr | None = Field(None, description="Send errors to Sentry (needs the extra `sentry`)")
    sentry_environment: str = Field("production", description="Environment that Sentry shows")

    # -- demo
    demo_day_seconds: Positive = Field(20, description="Seconds that the demo takes to replay one trading day")
    demo_tick_seconds: Annotated[float, Field(ge=0.05, le=60)] = Field(
        0.5, description="Seconds between the demo's quotes"
    )
    demo_start: str = Field("2012-05-21", pattern=r"^\d{4}-\d\d-\d\d$", description="First day that the demo replays")

    @model_validator(mode="before")
    @classmethod
    def _split_words(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        out = dict(values)
        for name in LISTS:
            if isinstance(out.get(name), str):
                out[name] = _split_list(name, out[name])
        if isinstance(out.get("session_tiers"), str):
            pairs = (word.rpartition("=") for word in _split_list("session_tiers", out["session_tiers"]))
            out["session_tiers"] = tuple((value.strip(), tier.strip().lower()) for value, _, tier in pairs)
        for name in ("log_level", "log_format", "session_store", "adapter_mode"):
            if isinstance(out.get(name), str):
                out[name] = out[name].strip().lower()
        if out.get("log_level") == "warn":
            out["log_level"] = "warning"
        return out

    @field_validator("redis_url")
    @classmethod
    def _check_redis_url(cls, url: SecretStr | None) -> SecretStr | None:
        return _check_cluster_url(_check_url(url, REDIS_SCHEMES))

    @field_validator("redis_cluster_url")
    @classmethod
    def _check_redis_cluster_url(cls, url: SecretStr | None) -> SecretStr | None:
        return _check_cluster_url(_check_url(url, CLUSTER_SCHEMES))

    @field_validator("mongodb_uri")
    @classmethod
    def _check_mongodb_uri(cls, url: SecretStr | None) -> SecretStr | None:
        return _check_url(url, MONGODB_SCHEMES)

    @field_validator("cors_origin")
    @classmethod
    def _check_origins(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        if "*" in origins and len(origins) > 1:
            raise ValueError("`*` stands alone")
        for number, origin in enumerate(origins, 1):
            try:
                if origin != "*":
                    parse_allowed(origin)
            except ValueError as error:
                raise ValueError(f"entry {number} can never match: {error}") from None
        return origins

    @field_validator("advertised_address")
    @classmethod
    def _check_advertised_address(cls, host: str | None) -> str | None:
        return _check_advertised(host)

    @field_validator("socket_path")
    @classmethod
    def _check_socket_path(cls, path: str) -> str:
        return normalize_socket_path(path)

    @field_validator("session_user_path")
    @classmethod
    def _check_user_path(cls, path: str) -> str:
        if path != "." and not all(key.strip() for key in path.split(".")):
            raise ValueError("is keys with a dot between them, as passport.user, or `.` alone")
        return path

    @field_validator("transports")
    @classmethod
    def _check_transports(cls, transports: tuple[Transport, ...]) -> tuple[Transport, ...]:
        if len(set(transports)) != len(transports):
            raise ValueError("a transport is named twice")
        return transports

    @field_validator(*FILES)
    @classmethod
    def _check_file(cls, path: str | None) -> str | None:
        if path is not None and not os.access(path, os.R_OK):
            raise ValueError("the file is not there, or cannot be read")
        return path

    @field_validator("symbol_pattern")
    @classmethod
    def _check_pattern(cls, pattern: str | None) -> str | None:
        try:
            re.compile(pattern or "")
        except re.error as error:
            raise ValueError(f"is no regular expression ({error.msg})") from None
        return pattern

    @field_validator("demo_start")
    @classmethod
    def _check_date(cls, text: str) -> str:
        try:
            date.fromisoformat(text)
        except ValueError:
            raise ValueError("there is no such day") from None
        return text

    @model_validator(mode="after")
    def _make_sense(self) -> Settings:
        wrong: list[str] = []
        wrong += self._wrong_with_modes()
        if self.session_store == "redis" and self.redis_url is None:
            wrong.append("SESSION_STORE: redis needs REDIS_URL")
        if self.session_store == "mongodb" and self.mongodb_uri is None:
            wrong.append("SESSION_STORE: mongodb needs MONGODB_URI")
        if self.users_collection and self.mongodb_uri is None:
            wrong.append("USERS_COLLECTION: needs MONGODB_URI")
        if self.session_require_signed and not self.session_secrets:
            wrong.append("SESSION_REQUIRE_SIGNED: needs SESSION_SECRETS")
        if self.session_cookie_name is not None and "*" in self.cors_origin:
            wrong.append("SESSION_COOKIE_NAME: any page could use its visitors' cookies while CORS_ORIGIN is `*`")
        if any(not value for value, _ in self.session_tiers):
            wrong.append("SESSION_TIERS: is a list like gold=premium,2=enterprise")
        if (self.ssl_certfile is None) != (self.ssl_keyfile is None):
            wrong.append("SSL_CERTFILE, SSL_KEYFILE: set both or neither")
        internal = (self.internal_cert_file, self.internal_key_file, self.internal_ca_file)
        if None in internal and any(internal):
            wrong.append("INTERNAL_CERT_FILE, INTERNAL_KEY_FILE, INTERNAL_CA_FILE: set all of them or none")
        if self.internal_require_tls and None in internal:
            wrong.append("INTERNAL_REQUIRE_TLS: needs INTERNAL_CERT_FILE, INTERNAL_KEY_FILE and INTERNAL_CA_FILE")
        if self.port == self.admin_port != 0 and _overlap(self.host, self.admin_host):
            wrong.append("ADMIN_PORT: must differ from PORT")
        if self.forwards and self.internal_port != 0 and not self.internal_port_moves:
            for name, host, port in (("PORT", self.host, self.port), ("ADMIN_PORT", self.admin_host, self.admin_port)):
                if port == self.internal_port and _overlap(host, self.internal_host):
                    wrong.append(f"INTERNAL_PORT: must differ from {name}")
        if self.batch_window_ms / 1000 >= self.publish_timeout:
            wrong.append("BATCH_WINDOW_MS: is not below PUBLISH_TIMEOUT")
        if self.rate_limit_global < max(self.rate_limit_subscribe, self.rate_limit_unsubscribe):
            wrong.append("RATE_LIMIT_GLOBAL: is below a single event's limit")
        if wrong:
            raise SettingsError("\n".join(wrong))
        return self

    def _wrong_with_modes(self) -> list[str]:
        wrong: list[str] = []
        if self.redis_cluster_url is not None:
            if self.redis_url is None:
                wrong.append("REDIS_CLUSTER_URL: stands beside a REDIS_URL, for all that is not events")
            elif _is_cluster(self.redis_url):
                wrong.append("REDIS_CLUSTER_URL: REDIS_URL is a Cluster's already, and there is no use for two")
        if self.adapter_mode == "pubsub" and "pubsub" not in self.modes:
            wrong.append("ADAPTER_MODE: pubsub needs a REDIS_URL that is no Cluster's")
        if self.adapter_mode == "sharded" and "sharded" not in self.modes:
            wrong.append("ADAPTER_MODE: sharded needs REDIS_CLUSTER_URL, or a REDIS_URL that is a Cluster's")
        if self.publish_both and self.other_mode is None:
            wrong.append(f"PUBLISH_BOTH: {NO_OTHER}")
        return wrong

    @property
    def modes(self) -> tuple[Mode, ...]:
        """The modes that the URLs allow."""
        modes: list[Mode] = ["single"]
        if self.redis_url is not None and not _is_cluster(self.redis_url):
            modes.append("pubsub")
        if self.redis_cluster_url is not None or (self.redis_url is not None and _is_cluster(self.redis_url)):
            modes.append("sharded")
        return tuple(modes)

    @property
    def mode(self) -> Mode:
        """ADAPTER_MODE with `auto` decided."""
        if self.adapter_mode != "auto":
            return self.adapter_mode
        if self.redis_url is None:
            return "single"
        return "sharded" if _is_cluster(self.redis_url) else "pubsub"

    @property
    def adapter_url(self) -> UrlName:
        """Where the events of the own mode pass through, unless that is `single`."""
        return self.url_of(self.mode)

    def url_of(self, mode: Mode) -> UrlName:
        """Where the events of a mode, which is not `single`, pass through."""
        return "REDIS_CLUSTER_URL" if mode == "sharded" and self.redis_cluster_url is not None else "REDIS_URL"

    @property
    def other_mode(self) -> Mode | None:
        """The mode that events can be published for beside the own one; None: there is no other Redis."""
        if self.mode == "single" or self.redis_cluster_url is None:
            return None
        return "pubsub" if self.mode == "sharded" else "sharded"

    @property
    def most_tcp_connections(self) -> int:
        """MAX_TCP_CONNECTIONS, or what fits MAX_CONNECTIONS: a polling client uses two at times."""
        return self.max_tcp_connections or 2 * self.max_connections + 256

    @property
    def offered_transports(self) -> list[Transport]:
        """TRANSPORTS, or its default. On several servers polling may have to wait (`waits_for_others`)."""
        return list(self.transports) or ["websocket", "polling"]

    @property
    def waits_for_others(self) -> bool:
        """Whether polling is offered only as long as all servers pass requests on to each other."""
        return self.redis_url is not None and not self.transports

    @property
    def internal_port_moves(self) -> bool:
        """Whether another internal port will do where this one is taken: nobody has asked for it."""
        return not self.transports and "internal_port" not in self.model_fields_set

    @property
    def forwards(self) -> bool:
        """Whether servers pass requests on to each other: there may be several, and not every client sticks to one."""
        return self.redis_url is not None and "polling" in self.offered_transports

    @property
    def store_name(self) -> StoreName:
        """SESSION_STORE with `auto` decided."""
        if self.session_store != "auto":
            return self.session_store
        if self.mongodb_uri:
            return "mongodb"
        return "redis" if self.redis_url else "memory"


def _split_list(name: str, text: str) -> tuple[str, ...]:
    """The words of a setting: separated by commas, or a JSON list of texts, in which each may have any character."""
    if text.startswith("["):
        try:
            words = json.loads(text)
        except ValueError:
            words = None
        if not isinstance(words, list) or not all(isinstance(word, str) and word for word in words):
            raise ValueError(f"{name.upper()}: what begins with [ is a JSON list of texts")
        return tuple(words)
    return tuple(word.strip() for word in text.split(",") if word.strip())


def normalize_socket_path(path: str) -> str:
    """A path for Socket.IO with a slash at both ends.

    Raises:
        ValueError: It is no path, or one that the server needs for something else.
    """
    if "://" in path:
        raise ValueError("is a path, as /push/socket.io/, and no URL")
    words = [word for word in path.split("/") if word]
    if not all(SEGMENT.fullmatch(word) and word.strip(".") for word in words):
        raise ValueError("is a path of letters, digits and `-._~`, as /push/socket.io/")
    found = f"/{'/'.join(words)}/"
    if not words or any(f"{taken}/".startswith(found) or found.startswith(f"{taken}/") for taken in TAKEN_PATHS):
        raise ValueError("is needed for something else")
    return found


def _overlap(one: str, other: str) -> bool:
    """Whether two addresses to listen on cannot have the same port."""
    hosts = {one, other}
    return len(hosts) == 1 or EVERYWHERE in hosts or ("0.0.0.0" in hosts and not any(":" in host for host in hosts))  # noqa: S104


def _check_url(url: SecretStr | None, schemes: tuple[str, ...]) -> SecretStr | None:
    # Several hosts (Sentinel, replica sets) are nothing that urlsplit could look into; the drivers check the rest.
    if url is not None and not url.get_secret_value().lower().startswith(tuple(f"{scheme}://" for scheme in schemes)):
        raise ValueError(f"starts with {' or '.join(scheme + '://' for scheme in schemes)}")
    return url


def _check_cluster_url(url: SecretStr | None) -> SecretStr | None:
    if url is not None and _is_cluster(url) and not CLUSTER_URL.fullmatch(url.get_secret_value()):
        option = re.search(r"\?([A-Za-z_]{1,40})=", url.get_secret_value().rpartition("@")[2])
        which = f" (option `{option[1]}`)" if option else ""
        raise ValueError(
            f"redis+cluster:// is followed by nodes alone, host:port,host:port: no database, no options{which}"
        )
    return url


def _is_cluster(url: SecretStr) -> bool:
    return url.get_secret_value().partition("://")[0].lower().endswith("+cluster")


SETTINGS = frozenset(name.upper() for name in Settings.model_fields)
"""The variables of all settings."""


def load_settings(environ: Mapping[str, str] | None = None, **overrides: Any) -> Settings:
    """Read the settings from the environment.

    Args:
        environ: Taken in place of the process's environment.
        overrides: Settings by their Python name; they win over the environment.

    Raises:
        SettingsError: A value makes no sense; every wrong one is named.
    """
    source = os.environ if environ is None else environ
    values: dict[str, Any] = {}
    for name in Settings.model_fields:
        text = source.get(name.upper(), "").strip()  # a secret from a file often ends in a line break
        if text:
            values[name] = text
    values.update(overrides)
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        raise SettingsError(_readable(error)) from None
    if settings.strict_settings and (misspelt := find_misspelt(source, SETTINGS)):
        raise SettingsError("\n".join(map(_name_suspect, misspelt))) from None
    return settings


def _name_suspect(suspect: Suspect) -> str:
    question = f" Is it {suspect.meant}?" if suspect.meant else ""
    return f"{suspect.name}: there is no such setting.{question} (Without STRICT_SETTINGS it would be ignored)"


def _readable(error: ValidationError) -> str:
    lines = []
    for problem in error.errors(include_input=False, include_url=False):
        message = problem["msg"].removeprefix("Value error, ")
        where = ".".join(str(part) for part in problem["loc"][:1]).upper()
        lines.append(f"{where}: {message}" if where else message)
    return "\n".join(lines)
