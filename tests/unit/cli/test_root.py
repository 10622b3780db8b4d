"""The commands that there are, and their help."""

from __future__ import annotations

import click
import pytest

from tradecast.cli import cli
from unit.cli.running import run


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
