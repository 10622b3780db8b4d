"""Settings that a running server can change: one definition of their bounds, and what must fit together."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from kit.settings import assert_named
from tradecast.config.runtime_settings import RuntimeSettings
from tradecast.config.settings import Settings


def test_the_settings_have_the_same_defaults_and_meanings() -> None:
    for name, field in RuntimeSettings.model_fields.items():
        assert Settings.model_fields[name].default == field.default, name
        assert Settings.model_fields[name].description == field.description, name


@pytest.mark.parametrize(("window", "timeout"), [(1_000, 1), (999, 0.5)])
def test_a_batch_does_not_wait_longer_than_publishing(window: float, timeout: float) -> None:
    with pytest.raises(ValidationError, match="batch_window_ms is not below publish_timeout"):
        RuntimeSettings(batch_window_ms=window, publish_timeout=timeout)
    assert RuntimeSettings(batch_window_ms=window, publish_timeout=1.1).batch_window_ms == window


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        *(("PUBLISH_BATCH", value) for value in ("0", "1001")),
        *(("CHANNEL_LINGER", value) for value in ("-1", "3601")),
        *(("SUBSCRIPTION_BATCH", value) for value in ("0", "10001")),
    ],
)
def test_bounds_are_those_of_the_settings(variable: str, value: str) -> None:
    assert_named(variable, value)
