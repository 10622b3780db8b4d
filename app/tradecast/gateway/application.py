"""What the Socket.IO server asks of the application above it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field
from typing import Any, Protocol

from tradecast.delivery.clients.resumption import QuotaReservation, Resumed
from tradecast.engine.http.handshake import TransportRefusal
from tradecast.engine.http.request import Request
from tradecast.engine.server import Compression
from tradecast.engine.transports.backlog import SlowReason
from tradecast.engine.transports.base import Limits, TransportName
from tradecast.gateway.bounds.packet_allowances import BURST, PER_SECOND


class Resume(Protocol):
    """Resumes a client's lost connection; called once the application knows who it is."""

    async def __call__(
        self, user: str, permitted: Callable[[str], bool], reserve_quota: QuotaReservation
    ) -> Resumed | None:
        """What was resumed, or None: the client starts a new session. See `Hub.resume`."""
        ...


@dataclass(frozen=True, slots=True)
class Accepted:
    """A client that the application accepts.

    Attributes:
        user: Whose it is; only the same user can recover the connection.
        connection_id: Its id in logs and quotas.
        rooms: The rooms that it is in at first.
        authenticated: Whether it is known who it is.
        note: The application's own; the gateway hands it back.
    """

    user: str
    connection_id: str
    rooms: Collection[str] = ()
    authenticated: bool = True
    note: Any = None


class Application(Protocol):
    """What the application above decides."""

    @property
    def connects_at_once(self) -> bool:
        """Whether `connecting` waits for nothing now, and may be stepped (`tradecast.background.stepping`)."""
        ...

    def has_namespace(self, namespace: str) -> bool:
        """Whether there is such a namespace."""
        ...

    def read_handshake(self, request: Request) -> str | None:
        """Read from a handshake what `connecting` needs; None: nothing. It is a secret."""
        ...

    async def connecting(
        self, sid: str, auth: Any, kept: str | None, transport: str, resume: Resume, namespace: str
    ) -> Accepted:
        """Accept a client, or raise `ConnectRefused` or `TryAgain`.

        Args:
            sid: The client.
            auth: What it sent with CONNECT.
            kept: What `read_handshake` kept of its transport's.
            transport: What carries it.
            resume: Resumes its lost connection.
            namespace: The namespace that it connects to.
        """
        ...

    def connected(self, sid: str, accepted: Accepted, *, recovered: bool) -> Awaitable[None] | None:
        """The client is connected, and knows it; from here on events reach it."""
        ...

    def abandoned(self, accepted: Accepted, *, displaced: bool, failed: bool = False) -> None:
        """A client that was accepted is not connected after all.

        Args:
            accepted: What `connecting` returned.
            displaced: It continues with another connection, to which its quotas pass; else its transport is gone.
            failed: The server could not connect it.
        """
        ...

    def event(self, sid: str, name: str, arguments: list[Any]) -> Awaitable[Any] | Any:
        """Carry out an event; what is returned goes to the acknowledgement. Never raises.

        A coroutine is awaited in a task; the client's next packets wait for it.
        """
        ...

    def disconnected(self, sid: str, reason: str) -> None:
        """A client that was connected is gone."""
        ...


class GatewayObserver(Protocol):
    """Counts and logs clients that are refused or cut off."""

    def origin_refused(self, reason: str, origin: str) -> None:
        """A page may not connect: one of `REASONS`, and its origin (scheme, host, port) or nothing."""
        ...

    def transport_refused(self, reason: TransportRefusal) -> None:
        """A client asked for a transport that there is, but not here, or not now."""
        ...

    def malformed(self) -> None:
        """A packet was no Socket.IO packet."""
        ...

    def limit_exceeded(self, limit: str) -> None:
        """A client was cut off because it went beyond a limit of this name."""
        ...

    def client_too_slow(self, reason: SlowReason) -> None:
        """A client's transport is closed because its link takes too little."""
        ...

    def compression_agreed(self) -> None:
        """A client has agreed to compressed messages."""
        ...

    def message_compressed(self, before: int, after: int) -> None:
        """A message was compressed, once for all that get it; bytes before and after."""
        ...


@dataclass(frozen=True, slots=True)
class Options:
    """Engine.IO's and Socket.IO's settings; times in seconds."""

    transports: Collection[TransportName]
    cors_origins: list[str] | str | None = None
    ping_interval: float = 25
    ping_timeout: float = 60
    upgrade_timeout: float = 10
    connect_timeout: float = 45
    max_http_buffer_size: int = 1_000_000
    compression: Compression = field(default_factory=Compression)
    limits: Limits = field(default_factory=Limits)
    packet_burst: int = BURST
    packets_per_second: float = PER_SECOND
    most_per_address: int = 0
    trusted_proxies: int = 0
