"""The public port's certificate, which is renewed while the server runs."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable
from typing import Final

import structlog

from tradecast.config.settings import Settings, SettingsError
from tradecast.engine.http.certificates import Validity, find_validity, load_certificate, read_stamp

# Seconds between two polls of the files. Those of a Secret in Kubernetes change a minute or so after the Secret.
POLL_EVERY: Final = 5.0
NAMES: Final = "SSL_CERTFILE, SSL_KEYFILE"
log = structlog.stdlib.get_logger("tradecast.lifecycle")


class RenewedCertificate:
    """The certificate for new connections, read again whenever its files change (`Certificate`).

    If the new files are invalid, that is logged and counted, and the previous certificate stays in effect. They are
    read again until they are valid, since certificate and key may be written one after the other.

    Args:
        certificate: PEM file with the certificate chain.
        key: PEM file with the private key.
        clock: Seconds since 1970.

    Attributes:
        listening: The TLS context for connections that are accepted from now on.
        is_stale: Whether the files have changed and are invalid, so that the previous certificate is in effect.

    Raises:
        SettingsError: The files are not a certificate and its key.
    """

    def __init__(self, certificate: str, key: str, clock: Callable[[], float] = time.time) -> None:
        self._files = (certificate, key)
        self._clock = clock
        self._stamp = read_stamp(self._files)
        self._found = self._stamp
        self._validity: Validity | None = None
        self.is_stale = False
        try:
            self.listening = self._load()
        except (OSError, ValueError):  # SSLError is an OSError, and its message explains nothing
            raise SettingsError(f"{NAMES}: are no PEM certificate and its key") from None

    @property
    def seconds_left(self) -> float | None:
        """Seconds until the certificate in effect expires, negative if it has; None if it has no end."""
        return None if self._validity is None else self._validity.ends - self._clock()

    @property
    def lifetime(self) -> float | None:
        """Seconds from the beginning to the end of the certificate in effect; None: it does not say."""
        return None if self._validity is None else self._validity.lifetime

    async def run(self) -> None:
        """Poll the files until cancelled."""
        while True:
            await asyncio.sleep(POLL_EVERY)
            await asyncio.to_thread(self.poll)  # the disk may be slow, or gone

    def poll(self) -> None:
        """Read the files if they have changed, but not since the previous poll: they may be half written until then."""
        stamp, before = read_stamp(self._files), self._found
        self._found = stamp
        if stamp != before or (stamp == self._stamp and not self.is_stale):
            return
        try:
            if stamp is None:
                raise FileNotFoundError
            self.listening = self._load()
        except (OSError, ValueError) as error:
            if stamp != self._stamp or not self.is_stale:
                log.error(
                    "the new certificate of the public port cannot be used: the previous one stays",
                    why=_explain_unusable(error),
                    settings=NAMES,
                    expires_in_days=self._days_left(),
                )
            self._stamp, self.is_stale = stamp, True
            return
        self._stamp, self.is_stale = stamp, False
        log.info("certificate of the public port reloaded", expires_in_days=self._days_left())

    def _load(self) -> ssl.SSLContext:
        context = load_certificate(*self._files)
        self._validity = find_validity(context, self._files[0])
        return context

    def _days_left(self) -> float | None:
        left = self.seconds_left
        return None if left is None else round(left / 86_400, 1)


def load_public_certificate(settings: Settings) -> RenewedCertificate | None:
    """Load the certificate that the settings name; None if the public port has no TLS. Raises SettingsError."""
    if settings.ssl_certfile is None or settings.ssl_keyfile is None:
        return None
    return RenewedCertificate(settings.ssl_certfile, settings.ssl_keyfile)


def _explain_unusable(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        if error.reason == "KEY_VALUES_MISMATCH":
            return "the key is that of another certificate"
        return "they are no PEM certificate and its key, or the key has a password"
    if isinstance(error, FileNotFoundError):
        return "a file is missing"
    return "a file cannot be read" if isinstance(error, OSError) else "they are no PEM certificate and its key"
