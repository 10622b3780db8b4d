"""Errors of sockets, DNS and TLS."""

from __future__ import annotations

import errno
import re
import socket
import ssl
from collections.abc import Sequence
from typing import Final

from tradecast.causes.chain import compile_pattern, is_named
from tradecast.causes.codes import Code

# OpenSSL's words: the drivers pass them on in their own texts.
_TLS: Final = tuple(
    (compile_pattern(text), code)
    for text, code in (
        (r"verify failed: certificate has expired", Code.TLS_CERTIFICATE_EXPIRED),
        (r"verify failed: certificate is not yet valid", Code.TLS_CERTIFICATE_NOT_YET_VALID),
        (r"verify failed: (host ?name|ip address) mismatch|doesn't match", Code.TLS_WRONG_NAME),
        (r"verify failed: (self[- ]signed|unable to (get|verify))", Code.TLS_UNKNOWN_CA),
        (r"certificate verify failed", Code.TLS_CERTIFICATE_REFUSED),
        (r"wrong[_ ]version[_ ]number|unknown[_ ]protocol|packet length too long", Code.TLS_UNEXPECTED),
        (r"alert[_ ](certificate[_ ]required|bad[_ ]certificate|unknown[_ ]ca)", Code.TLS_CLIENT_CERTIFICATE),
    )
)
_LOOK_UP: Final = compile_pattern(
    r"name or service not known|temporary failure in name resolution|nodename nor servname|no address associated"
    r"|name does not resolve|dns (query|operation|response)|getaddrinfo failed"
)
_REFUSED_CODES: Final = (errno.ECONNREFUSED,)
_REFUSED_TEXT: Final = compile_pattern(r"connection refused|errno 111|connect call failed")
_AWAY_CODES: Final = (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EHOSTDOWN, errno.EADDRNOTAVAIL)
_NETWORK: Final[Sequence[tuple[tuple[int, ...], re.Pattern[str], Code]]] = (
    ((errno.ENOENT,), compile_pattern(r"no such file or directory"), Code.NO_SOCKET),
    ((errno.EACCES, errno.EPERM), compile_pattern(r"\] permission denied"), Code.SOCKET_FORBIDDEN),
    (_REFUSED_CODES, _REFUSED_TEXT, Code.REFUSED),
    (_AWAY_CODES, compile_pattern(r"no route to host|network is unreachable"), Code.UNREACHABLE),
)
_TIMED_OUT: Final = (
    *("TimeoutError", "ExecutionTimeout", "ConnectTimeout", "ReadTimeout", "WriteTimeout", "PoolTimeout"),
    "NetworkTimeout",
)
_TIMED_OUT_TEXT: Final = compile_pattern(r"timed out|timeout (reading|connecting)|answer in time")
_CLOSED: Final = ("ConnectionResetError", "ConnectionAbortedError", "BrokenPipeError", "IncompleteReadError")
_CLOSED_TEXT: Final = compile_pattern(
    r"connection (was )?(closed|lost)|connection reset|broken pipe|eof occurred|server disconnected"
)
_LOST: Final = ("ConnectionError", "ConnectionFailure", "OSError", "StoreUnavailable", "TransportError")


def recognize_name_or_tls(chain: Sequence[BaseException], texts: str) -> Code | None:
    """Recognize a wrong name or TLS problem, which drivers report as a failed connection."""
    for pattern, code in _TLS:
        if pattern.search(texts):
            return code
    if any(isinstance(one, socket.gaierror) for one in chain) or _LOOK_UP.search(texts):
        return Code.UNRESOLVABLE
    return None


def is_refused(chain: Sequence[BaseException], texts: str) -> bool:
    """Whether nothing listens there, by an error of Python or by a driver's text."""
    return bool(_REFUSED_TEXT.search(texts)) or any(isinstance(one, ConnectionRefusedError) for one in chain)


def recognize_network(chain: Sequence[BaseException], texts: str) -> Code | None:
    """Recognize what is wrong with a connection."""
    if any(isinstance(one, ConnectionRefusedError) for one in chain):
        return Code.REFUSED
    for codes, pattern, code in _NETWORK:
        # the number of an SSLError is OpenSSL's, and no errno
        system = (one for one in chain if isinstance(one, OSError) and not isinstance(one, ssl.SSLError))
        if any(one.errno in codes for one in system) or pattern.search(texts):
            return code
    if any(is_named(one, *_TIMED_OUT) for one in chain):
        return Code.TIMED_OUT
    if any(isinstance(one, ssl.SSLError) for one in chain):
        return Code.TLS_FAILED
    if any(is_named(one, *_CLOSED) for one in chain) or _CLOSED_TEXT.search(texts):
        return Code.CLOSED
    if _TIMED_OUT_TEXT.search(texts):
        return Code.TIMED_OUT
    return None


def is_lost(chain: Sequence[BaseException]) -> bool:
    """Whether a connection was lost, and nothing shows why."""
    return any(is_named(one, *_LOST) for one in chain)
