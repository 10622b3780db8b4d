"""Pushes events to traders' browsers and apps over Socket.IO.

What programs use stands here, and only here is promised to stay where it is (semantic versioning, CHANGELOG.md):

- `WebSocketServer`, `create_process`: a server inside a program of one's own; `Settings`, `load_settings`.
- `Publisher`, `SyncPublisher`: emit events from a process that is no server.
- `create_auth_middleware`, `create_rate_limit_middleware`, `require_admin`, `require_subscription_tier`: what a
  server asks before it lets a client in or carries an event out.
- The exceptions, each with the question that it answers: `SettingsError` (which setting is wrong),
  `NotInitialized` (`initialize()` was not awaited, or failed), `ConnectRefused` and `TryAgain` (raise them to refuse a
  connection finally, or for now), `EventRefused` (raise it to refuse an event), `AdapterUnavailable` and
  `PublishUncertain` (an event did not reach Redis, or may not have).

A name is imported when it is first used: a program that only publishes does not load the server.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from tradecast.bootstrap.ports import create_process as create_process
    from tradecast.config.settings import Settings as Settings
    from tradecast.config.settings import SettingsError as SettingsError
    from tradecast.config.settings import load_settings as load_settings
    from tradecast.connections.guards import create_auth_middleware as create_auth_middleware
    from tradecast.connections.guards import require_admin as require_admin
    from tradecast.connections.guards import require_subscription_tier as require_subscription_tier
    from tradecast.connections.rate_limits import create_rate_limit_middleware as create_rate_limit_middleware
    from tradecast.delivery.errors import AdapterUnavailable as AdapterUnavailable
    from tradecast.delivery.errors import ConnectRefused as ConnectRefused
    from tradecast.delivery.errors import EventRefused as EventRefused
    from tradecast.delivery.errors import PublishUncertain as PublishUncertain
    from tradecast.delivery.errors import TryAgain as TryAgain
    from tradecast.publishing.publisher import Publisher as Publisher
    from tradecast.publishing.sync_publisher import SyncPublisher as SyncPublisher
    from tradecast.server import NotInitialized as NotInitialized
    from tradecast.server import WebSocketServer as WebSocketServer

    __version__: str

# Where each public name is. The same as above, for the interpreter; a test holds the two together.
_MODULES: Final = {
    "AdapterUnavailable": "tradecast.delivery.errors",
    "ConnectRefused": "tradecast.delivery.errors",
    "EventRefused": "tradecast.delivery.errors",
    "NotInitialized": "tradecast.server",
    "PublishUncertain": "tradecast.delivery.errors",
    "Publisher": "tradecast.publishing.publisher",
    "Settings": "tradecast.config.settings",
    "SettingsError": "tradecast.config.settings",
    "SyncPublisher": "tradecast.publishing.sync_publisher",
    "TryAgain": "tradecast.delivery.errors",
    "WebSocketServer": "tradecast.server",
    "create_auth_middleware": "tradecast.connections.guards",
    "create_process": "tradecast.bootstrap.ports",
    "create_rate_limit_middleware": "tradecast.connections.rate_limits",
    "load_settings": "tradecast.config.settings",
    "require_admin": "tradecast.connections.guards",
    "require_subscription_tier": "tradecast.connections.guards",
}

__all__ = [
    "AdapterUnavailable",
    "ConnectRefused",
    "EventRefused",
    "NotInitialized",
    "PublishUncertain",
    "Publisher",
    "Settings",
    "SettingsError",
    "SyncPublisher",
    "TryAgain",
    "WebSocketServer",
    "__version__",
    "create_auth_middleware",
    "create_process",
    "create_rate_limit_middleware",
    "load_settings",
    "require_admin",
    "require_subscription_tier",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used (PEP 562).

    Raises:
        AttributeError: It is none of `__all__`.
    """
    if name == "__version__":
        value: Any = importlib.import_module("importlib.metadata").version("tradecast")
    elif name in _MODULES:
        value = getattr(importlib.import_module(_MODULES[name]), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
