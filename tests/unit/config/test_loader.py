"""Settings read from the environment, and overrides in code."""

from __future__ import annotations

import pytest

from kit.settings import SECRET, complaints
from tradecast.config.settings import SettingsError, load_settings


def test_misspelt_settings_stop_the_start_where_that_is_wanted() -> None:
    misspelt = {"API_TOKENS": SECRET, "REDIS_HOST": SECRET}
    assert load_settings(misspelt).api_token == ()
    lines = complaints(STRICT_SETTINGS="true", **misspelt)
    assert [line.partition(" (")[0] for line in lines] == [
        "API_TOKENS: there is no such setting. Is it API_TOKEN?",
        "REDIS_HOST: there is no such setting.",
    ]
    assert load_settings({"STRICT_SETTINGS": "1", "REDIS_PORT": "tcp://10.0.0.1:6379", "PATH": "/bin"}).strict_settings


def test_everything_that_is_wrong_is_named_at_once() -> None:
    lines = complaints(PORT="abc", CORS_ORIGIN="nowhere", REDIS_URL=SECRET, MONGODB_URI=SECRET, LOG_LEVEL="loud")
    named = sorted(line.partition(":")[0] for line in lines)
    assert named == ["CORS_ORIGIN", "LOG_LEVEL", "MONGODB_URI", "PORT", "REDIS_URL"]


def test_empty_variables_are_not_set() -> None:
    assert load_settings({"PORT": "", "REDIS_URL": "  ", "SSL_CERTFILE": "\n"}) == load_settings({})


def test_line_break_behind_a_secret_does_not_count() -> None:
    token = load_settings({"API_TOKEN": "token\n", "REDIS_PASSWORD": "pw\n"})
    assert token.api_token[0].get_secret_value() == "token"
    assert token.redis_password is not None
    assert token.redis_password.get_secret_value() == "pw"


def test_overrides_win() -> None:
    assert load_settings({"PORT": "1"}, port=2).port == 2


def test_environment_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "4711")
    assert load_settings().port == 4711


def test_unknown_setting_is_an_error_in_code() -> None:
    with pytest.raises(SettingsError, match="PROT"):
        load_settings({}, prot=1)
