"""From rules to figures in force: written, confirmed by every server, or taken back. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tradecast_operator.model.actions import Action
from tradecast_operator.model.adapter_spec import RedisAdapter
from tradecast_operator.planning.conditions import Condition
from tradecast_operator.tuning.mode_change import begin, go_on, recommended, restore
from tradecast_operator.tuning.rules import Change, tuned
from tradecast_operator.tuning.state import (
    LOOKS,
    REST,
    Decision,
    Look,
    Memory,
    State,
    listed,
    of_figures,
    status_of,
)

# Seconds for which a change is watched after every server has it.
WATCHED = 60.0


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
    if apply and state is not None and state.change is not None:
        return go_on(look, rules, state, state.change, memory, told)
    if apply and state is not None and state.trying:
        return _try(look, rules, state, memory, told)
    if not look.servers or look.silent:
        condition = Condition("AdapterTuned", "Unknown", "ServersSilent", _silent(look))
        return Decision(None, told, condition, status_of(look, memory), memory)
    if not apply:
        return _recommend(look, rules, memory, told)
    restored = restore(look, state, memory, told)
    if restored is not None:
        return restored
    began, hindered = begin(look, rules, state, memory, told) if rules.apply == "roll" else (None, "")
    return began or _change(look, rules, state, memory, told, hindered)


def _mode(look: Look, rules: RedisAdapter, memory: Memory, told: list[Action]) -> Memory:
    """The recommended mode, which stays for the dwell at least."""
    if not look.servers or look.silent or (rules.redis_secret is not None and look.redis.facts is None):
        return memory
    runs = look.servers[0].mode
    before = memory.mode or runs
    mode, why = recommended(look, rules, before)
    # Servers that do not hear each other are not kept alone for the dwell where more than one is wanted.
    alone = runs == "single" and look.wanted > 1
    rests = look.time - memory.mode_since < rules.dwell and not alone
    if memory.mode is not None and (mode == memory.mode or rests):
        return memory
    if mode != runs:
        told.append(Action(reason="AdapterModeRecommended", message=f"mode {mode} instead of {runs}: {why}"))
    return replace(memory, mode=mode, mode_since=look.time)


def _try(look: Look, rules: RedisAdapter, state: State, memory: Memory, told: list[Action]) -> Decision:
    """A change is written and not proven."""
    refused = look.refused(state)
    others = [one.pod for one in look.servers if one.revision != state.revision]
    missing = [*others, *look.silent]
    age = look.time - state.changed
    trouble = look.trouble(state)
    memory = replace(memory, troubled=memory.troubled + 1 if trouble else 0)
    if refused is not None:
        return _take_back(look, rules, state, memory, told, f"{refused.pod} refuses it: {refused.error}")
    if memory.troubled >= LOOKS:
        return _take_back(look, rules, state, memory, told, trouble)
    if missing or not look.servers:
        memory = replace(memory, confirmed=None)
        if age > rules.confirm:
            why = f"after {age:.0f} s not in force at {', '.join(missing[:5]) or 'any server'}"
            return _take_back(look, rules, state, memory, told, why)
        message = f"revision {state.revision} is written, and not in force at {', '.join(missing[:5]) or 'any server'}"
        condition = Condition("AdapterTuned", "False", "Waiting", message)
        return Decision(None, told, condition, status_of(look, memory), memory)
    confirmed = memory.confirmed if memory.confirmed is not None else look.time
    memory = replace(memory, confirmed=confirmed)
    if look.time - confirmed < WATCHED or trouble:
        message = f"every server has revision {state.revision} in force; it is watched for {WATCHED:.0f} s"
        condition = Condition("AdapterTuned", "False", "Watching", message)
        return Decision(None, told, condition, status_of(look, memory), memory)
    message = f"revision {state.revision} is in force at all {len(look.servers)} servers and does no harm"
    told.append(Action(reason="AdapterConfirmed", message=message))
    good = replace(state, trying=False, before={}, why="")
    memory = replace(memory, confirmed=None, troubled=0)
    return Decision(good, told, _tuned(look, good, memory), status_of(look, memory), memory)


def _take_back(look: Look, rules: RedisAdapter, state: State, memory: Memory, told: list[Action], why: str) -> Decision:
    rest = rules.dwell * REST
    back = state.taken_back(look.time, rest, why)
    message = f"{listed(state.figures)} taken back: {why}; no other change for {rest:.0f} s"
    told.append(Action(reason="AdapterTakenBack", message=message, warning=True))
    memory = replace(memory, confirmed=None, troubled=0)
    return Decision(back, told, _tuned(look, back, memory), status_of(look, memory), memory)


def _recommend(look: Look, rules: RedisAdapter, memory: Memory, told: list[Action]) -> Decision:
    """Tell better figures, and write none."""
    differ = _differing(look)
    if differ is not None:
        return Decision(None, told, differ, status_of(look, memory), memory)
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
        condition = Condition("AdapterTuned", "False", "Recommended", f"better, and not in force: {listed(better)}")
    return Decision(None, told, condition, status_of(look, memory), memory)


def _change(
    look: Look, rules: RedisAdapter, state: State | None, memory: Memory, told: list[Action], hindered: str
) -> Decision:
    """Nothing is being tried: perhaps something should be."""
    now = state or State()
    condition = _tuned(look, state, memory, hindered)
    stays = Decision(None, told, condition, status_of(look, memory), memory)
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
        mode=now.mode,
        base=of_figures(base, {**wanted, **now.figures}),
        waiting=look.waiting,
        away=look.away,
    )
    told.append(Action(reason="AdapterTuned", message=f"revision {written.revision}: {_list(changes)}"))
    condition = Condition("AdapterTuned", "False", "Waiting", f"revision {written.revision} has just been written")
    memory = replace(memory, troubled=0, confirmed=None)
    return Decision(written, told, condition, status_of(look, memory), memory)


def _tuned(look: Look, state: State | None, memory: Memory, hindered: str = "") -> Condition:
    """How it stands while nothing is tried."""
    if state is not None and state.why and not state.trying:
        return Condition("AdapterTuned", "False", "TakenBack", f"the last change was taken back: {state.why}")
    others = [one.pod for one in look.servers if state is not None and one.revision != state.revision]
    if others:
        message = f"revision {state.revision if state else ''} is not in force at {', '.join(others[:5])}"
        return Condition("AdapterTuned", "False", "NotInForce", message)
    modes = {one.mode for one in look.servers}
    if memory.mode is None and hindered:
        return Condition("AdapterTuned", "Unknown", "NotRecommended", hindered)
    if memory.mode is not None and modes and modes != {memory.mode}:
        message = f"mode {memory.mode} is right, {'/'.join(sorted(modes))} is what they are in"
        message += f"; not rolled, since {hindered}" if hindered else ": see docs/operator.md"
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


def _list(changes: Sequence[Change]) -> str:
    return "; ".join(map(str, changes))
