"""The settings: their defaults, and what is said of values that make no sense."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tradecast.config.settings import Settings, load_settings

ROOT = Path(__file__).parents[3]
REQUIRED: dict[str, Any] = {
    # the requirements' sections 1 to 3 and "Security"
    "ping_interval": 25,
    "ping_timeout": 60,
    "upgrade_timeout": 10,
    "max_http_buffer_size": 1_000_000,
    "auth_required": True,
    "session_collection": "sessions",
    "session_max_age": 30 * 86_400,
    "rate_limit_window_ms": 60_000,
    "rate_limit_global": 1_000,
    "rate_limit_subscribe": 100,
    "rate_limit_unsubscribe": 100,
    "log_level": "info",
    # DESIGN §2 and §3
    "port": 8000,
    "admin_port": 9100,
    "rate_limit_broadcast": 1_000,
    "rate_limit_refresh": 10,
    "max_subscriptions_per_user": 50,
    "metrics_public": True,
    "emit_public": True,
    "session_user_path": "passport.user",
    "session_field_id": "id",
    "session_field_name": "name",
    "session_field_email": "email",
    "session_field_admin": "isAdmin",
    "session_field_tier": "subscriptionTier",
    # what is dangerous is off until it is asked for
    "cors_origin": (),
    "strict_settings": False,
    "socket_path": "/socket.io/",
    "http_compression": True,
    "api_token": (),
    "admin_token": (),
    "redis_url": None,
    "mongodb_uri": None,
    "sentry_dsn": None,
    "log_format": "json",
    # this server's own choices
    "host": "*",
    "admin_host": "*",
    "internal_host": "*",
    "internal_port": 9200,
    "advertised_address": None,
    "internal_cert_file": None,
    "internal_key_file": None,
    "internal_ca_file": None,
    "internal_server_name": "tradecast-internal",
    "internal_require_tls": False,
    "ssl_certfile": None,
    "ssl_keyfile": None,
    "require_tls": False,
    "shutdown_timeout": 10,
    "max_tcp_connections": None,
    "keep_alive": 75,
    "head_timeout": 20,
    "body_timeout": 30,
    "tls_timeout": 10,
    "drain_delay": 0,
    "drain_rate": 100,
    "drain_timeout": 60,
    "platform_notice": 0,
    "accept_rate": 500,
    "accept_burst": 1_000,
    "accept_wait": 5,
    "fleet_revision": None,
    "pod_name": None,
    "pod_uid": None,
    "transports": (),
    "connect_timeout": 45,
    "send_queue_limit": 10_000,
    "send_buffer_limit": 4_000_000,
    "websocket_compression": False,
    "websocket_compression_above": 1_024,
    "conflate_above_bytes": 4_096,
    "slow_client_timeout": 15,
    "max_connections": 10_000,
    "max_unauthenticated_per_address": 1_000,
    "trusted_proxies": 0,
    "redis_username": None,
    "redis_password": None,
    "redis_sentinel_username": None,
    "redis_sentinel_password": None,
    "redis_ca_file": None,
    "redis_cert_file": None,
    "redis_key_file": None,
    "redis_timeout": 2,
    "redis_cluster_url": None,
    "adapter_mode": "auto",
    "publish_both": 0,
    "recovery": True,
    "recovery_window": 120,
    "history_events": 1_000,
    "publish_timeout": 10,
    "publish_buffer": 10_000,
    "publish_batch": 64,
    "batch_window_ms": 0,
    "cluster_lease": 4,
    "cluster_timeout": 5,
    "channel_linger": 15,
    "subscription_batch": 500,
    "adapter_file": None,
    "retain_seconds": 86_400,
    "retain_value_bytes": 16_384,
    "retain_budget_bytes": 268_435_456,
    "throttle": (),
    "stale_after": (),
    "quote_age_sample": 100,
    "mongodb_database": None,
    "mongodb_ca_file": None,
    "mongodb_timeout": 2,
    "session_store": "auto",
    "session_key_prefix": "sess:",
    "session_secrets": (),
    "session_require_signed": None,
    "session_cookie_name": None,
    "session_admin_values": ("true", "1"),
    "session_tiers": (),
    "users_collection": None,
    "users_id_field": "_id",
    "session_cache_ttl": 30,
    "revocation_poll_interval": 0.5,
    "max_connections_per_user": 10,
    "max_symbols_per_request": 100,
    "symbol_pattern": None,
    "admin_broadcast_any": False,
    "sentry_environment": "production",
    "demo_day_seconds": 20,
    "demo_tick_seconds": 0.5,
    "demo_start": "2012-05-21",
}


@pytest.mark.parametrize(("name", "value"), REQUIRED.items())
def test_default(name: str, value: Any) -> None:
    assert getattr(load_settings({}), name) == value


def test_every_default_is_looked_at() -> None:
    assert set(REQUIRED) == set(Settings.model_fields)


def test_every_setting_has_a_meaning() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


def test_page_is_written_from_the_settings() -> None:
    """If this fails, run `make docs`."""
    script = [sys.executable, str(ROOT / "scripts" / "write_docs.py"), "--check"]
    done = subprocess.run(script, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    page = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    assert [name for name in Settings.model_fields if f"| `{name.upper()}` |" not in page] == []
