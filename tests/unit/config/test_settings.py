"""The settings: their defaults, and what is said of values that make no sense."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from tradecast.config.settings import Settings, SettingsError, load_settings

ROOT = Path(__file__).parents[3]
SECRET = "planted-secret-value"

REQUIRED: dict[str, Any] = {
    # the requirements' sections 1 to 3 and "Security"
    "ping_interval": 25,
    "ping_timeout": 60,
    "upgrade_timeout": 10,
    "max_http_buffer_size": 1_000_000,
    "auth_required": True,
    "session_collection": "sessions",
    "session_max_age": 30 * 86_400,
    "rate_limit_window_ms": 60_000,
    "rate_limit_global": 1_000,
    "rate_limit_subscribe": 100,
    "rate_limit_unsubscribe": 100,
    "log_level": "info",
    # DESIGN §2 and §3
    "port": 8000,
    "admin_port": 9100,
    "rate_limit_broadcast": 1_000,
    "rate_limit_refresh": 10,
    "max_subscriptions_per_user": 50,
    "metrics_public": True,
    "emit_public": True,
    "session_user_path": "passport.user",
    "session_field_id": "id",
    "session_field_name": "name",
    "session_field_email": "email",
    "session_field_admin": "isAdmin",
    "session_field_tier": "subscriptionTier",
    # what is dangerous is off until it is asked for
    "cors_origin": (),
    "strict_settings": False,
    "socket_path": "/socket.io/",
    "api_token": (),
    "admin_token": (),
    "redis_url": None,
    "mongodb_uri": None,
    "sentry_dsn": None,
    "log_format": "json",
    # this server's own choices
    "host": "*",
    "admin_host": "*",
    "internal_host": "*",
    "internal_port": 9200,
    "advertised_address": None,
    "internal_cert_file": None,
    "internal_key_file": None,
    "internal_ca_file": None,
    "internal_server_name": "tradecast-internal",
    "internal_require_tls": False,
    "ssl_certfile": None,
    "ssl_keyfile": None,
    "require_tls": False,
    "shutdown_timeout": 10,
    "max_tcp_connections": None,
    "keep_alive": 75,
    "head_timeout": 20,
    "body_timeout": 30,
    "tls_timeout": 10,
    "drain_delay": 0,
    "drain_rate": 100,
    "drain_timeout": 60,
    "accept_rate": 500,
    "accept_burst": 1_000,
    "accept_wait": 5,
    "fleet_revision": None,
    "pod_name": None,
    "pod_uid": None,
    "transports": (),
    "connect_timeout": 45,
    "send_queue_limit": 10_000,
    "send_buffer_limit": 4_000_000,
    "max_connections": 10_000,
    "max_unauthenticated_per_address": 1_000,
    "trusted_proxies": 0,
    "redis_username": None,
    "redis_password": None,
    "redis_sentinel_username": None,
    "redis_sentinel_password": None,
    "redis_ca_file": None,
    "redis_cert_file": None,
    "redis_key_file": None,
    "redis_timeout": 2,
    "redis_cluster_url": None,
    "adapter_mode": "auto",
    "publish_both": 0,
    "recovery": True,
    "recovery_window": 120,
    "history_events": 1_000,
    "publish_timeout": 10,
    "publish_buffer": 10_000,
    "publish_batch": 64,
    "batch_window_ms": 0,
    "cluster_lease": 4,
    "cluster_timeout": 5,
    "channel_linger": 15,
    "subscription_batch": 500,
    "adapter_file": None,
    "mongodb_database": None,
    "mongodb_ca_file": None,
    "mongodb_timeout": 2,
    "session_store": "auto",
    "session_key_prefix": "sess:",
    "session_secrets": (),
    "session_require_signed": None,
    "session_cookie_name": None,
    "session_admin_values": ("true", "1"),
    "session_tiers": (),
    "users_collection": None,
    "users_id_field": "_id",
    "session_cache_ttl": 30,
    "revocation_poll_interval": 0.5,
    "max_connections_per_user": 10,
    "max_symbols_per_request": 100,
    "symbol_pattern": None,
    "admin_broadcast_any": False,
    "sentry_environment": "production",
    "demo_day_seconds": 20,
    "demo_tick_seconds": 0.5,
    "demo_start": "2012-05-21",
}


def complaints(**environ: str) -> list[str]:
    """What is said of these variables, a line each."""
    with pytest.raises(SettingsError) as caught:
        load_settings(environ)
    assert SECRET not in str(caught.value)
    assert SECRET not in repr(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    return str(caught.value).splitlines()


@pytest.mark.parametrize(("name", "value"), REQUIRED.items())
def test_default(name: str, value: Any) -> None:
    assert getattr(load_settings({}), name) == value


def test_tcp_connections_follow_connections() -> None:
    assert load_settings({}).most_tcp_connections == 20_256
    assert load_settings({"MAX_CONNECTIONS": "100"}).most_tcp_connections == 456
    assert load_settings({"MAX_TCP_CONNECTIONS": "7"}).most_tcp_connections == 7


def test_every_default_is_looked_at() -> None:
    assert set(REQUIRED) == set(Settings.model_fields)


def test_every_setting_has_a_meaning() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        *(("PORT", value) for value in ("abc", "-1", "65536", "80.5", "0x50")),
        ("ADMIN_PORT", "99999"),
        ("INTERNAL_PORT", "-1"),
        *(
            (variable, value)
            for variable in ("HOST", "ADMIN_HOST", "INTERNAL_HOST")
            for value in (
                "http://a",
                "a:80",
                "127.0.0.1:80",
                "[::1]:80",
                "::g",
                "a b",
                "*.a",
                "127.0.0.1,::1",
                "/run/x",
            )
        ),
        *(
            ("ADVERTISED_ADDRESS", value)
            for value in ("*", "::", "[::]", "0.0.0.0", "fe80::1%eth0", "[::1]:9200", "a:1")
        ),
        *(("ADVERTISED_ADDRESS", value) for value in ("http://10.0.0.1", "10.0.0.1/x", "a b", "x" * 254)),
        *(("PING_INTERVAL", value) for value in ("0", "-5", "nan", "inf", "25s")),
        ("PING_TIMEOUT", "0"),
        # of Node's milliseconds
        *(
            (variable, value)
            for variable, value in (
                *(("PING_INTERVAL", "25000"), ("PING_TIMEOUT", "20000"), ("UPGRADE_TIMEOUT", "10000")),
                *(("CONNECT_TIMEOUT", "45000"), ("KEEP_ALIVE", "5000"), ("HEAD_TIMEOUT", "60000")),
                *(("BODY_TIMEOUT", "1000"), ("TLS_TIMEOUT", "10000"), ("SHUTDOWN_TIMEOUT", "10000")),
                *(("REDIS_TIMEOUT", "2000"), ("MONGODB_TIMEOUT", "2000"), ("CLUSTER_TIMEOUT", "5000")),
            )
        ),
        ("DRAIN_TIMEOUT", "90000"),
        *(("MAX_UNAUTHENTICATED_PER_ADDRESS", value) for value in ("-1", "many")),
        *(("TRUSTED_PROXIES", value) for value in ("-1", "21", "10.0.0.0/8")),
        ("UPGRADE_TIMEOUT", "-1"),
        ("CONNECT_TIMEOUT", "soon"),
        ("MAX_HTTP_BUFFER_SIZE", "1MB"),
        ("SEND_QUEUE_LIMIT", "0"),
        ("MAX_CONNECTIONS", "0"),
        *(("TRANSPORTS", value) for value in ("carrier-pigeon", "polling,polling", "websocket polling")),
        *(
            ("CORS_ORIGIN", value)
            for value in (
                "example.com",
                "https://",
                "https://a.example/",
                "https://a.example/path",
                "*,https://a.example",
                "https://a b",
                "https://a.example https://b.example",
                "https://a.example,https://*",
                "http://localhost:*",
                "file:///",
                f"https://user:{SECRET}@a.example",
            )
        ),
        *(
            ("SOCKET_PATH", value)
            for value in (
                *("/", "//", "/a b", "/a?b", "/a#b", "/../x", "/./x", "https://a/socket.io", "/a%20b", "/ü", "/a\\b"),
                *("/health", "metrics/", "/api", "/api/emit", "/demo", "/demo/static/"),
                *("/health/ready", "health/live/", "/health/x", "/api/emit/socket.io"),
            )
        ),
        *(("SESSION_USER_PATH", value) for value in ("passport..user", ".passport", "passport.user.", "..", "a. .b")),
        ("REQUIRE_TLS", "perhaps"),
        ("SHUTDOWN_TIMEOUT", "0"),
        *(("REDIS_URL", value) for value in ("localhost:6379", "http://localhost", "redis:localhost", SECRET)),
        *(("REDIS_URL", f"redis+cluster://{rest}") for rest in ("", "a:1/0", "a:1,", "a:1?db=1", f":{SECRET}@", "a:x")),
        ("REDIS_TIMEOUT", "0"),
        *(("MONGODB_URI", value) for value in ("localhost", "mysql://localhost", f"user:{SECRET}@localhost")),
        ("MONGODB_TIMEOUT", "-1"),
        ("AUTH_REQUIRED", "2"),
        ("SESSION_STORE", "file"),
        ("SESSION_MAX_AGE", "315360001"),
        *(("SESSION_COOKIE_NAME", value) for value in ("", "a b", "a;b", "a=b", "x" * 101) if value),
        *(("SESSION_TIERS", value) for value in ("gold", "=free", "gold=platinum", '["gold"]', "[")),
        *(("SESSION_SECRETS", value) for value in ("[", '[""]', "[1]", '["a", 5]')),
        ("SESSION_MAX_AGE", "0"),
        ("SESSION_CACHE_TTL", "-1"),
        ("SESSION_CACHE_TTL", "301"),
        ("REVOCATION_POLL_INTERVAL", "1.5"),
        ("MAX_CONNECTIONS_PER_USER", "0"),
        ("MAX_SUBSCRIPTIONS_PER_USER", "none"),
        ("MAX_SYMBOLS_PER_REQUEST", "0"),
        ("RATE_LIMIT_WINDOW_MS", "999"),
        *((f"RATE_LIMIT_{kind}", "0") for kind in ("GLOBAL", "SUBSCRIBE", "UNSUBSCRIBE", "BROADCAST", "REFRESH")),
        ("METRICS_PUBLIC", "maybe"),
        ("EMIT_PUBLIC", "maybe"),
        ("LOG_LEVEL", "loud"),
        ("LOG_FORMAT", "xml"),
        ("DEMO_DAY_SECONDS", "0"),
        ("DEMO_TICK_SECONDS", "0.01"),
        *(("DEMO_START", value) for value in ("yesterday", "2012-13-01", "2012-5-1")),
        *(
            (variable, "/nonexistent/file.pem")
            for variable in ("REDIS_CA_FILE", "REDIS_CERT_FILE", "REDIS_KEY_FILE", "MONGODB_CA_FILE")
        ),
        # what makes sense alone, but not with the rest
        *(("ADAPTER_MODE", value) for value in ("pubsub", "sharded", "both")),
        ("REDIS_CLUSTER_URL", "redis+cluster://a"),
        *(("REDIS_CLUSTER_URL", value) for value in ("redis://a", "redis+cluster://a/0", SECRET)),
        *(("PUBLISH_BOTH", value) for value in ("1", "2", "yes")),
        ("SESSION_STORE", "redis"),
        ("SESSION_STORE", "mongodb"),
        ("USERS_COLLECTION", "users"),
        ("SESSION_REQUIRE_SIGNED", "true"),
        ("SSL_CERTFILE", __file__),
        ("SSL_KEYFILE", __file__),
        *((f"INTERNAL_{one}_FILE", __file__) for one in ("CERT", "KEY", "CA")),
        ("INTERNAL_CERT_FILE", "/nonexistent/file.pem"),
        *(("INTERNAL_SERVER_NAME", value) for value in ("-a", "a b", "https://a", "x" * 254)),
        ("INTERNAL_REQUIRE_TLS", "true"),
        ("ADMIN_PORT", "8000"),
        ("RATE_LIMIT_GLOBAL", "99"),
    ],
)
def test_nonsense_is_named(variable: str, value: str) -> None:
    (line,) = complaints(**{variable: value})
    names, _, why = line.partition(": ")
    assert variable in names.split(", ")
    assert len(why) > 5


@pytest.mark.parametrize(
    ("written", "path"),
    [
        *((one, "/push/socket.io/") for one in ("/push/socket.io", "push/socket.io/", "//push//socket.io//")),
        *(("ws", "/ws/"), ("/a/b.c/d_e~f-1/", "/a/b.c/d_e~f-1/"), ("/api/socket.io", "/api/socket.io/")),
        *(("/health.x", "/health.x/"), ("", "/socket.io/")),
    ],
)
def test_socket_path_in_one_form(written: str, path: str) -> None:
    assert load_settings({"SOCKET_PATH": written}).socket_path == path


@pytest.mark.parametrize(
    ("written", "host"),
    [
        *(("", "*"), (" ", "*"), ("*", "*"), ("::", "*"), ("[::]", "*"), ("0:0:0:0:0:0:0:0", "*"), ("::0", "*")),
        *(
            ("0.0.0.0", "0.0.0.0"),
            ("127.0.0.1", "127.0.0.1"),
            ("[::1]", "::1"),
            ("0::1", "::1"),
            ("FD00::A", "fd00::a"),
        ),
        *(("fe80::1%eth0", "fe80::1%eth0"), ("localhost", "localhost"), ("my_pod.svc.", "my_pod.svc.")),
        *(("::ffff:127.0.0.1", "127.0.0.1"), ("[::FFFF:7f00:1]", "127.0.0.1"), ("::ffff:0.0.0.0", "0.0.0.0")),
    ],
)
def test_hosts_in_one_form(written: str, host: str) -> None:
    settings = load_settings(dict.fromkeys(("HOST", "ADMIN_HOST", "INTERNAL_HOST"), written))
    assert (settings.host, settings.admin_host, settings.internal_host) == (host, host, host)


@pytest.mark.parametrize(
    ("written", "address"), [("10.0.0.1", "10.0.0.1"), ("[FD00::1]", "fd00::1"), ("0::7", "::7"), ("a.b", "a.b")]
)
def test_advertised_address_in_one_form(written: str, address: str) -> None:
    assert load_settings({"ADVERTISED_ADDRESS": written}).advertised_address == address


@pytest.mark.parametrize(
    ("host", "other"), [("::", "127.0.0.1"), ("*", "0.0.0.0"), ("0.0.0.0", "10.0.0.1"), ("a", "a")]
)
def test_ports_that_differ_in_nothing_but_a_wildcard(host: str, other: str) -> None:
    (line,) = complaints(PORT="9", ADMIN_PORT="9", HOST=host, ADMIN_HOST=other)
    assert line == "ADMIN_PORT: must differ from PORT"
    for one in ("::1", "127.0.0.2"):
        assert load_settings({"PORT": "9", "ADMIN_PORT": "9", "HOST": "127.0.0.1", "ADMIN_HOST": one}).port == 9


def test_misspelt_settings_stop_the_start_where_that_is_wanted() -> None:
    misspelt = {"API_TOKENS": SECRET, "REDIS_HOST": SECRET}
    assert load_settings(misspelt).api_token == ()
    lines = complaints(STRICT_SETTINGS="true", **misspelt)
    assert [line.partition(" (")[0] for line in lines] == [
        "API_TOKENS: there is no such setting. Is it API_TOKEN?",
        "REDIS_HOST: there is no such setting.",
    ]
    assert load_settings({"STRICT_SETTINGS": "1", "REDIS_PORT": "tcp://10.0.0.1:6379", "PATH": "/bin"}).strict_settings


def test_options_of_a_cluster_are_named() -> None:
    (line,) = complaints(REDIS_URL="redis+cluster://a:1?tls=true")
    assert "no options (option `tls`)" in line


def test_origins_of_any_scheme() -> None:
    origins = "https://*.example.com, HTTPS://B.example:443,capacitor://localhost,ionic://localhost,file://,null"
    assert len(load_settings({"CORS_ORIGIN": origins}).cors_origin) == 6


def test_origin_that_can_never_match_is_named() -> None:
    (line,) = complaints(CORS_ORIGIN="https://a.example,https://b.example/")
    assert line.startswith("CORS_ORIGIN: entry 2 can never match: nothing may follow host and port")


def test_everything_that_is_wrong_is_named_at_once() -> None:
    lines = complaints(PORT="abc", CORS_ORIGIN="nowhere", REDIS_URL=SECRET, MONGODB_URI=SECRET, LOG_LEVEL="loud")
    named = sorted(line.partition(":")[0] for line in lines)
    assert named == ["CORS_ORIGIN", "LOG_LEVEL", "MONGODB_URI", "PORT", "REDIS_URL"]


@pytest.mark.parametrize("name", [name.upper() for name in Settings.model_fields])
def test_no_value_is_repeated(name: str) -> None:
    """`complaints` looks for the secret; a setting that takes any text is wrong together with another."""
    complaints(**{name: SECRET, "PING_TIMEOUT" if name != "PING_TIMEOUT" else "PING_INTERVAL": "0"})


def test_secrets_are_not_shown() -> None:
    settings = load_settings(
        {
            "REDIS_URL": f"redis://:{SECRET}@localhost",
            "REDIS_PASSWORD": SECRET,
            "REDIS_SENTINEL_PASSWORD": SECRET,
            "MONGODB_URI": f"mongodb://u:{SECRET}@localhost",
            "SESSION_SECRETS": f"{SECRET},b",
            "API_TOKEN": SECRET,
            "ADMIN_TOKEN": SECRET,
            "SENTRY_DSN": f"https://{SECRET}@localhost/1",
        }
    )
    assert SECRET not in repr(settings) + str(settings) + settings.model_dump_json()


def test_lists_are_separated_by_commas() -> None:
    settings = load_settings(
        {
            "CORS_ORIGIN": " https://a.example , http://localhost:3000,",
            "TRANSPORTS": "polling, websocket",
            "API_TOKEN": "one, two",
            "ADMIN_TOKEN": "three",
            "SESSION_SECRETS": "new,old",
        }
    )
    assert settings.cors_origin == ("https://a.example", "http://localhost:3000")
    assert settings.offered_transports == ["polling", "websocket"]
    assert [token.get_secret_value() for token in settings.api_token] == ["one", "two"]
    assert [token.get_secret_value() for token in settings.admin_token] == ["three"]
    assert [secret.get_secret_value() for secret in settings.session_secrets] == ["new", "old"]


@pytest.mark.parametrize("origins", ["*", "https://a.example", "http://127.0.0.1:5173,https://b.example"])
def test_origins_that_make_sense(origins: str) -> None:
    assert ",".join(load_settings({"CORS_ORIGIN": origins}).cors_origin) == origins


@pytest.mark.parametrize(
    "url",
    [
        "redis://localhost",
        "rediss://user:pw@localhost:6380/1",
        "redis+sentinel://a:26379,b:26379/0/service",
        "rediss+sentinel://a/0/service",
        "redis+cluster://a:7000,b:7001,[::1]:7002",
        "rediss+cluster://user:pw@a",
        "unix:///run/redis.sock",
    ],
)
def test_redis_urls_that_make_sense(url: str) -> None:
    redis_url = load_settings({"REDIS_URL": url}).redis_url
    assert redis_url is not None
    assert redis_url.get_secret_value() == url


@pytest.mark.parametrize("uri", ["mongodb://a:1,b:2/db?replicaSet=rs", "mongodb+srv://cluster.example/db"])
def test_mongodb_uris_that_make_sense(uri: str) -> None:
    assert load_settings({"MONGODB_URI": uri}).store_name == "mongodb"


REDIS = {"REDIS_URL": "redis://localhost"}


@pytest.mark.parametrize(
    ("variables", "offered", "forwards", "waits"),
    [
        ({}, ["websocket", "polling"], False, False),
        (REDIS, ["websocket", "polling"], True, True),
        ({**REDIS, "TRANSPORTS": ""}, ["websocket", "polling"], True, True),
        ({**REDIS, "TRANSPORTS": "polling,websocket"}, ["polling", "websocket"], True, False),
        ({**REDIS, "TRANSPORTS": "polling"}, ["polling"], True, False),
        ({**REDIS, "TRANSPORTS": "websocket"}, ["websocket"], False, False),
        ({"TRANSPORTS": "websocket"}, ["websocket"], False, False),
    ],
)
def test_polling_is_offered_unless_somebody_says_otherwise(
    variables: dict[str, str], offered: list[str], forwards: bool, waits: bool
) -> None:
    settings = load_settings(variables)
    assert settings.offered_transports == offered
    assert (settings.forwards, settings.waits_for_others) == (forwards, waits)


@pytest.mark.parametrize(
    ("variables", "moves"),
    [
        (REDIS, True),
        ({**REDIS, "INTERNAL_PORT": "9200"}, False),
        ({**REDIS, "TRANSPORTS": "websocket,polling"}, False),
    ],
)
def test_the_internal_port_moves_where_nobody_has_asked_for_it(variables: dict[str, str], moves: bool) -> None:
    assert load_settings(variables).internal_port_moves is moves
    if moves:
        assert load_settings({**variables, "PORT": "9200"}).port == 9200
    else:
        assert complaints(**variables, PORT="9200") == ["INTERNAL_PORT: must differ from PORT"]


def test_the_internal_port_is_one_of_its_own_where_it_is_served() -> None:
    shared = {"INTERNAL_PORT": "9100"}
    assert load_settings(shared).internal_port == 9100, "not served"
    shared |= {"REDIS_URL": "redis://localhost", "TRANSPORTS": "websocket,polling"}
    assert complaints(**shared) == ["INTERNAL_PORT: must differ from ADMIN_PORT"]
    assert complaints(**{**shared, "INTERNAL_PORT": "8000"}) == ["INTERNAL_PORT: must differ from PORT"]
    apart = {"INTERNAL_HOST": "127.0.0.1", "ADMIN_HOST": "127.0.0.2"}
    assert load_settings({**shared, **apart}).forwards


@pytest.mark.parametrize("address", ["10.0.0.1", "fd00::1", "pod-1.tradecast.svc"])
def test_addresses_that_make_sense(address: str) -> None:
    assert load_settings({"ADVERTISED_ADDRESS": address}).advertised_address == address


@pytest.mark.parametrize(
    ("environ", "store"),
    [
        ({}, "memory"),
        ({"REDIS_URL": "redis://a"}, "redis"),
        ({"MONGODB_URI": "mongodb://a"}, "mongodb"),
        ({"REDIS_URL": "redis://a", "MONGODB_URI": "mongodb://a"}, "mongodb"),
        ({"REDIS_URL": "redis://a", "MONGODB_URI": "mongodb://a", "SESSION_STORE": "redis"}, "redis"),
        ({"REDIS_URL": "redis://a", "SESSION_STORE": "Memory "}, "memory"),
    ],
)
def test_session_store(environ: dict[str, str], store: str) -> None:
    assert load_settings(environ).store_name == store


def test_empty_variables_are_not_set() -> None:
    assert load_settings({"PORT": "", "REDIS_URL": "  ", "SSL_CERTFILE": "\n"}) == load_settings({})


def test_line_break_behind_a_secret_does_not_count() -> None:
    token = load_settings({"API_TOKEN": "token\n", "REDIS_PASSWORD": "pw\n"})
    assert token.api_token[0].get_secret_value() == "token"
    assert token.redis_password is not None
    assert token.redis_password.get_secret_value() == "pw"


@pytest.mark.parametrize(("word", "level"), [("DEBUG", "debug"), ("warn", "warning"), ("Error", "error")])
def test_log_level_in_any_case(word: str, level: str) -> None:
    assert load_settings({"LOG_LEVEL": word}).log_level == level


def test_overrides_win() -> None:
    assert load_settings({"PORT": "1"}, port=2).port == 2


def test_environment_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "4711")
    assert load_settings().port == 4711


def test_unknown_setting_is_an_error_in_code() -> None:
    with pytest.raises(SettingsError, match="PROT"):
        load_settings({}, prot=1)


def test_settings_do_not_change() -> None:
    with pytest.raises(ValidationError):
        load_settings({}).port = 1  # type: ignore[misc]  # the test is that it cannot


def test_both_ports_may_be_chosen_by_the_system() -> None:
    assert load_settings({"PORT": "0", "ADMIN_PORT": "0"}).port == 0


def test_page_is_written_from_the_settings() -> None:
    """If this fails, run `make docs`."""
    script = [sys.executable, str(ROOT / "scripts" / "write_docs.py"), "--check"]
    done = subprocess.run(script, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    page = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    assert [name for name in Settings.model_fields if f"| `{name.upper()}` |" not in page] == []


ONE, CLUSTER, BESIDE = "redis://a", "redis+cluster://a", "rediss+cluster://b"


@pytest.mark.parametrize(
    ("variables", "mode", "modes", "url", "other"),
    [
        ({}, "single", ["single"], "REDIS_URL", None),
        ({"REDIS_URL": ONE}, "pubsub", ["single", "pubsub"], "REDIS_URL", None),
        ({"REDIS_URL": ONE, "ADAPTER_MODE": "single"}, "single", ["single", "pubsub"], "REDIS_URL", None),
        ({"REDIS_URL": CLUSTER}, "sharded", ["single", "sharded"], "REDIS_URL", None),
        ({"REDIS_URL": CLUSTER, "ADAPTER_MODE": " Sharded"}, "sharded", ["single", "sharded"], "REDIS_URL", None),
        *(
            (
                {"REDIS_URL": ONE, "REDIS_CLUSTER_URL": BESIDE, "ADAPTER_MODE": asked},
                mode,
                ["single", "pubsub", "sharded"],
                url,
                other,
            )
            for asked, mode, url, other in (
                ("auto", "pubsub", "REDIS_URL", "sharded"),
                ("pubsub", "pubsub", "REDIS_URL", "sharded"),
                ("sharded", "sharded", "REDIS_CLUSTER_URL", "pubsub"),
                ("single", "single", "REDIS_URL", None),
            )
        ),
    ],
)
def test_the_mode_of_the_adapter(
    variables: dict[str, str], mode: str, modes: list[str], url: str, other: str | None
) -> None:
    settings = load_settings(variables)
    assert (settings.mode, list(settings.modes), settings.adapter_url) == (mode, modes, url)
    assert settings.other_mode == other
    if other is None:
        (line,) = complaints(**variables, PUBLISH_BOTH="1")
        assert line.startswith("PUBLISH_BOTH: needs another Redis")
    else:
        assert load_settings({**variables, "PUBLISH_BOTH": "1"}).publish_both == 1


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({"REDIS_URL": CLUSTER, "ADAPTER_MODE": "pubsub"}, "ADAPTER_MODE"),
        ({"REDIS_URL": ONE, "ADAPTER_MODE": "sharded"}, "ADAPTER_MODE"),
        ({"REDIS_URL": CLUSTER, "REDIS_CLUSTER_URL": BESIDE}, "REDIS_CLUSTER_URL"),
    ],
)
def test_modes_that_the_urls_do_not_allow(variables: dict[str, str], named: str) -> None:
    (line,) = complaints(**variables)
    assert line.startswith(f"{named}: ")


def test_a_list_may_be_json() -> None:
    settings = load_settings({"SESSION_SECRETS": '["a,b", " c "]', "SESSION_TIERS": '["a,b=premium", "x=y=free"]'})
    assert [secret.get_secret_value() for secret in settings.session_secrets] == ["a,b", " c "]
    assert settings.session_tiers == (("a,b", "premium"), ("x=y", "free"))


def test_a_cookie_needs_origins_that_are_named() -> None:
    assert load_settings({"SESSION_COOKIE_NAME": "connect.sid"}).session_cookie_name == "connect.sid"
    with pytest.raises(SettingsError, match="SESSION_COOKIE_NAME"):
        load_settings({"SESSION_COOKIE_NAME": "connect.sid", "CORS_ORIGIN": "*"})
