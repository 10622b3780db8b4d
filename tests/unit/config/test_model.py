"""Settings together: what fits one value may not fit another."""

from __future__ import annotations

import pytest

from kit.settings import assert_named, complaints
from tradecast.config.settings import SettingsError, load_settings


def test_tcp_connections_follow_connections() -> None:
    assert load_settings({}).most_tcp_connections == 20_256
    assert load_settings({"MAX_CONNECTIONS": "100"}).most_tcp_connections == 456
    assert load_settings({"MAX_TCP_CONNECTIONS": "7"}).most_tcp_connections == 7


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


def test_both_ports_may_be_chosen_by_the_system() -> None:
    assert load_settings({"PORT": "0", "ADMIN_PORT": "0"}).port == 0


ONE, CLUSTER, BESIDE = "redis://a", "redis+cluster://a", "rediss+cluster://b"


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


def test_a_cookie_needs_origins_that_are_named() -> None:
    assert load_settings({"SESSION_COOKIE_NAME": "connect.sid"}).session_cookie_name == "connect.sid"
    with pytest.raises(SettingsError, match="SESSION_COOKIE_NAME"):
        load_settings({"SESSION_COOKIE_NAME": "connect.sid", "CORS_ORIGIN": "*"})


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        *(("ADAPTER_MODE", value) for value in ("pubsub", "sharded")),
        ("REDIS_CLUSTER_URL", "redis+cluster://a"),
        ("PUBLISH_BOTH", "1"),
        *(("SESSION_STORE", value) for value in ("redis", "mongodb")),
        ("USERS_COLLECTION", "users"),
        ("SESSION_REQUIRE_SIGNED", "true"),
        ("SSL_CERTFILE", __file__),
        ("SSL_KEYFILE", __file__),
        ("INTERNAL_CERT_FILE", __file__),
        ("INTERNAL_KEY_FILE", __file__),
        ("INTERNAL_CA_FILE", __file__),
        ("INTERNAL_REQUIRE_TLS", "true"),
        ("ADMIN_PORT", "8000"),
        ("RATE_LIMIT_GLOBAL", "99"),
        ("SLOW_CLIENT_TIMEOUT", "60"),
    ],
)
def test_values_that_do_not_fit_the_others_are_named(variable: str, value: str) -> None:
    assert_named(variable, value)
