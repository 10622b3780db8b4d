"""From rules to figures in force: written, confirmed by every server, or taken back. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from tradecast_operator.actions import Action
from tradecast_operator.adapter_spec import Figures, Mode, RedisAdapter
from tradecast_operator.conditions import Condition
from tradecast_operator.redis_limits import Watched
from tradecast_operator.tuning import Adapter, Change, figures_of, recommended_mode, tuned

# Digits by which servers call a content.
DIGITS: Final = 16
# After a change that was taken back, so many times the dwell until the next one.
REST = 4
# Seconds for which a change is watched after every server has it.
WATCHED = 60.0
# So many looks in a row must find trouble.
LOOKS = 3
# Trouble: other servers' events have not come for so many seconds; and so many more events wait for Redis than
# before, or that many times as many.
AWAY, WAITING_MORE, WAITING_TIMES = 5.0, 1_000, 2


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

    @property
    def content(self) -> str:
        return content_of(self.figures)

    @property
    def revision(self) -> str:
        return revision_of(self.content)

    def written(self) -> str:
        """As it is kept in an annotation."""
        names = ("figures", "before", "changed", "trying", "held_until", "why", "base", "waiting", "away")
        return json.dumps({name: getattr(self, name) for name in names}, default=dict, sort_keys=True)

    @classmethod
    def read(cls, text: str) -> State | None:
        """What was written; None for what somebody else has made of it."""
        try:
            said = json.loads(text)
            return cls(
                figures=figures_of(said["figures"]),
                before=figures_of(said["before"]),
                changed=float(said["changed"]),
                trying=bool(said["trying"]),
                held_until=float(said["held_until"]),
                why=str(said["why"]),
                base=figures_of(said["base"]),
                waiting=int(said["waiting"]),
                away=float(said["away"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError):
            return None


@dataclass(frozen=True, slots=True)
class Look:
    """What there is to decide by.

    Attributes:
        time: Now, in seconds since 1970.
        servers: What those in service say; those that say nothing are missing.
        silent: Names of these.
        changing: Whether a rollout is under way: servers of two kinds, whose settings may differ.
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
    """

    mode: Mode | None = None
    mode_since: float = 0
    told: Figures = field(default_factory=dict)
    told_at: float | None = None
    troubled: int = 0
    confirmed: float | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """What is to be written, what to tell, and what to remember.

    Attributes:
        state: To be written; None: it stays as it is.
        actions: What to tell once it is.
        condition: AdapterTuned.
        status: For people, coarsely.
        memory: For the next look.
    """

    state: State | None
    actions: Sequence[Action]
    condition: Condition
    status: Mapping[str, str]
    memory: Memory


def content_of(figures: Figures) -> str:
    """The ConfigMap's text: canonical, since servers call it by its digest."""
    return "".join(f"{name}: {json.dumps(_plain(value))}\n" for name, value in sorted(figures.items())) or "{}\n"


def revision_of(content: str) -> str:
    """What servers call a content."""
    return hashlib.sha256(content.encode()).hexdigest()[:DIGITS]


def decide(look: Look, rules: RedisAdapter, state: State | None, memory: Memory, *, apply: bool) -> Decision:
    """Decide.

    Args:
        look: What was seen.
        rules: What is asked for.
        state: What is written down; None: there is no ConfigMap, or it says nothing of ours.
        memory: What is remembered.
        apply: Whether something may be written; else it is only recommended.
    """
    told: list[Action] = []
    memory = _mode(look, rules, memory, told)
    if not look.servers or look.silent:
        condition = Condition("AdapterTuned", "Unknown", "ServersSilent", _silent(look))
        if apply and state is not None and state.trying:
            return _try(look, rules, state, memory, told)
        return Decision(None, told, condition, _status(state, look, memory), memory)
    if apply and state is not None and state.trying:
        return _try(look, rules, state, memory, told)
    if not apply:
        return _recommend(look, rules, memory, told)
    return _change(look, rules, state, memory, told)


def _mode(look: Look, rules: RedisAdapter, memory: Memory, told: list[Action]) -> Memory:
    """The recommended mode, which stays for the dwell at least."""
    if not look.servers or look.silent or (rules.redis_secret is not None and look.redis.facts is None):
        return memory
    runs = look.servers[0].mode
    before = memory.mode or runs
    mode, why = recommended_mode(rules, before, runs, look.connections, look.wanted, look.redis)
    if memory.mode is not None and (mode == memory.mode or look.time - memory.mode_since < rules.dwell):
        return memory
    if mode != runs:
        told.append(Action(reason="AdapterModeRecommended", message=f"mode {mode} instead of {runs}: {why}"))
    return replace(memory, mode=mode, mode_since=look.time)


def _try(look: Look, rules: RedisAdapter, state: State, memory: Memory, told: list[Action]) -> Decision:
    """A change is written and not proven."""
    refused = [one for one in look.servers if one.error and one.seen == state.revision]
    others = [one.pod for one in look.servers if one.revision != state.revision]
    missing = [*others, *look.silent]
    age = look.time - state.changed
    troubled, trouble = _trouble(look, state)
    memory = replace(memory, troubled=memory.troubled + 1 if troubled else 0)
    if refused:
        return _take_back(look, rules, state, memory, told, f"{refused[0].pod} refuses it: {refused[0].error}")
    if memory.troubled >= LOOKS:
        return _take_back(look, rules, state, memory, told, trouble)
    if missing or not look.servers:
        memory = replace(memory, confirmed=None)
        if age > rules.confirm:
            why = f"after {age:.0f} s not in force at {', '.join(missing[:5]) or 'any server'}"
            return _take_back(look, rules, state, memory, told, why)
        message = f"revision {state.revision} is written, and not in force at {', '.join(missing[:5]) or 'any server'}"
        condition = Condition("AdapterTuned", "False", "Waiting", message)
        return Decision(None, told, condition, _status(state, look, memory), memory)
    confirmed = memory.confirmed if memory.confirmed is not None else look.time
    memory = replace(memory, confirmed=confirmed)
    if look.time - confirmed < WATCHED or troubled:
        message = f"every server has revision {state.revision} in force; it is watched for {WATCHED:.0f} s"
        condition = Condition("AdapterTuned", "False", "Watching", message)
        return Decision(None, told, condition, _status(state, look, memory), memory)
    message = f"revision {state.revision} is in force at all {len(look.servers)} servers and does no harm"
    told.append(Action(reason="AdapterConfirmed", message=message))
    good = replace(state, trying=False, before={}, why="")
    memory = replace(memory, confirmed=None, troubled=0)
    return Decision(good, told, _tuned(look, good, memory), _status(good, look, memory), memory)


def _trouble(look: Look, state: State) -> tuple[bool, str]:
    away = max((one.away for one in look.servers), default=0)
    waiting = sum(one.waiting for one in look.servers)
    if away > AWAY and away > state.away:
        return True, f"for {away:.0f} s other servers' events have not come to one of them since the change"
    if waiting > max(state.waiting + WAITING_MORE, state.waiting * WAITING_TIMES):
        return True, f"{waiting} events wait for Redis, {state.waiting} did before the change"
    return False, ""


def _take_back(look: Look, rules: RedisAdapter, state: State, memory: Memory, told: list[Action], why: str) -> Decision:
    rest = rules.dwell * REST
    back = State(
        figures=state.before,
        changed=look.time,
        held_until=look.time + rest,
        why=why,
        base=_of(state.base, state.before),
    )
    message = f"{_listed(state.figures)} taken back: {why}; no other change for {rest:.0f} s"
    told.append(Action(reason="AdapterTakenBack", message=message, warning=True))
    memory = replace(memory, confirmed=None, troubled=0)
    return Decision(back, told, _tuned(look, back, memory), _status(back, look, memory), memory)


def _recommend(look: Look, rules: RedisAdapter, memory: Memory, told: list[Action]) -> Decision:
    """Tell better figures, and write none."""
    differ = _differing(look)
    if differ is not None:
        return Decision(None, told, differ, _status(None, look, memory), memory)
    force = look.servers[0].figures
    base = {**force, **look.servers[0].base}
    aims = {**force, **memory.told}
    if memory.told_at is None or look.time - memory.told_at >= rules.dwell:
        changes = tuned(aims, base, look.servers, look.redis.memory, rules)
        if changes and not look.changing:
            aims |= {change.figure: change.after for change in changes}
            message = f"better: {_list(changes)}"
            told.append(Action(reason="AdapterRecommended", message=message))
            memory = replace(memory, told=aims, told_at=look.time)
    better = {name: value for name, value in aims.items() if value != force[name]}
    condition = _tuned(look, None, memory)
    if better and condition.status == "True":
        condition = Condition("AdapterTuned", "False", "Recommended", f"better, and not in force: {_listed(better)}")
    return Decision(None, told, condition, _status(None, look, memory), memory)


def _change(look: Look, rules: RedisAdapter, state: State | None, memory: Memory, told: list[Action]) -> Decision:
    """Nothing is being tried: perhaps something should be."""
    now = state or State()
    condition = _tuned(look, state, memory)
    stays = Decision(None, told, condition, _status(state, look, memory), memory)
    differ = _differing(look)
    if look.changing or look.time < now.held_until or look.time - now.changed < rules.dwell:
        return stays
    if differ is not None or any(one.revision != now.revision for one in look.servers if state is not None):
        return stays if differ is None else replace(stays, condition=differ)
    force = look.servers[0].figures
    base = {**now.base, **look.servers[0].base}
    figures = {**force, **now.figures}
    changes = tuned(figures, base, look.servers, look.redis.memory, rules)
    if not changes:
        # What was taken back is not wanted any more.
        return replace(stays, state=replace(now, why="")) if now.why else stays
    wanted = {**now.figures, **{change.figure: change.after for change in changes}}
    # What is as the settings say is left to them, unless a person has fixed it.
    wanted = {name: value for name, value in wanted.items() if name in rules.pinned or value != base.get(name)}
    written = State(
        figures=wanted,
        before=now.figures,
        changed=look.time,
        trying=True,
        why=now.why,
        base=_of(base, {**wanted, **now.figures}),
        waiting=sum(one.waiting for one in look.servers),
        away=max(one.away for one in look.servers),
    )
    told.append(Action(reason="AdapterTuned", message=f"revision {written.revision}: {_list(changes)}"))
    condition = Condition("AdapterTuned", "False", "Waiting", f"revision {written.revision} has just been written")
    memory = replace(memory, troubled=0, confirmed=None)
    return Decision(written, told, condition, _status(written, look, memory), memory)


def _tuned(look: Look, state: State | None, memory: Memory) -> Condition:
    """How it stands while nothing is tried."""
    if state is not None and state.why and not state.trying:
        return Condition("AdapterTuned", "False", "TakenBack", f"the last change was taken back: {state.why}")
    others = [one.pod for one in look.servers if state is not None and one.revision != state.revision]
    if others:
        message = f"revision {state.revision if state else ''} is not in force at {', '.join(others[:5])}"
        return Condition("AdapterTuned", "False", "NotInForce", message)
    modes = {one.mode for one in look.servers}
    if memory.mode is not None and modes and modes != {memory.mode}:
        message = f"mode {memory.mode} is right, {'/'.join(sorted(modes))} is what they are in: see docs/operator.md"
        return Condition("AdapterTuned", "False", "ModeDiffers", message)
    if modes == {"single"}:
        return Condition("AdapterTuned", "True", "NothingToTune", "without Redis the figures do not matter")
    told = "the settings' figures are right" if state is None else f"revision {state.revision} is in force"
    return Condition("AdapterTuned", "True", "InForce", told)


def _differing(look: Look) -> Condition | None:
    """Servers whose figures differ are of two kinds: what is right for one may be wrong for the other."""
    first = look.servers[0]
    others = [one.pod for one in look.servers if one.figures != first.figures or one.mode != first.mode]
    if not others:
        return None
    return Condition("AdapterTuned", "False", "ServersDiffer", f"{others[0]} has other figures than {first.pod}")


def _silent(look: Look) -> str:
    if not look.servers and not look.silent:
        return "no server is in service"
    return f"nothing is changed without an answer of every server: {', '.join(look.silent[:5])}"


def _status(state: State | None, look: Look, memory: Memory) -> dict[str, str]:
    revisions = {one.revision for one in look.servers}
    known = not look.silent and len(revisions) == 1
    return {"recommendedMode": memory.mode or "", "revision": (next(iter(revisions)) or "") if known else ""}


def _of(base: Figures, figures: Figures) -> Figures:
    return {name: value for name, value in base.items() if name in figures}


def _list(changes: Sequence[Change]) -> str:
    return "; ".join(map(str, changes))


def _listed(figures: Figures) -> str:
    return ", ".join(f"{name} {value:g}" for name, value in sorted(figures.items())) or "no figures"


def _plain(value: Any) -> Any:
    return int(value) if float(value).is_integer() else float(value)
