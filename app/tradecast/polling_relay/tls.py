"""TLS between servers: one certificate, or one each, all of the same authority and for the same name.

A server is reached at an address from Redis, and pods' addresses are in no certificate. So what is verified is a fixed
name (INTERNAL_SERVER_NAME), whatever the address.
"""

from __future__ import annotations

import ssl
import time
from typing import Final

import structlog

from tradecast.config.settings import Settings, SettingsError
from tradecast.engine.http.certificates import Validity, find_validity, load_certificate, read_stamp, shake_hands

CERTIFICATE: Final = "INTERNAL_CERT_FILE"
log = structlog.stdlib.get_logger("tradecast.adapter")


class InternalTls:
    """The certificate that a server presents to the others, and the authority that theirs must be of.

    `refresh` reads files that have changed again: certificates are renewed while servers run.

    Args:
        cert: PEM certificate chain.
        key: PEM private key.
        ca: PEM bundle of authorities; two while one takes the other's place.
        name: That every server's certificate is for.
        required: Whether TLS is required of every server.

    Attributes:
        listening: For connections of other servers that are accepted from now on.
        calling: For connections to them; verifies.
        is_stale: Whether the files are others than the certificates in effect, and cannot be used.

    Raises:
        SettingsError: A file is no PEM of its kind, key and certificate do not belong together, or another server would
            not trust this one; the text says why.
    """

    def __init__(self, cert: str, key: str, ca: str, name: str, *, required: bool) -> None:
        self._files = (cert, key, ca)
        self.name = name
        self.required = required
        self._stamp = read_stamp(self._files)
        self._validity: Validity | None = None
        self.is_stale = False
        self.listening, self.calling = self._load()

    @property
    def seconds_left(self) -> float | None:
        """Seconds until the certificate in effect expires, negative when it has; None: it does not say."""
        return None if self._validity is None else self._validity.ends - time.time()

    @property
    def lifetime(self) -> float | None:
        """Seconds from the beginning to the end of the certificate in effect; None: it does not say."""
        return None if self._validity is None else self._validity.lifetime

    def refresh(self) -> None:
        """Read files that have changed. Invalid ones are logged, and the certificates before them stay in effect.

        They are tried again until they can be used: the files may be written one after the other.
        """
        stamp = read_stamp(self._files)
        if stamp == self._stamp and not self.is_stale:
            return
        try:
            self.listening, self.calling = self._load()
        except (SettingsError, OSError) as error:
            if stamp != self._stamp or not self.is_stale:
                log.error(
                    "new certificates of the internal port are invalid: the previous ones stay",
                    why=str(error),
                )
            self._stamp, self.is_stale = stamp, True
            return
        self._stamp, self.is_stale = stamp, False
        log.info("certificates of the internal port reloaded")

    def _load(self) -> tuple[ssl.SSLContext, ssl.SSLContext]:
        cert, key, ca = self._files
        try:
            listening = load_certificate(cert, key)
        except (OSError, ValueError):  # an SSLError is one, and its text explains nothing
            raise SettingsError(f"{CERTIFICATE}, INTERNAL_KEY_FILE: are no PEM certificate and its key") from None
        try:
            calling = ssl.create_default_context(cafile=ca)
        except OSError:
            raise SettingsError("INTERNAL_CA_FILE: has no PEM certificate") from None
        # Python 3.13 wants all that RFC 5280 does, which openssl's simplest commands do not write.
        calling.verify_flags &= ~ssl.VERIFY_X509_STRICT
        why = find_distrust(listening, calling, self.name)
        if why is not None:
            raise SettingsError(f"{CERTIFICATE}: other servers would not trust it: {why}")
        self._validity = find_validity(listening, cert)
        return listening, calling


def create_internal_tls(settings: Settings) -> InternalTls | None:
    """By the settings; None: servers speak plain HTTP. Raises as the class says."""
    cert, key, ca = settings.internal_cert_file, settings.internal_key_file, settings.internal_ca_file
    if cert is None or key is None or ca is None:
        return None
    return InternalTls(cert, key, ca, settings.internal_server_name, required=settings.internal_require_tls)


def find_distrust(listening: ssl.SSLContext, calling: ssl.SSLContext, name: str) -> str | None:
    """Why a caller would not trust a listener, by a handshake in memory; None: it does."""
    try:
        return "the handshake does not end" if shake_hands(listening, calling, name) is None else None
    except ssl.SSLError as error:
        return explain_tls_error(error)


def explain_tls_error(error: ssl.SSLError) -> str:
    """What was wrong with another server's TLS, in words; nothing that it sent."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message.rstrip(".")
    if error.reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG", "RECORD_LAYER_FAILURE"):
        return "it speaks no TLS"
    return (error.reason or "the handshake failed").lower().replace("_", " ")
