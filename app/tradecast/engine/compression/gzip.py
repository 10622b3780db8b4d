"""Gzips the answers to polls, for clients that accept it (RFC 9110 §12.5.3).

No secret is compressed beside what others may have written: how far an answer shrinks would tell whether the two have
something in common (BREACH, https://breachattack.com). The secrets in Engine.IO's and Socket.IO's packets are the ids
that a connection is opened with; an answer that has one of them is sent as it is.
"""

from __future__ import annotations

import re
import zlib
from typing import Final

# Bytes of the smallest answer that is compressed: what fits into one packet of the network takes as long either way.
SMALLEST: Final = 1_024
# And of the largest one, which takes 6 ms.
LARGEST: Final = 1_000_000
LEVEL: Final = 1
# Characters of an Accept-Encoding that is read. Browsers send 30.
LONGEST: Final = 512
_MEMORY: Final = 5
# zlib's sign for gzip's header and checksum around a window of 2**15.
_WINDOW: Final = 16 + 15
# `0{"sid":…` opens a connection, `40{"sid":…,"pid":…` joins a namespace.
_IDS: Final = b'{"sid":"'
_CODING: Final = re.compile(
    r"([!#$%&'*+\-.^_`|~0-9a-z]++)(?:[ \t]*+;[ \t]*+q[ \t]*+=[ \t]*+(0(?:\.\d{0,3}+)?+|1(?:\.0{0,3}+)?+))?+"
)


def accepts_gzip(accepted: str | None) -> bool:
    """Whether an Accept-Encoding takes gzip, and prefers it to no coding; one that is malformed does not."""
    if accepted is None or len(accepted) > LONGEST:
        return False
    weights: dict[str, float] = {}
    for part in accepted.lower().split(","):
        if text := part.strip(" \t"):
            coding = _CODING.fullmatch(text)
            if coding is None:
                return False
            weights[coding[1]] = 1.0 if coding[2] is None else float(coding[2])
    gzip = weights.get("gzip", weights.get("x-gzip", weights.get("*", 0.0)))
    return gzip > 0 and gzip >= weights.get("identity", 0.0)


def carries_id(payload: bytes) -> bool:
    """Whether an answer has an id in it that nobody else may learn."""
    return _IDS in payload


class GzipAnswers:
    """Compresses answers, and knows the last one again: a broadcast to those who poll is compressed once."""

    def __init__(self) -> None:
        self._last: bytes | None = None
        self._compressed: bytes | None = None

    def compress(self, payload: bytes) -> bytes | None:
        """The answer, gzipped; None: it is better sent as it is."""
        if len(payload) > LARGEST:
            return None
        if payload is not self._last:
            self._last, self._compressed = payload, self._compress(payload)
        return self._compressed

    def _compress(self, payload: bytes) -> bytes | None:
        if len(payload) < SMALLEST or carries_id(payload):
            return None
        compressor = zlib.compressobj(LEVEL, zlib.DEFLATED, _WINDOW, _MEMORY)
        compressed = compressor.compress(payload) + compressor.flush()
        return compressed if len(compressed) < len(payload) else None
