"""`tradecast emit`: what it sends, and invalid arguments."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tradecast.cli.server_client import ServerClient
from tradecast.events.emit_requests import PAYLOADS, parse_events
from unit.cli.running import run

TOKEN = "planted-token"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nonsense", "{}"], "'nonsense' is not one of"),
        (["notification"], "PAYLOAD"),
        (["notification", "{", "--user", "u1"], "is not JSON"),
        (["notification", "", "--user", "u1"], "is not JSON"),
        (["notification", '{"a": NaN}', "--user", "u1"], "notification.a: is NaN"),
        (["notification", '{"a": [1, 9007199254740993]}', "--user", "u1"], "notification.a[1]: is a number beyond"),
        (["notification", "[" * 100_000, "--user", "u1"], "nested too deeply"),
        (["notification", "{}"], "--user is needed"),
        (["trade:executed", "{}", "--symbol", "AAPL"], "--user is needed"),
        (["watchlist:quote", "{}", "--user", "u1"], "--symbol is needed"),
    ],
)
def test_bad_event(arguments: list[str], said: str) -> None:
    result = run("emit", *arguments, API_TOKEN=TOKEN)
    assert result.exit_code == 2
    assert said in result.output


@pytest.mark.parametrize("environ", [{}, {"API_TOKEN": ""}, {"API_TOKEN": " , "}])
def test_token_is_needed(environ: dict[str, str]) -> None:
    result = run("emit", "notification", "{}", "--user", "u1", **environ)
    assert result.exit_code == 2
    assert "API_TOKEN" in result.output


@pytest.mark.parametrize("event", PAYLOADS)
def test_what_is_sent_follows_the_schema(event: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[Any] = []

    async def emit(server: ServerClient, body: dict[str, Any]) -> int:
        sent.append(body)
        return 1

    monkeypatch.setattr(ServerClient, "emit", emit)
    options = {"watchlist:quote": ["--symbol", "AAPL"], "market:status": []}.get(event, ["--user", "u1"])
    result = run("emit", event, json.dumps({"n": 1}), *options, API_TOKEN=TOKEN)
    assert result.exit_code == 0, result.output
    assert result.output == "accepted: 1\n"
    (parsed,) = parse_events(sent[0])
    assert parsed.event == event
    result = run("emit", event, json.dumps({"n": 1}), *options, "--kind", "counted", API_TOKEN=TOKEN)
    assert result.exit_code == 0, result.output
    assert sent[1]["kind"] == parse_events(sent[1])[0].kind == "counted"


def test_a_kind_that_there_is_not_is_said() -> None:
    result = run("emit", "notification", "{}", "--user", "u1", "--kind", "newest", API_TOKEN=TOKEN)
    assert result.exit_code == 2
    assert "'newest' is not one of 'counted', 'latest', 'volatile'" in result.output


def test_examples_of_emit_are_lines_of_their_own() -> None:
    lines = [line.strip() for line in run("emit", "--help").output.splitlines()]
    assert """tradecast emit notification '{"title": "Hello"}' --user demo-premium""" in lines
    assert set(PAYLOADS) <= set(lines)
