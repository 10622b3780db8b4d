"""Parses URLs of Redis strictly: a part that was ignored silently would keep everybody out."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from redis.asyncio.connection import SSLConnection, UnixDomainSocketConnection

from tradecast.config.errors import SettingsError

if TYPE_CHECKING:  # pydantic is only needed where settings are read
    from tradecast.config.settings import UrlName

PORT: Final = 6_379
SENTINEL_PORT: Final = 26_379
# An IPv6 address stands in brackets: a colon in it is no port's. A name may be of any alphabet.
_HOST: Final = re.compile(r"\[[0-9A-Fa-f:.]+(?:%[^\]\s]+)?\]|[\w.%-]+")
_TRUE: Final = ("true", "1", "yes", "on")
_FALSE: Final = ("false", "0", "no", "off")


def _make_integer_parser(least: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not text.isascii() or not text.isdigit() or not least <= int(text) < 2**31:
            raise ValueError(f"is an integer, at least {least}")
        return int(text)

    return parse


def _parse_seconds(text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = 0.0
    if not 0 < found <= 900:
        raise ValueError("is a number of seconds, above 0 and at most 900")
    return found


def _parse_flag(text: str) -> bool:
    if text.lower() not in (*_TRUE, *_FALSE):
        raise ValueError("is true or false")
    return text.lower() in _TRUE


def _parse_word(text: str) -> str:
    if not text or not text.isprintable() or " " in text:
        raise ValueError("is a word without spaces")
    return text


def _parse_text(text: str) -> str:
    if not text:
        raise ValueError("is empty")
    return text


def _parse_file(text: str) -> str:
    if not os.access(text, os.R_OK):
        raise ValueError("the file is not there, or cannot be read")
    return text


def _parse_requirement(text: str) -> str:
    found = text.lower().removeprefix("cert_")
    if found not in ("none", "optional", "required"):
        raise ValueError("is none, optional or required")
    return found


def _parse_protocol(text: str) -> int:
    if text != "2":
        raise ValueError("is 2: RESP2 is what is spoken")
    return 2


# Those of redis-py that apply here.
OPTIONS: Final[Mapping[str, Callable[[str], Any]]] = {
    "db": _make_integer_parser(0),
    "username": _parse_text,
    "password": _parse_text,
    "client_name": _parse_word,
    "protocol": _parse_protocol,
    "socket_timeout": _parse_seconds,
    "socket_connect_timeout": _parse_seconds,
    "timeout": _parse_seconds,
    "socket_keepalive": _parse_flag,
    "retry_on_timeout": _parse_flag,
    "health_check_interval": _make_integer_parser(0),
    "max_connections": _make_integer_parser(1),
    "ssl_check_hostname": _parse_flag,
    "ssl_cert_reqs": _parse_requirement,
    "ssl_ca_certs": _parse_file,
    "ssl_certfile": _parse_file,
    "ssl_keyfile": _parse_file,
}
# Other programs' options, and what takes their place.
HINTS: Final[Mapping[str, str]] = {
    "family": "is 0 (either) or left out: name a host that has addresses of one family, or an address",
    "tls": "is said by the scheme: rediss:// is with TLS, redis:// without",
    "ssl": "is said by the scheme: rediss:// is with TLS, redis:// without",
    "connecttimeout": "is REDIS_TIMEOUT here, in seconds",
    "commandtimeout": "is REDIS_TIMEOUT here, in seconds",
    "keyprefix": "is SESSION_KEY_PREFIX here, and for sessions only",
    "sentinel": "is said by the scheme: redis+sentinel://",
    "cluster": "is said by the scheme: redis+cluster://",
}


def parse_redis_url(url: str, name: UrlName = "REDIS_URL") -> dict[str, Any]:
    """Connection options of `redis://user:pw@host:port/db?option=value`, of rediss:// and of `unix://user:pw@/path`.

    A host left out is localhost, a port 6379; user, password and path are percent-decoded.

    Raises:
        SettingsError: A part of it means nothing; an option is named.
    """
    parts = split_url(url, name)
    scheme = parts.scheme.lower()
    options = parse_options(parts, name, tls=scheme == "rediss")
    credentials, _, place = parts.netloc.rpartition("@")
    options = {**parse_credentials(credentials), **options}
    if scheme == "unix":
        if place or not parts.path.strip("/"):
            raise SettingsError(f"{name}: unix:// needs the whole path of the socket: unix:///run/redis.sock")
        return {**options, "path": unquote(parts.path), "connection_class": UnixDomainSocketConnection}
    if place:
        hosts = parse_hosts(place, PORT, "host and port", name)
        if len(hosts) > 1:
            raise SettingsError(f"{name}: redis:// has one host; several are redis+sentinel:// or redis+cluster://")
        options["host"], options["port"] = hosts[0]
    database = parts.path.removesuffix("/")
    if database:
        if not re.fullmatch(r"/[0-9]{1,9}", database):
            raise SettingsError(f"{name}: the path is the number of a database, as /0")
        if options.setdefault("db", int(database[1:])) != int(database[1:]):
            raise SettingsError(f"{name}: option `db` and the path name two databases")
    if scheme == "rediss":
        options["connection_class"] = SSLConnection
    return options


def parse_options(parts: SplitResult, name: UrlName, *, tls: bool) -> dict[str, Any]:
    """The options behind the `?` of a URL, as redis-py takes them.

    Args:
        parts: The URL.
        name: Which setting, for errors.
        tls: Whether the scheme is one with TLS.

    Raises:
        SettingsError: One is not known, or its value is invalid.
    """
    found: dict[str, Any] = {}
    for option, value in parse_qsl(parts.query, keep_blank_values=True):
        if option in found:
            raise SettingsError(f"{name}: option `{option}` is given twice")
        if _follows_from_scheme(option, value, tls=tls):
            continue
        if option not in OPTIONS:
            raise SettingsError(f"{name}: {_explain_unknown(option)}")
        if option.startswith("ssl_") and not tls:
            raise SettingsError(f"{name}: option `{option}` is for rediss://")
        try:
            found[option] = OPTIONS[option](value)
        except ValueError as error:
            raise SettingsError(f"{name}: option `{option}` {error}") from None
    if found.get("ssl_cert_reqs") == "none":
        found["ssl_check_hostname"] = False  # of a certificate that is not checked
    return found


def _follows_from_scheme(option: str, value: str, *, tls: bool) -> bool:
    """Whether an option of another program repeats what holds anyway."""
    if option == "family":
        return value == "0"
    return option in ("tls", "ssl") and value.lower() in (_TRUE if tls else _FALSE)


def _explain_unknown(option: str) -> str:
    if (hint := HINTS.get(option.lower())) is not None:
        return f"option `{option}` {hint}"
    # What is no plain word is perhaps a piece of a password.
    which = f"option `{option}`" if re.fullmatch(r"[A-Za-z_]{1,40}", option) else "an option"
    return f"{which} is not known; known are {', '.join(OPTIONS)}"


def split_url(url: str, name: UrlName = "REDIS_URL") -> SplitResult:
    """A URL in its parts.

    Raises:
        SettingsError: It has none, or a password in it is not percent-encoded and would be taken for something else.
    """
    try:
        parts = urlsplit(url)
    except ValueError:  # its text may quote the password
        raise SettingsError(f"{name}: cannot be understood") from None
    rest = parts.path + parts.query + parts.fragment
    if parts.fragment or url.endswith("#") or ("@" in rest and "@" not in parts.netloc):
        raise SettingsError(f"{name}: `/`, `?`, `#` and `@` in a password are written %2F, %3F, %23 and %40")
    return parts


def parse_hosts(listed: str, default_port: int, what: str, name: UrlName = "REDIS_URL") -> list[tuple[str, int]]:
    """Hosts and ports that are separated by commas.

    Raises:
        SettingsError: They are no hosts and ports.
    """
    hosts: list[tuple[str, int]] = []
    for entry in listed.split(","):
        host, colon, port = entry.rpartition(":") if not entry.endswith("]") else (entry, "", "")
        host, port = (host, port) if colon else (entry, str(default_port))
        if not _HOST.fullmatch(host) or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65_536:
            raise SettingsError(f"{name}: the {what} are host:port, separated by commas, an IPv6 address as [::1]:port")
        hosts.append((unquote(host.strip("[]")), int(port)))
    return hosts


def join_hosts(hosts: Sequence[tuple[str, int]]) -> str:
    """Hosts and ports as they are written: with commas between, an IPv6 address in brackets."""
    return ",".join(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in hosts)


def parse_credentials(text: str) -> dict[str, Any]:
    """User and password of `user:password`, each percent-encoded, as far as they are there."""
    options: dict[str, Any] = {}
    user, colon, password = text.partition(":")
    if user:
        options["username"] = unquote(user)
    if colon:
        options["password"] = unquote(password)
    return options
