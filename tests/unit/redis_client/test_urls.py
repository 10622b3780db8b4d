"""Each part of a URL of Redis works or is refused: none is passed over."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from redis.asyncio.connection import SSLConnection, UnixDomainSocketConnection

from tradecast.config.settings import SettingsError, load_settings
from tradecast.redis_client.client import create_redis, parse_sentinel_url
from tradecast.redis_client.urls import OPTIONS, parse_redis_url

HERE = str(Path(__file__))
SECRET = "hidden"
UNIX = {"connection_class": UnixDomainSocketConnection}


@pytest.mark.parametrize(
    ("url", "options"),
    [
        ("redis://", {}),
        ("redis://h", {"host": "h", "port": 6379}),
        ("redis://h:1/", {"host": "h", "port": 1}),
        ("REDIS://h:1/3", {"host": "h", "port": 1, "db": 3}),
        ("redis://h/3/", {"host": "h", "port": 6379, "db": 3}),
        ("redis://[::1]:7/0?db=0", {"host": "::1", "port": 7, "db": 0}),
        ("redis://us%40er:p%2Fw%23@h", {"host": "h", "port": 6379, "username": "us@er", "password": "p/w#"}),
        ("redis://:p:w@h", {"host": "h", "port": 6379, "password": "p:w"}),
        ("redis://h?password=p%40w&username=u", {"host": "h", "port": 6379, "username": "u", "password": "p@w"}),
        ("redis://h?family=0&tls=false", {"host": "h", "port": 6379}),
        ("redis://h?client_name=a&protocol=2", {"host": "h", "port": 6379, "client_name": "a", "protocol": 2}),
        (
            "redis://h?socket_timeout=1.5&socket_keepalive=yes&health_check_interval=0",
            {"host": "h", "port": 6379, "socket_timeout": 1.5, "socket_keepalive": True, "health_check_interval": 0},
        ),
        ("rediss://h?tls=true", {"host": "h", "port": 6379, "connection_class": SSLConnection}),
        *(
            (
                f"rediss://h?ssl_cert_reqs={word}",
                {
                    "host": "h",
                    "port": 6379,
                    "connection_class": SSLConnection,
                    "ssl_cert_reqs": "none",
                    "ssl_check_hostname": False,
                },
            )
            for word in ("none", "NONE", "CERT_NONE")
        ),
        (
            "unix:///run/redis.sock?db=2",
            {"path": "/run/redis.sock", "db": 2, "connection_class": UnixDomainSocketConnection},
        ),
        (
            "unix://u:p%40@/a%20b",
            {"path": "/a b", "username": "u", "password": "p@", "connection_class": UnixDomainSocketConnection},
        ),
    ],
)
def test_what_works(url: str, options: dict[str, Any]) -> None:
    assert parse_redis_url(url) == options


@pytest.mark.parametrize(
    ("url", "named"),
    [
        *((f"redis://h?{name}=4", f"`{name}`") for name in ("family", "connectTimeout", "keyPrefix", "unknown", "Db")),
        *((f"redis://h?tls={word}", "`tls`") for word in ("true", "", "maybe")),
        ("rediss://h?ssl=false", "`ssl`"),
        *((f"redis://h?{name}=none", f"`{name}`") for name in OPTIONS if name.startswith("ssl_")),
        *((f"rediss://h?ssl_cert_reqs={word}", "`ssl_cert_reqs`") for word in ("", "CERT_MAYBE", "0")),
        ("rediss://h?ssl_ca_certs=/nonexistent.pem", "`ssl_ca_certs`"),
        ("rediss://h?ssl_check_hostname=perhaps", "`ssl_check_hostname`"),
        *((f"redis://h?db={word}", "`db`") for word in ("", "-1", "one", "1.5", "²", "99999999999")),
        *((f"redis://h?socket_timeout={word}", "`socket_timeout`") for word in ("0", "soon", "nan", "inf", "2000")),
        ("redis://h?protocol=3", "`protocol`"),
        ("redis://h?max_connections=0", "`max_connections`"),
        ("redis://h?db=1&db=1", "`db`"),
        ("redis://h/1?db=2", "`db`"),
        ("redis://h?client_name=a%20b", "`client_name`"),
        ("unix:///s?family=4", "`family`"),
        *((f"redis://h{path}", "database") for path in ("/mydb", "/0/1", "/-1", "/1x", "//1", "/²")),
        *((f"redis://:{SECRET}@h:{port}", "host:port") for port in ("0", "99999", "abc", "", "-1")),
        ("redis://a,b", "redis+sentinel://"),
        ("redis://:6379", "host:port"),
        *(
            (f"redis://{host}", "host:port")
            for host in ("::1", "::1:6379", "fe80::1:6379", "h;db=1", "h h", "h\\x", "h:1:2")
        ),
        ("redis+sentinel://::1:26379/0/main", "host:port"),
        ("redis+sentinel://a;b/0/main", "host:port"),
        ("redis://u:@", ""),
        *((f"redis://:{SECRET}{mark}{SECRET}@h:1/0", "%23") for mark in "#?/"),
        ("redis://h/0#1", "%23"),
        *(("unix://" + rest, "unix://") for rest in ("", "/", "run/redis.sock", "localhost/run/redis.sock")),
    ],
)
def test_what_is_refused_is_named(url: str, named: str) -> None:
    if url == "redis://u:@":
        assert parse_redis_url(url) == {"username": "u", "password": ""}
        return
    with pytest.raises(SettingsError, match=r"^REDIS_URL: ") as caught:
        create_redis(load_settings({"REDIS_URL": url}))
    assert named in str(caught.value)
    assert SECRET not in str(caught.value)


def test_options_of_a_sentinel_url() -> None:
    url = f"rediss+sentinel://h/0/mine?ssl_ca_certs={HERE}&socket_timeout=3"
    options = parse_sentinel_url(url)[2]
    assert options == {"db": 0, "ssl_ca_certs": HERE, "socket_timeout": 3.0}
    redis: Any = create_redis(load_settings({"REDIS_URL": "rediss+sentinel://h/0/mine?ssl_cert_reqs=none"}))
    pool = redis.connection_pool
    for one in (pool, pool.sentinel_manager.sentinels[0].connection_pool):
        assert one.connection_kwargs["ssl_cert_reqs"] == "none"
        assert one.connection_kwargs["ssl_check_hostname"] is False


@pytest.mark.parametrize(
    "query",
    ["db=1", "family=4", "tls=true", "ssl_cert_reqs=none", "unknown=1", "socket_timeout=0"],
)
def test_options_of_a_sentinel_url_are_checked_too(query: str) -> None:
    with pytest.raises(SettingsError, match=f"^REDIS_URL: option `{query.partition('=')[0]}`"):
        parse_sentinel_url(f"redis+sentinel://h/0/mine?{query}")


def test_files_and_flags_of_the_url_win_over_settings() -> None:
    redis: Any = create_redis(
        load_settings({"REDIS_URL": f"rediss://h?ssl_ca_certs={HERE}", "REDIS_CA_FILE": __file__})
    )
    assert redis.connection_pool.connection_kwargs["ssl_ca_certs"] == HERE
