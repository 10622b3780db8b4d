"""Which pages of which sites may connect (CORS, https://fetch.spec.whatwg.org/#http-cors-protocol). Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Final, Literal

from tradecast.causes import OwnText
from tradecast.config.origins import Origin, parse_allowed, parse_origin
from tradecast.engine.http.request import Header, Request

ANY: Final = "*"
# What may be in a log of an origin that is nobody's we know.
_SHOWN_SCHEMES: Final = frozenset(
    {"http", "https", "capacitor", "ionic", "tauri", "app", "file", "null", "chrome-extension", "moz-extension"}
)
_ELSE: Final = "…"
# Of a page that is served on its visitor's own machine, as those are that are being developed.
_LOCAL: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})
Reason = Literal["malformed", "opaque", "other_scheme_or_port", "other_host"]
REASONS: Final[tuple[Reason, ...]] = ("malformed", "opaque", "other_scheme_or_port", "other_host")


class OriginPolicy:
    """Decides whether a page may connect, and which headers make a browser allow it.

    A request without `Origin` does not come from a page of another site; it always passes. Origins are the same
    whatever their case, with `ws` for `http`, and with the port that the scheme has anyway.

    Args:
        allowed: The origins, in which `*.` is one label of a host; `*`: all; None: those of the address that was
            asked for.

    Raises:
        ValueError: An origin is none.
    """

    __slots__ = ("_any", "_as_sent", "_exact", "_own", "_under")

    def __init__(self, allowed: Collection[str] | Literal["*"] | None) -> None:
        self._any = allowed == ANY
        self._own = allowed is None
        listed = [] if allowed is None or allowed == ANY else [parse_allowed(text) for text in allowed]
        self._exact = frozenset(origin for origin in listed if not origin.host.startswith("*."))
        self._under = frozenset(
            origin._replace(host=origin.host[2:]) for origin in listed if origin.host.startswith("*.")
        )
        # Nearly all that is asked: what a browser sends is found without taking it apart.
        self._as_sent = frozenset(str(origin) for origin in self._exact)

    def accepts(self, request: Request) -> bool:
        """Whether the page that sent this request may connect."""
        if self._any:
            return True
        text = request.header(b"origin")
        if text is None or text in self._as_sent:
            return True
        if not self._own:
            return self._lists(parse_origin(text))
        return _is_plainly_own(text, request) or parse_origin(text) in _own_origins(request)

    def names(self, request: Request) -> bool:
        """Whether the page's origin is allowed by its name, or is this server's own: its cookies may be believed.

        Not where any origin is allowed, not those that pages share which have nothing to do with each other (`null`,
        `file://`), and not a request that does not say its origin: those of other sites' images and scripts do not.
        """
        text = request.header(b"origin")
        origin = None if text is None or self._any else parse_origin(text)
        return origin is not None and not origin.is_shared and self.accepts(request)

    def find_reason(self, request: Request) -> tuple[Reason, str]:
        """Why a request was not accepted, and its origin as far as it may be shown: anybody can write anything there.

        An origin that a log may show in full is an `OwnText`: a host that is listed, or a page's own
        machine. That of the `Host` header is a client's word.
        """
        origin = parse_origin(request.header(b"origin") or "")
        if origin is None:
            return "malformed", ""
        if origin.is_shared:
            return "opaque", str(origin)
        hosts = {one.host for one in (_own_origins(request) if self._own else self._exact)}
        shown = origin._replace(
            scheme=origin.scheme if origin.scheme in _SHOWN_SCHEMES else _ELSE,
            host=origin.host if origin.host in hosts | _LOCAL else _ELSE,
        )
        known = shown.host in _LOCAL or (shown.host in hosts and not self._own)
        return (
            "other_scheme_or_port" if origin.host in hosts else "other_host",
            OwnText(shown) if known else str(shown),
        )

    def headers(self, request: Request) -> list[Header]:
        """The CORS headers in the answer to an accepted request."""
        origin = request.header(b"origin")
        if origin is None:
            return []
        found: list[Header] = [
            (b"access-control-allow-origin", origin.encode("latin-1")),
            (b"access-control-allow-credentials", b"true"),
            (b"vary", b"Origin"),
        ]
        if request.method == "OPTIONS":
            found.append((b"access-control-allow-methods", b"OPTIONS, GET, POST"))
            wanted = request.header(b"access-control-request-headers")
            if wanted is not None:
                found.append((b"access-control-allow-headers", wanted.encode("latin-1")))
        return found

    def _lists(self, origin: Origin | None) -> bool:
        if origin is None:
            return False
        if origin in self._exact:
            return True
        label, _, parent = origin.host.partition(".")
        return label != "" and origin._replace(host=parent) in self._under


def _is_plainly_own(origin: str, request: Request) -> bool:
    """Whether it is the server's own without taking it apart."""
    scheme, _, host = origin.partition("://")
    return host != "" and host == request.header(b"host") and scheme == ("https" if request.secure else "http")


def _own_origins(request: Request) -> set[Origin]:
    """The origins of this server, as the client and the proxies before it name it.

    No page can set these headers on a request to another site: a browser asks first, without them.
    """
    scheme = "https" if request.secure else "http"
    found = (parse_origin(f"{scheme}://{host}") for host in _own_hosts(request))
    return {origin for origin in found if origin is not None and origin.host}


def _own_hosts(request: Request) -> Iterator[str]:
    forwarded = request.forwarded
    named = (request.header(b"host") or "", *forwarded.hosts)
    for host in named:
        yield host
        if forwarded.port and ":" not in host.rpartition("]")[2]:  # a proxy that leaves the port out of the host
            yield f"{host}:{forwarded.port}"
