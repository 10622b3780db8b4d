"""Redis, and how events pass through it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, SecretStr

from tradecast.config.groups.base import Group
from tradecast.config.types import (
    ReadableFile,
    Seconds,
    lower_text,
)
from tradecast.config.urls import RedisClusterUrl, RedisUrl, is_cluster

UrlName = Literal["REDIS_URL", "REDIS_CLUSTER_URL"]
Mode = Literal["single", "pubsub", "sharded"]


class RedisSettings(Group):
    """Connections to Redis, and the mode."""

    redis_url: RedisUrl = Field(
        None,
        description="redis://, rediss://, redis+sentinel://host:port,host:port/db/service, "
        "redis+cluster://host:port,host:port or unix://; absent: single-server mode. Options of "
        "redis-py that are useful here are supported (`?ssl_cert_reqs=none`), any other aborts startup",
    )
    redis_cluster_url: RedisClusterUrl = Field(
        None,
        description="redis+cluster://host:port,host:port or rediss+cluster://: a Redis Cluster in addition to the "
        "single Redis of REDIS_URL, for mode `sharded`; everything but events, their history and "
        "recovery stays at REDIS_URL. User, password and files of the REDIS_ settings apply to both "
        "([redis.md](redis.md#from-one-mode-to-another))",
    )
    adapter_mode: Annotated[Literal["auto", "single", "pubsub", "sharded"], BeforeValidator(lower_text)] = Field(
        "auto",
        description="How events reach other servers: not at all (single), through one Redis (pubsub), or through a "
        "Redis Cluster (sharded); auto: single without REDIS_URL, sharded if that is a Cluster's, else "
        "pubsub",
    )
    redis_username: str | None = Field(None, description="ACL user, if not in the URL")
    redis_password: SecretStr | None = Field(None, description="Password, if not in the URL")
    redis_sentinel_username: str | None = Field(None, description="ACL user of the Sentinels")
    redis_sentinel_password: SecretStr | None = Field(None, description="Password of the Sentinels")
    redis_ca_file: ReadableFile = Field(None, description="PEM bundle of the authority that signs Redis' certificate")
    redis_cert_file: ReadableFile = Field(None, description="PEM client certificate for Redis")
    redis_key_file: ReadableFile = Field(None, description="PEM key of the client certificate for Redis")
    redis_timeout: Seconds = Field(
        2, description="Seconds that each attempt of a Redis request may take (at most 3 retries)"
    )

    @property
    def modes(self) -> tuple[Mode, ...]:
        """The modes that the URLs allow."""
        modes: list[Mode] = ["single"]
        if self.redis_url is not None and not is_cluster(self.redis_url):
            modes.append("pubsub")
        if self.redis_cluster_url is not None or (self.redis_url is not None and is_cluster(self.redis_url)):
            modes.append("sharded")
        return tuple(modes)

    @property
    def mode(self) -> Mode:
        """ADAPTER_MODE with `auto` decided."""
        if self.adapter_mode != "auto":
            return self.adapter_mode
        if self.redis_url is None:
            return "single"
        return "sharded" if is_cluster(self.redis_url) else "pubsub"

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
