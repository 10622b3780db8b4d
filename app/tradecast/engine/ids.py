"""Ids that nobody can guess, made from the system's randomness a few hundred at a time."""

from __future__ import annotations

import base64
import os
from typing import Final, Protocol

# Bytes asked of the system at once: a call costs as much as for twenty.
_CHUNK: Final = 4_095


class IdMaker:
    """Makes ids of one length.

    Args:
        size: Random bytes in each; a multiple of 3, so that the ids have no padding.
    """

    __slots__ = ("_length", "_position", "_text")

    def __init__(self, size: int) -> None:
        if size % 3:
            raise ValueError("the size is a multiple of 3")
        self._length = size // 3 * 4
        self._text = ""
        self._position = 0

    def __call__(self) -> str:
        """A new id, in URL-safe base64 (RFC 4648 §5)."""
        end = self._position + self._length
        if end > len(self._text):
            self._text = base64.urlsafe_b64encode(os.urandom(_CHUNK)).decode("ascii")
            self._position, end = 0, self._length
        found = self._text[self._position : end]
        self._position = end
        return found


make_id = IdMaker(15)
"""A new id of 120 random bits in 20 characters."""


class SidMaker(Protocol):
    """Makes the sids of new connections."""

    def make_sid(self) -> str | None:
        """A new one that nobody can guess; None: any will do."""
        ...


class RandomSids:
    """Makes sids that say nothing (`SidMaker`)."""

    def make_sid(self) -> str:
        """See `SidMaker`."""
        return make_id()
