"""Certificates of listeners: loaded, shown to nobody, and asked how long they last."""

from __future__ import annotations

import contextlib
import os
import ssl
from collections.abc import Iterable
from typing import Any, NamedTuple, Protocol

# X509_V_FLAG_NO_CHECK_TIME, for which Python has no name: a certificate that has expired says when, too.
_NO_CHECK_TIME = 0x200000

Stamp = tuple[tuple[int, int], ...] | None
"""When each of some files was written, and which one it is; None: one of them cannot be found."""


class Validity(NamedTuple):
    """When a certificate is valid, in seconds since 1970.

    Attributes:
        begins: From then on.
        ends: Until then.
    """

    begins: float
    ends: float

    @property
    def lifetime(self) -> float:
        """Seconds from its beginning to its end."""
        return self.ends - self.begins


class Certificate(Protocol):
    """A certificate that may be renewed.

    Attributes:
        listening: For the connections that are accepted from now on.
    """

    @property
    def listening(self) -> ssl.SSLContext: ...


def load_certificate(certificate: str, key: str | None) -> ssl.SSLContext:
    """A certificate and its key, for a listener.

    Args:
        certificate: PEM file with the certificate chain.
        key: PEM file with the private key; None: it is in the same file.

    Raises:
        OSError: The files cannot be read, are no PEM, or do not belong together. (An SSLError is one.)
        ValueError: As an OSError.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key, password=_refuse_password)
    return context


def _refuse_password() -> str:
    """OpenSSL would ask for it on a terminal, and wait."""
    return ""


def read_expiry(server: ssl.SSLContext, certificate: str, *, at_any_time: bool = False) -> str:
    """When a certificate expires, in OpenSSL's format: by a handshake in memory, as Python has no other public way.

    Args:
        server: Has certificate and key.
        certificate: Its file.
        at_any_time: Whether a certificate that is not valid at present tells as well.

    Raises:
        ssl.SSLCertVerificationError: It is not valid at present.
        OSError: It cannot be read.
        ValueError: It does not say.
    """
    return str(_read_shown(server, certificate, at_any_time=at_any_time)["notAfter"])


def _read_shown(server: ssl.SSLContext, certificate: str, *, at_any_time: bool) -> dict[str, Any]:
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.load_verify_locations(certificate)
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    if at_any_time:
        client.verify_flags = ssl.VerifyFlags(client.verify_flags | _NO_CHECK_TIME)
    end = shake_hands(server, client)
    shown: dict[str, Any] = (end and end.getpeercert()) or {}
    if "notAfter" not in shown:
        raise ValueError("a certificate that does not say when it expires")
    return shown


def find_validity(server: ssl.SSLContext, certificate: str) -> Validity | None:
    """When a certificate is, was or will be valid; None: it does not say.

    Args:
        server: Has certificate and key.
        certificate: Its file.
    """
    try:
        shown = _read_shown(server, certificate, at_any_time=True)
        begins, ends = (float(ssl.cert_time_to_seconds(shown[name])) for name in ("notBefore", "notAfter"))
    except (OSError, ValueError, KeyError):
        return None
    return Validity(begins, ends)


def read_stamp(files: Iterable[str]) -> Stamp:
    """What changes when any of these files does."""
    try:
        return tuple((found.st_mtime_ns, found.st_ino) for found in map(os.stat, files))
    except OSError:
        return None


def shake_hands(listening: ssl.SSLContext, calling: ssl.SSLContext, name: str | None = None) -> ssl.SSLObject | None:
    """Shake hands in memory; the caller's end of it, or None: it does not end.

    Args:
        listening: The listener's, with its certificate.
        calling: The caller's, which verifies.
        name: What the certificate is to be for; None: that is not checked.

    Raises:
        ssl.SSLError: One of them does not accept the other.
    """
    to_listener, to_caller = ssl.MemoryBIO(), ssl.MemoryBIO()
    caller = calling.wrap_bio(to_caller, to_listener, server_hostname=name)
    listener = listening.wrap_bio(to_listener, to_caller, server_side=True)
    for _ in range(10):  # TLS 1.2 takes four turns
        with contextlib.suppress(ssl.SSLWantReadError):
            caller.do_handshake()
            return caller
        with contextlib.suppress(ssl.SSLWantReadError):
            listener.do_handshake()
    return None
