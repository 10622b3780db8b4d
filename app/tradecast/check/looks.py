"""What `tradecast check` found, for people and as JSON. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from tradecast.causes import Cause

State = Literal["ok", "warning", "error"]
_WIDTH: Final = 8


@dataclass(frozen=True, slots=True)
class Look:
    """One thing that was looked at.

    Attributes:
        name: What, in a word or two.
        state: `error`: something that the settings ask for would not work.
        says: What was found, in a sentence.
        remedy: What to do; "": nothing.
        cause: Why in a word, where it has one.
    """

    name: str
    state: State
    says: str
    remedy: str = ""
    cause: str = ""

    @classmethod
    def of(cls, name: str, cause: Cause, state: State = "error") -> Look:
        """One that failed."""
        return cls(name, state, cause.sentence, cause.remedy, str(cause.code))

    def as_dict(self) -> dict[str, str]:
        found = {"name": self.name, "state": self.state, "says": str(self.says)}
        return found | {key: str(value) for key, value in (("cause", self.cause), ("remedy", self.remedy)) if value}


@dataclass(frozen=True, slots=True)
class Report:
    """All of it.

    Attributes:
        looks: In order.
        plan: What would run, by what it is.
    """

    looks: Sequence[Look]
    plan: Mapping[str, str]

    @property
    def ok(self) -> bool:
        """Whether all that the settings ask for would work."""
        return all(look.state != "error" for look in self.looks)

    def as_dict(self) -> dict[str, Any]:
        return {"ok": self.ok, "looks": [look.as_dict() for look in self.looks], "plan": dict(self.plan)}

    def text(self) -> str:
        """A line for each look, the remedy below it, and then what would run."""
        lines = []
        for look in self.looks:
            lines.append(f"{look.state:{_WIDTH}} {look.name}: {look.says}")
            if look.remedy:
                lines.append(f"{'':{_WIDTH}} -> {look.remedy}")
        lines += ["", "What would run:", *(f"  {what + ':':17}{said}" for what, said in self.plan.items()), ""]
        errors = sum(look.state == "error" for look in self.looks)
        warnings = sum(look.state == "warning" for look in self.looks)
        lines.append(f"{_count(errors, 'error')}, {_count(warnings, 'warning')}")
        return "\n".join(lines)


def _count(number: int, what: str) -> str:
    return f"{number or 'no'} {what}{'' if number == 1 else 's'}"
