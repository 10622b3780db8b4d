"""URLs of Redis and MongoDB: their schemes, and the form of a Cluster's. The drivers check the rest. Pure."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, SecretStr

CLUSTER_SCHEMES = ("redis+cluster", "rediss+cluster")
REDIS_SCHEMES = ("redis", "rediss", "redis+sentinel", "rediss+sentinel", *CLUSTER_SCHEMES, "unix")
MONGODB_SCHEMES = ("mongodb", "mongodb+srv")
CLUSTER_NODE = r"(?:\[[0-9A-Fa-f:.]+\]|[^][:,@/?#\s]+)(?::\d{1,5})?"
CLUSTER_URL = re.compile(rf"rediss?\+cluster://(?:[^/?#\s]*@)?{CLUSTER_NODE}(?:,{CLUSTER_NODE})*/?", re.IGNORECASE)


def check_scheme(url: SecretStr | None, schemes: tuple[str, ...]) -> SecretStr | None:
    """A URL with one of the schemes."""
    # Several hosts (Sentinel, replica sets) are nothing that urlsplit could look into; the drivers check the rest.
    if url is not None and not url.get_secret_value().lower().startswith(tuple(f"{scheme}://" for scheme in schemes)):
        raise ValueError(f"must start with {' or '.join(scheme + '://' for scheme in schemes)}")
    return url


def check_cluster_url(url: SecretStr | None) -> SecretStr | None:
    """A URL that, if it is a Cluster's, has nodes and nothing behind them."""
    if url is not None and is_cluster(url) and not CLUSTER_URL.fullmatch(url.get_secret_value()):
        option = re.search(r"\?([A-Za-z_]{1,40})=", url.get_secret_value().rpartition("@")[2])
        which = f" (option `{option[1]}`)" if option else ""
        raise ValueError(
            f"redis+cluster:// must be followed by nodes only, host:port,host:port: no database, no options{which}"
        )
    return url


def is_cluster(url: SecretStr) -> bool:
    """Whether a URL is a Redis Cluster's."""
    return url.get_secret_value().partition("://")[0].lower().endswith("+cluster")


def check_redis_url(url: SecretStr | None) -> SecretStr | None:
    """Any that Redis can have."""
    return check_cluster_url(check_scheme(url, REDIS_SCHEMES))


def check_redis_cluster_url(url: SecretStr | None) -> SecretStr | None:
    """One of a Redis Cluster."""
    return check_cluster_url(check_scheme(url, CLUSTER_SCHEMES))


def check_mongodb_uri(url: SecretStr | None) -> SecretStr | None:
    """Any that MongoDB can have."""
    return check_scheme(url, MONGODB_SCHEMES)


RedisUrl = Annotated[SecretStr | None, AfterValidator(check_redis_url)]
RedisClusterUrl = Annotated[SecretStr | None, AfterValidator(check_redis_cluster_url)]
MongodbUri = Annotated[SecretStr | None, AfterValidator(check_mongodb_uri)]
