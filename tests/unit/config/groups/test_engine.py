"""Settings of the group `engine`: what is refused."""

from __future__ import annotations

import pytest

from kit.settings import assert_named
from tradecast.config.settings import load_settings


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        *(("PING_INTERVAL", value) for value in ("0", "-5", "nan", "inf", "25s", "25000")),
        *(("PING_TIMEOUT", value) for value in ("0", "20000")),
        *(("UPGRADE_TIMEOUT", value) for value in ("10000", "-1")),
        *(("CONNECT_TIMEOUT", value) for value in ("45000", "soon")),
        *(("MAX_UNAUTHENTICATED_PER_ADDRESS", value) for value in ("-1", "many")),
        *(("TRUSTED_PROXIES", value) for value in ("-1", "21", "10.0.0.0/8")),
        ("MAX_HTTP_BUFFER_SIZE", "1MB"),
        ("SEND_QUEUE_LIMIT", "0"),
        *(("CONFLATE_ABOVE_BYTES", value) for value in ("0", "1023", "8k")),
        *(("CONFLATE_ABOVE_BYTES", value) for value in ("1023", "1000000001", "4000001")),
        *(("SLOW_CLIENT_TIMEOUT", value) for value in ("0", "-1", "15s", "15000")),
        ("MAX_CONNECTIONS", "0"),
        *(("TRANSPORTS", value) for value in ("carrier-pigeon", "polling,polling", "websocket polling")),
    ],
)
def test_invalid_values_are_named(variable: str, value: str) -> None:
    assert_named(variable, value)


@pytest.mark.parametrize(
    ("environment", "seconds"),
    [
        ({}, 15),
        ({"PING_TIMEOUT": "10"}, 7.5),
        ({"PING_TIMEOUT": "10", "SLOW_CLIENT_TIMEOUT": "9"}, 9),
        ({"SLOW_CLIENT_TIMEOUT": "30"}, 30),
    ],
)
def test_patience_with_slow_clients_ends_before_the_one_for_heartbeats(
    environment: dict[str, str], seconds: float
) -> None:
    assert load_settings(environment).slow_client_patience == seconds
