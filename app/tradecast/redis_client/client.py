"""Redis clients, all made the same way: timeouts, retries, TLS, ACL, Sentinel, Cluster."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import unquote

from redis.asyncio import BlockingConnectionPool
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel, SentinelConnectionPool
from redis.backoff import AbstractBackoff, NoBackoff
from redis.exceptions import RedisError
from redis.maint_notifications import MaintNotificationsConfig

from tradecast.config.errors import SettingsError
from tradecast.redis_client.cluster import ClusterClient
from tradecast.redis_client.redis_py_internals import RequestRetry
from tradecast.redis_client.single import SingleClient, create_single_client
from tradecast.redis_client.urls import (
    PORT,
    SENTINEL_PORT,
    parse_credentials,
    parse_hosts,
    parse_options,
    parse_redis_url,
    split_url,
)

if TYPE_CHECKING:  # pydantic is only needed where settings are read
    from pydantic import SecretStr

    from tradecast.config.settings import Settings, UrlName

# What Redis, and those that speak its language, say of a database that they do not have.
_DATABASE = re.compile(r"\bDB index\b|\bSELECT\b")
STEP = 0.05
CAP = 2.0
RETRIES = 3
POOL_SIZE = 50
HEALTH_CHECK_INTERVAL = 30

RedisClient = SingleClient | ClusterClient
T = TypeVar("T")


class CappedLinearBackoff(AbstractBackoff):
    """Waits min(attempt * 50 ms, 2 s) between tries."""

    def __init__(self, step: float = STEP, cap: float = CAP) -> None:
        self._step = step
        self._cap = cap

    def compute(self, failures: int) -> float:
        """Seconds to wait after the `failures`-th failure, counted from 1."""
        return min(failures * self._step, self._cap)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, CappedLinearBackoff):
            return NotImplemented
        return (self._step, self._cap) == (other._step, other._cap)

    def __hash__(self) -> int:
        return hash((self._step, self._cap))


class SentinelPool(SentinelConnectionPool, BlockingConnectionPool):
    """Connections to the master that the Sentinels name; closes its clients of the Sentinels with itself."""

    async def aclose(self) -> None:
        try:
            await super().aclose()
        finally:
            await self.sentinel_manager.aclose()


def create_redis(settings: Settings, name: UrlName = "REDIS_URL", **overrides: Any) -> RedisClient:
    """Make a client for REDIS_URL, or REDIS_CLUSTER_URL. Nothing is sent until its first request.

    `aclose()` it in the end. A request waits for at most REDIS_TIMEOUT seconds each to connect and for its answer. It
    is repeated up to 3 times on connection errors and timeouts, min(attempt * 50 ms, 2 s) apart. At most 50 requests
    run at a time, others wait for a connection; a subscription keeps one, so give it a client of its own.

    For `redis+cluster://` that is a `ClusterClient`, for which the same holds; finding the nodes counts as connecting.

    Args:
        settings: The REDIS_ settings. What the URL says wins over REDIS_USERNAME and REDIS_PASSWORD.
        name: Which URL.
        overrides: Keyword arguments of redis-py's connections and pool in place of these, such as
            `socket_timeout=None` for a subscription.

    Raises:
        SettingsError: The URL is missing or cannot be understood.
    """
    secret = settings.redis_url if name == "REDIS_URL" else settings.redis_cluster_url
    if secret is None:
        raise SettingsError(f"{name}: is not set")
    url = secret.get_secret_value()
    options: dict[str, Any] = {
        "username": settings.redis_username,
        "password": _read_secret(settings.redis_password),
        "decode_responses": False,
        "socket_timeout": settings.redis_timeout,
        "socket_connect_timeout": settings.redis_timeout,
        "health_check_interval": HEALTH_CHECK_INTERVAL,
        "retry": RequestRetry(CappedLinearBackoff(), RETRIES),
        "max_connections": POOL_SIZE,
        "timeout": settings.redis_timeout,
        # RESP2 saves the HELLO, which proxies and old servers do not know. With maintenance notifications on, the
        # pool would not notice a connection that holds a stale answer.
        "protocol": 2,
        "maint_notifications_config": MaintNotificationsConfig(enabled=False),
        "driver_info": None,
    }
    scheme = url.partition("://")[0].lower()
    if scheme.endswith("+sentinel"):
        return _sentinel_client(settings, url, options | overrides)
    if scheme.endswith("+cluster"):
        return _cluster_client(settings, url, name, options | overrides)
    if scheme == "rediss":
        options |= _tls_options(settings)
    options |= parse_redis_url(url, name)
    return create_single_client(BlockingConnectionPool(**(options | overrides)))


async def check_database(redis: RedisClient, patience: float) -> None:
    """Ask Redis whether it has the database that REDIS_URL names. One that does not answer is not asked again.

    Args:
        redis: The client.
        patience: Seconds that it may take to answer.

    Raises:
        SettingsError: It has not, and never will without being restarted: no request would come through.
    """
    if not redis.database:
        return
    try:
        async with asyncio.timeout(patience):
            await redis.check()
    except RedisError as error:  # over a Unix socket redis-py makes a ConnectionError of it
        if _DATABASE.search(str(error)):
            raise SettingsError(f"REDIS_URL: Redis refuses database {redis.database}: {error}") from None
    except (OSError, TimeoutError):
        return


def _sentinel_client(settings: Settings, url: str, options: dict[str, Any]) -> SingleClient:
    hosts, service, from_url = parse_sentinel_url(url)
    options |= from_url
    to_sentinel: dict[str, Any] = {
        name: options[name]
        for name in ("socket_timeout", "socket_connect_timeout", "health_check_interval", "protocol")
    }
    to_sentinel |= {
        "socket_timeout": settings.redis_timeout,  # an override is meant for the master
        # the retry is that of the request for which the Sentinels are asked
        "retry": Retry(NoBackoff(), 0),
        "driver_info": None,
        "maint_notifications_config": options["maint_notifications_config"],
        "username": settings.redis_sentinel_username,
        "password": _read_secret(settings.redis_sentinel_password),
    }
    if url.lower().startswith("rediss"):
        tls = {"ssl": True, **_tls_options(settings), **{n: v for n, v in from_url.items() if n.startswith("ssl_")}}
        options |= tls
        to_sentinel |= tls
    sentinel = Sentinel(hosts, sentinel_kwargs=to_sentinel)  # type: ignore[no-untyped-call]  # redis-py leaves it so
    return create_single_client(SentinelPool(service, sentinel, **options))  # type: ignore[no-untyped-call]  # as above


def _cluster_client(settings: Settings, url: str, name: UrlName, options: dict[str, Any]) -> ClusterClient:
    hosts, from_url = parse_cluster_url(url, name)
    options |= from_url
    if url.lower().startswith("rediss"):
        options |= {"ssl": True, **_tls_options(settings)}
    return ClusterClient(hosts, setting=name, **options)


def parse_cluster_url(url: str, name: UrlName = "REDIS_URL") -> tuple[list[tuple[str, int]], dict[str, Any]]:
    """Nodes and connection options of `redis+cluster://user:pw@host1:port1,host2:port2`.

    Some nodes are enough, the others are found through them. A port left out is 6379; user and password are
    percent-decoded.

    Raises:
        SettingsError: It has another form; a cluster knows no databases.
    """
    parts = split_url(url, name)
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise SettingsError(f"{name}: a Cluster URL ends after its nodes; a cluster has no databases")
    credentials, _, listed = parts.netloc.rpartition("@")
    return parse_hosts(listed, PORT, "nodes", name), parse_credentials(credentials)


def parse_sentinel_url(url: str) -> tuple[list[tuple[str, int]], str, dict[str, Any]]:
    """Sentinels, service name and connection options of `redis+sentinel://user:pw@host1:port1,host2:port2/db/service`.

    The form is python-socketio's (`AsyncRedisManager`); user and password are those of the master. A port left out
    is 26379; user and password are percent-decoded.

    Raises:
        SettingsError: It has another form.
    """
    parts = split_url(url)
    credentials, _, listed = parts.netloc.rpartition("@")
    hosts = parse_hosts(listed, SENTINEL_PORT, "Sentinels")
    path = parts.path.strip("/").split("/")
    db, service = path if len(path) == 2 else ("0", path[0]) if not path[0].isdigit() else ("", "")
    if not service or not db.isascii() or not db.isdigit():
        raise SettingsError("REDIS_URL: a Sentinel URL ends in /db/service")
    options = parse_options(parts, "REDIS_URL", tls=parts.scheme.lower() == "rediss+sentinel")
    if "db" in options:
        raise SettingsError("REDIS_URL: option `db` is the path's here: /db/service")
    return hosts, unquote(service), {"db": int(db), **parse_credentials(credentials), **options}


def _tls_options(settings: Settings) -> dict[str, Any]:
    options = {
        "ssl_ca_certs": settings.redis_ca_file,
        "ssl_certfile": settings.redis_cert_file,
        "ssl_keyfile": settings.redis_key_file,
    }
    return {name: value for name, value in options.items() if value is not None}


def _read_secret(value: SecretStr | None) -> str | None:
    return None if value is None else value.get_secret_value()
