from __future__ import annotations

import errno
import time
from datetime import datetime
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from tradecast.delivery.errors import AdapterUnavailable
from tradecast.observability.redact import (
    HIDDEN,
    LONGEST_TEXT,
    describe_error,
    describe_exception,
    is_denied,
    one_line,
    redact_value,
    safe_message,
    scrub_text,
    short_path,
)

SECRETS = [
    "ann.o'neil+x@example.co.uk",
    "ann@localhost",
    "10.1.2.3",
    "10.1.2.3:6379",
    "127.0.0.1",
    "localhost:6379",
    "::1",
    "[::1]:8000",
    "2001:db8::8a2e:370:7334",
    "fe80::1%eth0",
    "::ffff:10.0.0.1",
    "s:abcDEF123.sigsig",
    "s%3AabcDEF123.sig%2Bsig",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln",
]


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("around", ["{}", "from {} to", "a={}, b", "({})", '"{}"', "<{}>", "x\n{}\ny", "at {}."])
def test_secrets_are_taken_out_of_texts(secret: str, around: str) -> None:
    scrubbed = scrub_text(around.format(secret))
    core = secret.strip("[]").partition(":80")[0].partition("%eth")[0]
    assert core not in scrubbed
    assert HIDDEN in scrubbed
    before, _, after = around.partition("{}")
    if before != "a=":  # `=` may stand in an e-mail address
        assert scrubbed.startswith(before)
    assert scrubbed.rstrip(".").endswith(after.rstrip("."))


@pytest.mark.parametrize(
    ("text", "hidden", "kept"),
    [
        ("redis://user:p@ss/w@h1.internal:6379/0", ["user", "p@ss", "w@"], ["redis://", "h1.internal"]),
        ("mongodb+srv://u:pw@db.example.org/x", ["u:pw"], ["mongodb+srv://"]),
        ("Authorization: Bearer abc.DEF-1", ["abc", "DEF"], []),
        ("Basic dXNlcjpwdw==", ["dXNl"], ["Basic"]),
        ("GET /socket.io/?EIO=4&sid=Ab1&t=2", ["Ab1"], ["EIO=4", "t=2"]),
        ("connect.sid=abc; theme=dark", ["abc"], ["theme=dark"]),
        ("token: abc", ["abc"], []),
        ('{"password": "p w"}', ["p w"], []),
        ("sessionID=abc&userId=u1", ["abc"], ["userId=u1"]),
    ],
)
def test_credentials_in_texts(text: str, hidden: list[str], kept: list[str]) -> None:
    scrubbed = scrub_text(text)
    assert not [part for part in hidden if part in scrubbed]
    assert not [part for part in kept if part not in scrubbed]


@pytest.mark.parametrize(
    "text",
    [
        "subscribe:watchlist",
        "connected",
        "at 12:30:45",
        "version 0.54.0",
        "1.2.3.4.5",
        "std::vector",
        "portfolio:update for 5 users",
        "limits are kept in memory: Redis does not answer",
        "a:b:c:d",
        "QUOTA_EXCEEDED",
        "2026-11-23T19:46:00.123Z",
        "5f3e9a7b2c1d4e5f6a7b8c9d",
    ],
)
def test_plain_texts_stay(text: str) -> None:
    assert scrub_text(text) == text


def test_foreign_texts_lose_what_looks_like_a_sid() -> None:
    text = "emitting to Zx9_kLm-0PqRsTuVwAAAB and to short1 and to lowercase_only_words"
    assert scrub_text(text) == text
    assert scrub_text(text, foreign=True) == f"emitting to {HIDDEN} and to short1 and to lowercase_only_words"


@pytest.mark.serial
def test_long_texts_are_cut_and_do_not_take_long() -> None:
    for unit in ("a", "a@", "1.", ":", "ab:", "s:", "://", "eyJ.", "-A", "sid=", "é", "a@b."):
        begun = time.process_time()
        scrubbed = scrub_text(unit * 200_000, foreign=True)
        assert len(scrubbed) <= LONGEST_TEXT
        assert time.process_time() - begun < 1


@pytest.mark.parametrize(
    "key",
    [
        "session_id",
        "sessionID",
        "sid",
        "token",
        "authorization",
        "Authorization",
        "cookie",
        "Set-Cookie",
        "email",
        "userEmail",
        "user_email",
        "name",
        "user_name",
        "userName",
        "password",
        "redis_password",
        "client",
        "client_ip",
        "address",
        "remote_addr",
        "ip",
        "x-forwarded-for",
        "headers",
        "data",
        "payload",
        "api_token",
        "SESSION_SECRET",
        "args",
        "peername",
    ],
)
def test_denied_keys(key: str) -> None:
    assert is_denied(key)


@pytest.mark.parametrize(
    "key",
    [
        "user_id",
        "connection_id",
        "request_id",
        "event_name",
        "logger_name",
        "store",
        "error",
        "reason",
        "code",
        "dependency",
        "transport",
        "session_store",
        "duration_ms",
        "status",
        "path",
        "symbol",
        "setting",
        "side",
        "filename",
    ],
)
def test_other_keys_are_shown(key: str) -> None:
    assert not is_denied(key)


def test_redact_goes_into_what_is_nested() -> None:
    class Odd:
        def __repr__(self) -> str:
            return "secret"

    assert redact_value(
        {
            "user": {"id": "u1", "email": "ann@example.org", "name": "Ann"},
            "list": ["ann@example.org", ("10.0.0.1", 5)],
            "ann@example.org": 1,
            "odd": Odd(),
            "bytes": b"secret",
            "when": datetime(2026, 1, 1),  # noqa: DTZ001 its time zone is not what matters
            "none": None,
            "yes": True,
            "float": 1.5,
            "large": 2**70,
            "error": ValueError("secret"),
        }
    ) == {
        "user": {"id": "u1", "email": HIDDEN, "name": HIDDEN},
        "list": [HIDDEN, [HIDDEN, 5]],
        HIDDEN: 1,
        "odd": "<Odd>",
        "bytes": "<bytes>",
        "when": "<datetime>",
        "none": None,
        "yes": True,
        "float": 1.5,
        "large": HIDDEN,
        "error": "ValueError",
    }


def test_redact_is_bounded() -> None:
    deep: Any = "x"
    for _ in range(100):
        deep = {"a": [deep]}
    loop: list[Any] = []
    loop.append(loop)
    wide = {f"k{n}": list(range(1_000)) for n in range(1_000)}
    assert len(str(redact_value(deep))) < 200
    assert len(str(redact_value(loop))) < 200
    found = redact_value(wide)
    assert len(found) == 50
    assert len(found["k0"]) == 50


def test_which_messages_are_safe() -> None:
    assert safe_message(AdapterUnavailable("Redis did not take ann@example.org")) == f"Redis did not take {HIDDEN}"
    assert safe_message(FileNotFoundError(errno.ENOENT, "No such file or directory", "/home/ann/x")) == (
        "No such file or directory"
    )
    assert safe_message(RedisConnectionError("Error 111 connecting to 10.0.0.5:6379. refused")) == (
        f"Error 111 connecting to {HIDDEN}. refused"
    )
    assert safe_message(ValueError("secret")) is None
    assert safe_message(KeyError("secret")) is None
    assert safe_message(ResponseError("secret")) is None
    assert safe_message(OSError("secret")) is None
    assert len(safe_message(AdapterUnavailable("word " * 100)) or "") == 120


def test_describe_error() -> None:
    assert describe_error(ValueError("secret")) == "ValueError"
    assert describe_error(AdapterUnavailable("Redis did not take it")) == "AdapterUnavailable: Redis did not take it"


def test_describe_exception_reports_places_and_causes_but_no_values() -> None:
    def inner(password: str) -> None:
        raise ValueError(f"bad {password}")

    def outer() -> None:
        try:
            inner("hunter2")
        except ValueError as error:
            raise AdapterUnavailable("Redis did not take it") from error

    with pytest.raises(AdapterUnavailable) as caught:
        outer()
    found = describe_exception(caught.value)
    assert found["type"] == "tradecast.delivery.errors.AdapterUnavailable"
    assert found["message"] == "Redis did not take it"
    assert found["frames"][-1].endswith(" outer")
    assert "test_redact.py:" in found["frames"][-1]
    assert found["cause"]["type"] == "builtins.ValueError"
    assert "message" not in found["cause"]
    assert found["cause"]["frames"][-1].endswith(" inner")
    assert "hunter2" not in str(found)


def test_describe_exception_is_bounded() -> None:
    def recurse(n: int) -> None:
        if n:
            recurse(n - 1)
        raise ValueError

    error: BaseException | None = None
    for _ in range(20):
        try:
            try:
                recurse(60)
            except ValueError as one:
                one.__context__ = error
                raise RuntimeError from one
        except RuntimeError as two:
            error = two
    assert error is not None
    text = str(describe_exception(error))
    assert text.count("'type'") <= 6
    assert len(text) < 20_000
    group = ExceptionGroup("secret", [ValueError("secret"), KeyError("secret")])
    found = describe_exception(group)
    assert [one["type"] for one in found["exceptions"]] == ["builtins.ValueError", "builtins.KeyError"]
    assert "secret" not in str(found)


def test_paths_tell_nothing_of_the_machine() -> None:
    assert short_path("/home/ann/.venv/lib/python3.11/site-packages/redis/client.py") == "redis/client.py"
    assert short_path("/srv/ann/app/tradecast/server.py") == "tradecast/server.py"
    assert short_path("/usr/lib/python3.11/asyncio/events.py") == "3.11/asyncio/events.py"
    assert short_path("/home/ann/x/y.py") == "x/y.py"


def test_one_line() -> None:
    assert one_line("a\nb\tc\x1b[31m\x00\x9b") == "a b c?[31m??"
