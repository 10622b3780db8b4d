"""What every group of settings does: it does not change, and repeats no value."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from kit.settings import SECRET, complaints
from tradecast.config.settings import Settings, load_settings


def test_settings_do_not_change() -> None:
    with pytest.raises(ValidationError):
        load_settings({}).port = 1  # type: ignore[misc]  # the test is that it cannot


@pytest.mark.parametrize("name", [name.upper() for name in Settings.model_fields])
def test_no_value_is_repeated(name: str) -> None:
    """`complaints` looks for the secret; a setting that takes any text is wrong together with another."""
    complaints(**{name: SECRET, "PING_TIMEOUT" if name != "PING_TIMEOUT" else "PING_INTERVAL": "0"})


def test_secrets_are_not_shown() -> None:
    settings = load_settings(
        {
            "REDIS_URL": f"redis://:{SECRET}@localhost",
            "REDIS_PASSWORD": SECRET,
            "REDIS_SENTINEL_PASSWORD": SECRET,
            "MONGODB_URI": f"mongodb://u:{SECRET}@localhost",
            "SESSION_SECRETS": f"{SECRET},b",
            "API_TOKEN": SECRET,
            "ADMIN_TOKEN": SECRET,
            "SENTRY_DSN": f"https://{SECRET}@localhost/1",
        }
    )
    assert SECRET not in repr(settings) + str(settings) + settings.model_dump_json()
