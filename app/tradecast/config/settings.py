"""Every setting of the server: the one place to import them from.

The environment variable has the setting's name in upper case (``REDIS_URL``, ``PING_INTERVAL``, …). An invalid value
aborts startup with `SettingsError`, which names the variable and never repeats a secret's value. `groups` defines the
settings, `model` puts them together, `loader` reads them. `docs/settings.md` is made from them and checked against
them.
"""

from tradecast.config.errors import SettingsError
from tradecast.config.groups.redis import Mode, UrlName
from tradecast.config.loader import SETTINGS, load_settings
from tradecast.config.model import Settings
from tradecast.config.types import StoreName, Transport

__all__ = ["SETTINGS", "Mode", "Settings", "SettingsError", "StoreName", "Transport", "UrlName", "load_settings"]
