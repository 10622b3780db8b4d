"""Settings of the group `sessions`: what is refused."""

from __future__ import annotations

import pytest

from kit.settings import assert_named


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        *(("SESSION_USER_PATH", value) for value in ("passport..user", ".passport", "passport.user.", "..", "a. .b")),
        ("AUTH_REQUIRED", "2"),
        ("SESSION_STORE", "file"),
        *(("SESSION_MAX_AGE", value) for value in ("315360001", "0")),
        *(("SESSION_COOKIE_NAME", value) for value in ("a b", "a;b", "a=b", "x" * 101)),
        *(("SESSION_TIERS", value) for value in ("gold", "=free", "gold=platinum", '["gold"]', "[")),
        *(("SESSION_SECRETS", value) for value in ("[", '[""]', "[1]", '["a", 5]')),
        *(("SESSION_CACHE_TTL", value) for value in ("-1", "301")),
        ("REVOCATION_POLL_INTERVAL", "1.5"),
    ],
)
def test_invalid_values_are_named(variable: str, value: str) -> None:
    assert_named(variable, value)
