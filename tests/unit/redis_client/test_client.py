from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from redis.asyncio.connection import Connection, SSLConnection

from kit.network.tls import make_certificates
from tradecast.config.settings import SettingsError, load_settings
from tradecast.redis_client.client import (
    CappedLinearBackoff,
    create_redis,
    parse_cluster_url,
    parse_sentinel_url,
)
from tradecast.redis_client.cluster import ClusterClient


def test_backoff_is_fifty_milliseconds_an_attempt_up_to_two_seconds() -> None:
    backoff = CappedLinearBackoff()
    assert [backoff.compute(n) for n in (1, 2, 3)] == pytest.approx([0.05, 0.1, 0.15])
    assert [backoff.compute(n) for n in (39, 40, 41, 1000)] == pytest.approx([1.95, 2, 2, 2])


@pytest.mark.parametrize(
    ("url", "hosts", "service", "options"),
    [
        ("redis+sentinel://h1:1,h2:2/0/mine", [("h1", 1), ("h2", 2)], "mine", {"db": 0}),
        ("redis+sentinel://h1/3/mine", [("h1", 26379)], "mine", {"db": 3}),
        ("redis+sentinel://h1,h2:2/mine", [("h1", 26379), ("h2", 2)], "mine", {"db": 0}),
        ("redis+sentinel://[::1]:5,[::2]/0/mine", [("::1", 5), ("::2", 26379)], "mine", {"db": 0}),
        (
            "rediss+sentinel://us%40er:p%2Fw@h1:1/0/mine",
            [("h1", 1)],
            "mine",
            {"db": 0, "username": "us@er", "password": "p/w"},
        ),
        ("redis+sentinel://:pw@h1:1/0/mine", [("h1", 1)], "mine", {"db": 0, "password": "pw"}),
    ],
)
def test_sentinel_urls(url: str, hosts: Any, service: str, options: Any) -> None:
    assert parse_sentinel_url(url) == (hosts, service, options)


@pytest.mark.parametrize(
    "url",
    [
        "redis+sentinel://h1:1",
        "redis+sentinel://h1:1/0",
        "redis+sentinel://h1:1/0/",
        "redis+sentinel://h1:1/x/mine",
        "redis+sentinel://h1:1/0/mine/more",
        "redis+sentinel://:hidden@h1:no/0/mine",
        "redis+sentinel://h1:70000/0/mine",
        "redis+sentinel://h1:1,,h2:2/0/mine",
        "redis+sentinel:///0/mine",
        "redis://:hidden@h1:no/0",
        "unix://",
    ],
)
def test_an_url_that_is_invalid_is_reported_without_its_secrets(url: str) -> None:
    settings = load_settings({"REDIS_URL": url})
    with pytest.raises(SettingsError, match=r"^REDIS_URL: ") as caught:
        create_redis(settings)
    assert "hidden" not in str(caught.value)


def test_no_url_is_reported() -> None:
    with pytest.raises(SettingsError, match="REDIS_URL: is not set"):
        create_redis(load_settings({}))


@pytest.mark.parametrize(
    ("url", "hosts", "options"),
    [
        ("redis+cluster://h1:1,h2:2", [("h1", 1), ("h2", 2)], {}),
        ("redis+cluster://h1/", [("h1", 6379)], {}),
        ("redis+cluster://[::1]:5,[::2]", [("::1", 5), ("::2", 6379)], {}),
        ("rediss+cluster://us%40er:p%2Fw@h1:1", [("h1", 1)], {"username": "us@er", "password": "p/w"}),
        ("REDIS+CLUSTER://:pw@h1:1", [("h1", 1)], {"password": "pw"}),
    ],
)
def test_cluster_urls(url: str, hosts: Any, options: Any) -> None:
    assert load_settings({"REDIS_URL": url}).redis_url is not None
    assert parse_cluster_url(url) == (hosts, options)


@pytest.mark.parametrize(
    "url",
    [
        "redis+cluster://",
        "redis+cluster://:hidden@",
        "redis+cluster://:hidden@h1:1/0",
        "redis+cluster://h1:1/0/mine",
        "redis+cluster://h1:1?db=1",
        "redis+cluster://h1:1#hidden",
        "redis+cluster://h1:1,",
        "redis+cluster://h1:1,,h2:2",
        "redis+cluster://h1:one",
    ],
)
def test_a_cluster_url_of_another_form_is_reported_at_the_start_without_its_secrets(url: str) -> None:
    for parse in (lambda: load_settings({"REDIS_URL": url}), lambda: parse_cluster_url(url)):
        with pytest.raises(SettingsError, match=r"^REDIS_URL: ") as caught:
            parse()
        assert "hidden" not in str(caught.value)


async def test_a_cluster_client_has_the_settings_of_every_other() -> None:
    environ = {"REDIS_URL": "redis+cluster://h1,h2:2", "REDIS_USERNAME": "caster", "REDIS_PASSWORD": "pw"}
    client = create_redis(load_settings({**environ, "REDIS_TIMEOUT": "0.7"}))
    assert isinstance(client, ClusterClient)
    assert client.hosts == [("h1", 6379), ("h2", 2)]
    options = client.get_connection_kwargs()
    expected = {
        "username": "caster",
        "password": "pw",
        "protocol": 2,
        "decode_responses": False,
        "socket_timeout": 0.7,
        "socket_connect_timeout": 0.7,
        "health_check_interval": 30,
        "connection_class": Connection,
    }
    assert {name: options[name] for name in expected} == expected


async def test_a_cluster_client_with_tls_and_credentials_of_the_url(tmp_path: Path) -> None:
    made = make_certificates(tmp_path)
    environ = {
        "REDIS_URL": "rediss+cluster://one:pw1@h1",
        "REDIS_USERNAME": "two",
        "REDIS_CA_FILE": made.ca,
        "REDIS_CERT_FILE": made.client_cert,
        "REDIS_KEY_FILE": made.client_key,
    }
    client = create_redis(load_settings(environ))
    assert isinstance(client, ClusterClient)
    options = client.get_connection_kwargs()
    assert options["connection_class"] is SSLConnection
    assert (options["username"], options["password"]) == ("one", "pw1")
    assert (options["ssl_ca_certs"], options["ssl_certfile"]) == (made.ca, made.client_cert)
    assert (options["ssl_keyfile"], options["ssl_check_hostname"]) == (made.client_key, True)
