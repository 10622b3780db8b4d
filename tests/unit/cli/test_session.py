"""`tradecast session`: invalid arguments, and a server that is down."""

from __future__ import annotations

import pytest

from unit.cli.running import run


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["create"], "USER_ID"),
        (["create", "u1", "--tier", "gold"], "'gold' is not one of"),
        (["create", "u1", "--max-age", "0"], "maxAge"),
        (["create", "u1", "--max-age", "soon"], "--max-age"),
        (["create", "u1", "--max-age", "99999999"], "maxAge"),
        (["create", ""], "userId"),
        (["revoke"], "Give one of"),
        (["revoke", "--user", "u1", "--handle", "x"], "Give one of"),
        (["revoke", "--stdin"], "Give one of"),
        (["nonsense"], "nonsense"),
    ],
)
def test_nonsense_about_sessions(arguments: list[str], said: str) -> None:
    result = run("session", *arguments, stdin="", TRADECAST_ADMIN_URL="http://127.0.0.1:1")
    assert result.exit_code == 2
    assert said in result.output


@pytest.mark.parametrize("arguments", [["create", "u1"], ["list"], ["revoke", "--user", "u1"]])
def test_server_of_the_sessions_is_away(arguments: list[str]) -> None:
    result = run("session", *arguments, "--admin-url", "http://127.0.0.1:1")
    assert result.exit_code == 1
    assert "cannot reach the server's admin port, http://127.0.0.1:1: " in result.output
