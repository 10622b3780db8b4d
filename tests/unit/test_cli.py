"""The command line: help, and what is said of invalid arguments."""

from __future__ import annotations

import json
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from tradecast.cli import cli, startup
from tradecast.cli.server_client import ServerClient
from tradecast.events.publish import PAYLOADS, parse_events

TOKEN = "planted-token"


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process's logging belongs to pytest here, and its environment has no settings."""
    monkeypatch.setattr(startup, "configure_logging", lambda level, fmt: None)
    for name in ("API_TOKEN", "TRADECAST_URL", "TRADECAST_ADMIN_URL"):
        monkeypatch.delenv(name, raising=False)


def run(*arguments: str, stdin: str | None = None, **environ: str) -> Result:
    result = CliRunner().invoke(cli, arguments, input=stdin, env=dict(environ), prog_name="tradecast")
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
    return result


def commands(group: click.Group = cli, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found = [path]
    for name, command in group.commands.items():
        found += commands(command, (*path, name)) if isinstance(command, click.Group) else [(*path, name)]
    return found


@pytest.mark.parametrize("path", commands(), ids=" ".join)
@pytest.mark.parametrize("option", ["--help", "-h"])
def test_every_command_has_help(path: tuple[str, ...], option: str) -> None:
    result = run(*path, option)
    assert result.exit_code == 0
    usage, _, text = result.output.partition("\n\n")
    assert usage.startswith(f"Usage: {' '.join(('tradecast', *path))}")
    assert len(text.strip()) > 20
    assert "TODO" not in result.output
    assert "Placeholder" not in result.output


@pytest.mark.parametrize("path", [path for path in commands() if path], ids=" ".join)
def test_every_option_is_explained(path: tuple[str, ...]) -> None:
    command: click.Command = cli
    for name in path:
        assert isinstance(command, click.Group)
        command = command.commands[name]
    options = [option for option in command.params if isinstance(option, click.Option)]
    assert [option.name for option in options if not option.help and option.name not in ("tier", "admin")] == []


def test_commands_of_the_issue() -> None:
    wanted = {"serve", "demo", "emit", "session create", "session list", "session revoke", "load"}
    assert wanted <= {" ".join(path) for path in commands()}


def test_version() -> None:
    assert run("--version").output.startswith("tradecast, version ")


def test_unknown_command() -> None:
    result = run("sreve")
    assert result.exit_code == 2
    assert "sreve" in result.output


@pytest.mark.parametrize("command", ["serve", "demo"])
def test_settings_that_make_no_sense(command: str) -> None:
    result = run(command, PORT="abc", REDIS_URL="planted", LOG_LEVEL="loud")
    assert result.exit_code == 2
    assert "  PORT: " in result.output
    assert "  REDIS_URL: " in result.output
    assert "  LOG_LEVEL: " in result.output
    assert "planted" not in result.output


def test_options_of_the_demo_are_checked_as_settings() -> None:
    result = run("demo", "--day-seconds", "0", "--port", "70000")
    assert result.exit_code == 2
    assert "PORT: " in result.output
    assert "DEMO_DAY_SECONDS: " in result.output


# -- emit


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


# -- sessions


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


@pytest.mark.parametrize(
    ("environ", "named"),
    [
        ({"REDIS_URL": "redis://127.0.0.1:planted"}, "REDIS_URL"),
        ({"REDIS_URL": "redis+sentinel://planted"}, "REDIS_URL"),
        ({"MONGODB_URI": "mongodb://:planted@"}, "MONGODB_URI"),
        ({"MONGODB_URI": "mongodb://127.0.0.1/", "SESSION_COLLECTION": "$bad"}, "SESSION_COLLECTION"),
    ],
)
@pytest.mark.parametrize("command", [["serve"], ["session", "list"]])
def test_settings_that_only_the_drivers_can_judge(command: list[str], environ: dict[str, str], named: str) -> None:
    result = run(*command, **environ)
    assert result.exit_code == 2, result.output
    assert f"  {named}" in result.output
    assert "planted" not in result.output


def every_command(command: click.Command = cli, *path: str) -> list[tuple[tuple[str, ...], click.Command]]:
    found = [(path, command)]
    if isinstance(command, click.Group):
        for name, one in command.commands.items():
            found += every_command(one, *path, name)
    return found


@pytest.mark.parametrize("path", [path for path, _ in every_command()], ids=" ".join)
@pytest.mark.parametrize("width", [80, 100])
def test_help_is_for_people(path: tuple[str, ...], width: int) -> None:
    help_text = run(*path, "--help", COLUMNS=str(width), TERMINAL_WIDTH=str(width)).output
    assert "\\" not in help_text, "a mark of click's"
    assert "\b" not in help_text
    listed = help_text.partition("Commands:")[2].splitlines()
    assert [line for line in listed if line.endswith("...")] == [], "a sentence that is cut off"
    usage = help_text.partition("\n\n")[0]
    assert len(usage.splitlines()) == 1, "a usage line that is broken in the middle of a word"
    assert "pip install 'tradecast[" not in help_text


def test_every_option_says_what_it_is() -> None:
    for path, command in every_command():
        options = [one for one in command.params if isinstance(one, click.Option)]
        assert [one.name for one in options if not one.help] == [], path


def test_examples_of_emit_are_lines_of_their_own() -> None:
    lines = [line.strip() for line in run("emit", "--help").output.splitlines()]
    assert """tradecast emit notification '{"title": "Hello"}' --user demo-premium""" in lines
    assert set(PAYLOADS) <= set(lines)
