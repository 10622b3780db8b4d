"""Settings of the logs."""

from __future__ import annotations

import pytest

from kit.settings import assert_named
from tradecast.config.settings import load_settings


@pytest.mark.parametrize(("word", "level"), [("DEBUG", "debug"), ("warn", "warning"), ("Error", "error")])
def test_log_level_in_any_case(word: str, level: str) -> None:
    assert load_settings({"LOG_LEVEL": word}).log_level == level


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("LOG_LEVEL", "loud"),
        ("LOG_FORMAT", "xml"),
    ],
)
def test_invalid_values_are_named(variable: str, value: str) -> None:
    assert_named(variable, value)
