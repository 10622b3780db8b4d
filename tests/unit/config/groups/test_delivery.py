"""Settings of delivery: their bounds."""

from __future__ import annotations

import pytest

from kit.settings import assert_named


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("RECOVERY", "perhaps"),
        *(("RECOVERY_WINDOW", value) for value in ("0", "3601")),
        *(("HISTORY_EVENTS", value) for value in ("0", "1000001")),
        *(("CLUSTER_LEASE", value) for value in ("0.4", "61")),
        ("CLUSTER_TIMEOUT", "0"),
    ],
)
def test_invalid_values_are_named(variable: str, value: str) -> None:
    assert_named(variable, value)
