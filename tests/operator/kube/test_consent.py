from __future__ import annotations

import base64
from typing import Any

import pytest

from tradecast_operator.kube.consent import ADMIN_LABEL, SecretRefused, check_consent, read_token, value_of


def secret(value: Any = "token", labels: Any = None) -> dict[str, Any]:
    coded = base64.b64encode(value.encode()).decode() if isinstance(value, str) else value
    return {"metadata": {"labels": {ADMIN_LABEL: "true"} if labels is None else labels}, "data": {"ADMIN_TOKEN": coded}}


@pytest.mark.parametrize(
    ("value", "tokens"),
    [
        ("token", ["token"]),
        ("one,two", ["one", "two"]),
        (" , one \n,two", ["one", "two"]),
        ("1,2,3,4,5", ["1", "2", "3"]),
        ("pässwörd ☃", ["pässwörd ☃"]),
    ],
)
def test_the_first_tokens_are_taken(value: str, tokens: list[str]) -> None:
    found = read_token(secret(value), "s", "ADMIN_TOKEN", strict=True)
    assert ([*found.values], found.consented) == (tokens, True)


@pytest.mark.parametrize("labels", [{}, {ADMIN_LABEL: "yes"}, {ADMIN_LABEL: ""}, {"other": "true"}])
def test_without_the_label_it_is_taken_now_and_not_in_the_next_version(labels: dict[str, str]) -> None:
    assert not read_token(secret(labels=labels), "s", "ADMIN_TOKEN", strict=False).consented
    with pytest.raises(SecretRefused, match=r"Secret s lacks the label tradecast\.dev/admin-token=true") as refused:
        read_token(secret(labels=labels), "s", "ADMIN_TOKEN", strict=True)
    assert refused.value.reason == "SecretNotLabelled"


def test_a_secret_without_metadata_consents_to_nothing() -> None:
    assert not check_consent({}, "s", ADMIN_LABEL, strict=False)
    assert not check_consent({"metadata": {"labels": None}}, "s", ADMIN_LABEL, strict=False)


@pytest.mark.parametrize("key", ["", "password", "admin_token", "ADMIN_TOKEN ", "REDIS_URL"])
def test_another_key_is_refused_at_once(key: str) -> None:
    with pytest.raises(SecretRefused) as refused:
        read_token(secret(), "s", key, strict=False)
    assert refused.value.reason == "TokenKeyRefused"


@pytest.mark.parametrize(
    "value",
    [
        *("", ",", " \n", "a\nb", "a\r\nX: y", "a\x00b", "x" * 4_097, "x" * 500_000),
        *("\u2028", "a\u202eb", "a\u0085b"),
    ],
)
def test_what_can_be_no_token_is_refused(value: str) -> None:
    with pytest.raises(SecretRefused) as refused:
        read_token(secret(value), "s", "ADMIN_TOKEN", strict=False)
    assert refused.value.reason == "SecretUnusable"
    assert "x" * 10 not in str(refused.value)


@pytest.mark.parametrize("data", [None, {}, {"ADMIN_TOKEN": None}])
def test_a_secret_without_the_key(data: Any) -> None:
    with pytest.raises(SecretRefused, match="has no token"):
        read_token({"metadata": {}, "data": data}, "s", "ADMIN_TOKEN", strict=False)


@pytest.mark.parametrize("coded", ["/w==", "//79", "%%%", "abc", 7, ["x"]])
def test_what_is_no_text(coded: Any) -> None:
    with pytest.raises(SecretRefused, match="not valid UTF-8"):
        value_of({"data": {"k": coded}}, "s", "k", 100)
