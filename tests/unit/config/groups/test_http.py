"""Settings of the group `http`: what is refused."""

from __future__ import annotations

import pytest

from kit.settings import assert_named


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("METRICS_PUBLIC", "maybe"),
        ("EMIT_PUBLIC", "maybe"),
    ],
)
def test_invalid_values_are_named(variable: str, value: str) -> None:
    assert_named(variable, value)
