"""What the operator persists of a fleet's adapter, as an annotation on the fleet's ConfigMap. Pure.

The keys in the annotation are read by operators of other versions, so they keep their names whatever the attributes
are called.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal, get_args

from tradecast_operator.model.adapter_spec import BOUNDS, AdapterSettings, Mode
from tradecast_operator.model.answers import parse_json, read_integer, read_number

# Hexadecimal digits of a revision, as servers compute it.
DIGITS: Final = 16
# Upper bounds of what is read back: seconds since 1970, and queued events.
LATEST: Final = 1e11
MOST_QUEUED: Final = 1_000_000_000
Step = Literal["both", "roll", "back", "off"]


@dataclass(frozen=True, slots=True)
class ModeChangeRecord:
    """A change of mode that is under way.

    Attributes:
        before: The mode that the servers were in.
        to: The mode that they change to.
        step: both: every server starts to publish to both Redis; roll: the Deployment is rolled; back: it is rolled
            back; off: every server publishes to one Redis again.
        since: When the step began, in seconds since 1970.
        began: When the change began, in seconds since 1970.
        mark: The value that the annotation on the pod template gets; empty: the annotation is removed.
        mark_before: Its value before the change.
        key_before: The value of the ConfigMap's mode key before the change; empty: there was no such key.
        why: Why the change is rolled back; empty: it is not.
    """

    before: Mode
    to: Mode
    step: Step
    since: float
    began: float
    mark: str = ""
    mark_before: str = ""
    key_before: str = ""
    why: str = ""

    @property
    def name(self) -> str:
        return f"mode {self.before} → {self.to}"

    @classmethod
    def parse(cls, data: Mapping[str, Any]) -> ModeChangeRecord:
        """Parse what was written. Raises KeyError, TypeError or ValueError if somebody else has changed it."""
        modes, steps = get_args(Mode), get_args(Step)
        if data["before"] not in modes or data["to"] not in modes or data["step"] not in steps:
            raise ValueError(data)
        texts = {name: str(data[name]) for name in ("mark", "mark_before", "key_before", "why")}
        return cls(
            before=data["before"],
            to=data["to"],
            step=data["step"],
            since=_read_seconds(data["since"]),
            began=_read_seconds(data["began"]),
            **texts,
        )


@dataclass(frozen=True, slots=True)
class TuningRecord:
    """The persisted state of the tuning: another operator continues from it.

    Attributes:
        settings: The settings in the ConfigMap.
        previous: The settings before the last change, while that may have to be rolled back.
        changed_at: When they were changed last, in seconds since 1970.
        on_trial: Whether the last change is not confirmed yet.
        no_change_before: No other change starts before this time, in seconds since 1970.
        rollback_reason: Why the last change was rolled back; empty: it was not.
        defaults: The servers' own values of the settings in the ConfigMap, which servers do not report meanwhile.
        queued: Events that were queued for Redis before the change.
        isolated_seconds: Seconds for which other servers' events had not arrived before the change.
        mode: The mode that the ConfigMap gives to servers that start; empty: none.
        change: The change of mode that is under way.
    """

    settings: AdapterSettings = field(default_factory=dict)
    previous: AdapterSettings = field(default_factory=dict)
    changed_at: float = 0
    on_trial: bool = False
    no_change_before: float = 0
    rollback_reason: str = ""
    defaults: AdapterSettings = field(default_factory=dict)
    queued: int = 0
    isolated_seconds: float = 0
    mode: str = ""
    change: ModeChangeRecord | None = None

    @property
    def content(self) -> str:
        return render_settings(self.settings)

    @property
    def revision(self) -> str:
        return compute_revision(self.content)

    def rolled_back(self, now: float, pause: float, why: str) -> TuningRecord:
        """The record after the last change was rolled back.

        Args:
            now: In seconds since 1970.
            pause: Seconds in which no other change starts.
            why: Why the change is rolled back.
        """
        return TuningRecord(
            settings=self.previous,
            changed_at=now,
            no_change_before=now + pause,
            rollback_reason=why,
            defaults=select_settings(self.defaults, self.previous),
            mode=self.mode,
        )

    def dump(self) -> str:
        """The annotation's text."""
        return json.dumps(
            {
                "figures": self.settings,
                "before": self.previous,
                "changed": self.changed_at,
                "trying": self.on_trial,
                "held_until": self.no_change_before,
                "why": self.rollback_reason,
                "base": self.defaults,
                "waiting": self.queued,
                "away": self.isolated_seconds,
                "mode": self.mode,
                "change": None if self.change is None else asdict(self.change),
            },
            default=dict,
            sort_keys=True,
        )

    @classmethod
    def parse(cls, text: str) -> TuningRecord | None:
        """Parse the annotation's text; None if it is missing, or somebody else has changed it."""
        try:
            data = parse_json(text.encode())
            return cls(
                settings=_read_settings(data["figures"]),
                previous=_read_settings(data["before"]),
                changed_at=_read_seconds(data["changed"]),
                on_trial=bool(data["trying"]),
                no_change_before=_read_seconds(data["held_until"]),
                rollback_reason=str(data["why"]),
                defaults=_read_settings(data["base"]),
                queued=read_integer(data["waiting"], MOST_QUEUED),
                isolated_seconds=_read_seconds(data["away"]),
                # Earlier versions write neither.
                mode=_read_mode(data.get("mode", "")),
                change=ModeChangeRecord.parse(data["change"]) if data.get("change") else None,
            )
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
            return None


def render_settings(settings: AdapterSettings) -> str:
    """The ConfigMap's text: canonical, since servers identify it by its digest."""
    return (
        "".join(f"{name}: {json.dumps(_write_number(value))}\n" for name, value in sorted(settings.items())) or "{}\n"
    )


def compute_revision(content: str) -> str:
    """The revision by which servers report a content."""
    return hashlib.sha256(content.encode()).hexdigest()[:DIGITS]


def describe_settings(settings: AdapterSettings) -> str:
    """Settings as text for people."""
    return ", ".join(f"{name} {value:g}" for name, value in sorted(settings.items())) or "no settings"


def select_settings(values: AdapterSettings, names: AdapterSettings) -> AdapterSettings:
    """The values of the settings that `names` has."""
    return {name: value for name, value in values.items() if name in names}


def _read_settings(pairs: Mapping[str, Any]) -> dict[str, float]:
    """Settings as they were written, without the invalid ones."""
    found = {}
    for name, value in pairs.items():
        with contextlib.suppress(ValueError):
            if name in BOUNDS:
                found[name] = read_number(value, *BOUNDS[name])
    return found


def _read_mode(data: Any) -> str:
    return data if isinstance(data, str) and data in get_args(Mode) else ""


def _read_seconds(data: Any) -> float:
    return float(read_number(data, 0, LATEST))


def _write_number(value: Any) -> Any:
    return int(value) if float(value).is_integer() else float(value)
