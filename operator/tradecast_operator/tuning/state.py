"""What is written down of a fleet's adapter, what there is to decide by, and what a decision is. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final, Literal, get_args

from tradecast_operator.model.actions import Action
from tradecast_operator.model.adapter_spec import Figures, Mode
from tradecast_operator.model.answers import number, parse, whole
from tradecast_operator.planning.conditions import Condition
from tradecast_operator.tuning.redis_limits import Watched
from tradecast_operator.tuning.rules import Adapter, figures_of

# Digits by which servers call a content.
DIGITS: Final = 16
# After a change that was taken back, so many times the dwell until the next one.
REST: Final = 4
# What is written down is not later than this, in seconds since 1970, and no more events wait.
LATEST: Final = 1e11
MOST_WAITING: Final = 1_000_000_000
# So many looks in a row must find trouble.
LOOKS: Final = 3
# Trouble: other servers' events have not come for so many seconds; and so many more events wait for Redis than
# before, or that many times as many.
AWAY, WAITING_MORE, WAITING_TIMES = 5.0, 1_000, 2
Step = Literal["both", "roll", "back", "off"]


@dataclass(frozen=True, slots=True)
class ModeChange:
    """A change of mode that is under way.

    Attributes:
        before: The mode that the servers were in.
        to: The one that they are to be in.
        step: both: events are to go to both Redis; roll: the Deployment is rolled; back: it is rolled back; off:
            events are to go to one Redis again.
        since: When the step began, in seconds since 1970.
        began: When the change did.
        mark: What the annotation on the pod template is to be; empty: it is not to be there.
        mark_before: What it was.
        key_before: What the ConfigMap's key said before; empty: it was not there.
        why: Why it is taken back; empty: it is not.
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
    def of(cls, said: Mapping[str, Any]) -> ModeChange:
        """What was written down. Raises KeyError, TypeError or ValueError for what somebody else has made of it."""
        modes, steps = get_args(Mode), get_args(Step)
        if said["before"] not in modes or said["to"] not in modes or said["step"] not in steps:
            raise ValueError(said)
        texts = {name: str(said[name]) for name in ("mark", "mark_before", "key_before", "why")}
        return cls(
            before=said["before"],
            to=said["to"],
            step=said["step"],
            since=_seconds(said["since"]),
            began=_seconds(said["began"]),
            **texts,
        )


@dataclass(frozen=True, slots=True)
class State:
    """What is written down with the figures, for a new operator to go on with.

    Attributes:
        figures: What the ConfigMap says.
        before: What it said before, while that may have to be put back.
        changed: When it was changed last, in seconds since 1970.
        trying: Whether it is not sure yet that the change is good.
        held_until: No other change before this.
        why: Why the last change was taken back; empty: it was not.
        base: What the settings say of figures that the ConfigMap has: servers do not tell it then.
        waiting: Events that waited for Redis, and
        away: seconds for which events had not come, before the change.
        mode: The mode that servers are told to be in when they start; empty: they are told none.
        change: The change of mode that is under way.
    """

    figures: Figures = field(default_factory=dict)
    before: Figures = field(default_factory=dict)
    changed: float = 0
    trying: bool = False
    held_until: float = 0
    why: str = ""
    base: Figures = field(default_factory=dict)
    waiting: int = 0
    away: float = 0
    mode: str = ""
    change: ModeChange | None = None

    @property
    def content(self) -> str:
        return content_of(self.figures)

    @property
    def revision(self) -> str:
        return revision_of(self.content)

    def taken_back(self, now: float, rest: float, why: str) -> State:
        """What was before the change, and stays for a while.

        Args:
            now: In seconds since 1970.
            rest: Seconds in which nothing else is tried.
            why: Why the change is taken back.
        """
        return State(
            figures=self.before,
            changed=now,
            held_until=now + rest,
            why=why,
            base=of_figures(self.base, self.before),
            mode=self.mode,
        )

    def written(self) -> str:
        """As it is kept in an annotation."""
        names = ("figures", "before", "changed", "trying", "held_until", "why", "base", "waiting", "away", "mode")
        said = {name: getattr(self, name) for name in names}
        change = None if self.change is None else asdict(self.change)
        return json.dumps({**said, "change": change}, default=dict, sort_keys=True)

    @classmethod
    def read(cls, text: str) -> State | None:
        """What was written; None for what somebody else has made of it."""
        try:
            said = parse(text.encode())
            return cls(
                figures=figures_of(said["figures"]),
                before=figures_of(said["before"]),
                changed=_seconds(said["changed"]),
                trying=bool(said["trying"]),
                held_until=_seconds(said["held_until"]),
                why=str(said["why"]),
                base=figures_of(said["base"]),
                waiting=whole(said["waiting"], MOST_WAITING),
                away=_seconds(said["away"]),
                # Versions before these write neither.
                mode=_mode_of(said.get("mode", "")),
                change=ModeChange.of(said["change"]) if said.get("change") else None,
            )
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
            return None


@dataclass(frozen=True, slots=True)
class Look:
    """What there is to decide by.

    Attributes:
        time: Now, in seconds since 1970.
        servers: What those in service say; those that say nothing are missing.
        silent: Names of these.
        changing: Whether a rollout is under way: servers of two kinds, whose settings may differ.
        stuck: Whether it does not get on.
        outside: Modes of the servers that are not in service and may have clients; None where they do not say.
        busy: Why this is no time to roll the fleet; empty: it is.
        too_many: Why a rollout would close clients all at once; empty: it would not.
        mark: What the annotation on the Deployment's pod template says; empty: it is not there.
        takes_mode: Whether that template has servers take their mode from the operator's ConfigMap.
        connections: Of the whole fleet.
        wanted: How many servers there are to be.
        redis: What is known of Redis.
    """

    time: float
    servers: Sequence[Adapter]
    silent: Sequence[str] = ()
    changing: bool = False
    connections: int = 0
    wanted: int = 1
    redis: Watched = field(default_factory=Watched)
    stuck: bool = False
    outside: Mapping[str, Mode | None] = field(default_factory=dict)
    busy: str = ""
    too_many: str = ""
    mark: str = ""
    takes_mode: bool = False

    @property
    def waiting(self) -> int:
        """Events that wait for Redis, of all servers."""
        return sum(one.waiting for one in self.servers)

    @property
    def away(self) -> float:
        """Seconds for which other servers' events have not come, of the server that has waited longest."""
        return max((one.away for one in self.servers), default=0)

    def refused(self, state: State) -> Adapter | None:
        """A server that refuses what is written down; None: none does."""
        return next((one for one in self.servers if one.error and one.seen == state.revision), None)

    def trouble(self, before: State) -> str:
        """What is wrong that was not before a change; empty: nothing is."""
        away, waiting = self.away, self.waiting
        if away > AWAY and away > before.away:
            return f"for {away:.0f} s other servers' events have not come to one of them since the change"
        if waiting > max(before.waiting + WAITING_MORE, before.waiting * WAITING_TIMES):
            return f"{waiting} events wait for Redis, {before.waiting} did before the change"
        return ""


@dataclass(frozen=True, slots=True)
class Memory:
    """What need not outlive the operator.

    Attributes:
        mode: What was recommended last, and
        mode_since: since when.
        told: Figures that were recommended last.
        told_at: When.
        troubled: How many looks in a row have found trouble.
        confirmed: Since when every server has had the change that is tried.
        wrong: How many looks in a row have found servers in the wrong mode though nothing is being rolled.
        failed: Events that each server's other Redis had not taken when the server was seen to publish to both first.
    """

    mode: Mode | None = None
    mode_since: float = 0
    told: Figures = field(default_factory=dict)
    told_at: float | None = None
    troubled: int = 0
    confirmed: float | None = None
    wrong: int = 0
    failed: Mapping[str, int] = field(default_factory=dict)

    def for_another_step(self) -> Memory:
        """Without what was seen of the step before."""
        return replace(self, troubled=0, confirmed=None, wrong=0, failed={})


@dataclass(frozen=True, slots=True)
class Decision:
    """What is to be written, what to tell, and what to remember.

    Attributes:
        state: To be written; None: it stays as it is.
        actions: What to tell once it is.
        condition: AdapterTuned.
        status: For people, coarsely.
        memory: For the next look.
        mark: To be written on the Deployment's pod template; empty: to be removed; None: it stays as it is.
    """

    state: State | None
    actions: Sequence[Action]
    condition: Condition
    status: Mapping[str, str]
    memory: Memory
    mark: str | None = None


def content_of(figures: Figures) -> str:
    """The ConfigMap's text: canonical, since servers call it by its digest."""
    return "".join(f"{name}: {json.dumps(_plain(value))}\n" for name, value in sorted(figures.items())) or "{}\n"


def revision_of(content: str) -> str:
    """What servers call a content."""
    return hashlib.sha256(content.encode()).hexdigest()[:DIGITS]


def status_of(look: Look, memory: Memory) -> dict[str, str]:
    """The status' part about the adapter."""
    revisions = {one.revision for one in look.servers}
    known = not look.silent and len(revisions) == 1
    return {"recommendedMode": memory.mode or "", "revision": (next(iter(revisions)) or "") if known else ""}


def listed(figures: Figures) -> str:
    """Figures in words."""
    return ", ".join(f"{name} {value:g}" for name, value in sorted(figures.items())) or "no figures"


def of_figures(base: Figures, figures: Figures) -> Figures:
    """What the settings say of these figures."""
    return {name: value for name, value in base.items() if name in figures}


def _mode_of(said: Any) -> str:
    return said if isinstance(said, str) and said in get_args(Mode) else ""


def _seconds(said: Any) -> float:
    return float(number(said, 0, LATEST))


def _plain(value: Any) -> Any:
    return int(value) if float(value).is_integer() else float(value)
