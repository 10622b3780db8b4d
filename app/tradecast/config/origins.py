"""Origins of pages (RFC 6454, https://html.spec.whatwg.org/#origin), in one form however they are written. Pure."""

from __future__ import annotations

import ipaddress
import re
from typing import Final, NamedTuple

import idna

# Longer than any host's name (253 characters) with its scheme and port; a client may send what it likes.
MOST_CHARACTERS: Final = 320
_FORM: Final = re.compile(
    r"([a-z][a-z0-9+.-]*)://(\[[0-9a-f:.]+\]|[^][\s\x00-\x1f/?#@:\\]*)(?::([0-9]{0,5}))?", re.IGNORECASE
)
_HOST: Final = re.compile(r"(?!-)[a-z0-9_-]+(?:\.[a-z0-9_-]+)*")
# A WebSocket has the origin of a page; some native clients send their own URL instead.
_SCHEMES: Final = {"ws": "http", "wss": "https"}
_PORTS: Final = {"http": 80, "https": 443}
# The origin of what is loaded from one of these is another page's, or `null`.
_WITHOUT: Final = frozenset({"about", "blob", "data", "javascript"})


class Origin(NamedTuple):
    """Where a page is from.

    Attributes:
        scheme: In lower case; `http` and `https` for `ws` and `wss`. `null`: an opaque origin.
        host: In lower case and ASCII, without a dot at its end. Of what is allowed, `*.` in front is any one label.
        port: None: the scheme's own.
    """

    scheme: str
    host: str
    port: int | None

    @property
    def is_shared(self) -> bool:
        """Whether pages that have nothing to do with each other have it: sandboxed ones, and files."""
        return self.scheme in ("null", "file")

    def __str__(self) -> str:
        if self.scheme == "null":
            return "null"
        return f"{self.scheme}://{self.host}" + ("" if self.port is None else f":{self.port}")


def parse_origin(text: str) -> Origin | None:
    """The origin that a client sends; None: it is none.

    Args:
        text: The header, each byte a character (ISO 8859-1).
    """
    if len(text) > MOST_CHARACTERS:
        return None
    if not text.isascii():  # no browser sends that
        try:
            text = text.encode("latin-1").decode()
        except UnicodeError:
            return None
    try:
        return _split_origin(text)
    except ValueError:
        return None


def parse_allowed(text: str) -> Origin:
    """An origin as an operator writes it.

    Raises:
        ValueError: No browser would ever send what it matches; the text says why.
    """
    found = _split_origin(text)
    if found.scheme in _WITHOUT:
        raise ValueError(f"pages with the scheme {found.scheme} have the origin `null`, or that of another page")
    if found.scheme == "file":
        if found.host:
            raise ValueError("files have the origin `file://` or `null`, without a host")
        return found
    rest = found.host.removeprefix("*.")
    if "*" in rest:
        raise ValueError("`*` stands for one label at the start of the host: https://*.example.com")
    if found.scheme not in _PORTS:
        return found
    if rest.startswith("["):
        if rest != found.host:
            raise ValueError("`*` stands for a label, and an IP address has none")
    elif not _HOST.fullmatch(rest):
        raise ValueError("the host is missing" if not rest else "a host consists of letters, digits, `-` and dots")
    elif re.fullmatch(r"[0-9]+|0x[0-9a-f]*", rest.rpartition(".")[2]):
        _check_address(rest, wild=rest != found.host)
    return found


def _split_origin(text: str) -> Origin:
    if text.lower() == "null":
        return Origin("null", "", None)
    match = _FORM.fullmatch(text)
    if match is None:
        raise ValueError(_explain_malformed(text))
    scheme, host = match[1].lower(), match[2].lower()
    scheme = _SCHEMES.get(scheme, scheme)
    port = int(match[3]) if match[3] else None
    if port is not None and not 0 < port < 65_536:
        raise ValueError("the port must be from 1 to 65535")
    if host.startswith("["):
        host = f"[{ipaddress.IPv6Address(host[1:-1]).compressed}]"
    elif scheme in _PORTS:
        host = host.removesuffix(".")
        if not host.isascii():
            host = _to_ascii(host)
    elif not host.isascii():
        raise ValueError("with this scheme the host must be in ASCII, as browsers send it")
    return Origin(scheme, host, None if port == _PORTS.get(scheme) else port)


def _to_ascii(host: str) -> str:
    wildcard = "*." if host.startswith("*.") else ""
    name = host[len(wildcard) :]
    try:
        return wildcard + idna.encode(name, uts46=True).decode()
    except idna.IDNAError:
        # As browsers, with symbols that IDNA 2008 does not know.
        return wildcard + name.encode("idna").decode()


def _check_address(host: str, *, wild: bool) -> None:
    if wild:
        raise ValueError("`*` stands for a label, and an IP address has none")
    try:
        ipaddress.IPv4Address(host)
    except ValueError:
        raise ValueError("an IPv4 address must have four numbers, as browsers write it: 127.0.0.1") from None


def _explain_malformed(text: str) -> str:
    """Why a text has not the form of an origin."""
    scheme, separator, rest = text.partition("://")
    if not separator:
        return "an origin needs a scheme: https://example.com"
    if "*" in scheme:
        return "`*` stands for one label at the start of the host, not for a scheme"
    if "@" in rest:
        return "an origin does not contain a user"
    if re.search(r"[/?#\\]", rest):
        return "nothing may follow host and port, not even `/`: browsers do not send it"
    if rest.endswith(":*"):
        return "`*` stands for one label at the start of the host, not for a port"
    return "an origin has the form scheme://host:port, such as https://example.com"
