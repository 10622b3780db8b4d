"""Invalid settings."""

from __future__ import annotations

import pytest

from unit.cli.running import run


@pytest.mark.parametrize("command", ["serve", "demo"])
def test_settings_that_are_invalid(command: str) -> None:
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
