"""`tradecast load`: invalid options are named as one gives them."""

from __future__ import annotations

import pytest

from unit.cli.running import run


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--url", "http://10.0.0.1"], "--url: 10.0.0.1 is not this machine; --allow-remote"),
        (["--connect-rate", "0"], "--connect-rate: must be from 0.1 to 5000"),
        (["--clients", "0"], "--clients: must be from 1 to 20000"),
        (["--header", "X Y: 1"], "--header: 'X Y' is not the name of a header"),
        (["--header", "secret"], "--header is written as 'Name: value'"),
        (["--path", "http://x"], "--path must be a path"),
    ],
)
def test_invalid_options(arguments: list[str], message: str) -> None:
    result = run("load", "--rate", "0", *arguments)
    assert result.exit_code == 2
    assert message in result.output
    assert "secret" not in result.output


def test_token_is_needed() -> None:
    result = run("load")
    assert result.exit_code == 2
    assert "API_TOKEN" in result.output
