"""Which pages of which sites may connect (CORS, https://fetch.spec.whatwg.org/#http-cors-protocol). Pure."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, Literal

from tradecast.engine.http.request import Header, Request

ANY: Final = "*"


class OriginPolicy:
    """Tells whether a page may connect, and what a browser has to be told so that it lets it.

    A request without `Origin` does not come from a page of another site; it always passes.

    Args:
        allowed: The origins; `*`: all; None: those of the address that was asked for.
    """

    __slots__ = ("_allowed",)

    def __init__(self, allowed: Collection[str] | Literal["*"] | None) -> None:
        self._allowed = allowed if allowed is None or allowed == ANY else frozenset(allowed)

    def accepts(self, request: Request) -> bool:
        """Whether the page that sent this request may connect."""
        if self._allowed == ANY:
            return True
        origin = request.header(b"origin")
        if origin is None:
            return True
        return origin in (_own_origins(request) if self._allowed is None else self._allowed)

    def headers(self, request: Request) -> list[Header]:
        """What the answer to a request that was accepted tells the browser."""
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


def _own_origins(request: Request) -> set[str]:
    """The origins of this server, as the client and the proxies before it name it."""
    scheme = "https" if request.secure else "http"
    hosts = (request.header(b"host"), (request.header(b"x-forwarded-host") or "").split(",")[0].strip())
    return {f"{scheme}://{host}" for host in hosts if host}
