"""URLs of Redis and MongoDB."""

from __future__ import annotations

import pytest

from kit.settings import complaints
from tradecast.config.settings import load_settings


def test_options_of_a_cluster_are_named() -> None:
    (line,) = complaints(REDIS_URL="redis+cluster://a:1?tls=true")
    assert "no options (option `tls`)" in line


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
