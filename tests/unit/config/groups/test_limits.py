"""Settings of the group `limits`: what is refused."""

from __future__ import annotations

import pytest

from kit.settings import assert_named


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("MAX_CONNECTIONS_PER_USER", "0"),
        ("MAX_SUBSCRIPTIONS_PER_USER", "none"),
        ("MAX_SYMBOLS_PER_REQUEST", "0"),
        ("RATE_LIMIT_WINDOW_MS", "999"),
        ("RATE_LIMIT_GLOBAL", "0"),
        ("RATE_LIMIT_SUBSCRIBE", "0"),
        ("RATE_LIMIT_UNSUBSCRIBE", "0"),
        ("RATE_LIMIT_BROADCAST", "0"),
        ("RATE_LIMIT_REFRESH", "0"),
    ],
)
def test_invalid_values_are_named(variable: str, value: str) -> None:
    assert_named(variable, value)
