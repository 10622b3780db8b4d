"""A server that a command cannot ask."""

from __future__ import annotations

import pytest

from unit.cli.running import run

TOKEN = "planted-token"


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--url", "http://127.0.0.1:1"], "cannot reach the server, http://127.0.0.1:1: "),
        (["--url", "http://[nonsense"], "nonsense"),
        (["--url", "nonsense"], "nonsense"),
        (["--url", "http://127.0.0.1:99999999"], "99999999"),
        (["--token", "line\nbreak"], "cannot reach the server"),
    ],
)
def test_server_that_cannot_be_asked(arguments: list[str], problem: str) -> None:
    result = run("emit", "notification", "{}", "--user", "u1", *arguments, API_TOKEN=TOKEN)
    assert result.exit_code == 1
    assert problem in result.output
    assert TOKEN not in result.output
