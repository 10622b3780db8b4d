"""The apps of a server's ports, made of its components."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.routing import BaseRoute
from starlette.types import ASGIApp

from tradecast.bootstrap.components import Components
from tradecast.engine.http.handshake import Entrance
from tradecast.engine.uvicorn.websocket_handshake import Upgrades
from tradecast.events.emitters import Emitters
from tradecast.http.admin import StatsSource, admin_routes, drain_routes
from tradecast.http.app import create_app
from tradecast.http.emit import emit_routes
from tradecast.http.health import health_routes
from tradecast.http.metrics_page import metrics_route
from tradecast.http.public import PublicApp, PublicEntrance
from tradecast.http.signed_requests import SignedRequests
from tradecast.sessions.admin import SessionAdmin


class Apps:
    """Makes the apps.

    Args:
        components: Of the server.
        emitter: Sends what `/api/emit` is given.
        stats: What `/admin/stats` answers with.
    """

    def __init__(self, components: Components, emitter: Emitters, stats: StatsSource) -> None:
        self._components = components
        self._emitter = emitter
        self._stats = stats

    def public(self, extra_routes: Sequence[BaseRoute]) -> ASGIApp:
        """The app of the public port.

        Args:
            extra_routes: Served beside the product's own.
        """
        parts, foundation = self._components, self._components.foundation
        settings = foundation.settings
        routes = health_routes(foundation.health, parts.readiness)
        if settings.metrics_public:
            routes.append(metrics_route(foundation.metrics))
        if settings.emit_public:
            routes.extend(emit_routes(self._emitter, settings.api_token, foundation.symbols))
        routes.extend(extra_routes)
        return PublicApp(
            parts.gate,
            create_app(routes, foundation.lines, compress=settings.http_compression),
            require_tls=settings.require_tls,
            socket_path=settings.socket_path,
        )

    def admin(self) -> ASGIApp:
        """The app of the admin port."""
        parts, foundation = self._components, self._components.foundation
        settings = foundation.settings
        tokens = settings.admin_token
        # Without the pod's uid nobody could sign for this server and no other.
        signed = SignedRequests(tokens, settings.pod_uid) if tokens and settings.pod_uid else None
        sessions = SessionAdmin(parts.sessions)
        return create_app(
            [
                *health_routes(foundation.health, parts.readiness, private=True),
                metrics_route(foundation.metrics),
                *emit_routes(self._emitter, settings.api_token, foundation.symbols),
                *admin_routes(sessions, self._stats, tokens, settings.session_max_age, signed),
                *drain_routes(parts.drain, tokens, signed),
            ],
            foundation.lines,
            compress=settings.http_compression,
        )

    def public_upgrades(self) -> Upgrades:
        """Where WebSockets of the public port go when the HTTP server hands over their connections."""
        parts, settings = self._components, self._components.foundation.settings
        steps: list[Entrance] = [parts.gate]
        if parts.relay is not None:
            steps.append(parts.relay.forwarder)
        entrance = PublicEntrance(steps, require_tls=settings.require_tls, socket_path=settings.socket_path)
        return Upgrades(parts.socket_server.eio, entrance)

    def internal_upgrades(self) -> Upgrades | None:
        """Where WebSockets of the internal port go; None without that port."""
        relay = self._components.relay
        return None if relay is None else Upgrades(self._components.socket_server.eio, relay.inbox)
