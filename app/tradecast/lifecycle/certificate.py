"""The certificate of a port: read again when its files change, since certificates are renewed while servers run."""

from __future__ import annotations

import asyncio
import os
import ssl
from typing import Final

import structlog

# Seconds between two looks at the files. Kubernetes takes up to two minutes to write a renewed Secret into a pod.
LOOK_EVERY: Final = 30.0
log = structlog.stdlib.get_logger("tradecast.lifecycle")
_Stamp = tuple[tuple[int, int], ...]


class WatchedCertificate:
    """A certificate and its key in a TLS context that a port already uses.

    Connections that are made from then on get the new certificate; those that are there keep theirs.

    Args:
        context: The port's.
        certfile: PEM certificate chain.
        keyfile: PEM private key.
        port: Name of the port, for logs.
    """

    def __init__(self, context: ssl.SSLContext, certfile: str, keyfile: str, port: str) -> None:
        self._context = context
        self._files = (certfile, keyfile)
        self._port = port
        self._stamp = self._read_stamp()

    async def run(self) -> None:
        """Look at the files from time to time, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_EVERY)
            self.refresh()

    def refresh(self) -> bool:
        """Read the files if they have changed. Invalid ones are logged, and the certificate before them stays.

        Returns:
            Whether there is another certificate now.
        """
        stamp = self._read_stamp()
        if stamp == self._stamp:
            return False
        self._stamp = stamp
        try:
            # A context into which a certificate was loaded without its key would serve nobody: try another one first.
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(*self._files)
            self._context.load_cert_chain(*self._files)
        except OSError:  # an SSLError is one, and its text explains nothing
            log.error(
                "the new certificate of a port is no PEM certificate and its key: the previous one stays",
                port=self._port,
            )
            return False
        log.info("certificate of a port reloaded", port=self._port)
        return True

    def _read_stamp(self) -> _Stamp:
        try:
            return tuple((found.st_mtime_ns, found.st_ino) for found in map(os.stat, self._files))
        except OSError:
            return ()
