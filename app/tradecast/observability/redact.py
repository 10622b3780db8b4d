"""What must not leave the process in a log line or an error report is taken out here, whoever put it in."""

from __future__ import annotations

import ipaddress
import re
import traceback
from collections.abc import Mapping
from functools import lru_cache
from types import TracebackType
from typing import Any

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from tradecast.causes import OwnText

HIDDEN = "[redacted]"
LONGEST_TEXT = 1_000
LONGEST_MESSAGE = 120
MOST_ITEMS = 50
DEEPEST = 5
MOST_FRAMES = 30

# Compared in lower case without `_`, `-` and `.`.
DENIED_KEYS = frozenset(
    [
        "address",
        "addr",
        "addresses",
        "args",
        "auth",
        "authorization",
        "authtoken",
        "body",
        "claims",
        "client",
        "clientaddress",
        "clientip",
        "cookie",
        "cookies",
        "cwd",
        "data",
        "document",
        "dsn",
        "email",
        "emailaddress",
        "environ",
        "firstname",
        "forwarded",
        "forwardedfor",
        "fullname",
        "handshake",
        "handshakeauth",
        "headers",
        "host",
        "hostname",
        "ip",
        "ipaddress",
        "lastname",
        "mail",
        "mongodburi",
        "name",
        "password",
        "passwd",
        "payload",
        "peer",
        "peername",
        "phone",
        "pw",
        "querystring",
        "redisurl",
        "remoteaddr",
        "remoteaddress",
        "scope",
        "secret",
        "session",
        "sessionid",
        "setcookie",
        "sid",
        "sids",
        "token",
        "uri",
        "url",
        "useremail",
        "username",
        "xforwardedfor",
        "xrealip",
    ]
)
DENIED_ENDINGS = ("password", "secret", "token", "cookie", "email", "sessionid", "apikey", "dsn")

_USERINFO = re.compile(r"(?<=://)\S*@")
_EMAIL = re.compile(r"[\w.+%'*/=?^`{|}~!#$&-]{1,64}@\[?[\w-]+(?:\.[\w-]+)*\]?")
_IPV4 = re.compile(r"(?<![\d.])\d{1,3}(?:\.\d{1,3}){3}(?!\d|\.\d)(?::\d{1,5})?")
_IPV6 = re.compile(
    r"(?<![0-9A-Za-z:.])\[?(?=[0-9A-Fa-f]*:)[0-9A-Fa-f:]{2,39}(?:\.\d{1,3}){0,3}(?:%\w+)?\]?(?![0-9A-Za-z:])"
)
_LOCALHOST = re.compile(r"\blocalhost\b(?::\d{1,5})?", re.IGNORECASE)
_SIGNED = re.compile(r"(?<![A-Za-z0-9])s(?::|%3A)[^\s\"'<>()&;,]{6,}", re.IGNORECASE)
_BEARER = re.compile(r"\b(bearer|basic)\s+[^\s\"',;]+", re.IGNORECASE)
_JWT = re.compile(r"\beyJ[\w-]{5,}(?:\.[\w-]*){1,4}")
_PAIR = re.compile(
    r"\b((?:connect\.)?sid|session_?id|token|password|passwd|pwd|secret|api_?key|authorization|cookie)"
    r"([\"']?\s*[=:]\s*)(?:\"[^\"]*\"?|'[^']*'?|[^\s&\"',;}]+)",
    re.IGNORECASE,
)
_TOKEN = re.compile(r"(?<![A-Za-z0-9_-])(?=[A-Za-z0-9_-]*[A-Z0-9])[A-Za-z0-9_-]{16,}")
# Whatever any of the above needs to match; without it a text of ours is as it is. Most are.
_SUSPECT = re.compile(r"[@:=%]|\d\.\d|bearer|basic|localhost|eyJ", re.IGNORECASE)
LONGEST_WORD = 64
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def scrub_text(text: str, *, foreign: bool = False) -> str:
    """The text without e-mail and network addresses, credentials and signed ids, at most 1,000 characters.

    Args:
        text: Anything.
        foreign: It was written by other people's code, which may name sids: every token of 16 or more url-safe
            characters with a digit or an upper-case letter goes as well.
    """
    # An id or a word, as nearly all values of our own lines are. None of the patterns matches one but `localhost`.
    if not foreign and len(text) <= LONGEST_WORD and text.isascii() and _is_word(text):
        return text if "localhost" not in text.lower() else HIDDEN
    # Cut first, and with room: what is replaced is as bad in part as it is whole, and patterns cost time.
    text = text[: 2 * LONGEST_TEXT]
    if not text.isascii():
        text = text.encode("utf-8", "replace").decode()  # lone surrogates are no JSON
    if not foreign and _SUSPECT.search(text) is None:
        return _cut_text(text)
    if "://" in text:
        text = _USERINFO.sub(f"{HIDDEN}@", text)
    text = _BEARER.sub(rf"\1 {HIDDEN}", text)
    text = _PAIR.sub(rf"\1\2{HIDDEN}", text)
    text = _SIGNED.sub(HIDDEN, text)
    text = _JWT.sub(HIDDEN, text)
    if "@" in text:
        text = _EMAIL.sub(lambda found: found[0] if found[0].endswith(f"{HIDDEN}@") else HIDDEN, text)
    text = _IPV4.sub(HIDDEN, text)
    if ":" in text:
        text = _IPV6.sub(_hide_ipv6, text)
    text = _LOCALHOST.sub(HIDDEN, text)
    if foreign:
        text = _TOKEN.sub(HIDDEN, text)
    return _cut_text(text)


def _is_word(text: str) -> bool:
    return text.isalnum() or text.replace("-", "").replace("_", "").isalnum()


def _cut_text(text: str) -> str:
    return text if len(text) <= LONGEST_TEXT else text[: LONGEST_TEXT - 1] + "…"


def _hide_ipv6(found: re.Match[str]) -> str:
    candidate = found[0].strip("[]").partition("%")[0]
    try:
        ipaddress.IPv6Address(candidate)
    except ValueError:
        return found[0]
    return HIDDEN


@lru_cache(maxsize=1_000)
def is_denied(key: str) -> bool:
    """Whether what stands under this key is hidden, whatever it is."""
    plain = key.lower().replace("_", "").replace("-", "").replace(".", "")
    return plain in DENIED_KEYS or plain.endswith(DENIED_ENDINGS)


def redact_value(value: Any, *, foreign: bool = False, depth: int = 0) -> Any:
    """A copy that can be said in JSON, with denied keys hidden and texts scrubbed.

    What is neither JSON nor text is named by its type only: a repr may hold anything.
    """
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**63 else HIDDEN
    if isinstance(value, OwnText) and not foreign:  # the addresses in it are not clients', and no driver wrote it
        return _cut_text(one_line(value))
    if isinstance(value, str):
        return scrub_text(value, foreign=foreign)
    if depth >= DEEPEST:
        return "…"
    if isinstance(value, Mapping):
        return {
            scrub_text(str(key), foreign=foreign): HIDDEN
            if is_denied(str(key))
            else redact_value(item, foreign=foreign, depth=depth + 1)
            for key, item, _ in zip(value.keys(), value.values(), range(MOST_ITEMS), strict=False)
        }
    if isinstance(value, list | tuple | set | frozenset):
        return [
            redact_value(item, foreign=foreign, depth=depth + 1)
            for item, _ in zip(value, range(MOST_ITEMS), strict=False)
        ]
    if isinstance(value, BaseException):
        return describe_error(value)
    return f"<{type(value).__name__}>"


def safe_message(error: BaseException) -> str | None:
    """An exception's text where its author is known not to quote a client; None for all others.

    That is our own exceptions, the operating system's own words, and redis-py's about its connection; at most 120
    characters, scrubbed.
    """
    text: object = None
    if type(error).__module__.partition(".")[0] == "tradecast" or isinstance(
        error, RedisConnectionError | RedisTimeoutError
    ):
        text = str(error)
    elif isinstance(error, OSError):
        text = error.strerror
    if not isinstance(text, str) or not text:
        return None
    return scrub_text(text, foreign=True)[:LONGEST_MESSAGE]


def describe_error(error: BaseException) -> str:
    """An exception in one line: its type, and its message where that is safe."""
    message = safe_message(error)
    return type(error).__name__ if message is None else f"{type(error).__name__}: {message}"


def describe_exception(error: BaseException, trace: TracebackType | None = None, depth: int = 0) -> dict[str, Any]:
    """An exception with the places that it went through, without values and without the messages that are not safe."""
    found: dict[str, Any] = {"type": f"{type(error).__module__}.{type(error).__qualname__}"}
    message = safe_message(error)
    if message is not None:
        found["message"] = message
    frames = traceback.extract_tb(trace if trace is not None else error.__traceback__)
    found["frames"] = [f"{short_path(frame.filename)}:{frame.lineno} {frame.name}" for frame in frames[-MOST_FRAMES:]]
    if isinstance(error, BaseExceptionGroup) and depth < DEEPEST:
        found["exceptions"] = [describe_exception(one, depth=depth + 1) for one in error.exceptions[:5]]
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if cause is not None and depth < DEEPEST:
        found["cause"] = describe_exception(cause, depth=depth + 1)
    return found


def short_path(path: str) -> str:
    """A source file's path from its package on, without what it says about the machine."""
    for marker in ("site-packages/", "/app/", "/lib/python"):
        _, found, rest = path.rpartition(marker)
        if found:
            return rest
    return "/".join(path.split("/")[-2:])


def one_line(text: str) -> str:
    """Without control characters, which could forge lines or drive a terminal."""
    return _CONTROL.sub("?", text.replace("\n", " ").replace("\t", " "))
