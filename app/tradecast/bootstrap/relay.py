"""Puts together what relays requests between servers."""

from __future__ import annotations

from collections.abc import Container

from starlette.types import ASGIApp

from tradecast.config.settings import Settings
from tradecast.polling_relay.addresses import ServerAddresses
from tradecast.polling_relay.announcement import RelayAnnouncement
from tradecast.polling_relay.forwarder import Forwarder
from tradecast.polling_relay.inbox import Inbox
from tradecast.polling_relay.metrics import RelayMetrics
from tradecast.polling_relay.owner.routes import Owners
from tradecast.polling_relay.relay_service import RelayService
from tradecast.polling_relay.sids import new_boot
from tradecast.polling_relay.tls import create_internal_tls
from tradecast.redis_client.client import RedisClient

# Seconds that another server may take to end a poll, beyond what polls last.
POLL_MARGIN = 10.0


def create_announcement(settings: Settings, redis: RedisClient) -> RelayAnnouncement | None:
    """This server's part in relaying; None where the settings want no request relayed.

    Raises:
        SettingsError: Certificates cannot be used (`InternalTls`).
    """
    if not settings.forwards:
        return None
    return RelayAnnouncement(
        redis,
        ServerAddresses(redis, new_boot()),
        advertised=settings.advertised_address,
        listens_on=settings.internal_host,
        tls=create_internal_tls(settings),
    )


def create_relay(
    settings: Settings, announcement: RelayAnnouncement, app: ASGIApp, own_sids: Container[str], metrics: RelayMetrics
) -> RelayService:
    """Create what forwards requests to other servers, and what accepts theirs, around the engine.

    Args:
        settings: All of them.
        announcement: This server's part.
        app: The engine.
        own_sids: The sids of this server's connections.
        metrics: Counts.
    """
    forwarder = Forwarder(
        app,
        own_sids,
        Owners(announcement.addresses, announcement.tls),
        metrics,
        patience=settings.ping_interval + settings.ping_timeout + POLL_MARGIN,
        max_body=settings.max_http_buffer_size,
        most=settings.max_connections,
    )
    return RelayService(announcement, forwarder, Inbox(app, announcement.addresses, metrics))
