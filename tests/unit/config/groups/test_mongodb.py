"""Settings of the group `mongodb`: what is refused."""

from __future__ import annotations

import pytest

from kit.settings import SECRET, assert_named


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        *(("MONGODB_TIMEOUT", value) for value in ("2000", "-1")),
        *(("MONGODB_URI", value) for value in ("localhost", "mysql://localhost", f"user:{SECRET}@localhost")),
        ("MONGODB_CA_FILE", "/nonexistent/file.pem"),
    ],
)
def test_invalid_values_are_named(variable: str, value: str) -> None:
    assert_named(variable, value)
