"""Which run-time settings are in effect, and where each comes from."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Literal, Protocol

import structlog

from tradecast.config.model import NO_OTHER
from tradecast.config.runtime_settings import RuntimeSettings
from tradecast.runtime_config.file_watcher import Content, Unreadable
from tradecast.runtime_config.overrides import OverridesError, parse_overrides

DIGITS = 16
Outcome = Literal["applied", "refused"]
log = structlog.stdlib.get_logger("tradecast.adapter")


class RuntimeConfigObserver(Protocol):
    """Observes what becomes of ADAPTER_FILE; the metrics do."""

    def adapter_file(self, result: Outcome) -> None:
        """A content of the file was applied or refused."""
        ...

    def adapter_figures(self, figures: Mapping[str, float]) -> None:
        """These settings are in effect from now on."""
        ...


class Tunable(Protocol):
    """What runs by these settings: the broker."""

    def tune(self, settings: RuntimeSettings) -> None:
        """Apply settings, the first ones or others."""
        ...


def compute_revision(content: bytes) -> str:
    """The name of a content: the beginning of its SHA-256, hexadecimal."""
    return hashlib.sha256(content).hexdigest()[:DIGITS]


class RuntimeConfig:
    """Applies the settings of a file that may change, be invalid, or be missing, as `FileListener`.

    An invalid file changes nothing: the last valid settings stay in effect. Without a file, and for settings that the
    file does not have, those of the environment apply.

    Attributes:
        settings: What is in effect.

    Args:
        base: The settings of the environment.
        observer: Observes what becomes of each content, and which settings are in effect.
        has_other_mode: Whether there is another mode's Redis, to which `publish_both` could publish.
    """

    def __init__(self, base: RuntimeSettings, observer: RuntimeConfigObserver, *, has_other_mode: bool) -> None:
        self.settings = base
        self._base = base
        self._observer = observer
        self._has_other_mode = has_other_mode
        self._targets: list[Tunable] = []
        self._given: frozenset[str] = frozenset()
        self._unknown: tuple[str, ...] = ()
        self._revision: str | None = None
        self._seen: str | None = None
        self._error: str | None = None
        observer.adapter_figures(base.model_dump())

    def add_target(self, target: Tunable) -> None:
        """Apply the settings to this one, now and whenever they change."""
        self._targets.append(target)
        target.tune(self.settings)

    def on_file_content(self, content: Content) -> None:
        """Apply what is in the file now."""
        self._seen = compute_revision(content) if isinstance(content, bytes) else None
        try:
            if isinstance(content, Unreadable):
                raise OverridesError(content.why)
            overrides = parse_overrides(content or b"", self._base)
            if overrides.settings.publish_both and not self._has_other_mode:
                raise OverridesError(f"publish_both: {NO_OTHER}")
        except OverridesError as error:
            self._error = str(error)
            log.error("ADAPTER_FILE is invalid; the settings in effect stay unchanged", error=self._error)
            self._observe("refused")
            return
        before, self.settings = self.settings, overrides.settings
        self._given, self._unknown, self._error = overrides.given, overrides.unknown, None
        self._revision = self._seen
        if self._unknown:
            log.warning("ADAPTER_FILE has settings that this version does not know", unknown=self._unknown)
        if self.settings != before:
            for target in self._targets:
                target.tune(self.settings)
            changes = _find_changes(before, self.settings)
            log.info("settings changed by ADAPTER_FILE", revision=self._revision, **changes)
        self._observe("applied")

    def stats(self) -> dict[str, Any]:
        """The state for `/admin/stats`."""
        return {
            "inForce": self.settings.model_dump(),
            "source": {name: "file" if name in self._given else "settings" for name in RuntimeSettings.model_fields},
            "revision": self._revision,
            "seen": self._seen,
            "error": self._error,
            "unknown": list(self._unknown),
        }

    def _observe(self, outcome: Outcome) -> None:
        self._observer.adapter_file(outcome)
        self._observer.adapter_figures(self.settings.model_dump())


def _find_changes(before: RuntimeSettings, after: RuntimeSettings) -> Mapping[str, Any]:
    old = before.model_dump()
    return {name: value for name, value in after.model_dump().items() if value != old[name]}
