"""What is connected to, and where."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

REDIS: Final = "Redis"
MONGODB: Final = "MongoDB"
SERVER: Final = "tradecast"
Service = Literal["Redis", "MongoDB", "tradecast"]
Setting = Literal["REDIS_URL", "REDIS_CLUSTER_URL", "MONGODB_URI", "--url", "--admin-url"]
Kind = Literal["single", "cluster", "sentinel"]


@dataclass(frozen=True, slots=True)
class Place:
    """What is asked, and where.

    Attributes:
        service: What should be there.
        at: `host:port`, several with commas between, or the path of a socket; never credentials.
        setting: Which setting, or option of the command line, says so.
        tls: Whether it is asked over TLS.
        certified: Whether a client certificate is shown.
        authenticated: Whether a password is sent.
        kind: Of a Redis, what the URL says that it is.
    """

    service: Service
    at: str = ""
    setting: Setting = "REDIS_URL"
    tls: bool = False
    certified: bool = False
    authenticated: bool = False
    kind: Kind = "single"


SOME_REDIS: Final = Place(REDIS)
