"""Which figures are in force, and why."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any, Literal

import structlog

from tradecast.runtime_config.file_watcher import Content, Unreadable
from tradecast.runtime_config.tuning import Tuning, TuningError, read

DIGITS = 16
Outcome = Literal["applied", "refused"]
log = structlog.stdlib.get_logger("tradecast.adapter")


def revision_of(content: bytes) -> str:
    """What a content is called: the beginning of its SHA-256, hexadecimal."""
    return hashlib.sha256(content).hexdigest()[:DIGITS]


class Tuner:
    """Takes figures from a file that may change, be wrong, or be missing.

    A file that makes no sense changes nothing: the last good figures stay in force. Without a file, and for figures
    that it does not have, the settings hold.

    Attributes:
        tuning: The figures in force.

    Args:
        base: What the settings say.
        on_look: Told what became of a content that was found, and the figures that are in force since.
        check: Raises TuningError for figures that make sense, and yet not on this server.
    """

    def __init__(
        self,
        base: Tuning,
        on_look: Callable[[Outcome, Tuning], None] = lambda outcome, tuning: None,
        check: Callable[[Tuning], None] = lambda tuning: None,
    ) -> None:
        self.tuning = base
        self._base = base
        self._on_look = on_look
        self._check = check
        self._apply: Callable[[Tuning], None] = lambda tuning: None
        self._given: frozenset[str] = frozenset()
        self._unknown: tuple[str, ...] = ()
        self._revision: str | None = None
        self._seen: str | None = None
        self._error: str | None = None

    def apply_to(self, apply: Callable[[Tuning], None]) -> None:
        """Hand the figures to this one, now and whenever they change."""
        self._apply = apply
        apply(self.tuning)

    def take(self, content: Content) -> None:
        """Go on with what is in the file now."""
        self._seen = revision_of(content) if isinstance(content, bytes) else None
        try:
            if isinstance(content, Unreadable):
                raise TuningError(content.why)
            reading = read(content or b"", self._base)
            self._check(reading.tuning)
        except TuningError as error:
            self._error = str(error)
            log.error("the adapter's file makes no sense; the figures stay as they are", error=self._error)
            self._on_look("refused", self.tuning)
            return
        before, self.tuning = self.tuning, reading.tuning
        self._given, self._unknown, self._error = reading.given, reading.unknown, None
        self._revision = self._seen
        if self._unknown:
            log.warning("the adapter's file has figures that this version does not know", unknown=self._unknown)
        if self.tuning != before:
            self._apply(self.tuning)
            log.info("the adapter runs with other figures", revision=self._revision, **_changes(before, self.tuning))
        self._on_look("applied", self.tuning)

    def stats(self) -> dict[str, Any]:
        """How it stands, for `/admin/stats`."""
        return {
            "inForce": self.tuning.model_dump(),
            "source": {name: "file" if name in self._given else "settings" for name in Tuning.model_fields},
            "revision": self._revision,
            "seen": self._seen,
            "error": self._error,
            "unknown": list(self._unknown),
        }


def _changes(before: Tuning, after: Tuning) -> Mapping[str, Any]:
    old = before.model_dump()
    return {name: value for name, value in after.model_dump().items() if value != old[name]}
