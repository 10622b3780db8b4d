"""Errors of sockets, DNS and TLS, as a driver passes them on."""

from __future__ import annotations

import socket
import ssl

import pytest
import redis.exceptions

from tradecast.causes import (
    Code,
    explain_error,
)
from tradecast.sessions.errors import StoreUnavailable
from unit.causes.errors import HERE, around, certificate


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (TimeoutError(), Code.TIMED_OUT),
        (redis.exceptions.TimeoutError("Timeout reading from 10.0.0.1:6379"), Code.TIMED_OUT),
        (ConnectionRefusedError(), Code.REFUSED),
        (redis.exceptions.ConnectionError("Error 111 connecting to h:1. Connect call failed ('h', 1)."), Code.REFUSED),
        (redis.exceptions.ConnectionError("Connection closed by server."), Code.CLOSED),
        (around(ConnectionResetError(104, "Connection reset by peer")), Code.CLOSED),
        (OSError(113, "No route to host"), Code.UNREACHABLE),
        (around(socket.gaierror(-3, "Temporary failure in name resolution")), Code.UNRESOLVABLE),
        (around(FileNotFoundError(2, "No such file or directory")), Code.NO_SOCKET),
        (around(PermissionError(13, "Permission denied")), Code.SOCKET_FORBIDDEN),
        # the number of an SSLError is no errno: 2 is no missing file
        (around(ssl.SSLError(2, "The operation did not complete")), Code.TLS_FAILED),
        (certificate("certificate has expired (_ssl.c:1006)"), Code.TLS_CERTIFICATE_EXPIRED),
        (certificate("certificate is not yet valid (_ssl.c:1006)"), Code.TLS_CERTIFICATE_NOT_YET_VALID),
        (certificate("self signed certificate (_ssl.c:1006)"), Code.TLS_UNKNOWN_CA),
        (certificate("unable to get local issuer certificate (_ssl.c:1006)"), Code.TLS_UNKNOWN_CA),
        (certificate("IP address mismatch, certificate is not valid for '10.0.0.1'."), Code.TLS_WRONG_NAME),
        (certificate("Hostname mismatch, certificate is not valid for 'h'."), Code.TLS_WRONG_NAME),
        (certificate("certificate revoked (_ssl.c:1006)"), Code.TLS_CERTIFICATE_REFUSED),
        (around(ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number")), Code.TLS_UNEXPECTED),
        (around(ssl.SSLError(1, "[SSL] tlsv13 alert certificate required")), Code.TLS_CLIENT_CERTIFICATE),
    ],
)
def test_errors_of_the_network(error: Exception, code: Code) -> None:
    assert explain_error(error, HERE).code == code
    if code != Code.ERROR:  # of a store that is away, no more is known then
        assert explain_error(around(error, StoreUnavailable("Redis")), HERE).code == code
