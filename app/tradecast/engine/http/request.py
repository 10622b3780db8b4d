"""The head of a request for a connection, whether it came through ASGI or straight from the HTTP parser."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import unquote_plus

Header = tuple[bytes, bytes]
# Of the first element of `Forwarded` (RFC 7239 §4), which the proxy nearest to the client has written.
_FORWARDED = re.compile(r'(?:^|;)\s*(proto|host)\s*=\s*(?:"([^"\\]*)"|([^\s",;]*))', re.IGNORECASE)


class Forwarded(NamedTuple):
    """What proxies say of the request as the client made it.

    Attributes:
        scheme: In lower case; empty: they do not say.
        hosts: Each with a port or without.
        port: Empty: they do not say.
    """

    scheme: str
    hosts: tuple[str, ...]
    port: str


class Request:
    """What a client asks for.

    Attributes:
        method: In capitals; GET for a WebSocket.
        path: Decoded.
        raw_path: As it was sent.
        query_string: As it was sent.
        headers: As they were sent, names in lower case.
        scheme: `http`, `https`, `ws` or `wss`, as of this server's own port.
        websocket: Whether it is a WebSocket's handshake.
        peer: The address at the other end of the TCP connection; None: it has none, or the server does not report it.
        checked: Whether the engine has found that it may open a connection (`EngineServer.check_handshake`).
    """

    __slots__ = (
        "_query",
        "checked",
        "headers",
        "method",
        "path",
        "peer",
        "query_string",
        "raw_path",
        "scheme",
        "websocket",
    )

    def __init__(
        self,
        *,
        method: str,
        path: str,
        raw_path: bytes,
        query_string: bytes,
        headers: Sequence[Header],
        scheme: str,
        websocket: bool,
        peer: str | None = None,
    ) -> None:
        self.method = method
        self.path = path
        self.raw_path = raw_path
        self.query_string = query_string
        self.headers = headers
        self.scheme = scheme
        self.websocket = websocket
        self.peer = peer
        self._query: dict[str, str] | None = None
        self.checked = False

    @classmethod
    def of_scope(cls, scope: Mapping[str, Any]) -> Request:
        """The request of an ASGI scope."""
        websocket = scope["type"] == "websocket"
        path: str = scope["path"]
        return cls(
            method="GET" if websocket else scope.get("method", "GET"),
            path=path,
            raw_path=scope.get("raw_path") or path.encode("utf-8", "surrogateescape"),
            query_string=scope.get("query_string", b""),
            headers=[(name.lower(), value) for name, value in scope["headers"]],
            scheme=scope["scheme"],
            websocket=websocket,
            peer=client[0] if (client := scope.get("client")) else None,
        )

    @property
    def query(self) -> Mapping[str, str]:
        """The parameters of the query that have a value, each with its first one."""
        if self._query is None:
            found: dict[str, str] = {}
            self._query = found
            for pair in self.query_string.decode("latin-1").split("&"):
                name, _, value = pair.partition("=")
                if "%" in pair or "+" in pair:
                    name, value = unquote_plus(name), unquote_plus(value)
                if value:
                    found.setdefault(name, value)
        return self._query

    @property
    def target(self) -> bytes:
        """Path and query as they were sent."""
        return self.raw_path + b"?" + self.query_string if self.query_string else self.raw_path

    def header(self, name: bytes) -> str | None:
        """The first header of this name, which is given in lower case."""
        for key, value in self.headers:
            if key == name:
                return value.decode("latin-1")
        return None

    def joined(self, name: bytes) -> str | None:
        """The values of all headers of this name, which is given in lower case, as one list (RFC 9110 §5.3)."""
        found = [value for key, value in self.headers if key == name]
        return b", ".join(found).decode("latin-1") if found else None

    @property
    def secure(self) -> bool:
        """Whether it came over TLS, as this server's port or the proxy nearest to the client says."""
        if self.scheme in ("https", "wss"):
            return True
        scheme = self.header(b"x-forwarded-proto")
        if scheme in ("https", "http") or (scheme is None and self.header(b"forwarded") is None):
            return scheme == "https"  # as nearly all of them
        return self.forwarded.scheme in ("https", "wss")

    @property
    def forwarded(self) -> Forwarded:
        """What the proxy nearest to the client says; of scheme and host, X-Forwarded-* before `Forwarded`."""
        scheme, host = self._first(b"x-forwarded-proto").lower(), self._first(b"x-forwarded-host")
        if (not scheme or not host) and (standard := self.header(b"forwarded")) is not None:
            said = {name.lower(): quoted or bare for name, quoted, bare in _FORWARDED.findall(standard.split(",")[0])}
            scheme, host = scheme or said.get("proto", "").lower(), host or said.get("host", "")
        port = self._first(b"x-forwarded-port")
        return Forwarded(scheme, (host,) if host else (), port if port.isascii() and port.isdigit() else "")

    def _first(self, name: bytes) -> str:
        """The first entry of a header that is a list; empty: there is none."""
        return next((word for part in (self.header(name) or "").split(",") if (word := part.strip())), "")

    def environ(self) -> dict[str, Any]:
        """The request as python-socketio's connect handlers want it: a WSGI environ (PEP 3333) without streams."""
        found: dict[str, Any] = {
            "REQUEST_METHOD": self.method,
            "SCRIPT_NAME": "",
            "PATH_INFO": self.path,
            "QUERY_STRING": self.query_string.decode("latin-1"),
            "RAW_URI": self.target.decode("latin-1"),
            "SERVER_PROTOCOL": "HTTP/1.1",
            "wsgi.url_scheme": "https" if self.secure else "http",
        }
        for name, value in self.headers:
            key = name.decode("latin-1").upper().replace("-", "_")
            key = key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"
            text = value.decode("latin-1")
            found[key] = f"{found[key]},{text}" if key in found else text
        return found
