"""Finds out what answers at an address, when a driver cannot say: TLS or not, Redis, MongoDB, HTTP, or nothing."""

from __future__ import annotations

import asyncio
import contextlib
import math
import ssl
import struct
import time
from typing import Final

from tradecast.causes import Cause, Peer, Place, explain_error, is_ambiguous, refine_cause

PATIENCE: Final = 0.8
# Seconds for which a result is trusted: a place that is away is not asked three times as often for it.
BELIEVED: Final = 60.0
# The same of silence: perhaps it was this machine that was held up.
SILENCE_BELIEVED: Final = 15.0
_PING: Final = b"PING\r\n"
_OP_MSG: Final = 2013
_DOCUMENT: Final = b"\x10hello\x00\x01\x00\x00\x00\x02$db\x00\x06\x00\x00\x00admin\x00\x00"
_SECTION: Final = b"\x00" + struct.pack("<i", len(_DOCUMENT) + 4) + _DOCUMENT
# https://www.mongodb.com/docs/manual/reference/mongodb-wire-protocol/
_HELLO: Final = struct.pack("<iiiii", 20 + len(_SECTION), 1, 0, _OP_MSG, 0) + _SECTION


async def probe_peer(at: str, patience: float = PATIENCE) -> Peer:
    """What answers at an address, asked on four connections at a time; `silent` where nothing shows it.

    Args:
        at: `host:port`, or the path of a Unix socket.
        patience: Seconds that all of it may take.
    """
    tasks = [
        asyncio.create_task(_shake_hands(at)),
        asyncio.create_task(_ask_peer(at, _PING)),
        asyncio.create_task(_ask_peer(at, _HELLO)),
        # A Redis that is full says so and closes at once: whoever writes meanwhile may lose what it said.
        asyncio.create_task(_ask_peer(at, b"")),
    ]
    try:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience):
                for done in asyncio.as_completed(tasks):
                    if (found := await done) is not None:
                        return found
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return "silent"


class Explainer:
    """Explains errors of one place, and probes what answers there where the error alone does not say."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self._believed: dict[str, tuple[float, Peer]] = {}

    async def explain(self, error: BaseException, place: Place | None = None) -> Cause:
        """The cause of an error, within a second.

        Args:
            error: Of the driver.
            place: In place of the own one.
        """
        cause = explain_error(error, place or self.place)
        at = cause.place.at
        if not is_ambiguous(cause) or not at or "," in at:
            return cause
        until, peer = self._believed.get(at, (-math.inf, "silent"))
        if time.monotonic() >= until:
            peer = await probe_peer(at)
            seconds = SILENCE_BELIEVED if peer == "silent" else BELIEVED
            self._believed = {at: (time.monotonic() + seconds, peer)}
        return refine_cause(cause, peer)


async def explain_once(error: BaseException, place: Place) -> Cause:
    """As `Explainer.explain`, once."""
    return await Explainer(place).explain(error)


async def _open_connection(
    at: str, tls: ssl.SSLContext | None = None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if at.startswith("/"):
        return await asyncio.open_unix_connection(at, ssl=tls, server_hostname="" if tls else None)
    host, _, port = at.rpartition(":")
    return await asyncio.open_connection(host.strip("[]"), int(port), ssl=tls)


async def _shake_hands(at: str) -> Peer | None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False  # the certificate is not checked, nor is anything sent
    context.verify_mode = ssl.CERT_NONE
    try:
        _, writer = await _open_connection(at, context)
    except ssl.SSLError as error:
        return "tls" if "ALERT" in str(error).upper() else None
    except (OSError, ValueError):
        return None
    writer.transport.abort()
    return "tls"


async def _ask_peer(at: str, question: bytes) -> Peer | None:
    try:
        reader, writer = await _open_connection(at)
    except (OSError, ValueError):
        return None
    try:
        writer.write(question)
        return _read_answer(await reader.read(64))
    except OSError:
        return None
    finally:
        writer.transport.abort()


def _read_answer(answer: bytes) -> Peer | None:
    if answer.startswith((b"HTTP/", b"<!DOCTYPE", b"<html", b"<HTML")):
        return "http"
    if answer.startswith(b"-ERR max number of clients"):
        return "full redis"
    if answer.startswith((b"+", b"-")):
        return "redis"
    if len(answer) >= 16 and struct.unpack("<iiii", answer[:16])[3] in (1, _OP_MSG):
        return "mongodb"
    return "tls" if answer[:2] == b"\x15\x03" else None
