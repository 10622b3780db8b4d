"""The session's cookie in a handshake, for pages that cannot read it: express-session makes it HttpOnly. Pure."""

from __future__ import annotations

from typing import Final

from tradecast.engine.http.request import Request

# A signed id has some 80 characters; what is much longer is none.
_LONGEST: Final = 1_024


def read_session_cookie(request: Request, name: str) -> str | None:
    """The value of a cookie, as it was sent; None where there is none, or where it must not count.

    A browser sends cookies along whoever made the page. Whether this page may connect was decided before
    (`OriginPolicy`); beyond that, a cookie counts for nothing from pages without an origin of their own (a file, a
    sandboxed frame), and from a page of another site (https://w3c.github.io/webappsec-fetch-metadata/), which is how
    cross-site WebSocket hijacking comes.

    Args:
        request: The handshake.
        name: The cookie's.
    """
    origin = request.header(b"origin")
    if origin is not None and (origin.lower() == "null" or origin.lower().startswith("file:")):
        return None
    if (request.header(b"sec-fetch-site") or "").strip().lower() == "cross-site":
        return None
    for key, value in request.headers:
        if key == b"cookie":
            for pair in value.decode("latin-1").split(";"):
                found, separator, text = pair.partition("=")
                if separator and found.strip() == name:
                    # Of several, browsers send the one with the longest path first (RFC 6265 §5.4).
                    text = text.strip().removeprefix('"').removesuffix('"')
                    return text if 0 < len(text) <= _LONGEST else None
    return None
