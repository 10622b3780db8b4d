"""Lists of settings: with commas, or as JSON."""

from __future__ import annotations

from tradecast.config.settings import load_settings


def test_lists_are_separated_by_commas() -> None:
    settings = load_settings(
        {
            "CORS_ORIGIN": " https://a.example , http://localhost:3000,",
            "TRANSPORTS": "polling, websocket",
            "API_TOKEN": "one, two",
            "ADMIN_TOKEN": "three",
            "SESSION_SECRETS": "new,old",
        }
    )
    assert settings.cors_origin == ("https://a.example", "http://localhost:3000")
    assert settings.offered_transports == ["polling", "websocket"]
    assert [token.get_secret_value() for token in settings.api_token] == ["one", "two"]
    assert [token.get_secret_value() for token in settings.admin_token] == ["three"]
    assert [secret.get_secret_value() for secret in settings.session_secrets] == ["new", "old"]


def test_a_list_may_be_json() -> None:
    settings = load_settings({"SESSION_SECRETS": '["a,b", " c "]', "SESSION_TIERS": '["a,b=premium", "x=y=free"]'})
    assert [secret.get_secret_value() for secret in settings.session_secrets] == ["a,b", " c "]
    assert settings.session_tiers == (("a,b", "premium"), ("x=y", "free"))
