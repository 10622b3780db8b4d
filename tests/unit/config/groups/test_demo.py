"""Settings of the group `demo`: what is refused."""

from __future__ import annotations

import pytest

from kit.settings import assert_named


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("DEMO_DAY_SECONDS", "0"),
        ("DEMO_TICK_SECONDS", "0.01"),
        *(("DEMO_START", value) for value in ("yesterday", "2012-13-01", "2012-5-1")),
    ],
)
def test_invalid_values_are_named(variable: str, value: str) -> None:
    assert_named(variable, value)
