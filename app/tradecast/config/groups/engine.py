"""Engine.IO: transports, heartbeats, and what a client may use."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from tradecast.config.groups.base import Group
from tradecast.config.types import (
    Count,
    Seconds,
    Transport,
    Transports,
)


class EngineSettings(Group):
    """Engine.IO."""

    transports: Transports = Field(
        (),
        description="Transports offered; empty for `websocket,polling`: with REDIS_URL as soon as all servers "
        "there serve the internal port, which polling on several servers needs; until then, and "
        "embedded under ASGI without that port, `websocket` only ([client.md](client.md#transports))",
    )
    ping_interval: Seconds = Field(25, description="Seconds between heartbeats")
    ping_timeout: Seconds = Field(60, description="Seconds a client may take to answer a heartbeat")
    upgrade_timeout: Seconds = Field(10, description="Seconds an upgrade from polling to WebSocket may take")
    connect_timeout: Seconds = Field(
        45, description="Seconds a client may stay connected without joining the namespace"
    )
    max_http_buffer_size: Count = Field(1_000_000, description="Largest message that a client may send, in bytes")
    send_queue_limit: Count = Field(
        10_000, description="Messages that may be queued for a client that does not read, before it is disconnected"
    )
    send_buffer_limit: Count = Field(
        4_000_000, description="Bytes that may be queued for such a client; a single message may be larger"
    )
    websocket_compression: bool = Field(
        False,
        description="Compress large WebSocket messages for clients that offer permessage-deflate. Each is compressed "
        "once for all its recipients. Off: Safari's implementation has open faults "
        "([client.md](client.md#compression))",
    )
    websocket_compression_above: Annotated[int, Field(ge=0)] = Field(
        1_024, description="Bytes up to which a message, or a binary part of one, is not compressed"
    )
    conflate_above_bytes: Annotated[int, Field(ge=1_024, le=1_000_000_000)] = Field(
        4_096,
        description="Bytes that the system may have and not sent to a client, or that may wait for its next poll, "
        "before messages wait for it in a queue where newer quotes replace older ones. Lower: fresher quotes on slow "
        "links; higher: fewer, larger writes. Where the system has no TCP_NOTSENT_LOWAT, what it keeps does not count",
    )
    slow_client_timeout: Seconds = Field(
        15,
        description="Seconds that a message which may not be replaced may wait for a slow client, before its "
        "transport is closed, so that the client reconnects and recovers. Must be less than PING_TIMEOUT; "
        "by default it is at most three quarters of that",
    )
    max_connections: Count = Field(
        10_000, description="Connections that this server accepts; further ones are refused with 503"
    )
    max_unauthenticated_per_address: Annotated[int, Field(ge=0)] = Field(
        1_000,
        description="Connections of this server that one client address (of IPv6: one /64 network) may have while "
        "their clients are not authenticated; further ones are refused with 503. 0: any number. "
        "Private addresses, which are a load balancer's, are not counted where TRUSTED_PROXIES is 0",
    )
    trusted_proxies: Annotated[int, Field(ge=0, le=20)] = Field(
        0,
        description="Proxies and load balancers in front, each of which appends the address of its peer to "
        "X-Forwarded-For: this distinguishes their entries from what the client wrote",
    )

    @property
    def slow_client_patience(self) -> float:
        """SLOW_CLIENT_TIMEOUT, or its default."""
        if "slow_client_timeout" in self.model_fields_set:
            return self.slow_client_timeout
        return min(self.slow_client_timeout, self.ping_timeout * 0.75)

    @property
    def offered_transports(self) -> list[Transport]:
        """TRANSPORTS, or its default. On several servers polling may have to wait (`waits_for_others`)."""
        return list(self.transports) or ["websocket", "polling"]
