"""The ports of a server: what each serves, and its share of the files that may be open."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Protocol

import structlog
from starlette.types import ASGIApp

from tradecast.bootstrap.metrics import ServerMetrics
from tradecast.config.settings import Settings
from tradecast.engine.http.certificates import Certificate
from tradecast.engine.http.connection_bounds import ConnectionBounds, HttpLimits
from tradecast.engine.uvicorn.websocket_handshake import Upgrades
from tradecast.lifecycle.open_files import Shares, read_file_limit
from tradecast.lifecycle.process import Listener, Process, ProcessHooks
from tradecast.polling_relay.owner.http_client import SERVER_KEEPS
from tradecast.polling_relay.tls import InternalTls

# Seconds that a connection of the admin port may be idle: probes and Prometheus ask every few of them.
ADMIN_KEEPS: Final = 5
# What another server may add to the head of a request that it forwards.
FORWARDED_BYTES, FORWARDED_LINES = 4_096, 16
log = structlog.stdlib.get_logger("tradecast.server")


class Served(Protocol):
    """An initialized server."""

    @property
    def settings(self) -> Settings: ...
    @property
    def metrics(self) -> ServerMetrics: ...
    def public_app(self) -> ASGIApp: ...
    def admin_app(self) -> ASGIApp: ...
    def internal_app(self) -> ASGIApp | None: ...
    def public_upgrades(self) -> Upgrades: ...
    def internal_upgrades(self) -> Upgrades | None: ...
    def public_certificate(self) -> Certificate | None: ...
    def internal_tls(self) -> InternalTls | None: ...
    async def internal_listening(self, port: int, *, tls: bool = False) -> None: ...
    def listening(self) -> None: ...
    async def send_away(self) -> None: ...


def create_process(server: Served) -> Process:
    """An initialized server's ports: public, admin, and the internal one where it is needed."""
    settings, metrics = server.settings, server.metrics.http
    internal = server.internal_app()
    limit = read_file_limit()
    shares = Shares.of(limit, settings.most_tcp_connections, internal=internal is not None)
    needed = settings.max_tcp_connections or settings.max_connections
    if shares.clients < needed:
        log.warning(
            "RLIMIT_NOFILE is too low for MAX_CONNECTIONS: fewer TCP connections are accepted",
            limit=limit,
            needed=needed,
            taken=shares.clients,
        )

    def bound(port: str, most: int, **limits: Any) -> ConnectionBounds:
        timed = HttpLimits(
            head_seconds=settings.head_timeout,
            hurried_head_seconds=settings.head_timeout / 4,
            body_seconds=settings.body_timeout,
            **limits,
        )
        made = ConnectionBounds(timed, most=most, evicts_silent=port == "admin", observer=metrics)
        metrics.watch_port(port, made, most)
        return made

    listeners = [
        Listener(
            "public",
            server.public_app(),
            settings.host,
            settings.port,
            tls=server.public_certificate(),
            upgrades=server.public_upgrades(),
            bounds=bound("public", shares.clients, keep_alive=settings.keep_alive),
            backlog=shares.backlog,
            tls_timeout=settings.tls_timeout,
        ),
        Listener(
            "admin",
            server.admin_app(),
            settings.admin_host,
            settings.admin_port,
            bounds=bound("admin", shares.admin, keep_alive=ADMIN_KEEPS),
        ),
    ]
    tls = server.internal_tls()
    if internal is not None:
        # Forwarded requests also have a signature, and what the other server knows of the connection.
        own = HttpLimits()
        head = {"head_bytes": own.head_bytes + FORWARDED_BYTES, "head_lines": own.head_lines + FORWARDED_LINES}
        listeners.append(
            Listener(
                "internal",
                internal,
                settings.internal_host,
                settings.internal_port,
                upgrades=server.internal_upgrades(),
                bounds=bound("internal", shares.servers, keep_alive=SERVER_KEEPS, **head),
                backlog=shares.backlog,
                moves=settings.internal_port_moves,
                tls=tls,
                also_plain=tls is not None and not tls.required,
                tls_timeout=settings.tls_timeout,
            )
        )

    return Process(listeners, _ServerHooks(server, has_tls=tls is not None), grace=settings.shutdown_timeout)


class _ServerHooks(ProcessHooks):
    def __init__(self, server: Served, *, has_tls: bool) -> None:
        self._server = server
        self._has_tls = has_tls

    async def ports_bound(self, ports: Mapping[str, int]) -> None:
        if "internal" in ports:
            await self._server.internal_listening(ports["internal"], tls=self._has_tls)

    def listening(self) -> None:
        self._server.listening()

    async def before_stop(self) -> None:
        await self._server.send_away()
