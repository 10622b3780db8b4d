"""What `tradecast check` found, as text and as JSON. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from tradecast.causes import Cause

State = Literal["ok", "warning", "error"]
_WIDTH: Final = 8


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was checked.

    Attributes:
        name: What, in a word or two.
        state: `error`: something that the settings ask for would not work.
        message: What was found, in a sentence.
        remedy: What to do; "": nothing.
        cause: Why in a word, where it has one.
    """

    name: str
    state: State
    message: str
    remedy: str = ""
    cause: str = ""

    @classmethod
    def of(cls, name: str, cause: Cause, state: State = "error") -> Finding:
        """One that failed."""
        return cls(name, state, cause.sentence, cause.remedy, str(cause.code))

    def as_dict(self) -> dict[str, str]:
        found = {"name": self.name, "state": self.state, "says": str(self.message)}
        return found | {key: str(value) for key, value in (("cause", self.cause), ("remedy", self.remedy)) if value}


@dataclass(frozen=True, slots=True)
class Report:
    """All of it.

    Attributes:
        findings: In order.
        plan: What would run, by what it is.
    """

    findings: Sequence[Finding]
    plan: Mapping[str, str]

    @property
    def ok(self) -> bool:
        """Whether all that the settings ask for would work."""
        return all(finding.state != "error" for finding in self.findings)

    def as_dict(self) -> dict[str, Any]:
        return {"ok": self.ok, "looks": [finding.as_dict() for finding in self.findings], "plan": dict(self.plan)}

    def text(self) -> str:
        """A line for each finding, the remedy below it, and then what would run."""
        lines = []
        for finding in self.findings:
            lines.append(f"{finding.state:{_WIDTH}} {finding.name}: {finding.message}")
            if finding.remedy:
                lines.append(f"{'':{_WIDTH}} -> {finding.remedy}")
        lines += ["", "What would run:", *(f"  {what + ':':17}{said}" for what, said in self.plan.items()), ""]
        errors = sum(finding.state == "error" for finding in self.findings)
        warnings = sum(finding.state == "warning" for finding in self.findings)
        lines.append(f"{_format_count(errors, 'error')}, {_format_count(warnings, 'warning')}")
        return "\n".join(lines)


def _format_count(number: int, what: str) -> str:
    return f"{number or 'no'} {what}{'' if number == 1 else 's'}"
