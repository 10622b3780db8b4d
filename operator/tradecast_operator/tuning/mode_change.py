"""From one mode to another: the fleet is rolled, and no event is lost between servers of the two. Pure.

Between two modes that have a Redis each: every server publishes to both (`both`), the Deployment is rolled (`roll`),
and every server publishes to one again (`off`). What does not succeed is rolled back (`back`). The step that is under
way is written down with the figures before anything is done, so that another operator goes on with it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from tradecast_operator.model.actions import Action
from tradecast_operator.model.adapter_spec import Figures, Mode, RedisAdapter
from tradecast_operator.model.observation import Observation
from tradecast_operator.model.spec import Spec
from tradecast_operator.planning.conditions import Condition
from tradecast_operator.tuning.rules import BOTH, recommended_mode
from tradecast_operator.tuning.state import (
    LOOKS,
    REST,
    Decision,
    Look,
    Memory,
    ModeChange,
    State,
    of_figures,
    status_of,
)

# Seconds for which every server publishes to both Redis before the fleet is rolled. Servers look every 15 s whether the
# other Redis is there; the 60 s of other figures are for what shows under load only, and nothing depends on this one
# until servers of the other mode are there.
WATCHED: Final = 20.0
# Seconds between writing the mode and rolling: nodes hear of a changed ConfigMap by a watch.
HEARD: Final = 5.0
# The condition's reason while a change is under way.
ROLLING: Final = "ModeRolling"


def recommended(look: Look, rules: RedisAdapter, before: Mode) -> tuple[Mode, str]:
    """The mode that is right for what was seen, and why.

    Args:
        look: What was seen; there are servers.
        rules: What is asked for.
        before: What was recommended last.
    """
    cluster = all("sharded" in one.modes for one in look.servers)
    runs = look.servers[0].mode
    return recommended_mode(rules, before, runs, look.connections, look.wanted, look.redis, cluster=cluster)


def why_busy(seen: Observation, spec: Spec) -> str:
    """Why this is no time to roll a fleet; empty: it is."""
    alive = [pod for pod in seen.pods if not pod.terminating]
    if seen.rolling or seen.behind:
        return "a rollout is under way"
    if seen.stuck:
        return "the last rollout does not get on"
    drained = [pod.name for pod in alive if pod.drain_since is not None or (pod.stats and pod.stats.draining)]
    if drained:
        return f"{drained[0]} is drained"
    if seen.replicas != spec.wanted or len(alive) != seen.replicas:
        return f"there are {len(alive)} pods, {seen.replicas} are asked for and {spec.wanted} wanted"
    beginning = [pod.name for pod in seen.pods if pod.terminating or not pod.ready]
    if beginning:
        return f"{beginning[0]} is beginning or ending"
    shedding = [pod.name for pod in alive if pod.stats and pod.stats.shedding]
    if shedding:
        return f"{shedding[0]} is sending clients to others"
    return ""


def begin(
    look: Look, rules: RedisAdapter, state: State | None, memory: Memory, told: list[Action]
) -> tuple[Decision | None, str]:
    """Begin a change of mode if one is wanted and possible; else why it is not, where one is wanted.

    Args:
        look: What was seen; every server has answered, and there are some.
        rules: What is asked for.
        state: What is written down; nothing is being tried.
        memory: What is remembered.
        told: Gets what to tell.
    """
    now = state or State()
    runs = look.servers[0].mode
    to = _target(look, rules, memory)
    if to is None:
        return None, "Redis has not answered the operator yet, so that no mode is recommended (condition RedisLimited)"
    if all(one.mode == to for one in look.servers):
        return None, ""
    hindered = _hindered(look, rules, now, memory, runs, to)
    if hindered:
        return None, hindered
    why = recommended(look, rules, memory.mode or runs)[1]
    with_both = "single" not in (runs, to)
    change = ModeChange(
        before=runs,
        to=to,
        step="both" if with_both else "roll",
        since=look.time,
        began=look.time,
        mark_before=look.mark,
        key_before=now.mode,
    )
    figures, base = _with_both(look, now)
    begun = State(
        figures=figures if with_both else now.figures,
        before=now.figures,
        changed=look.time,
        base=base,
        waiting=look.waiting,
        away=look.away,
        mode=now.mode,
        change=change,
    )
    memory = memory.for_another_step()
    if with_both:
        first = f"first, events are published to both Redis (revision {begun.revision})"
        told.append(Action(reason="AdapterModeRolling", message=f"{change.name}: {why}; {first}"))
        return _under_way(begun, look, memory, told, first), ""
    return _roll(look, begun, change, memory, told, "; ".join(filter(None, (why, look.too_many)))), ""


def go_on(
    look: Look, rules: RedisAdapter, state: State, change: ModeChange, memory: Memory, told: list[Action]
) -> Decision:
    """Go on with the change of mode that is under way.

    Args:
        look: What was seen; servers may be silent, or none there.
        rules: What is asked for.
        state: What is written down.
        change: Of it.
        memory: What is remembered.
        told: Gets what to tell.
    """
    match change.step:
        case "both":
            return _both(look, rules, state, change, memory, told)
        case "roll":
            return _rolling(look, rules, state, change, memory, told)
        case "back":
            return _rolling_back(look, rules, state, change, memory, told)
        case "off":
            return _off(look, state, change, memory, told)


def restore(look: Look, state: State | None, memory: Memory, told: list[Action]) -> Decision | None:
    """Tell servers their mode again where somebody has removed the ConfigMap; None: nobody has.

    Args:
        look: What was seen; every server has answered, and there are some.
        state: What is written down; nothing is being tried.
        memory: What is remembered.
        told: Gets what to tell.
    """
    lost = _lost(look, state or State())
    if lost is None:
        return None
    message = f"mode {lost.mode} was not told to servers that start any more: somebody has changed the ConfigMap"
    told.append(Action(reason="AdapterRestored", message=message, warning=True))
    condition = Condition("AdapterTuned", "False", "Waiting", message)
    return Decision(lost, told, condition, status_of(look, memory), memory)


def _target(look: Look, rules: RedisAdapter, memory: Memory) -> Mode | None:
    """The mode that the servers are to be in; None: it is not known yet."""
    if rules.mode != "auto":
        return rules.mode
    if memory.mode in (None, "single") or look.servers[0].mode != "single":
        return memory.mode
    # Whichever Redis they have is better than none.
    possible: list[Mode] = [memory.mode, "pubsub", "sharded"]
    return next((mode for mode in possible if all(mode in one.modes for one in look.servers)), memory.mode)


def _lost(look: Look, now: State) -> State | None:
    """What to write where somebody has removed the ConfigMap; None: nobody has.

    Servers that start would not be told their mode any more, and those of two modes, in the middle of a change, not to
    publish to both Redis.
    """
    told = now.mode or look.mark.partition(".")[0]
    modes = {one.mode for one in look.servers} | {mode for mode in look.outside.values() if mode is not None}
    if told not in modes or not look.takes_mode or look.time < now.held_until:
        return None
    if len(modes) == 1:
        return None if now.mode else replace(now, mode=told, changed=look.time)
    if "single" in modes or any(one.other_up is None for one in look.servers):
        return None
    to: Mode = "sharded" if told == "sharded" else "pubsub"
    change = ModeChange(
        before="pubsub" if to == "sharded" else "sharded",
        to=to,
        step="roll",
        since=look.time,
        began=look.time,
        mark=look.mark or to,
        mark_before=look.mark,
        key_before=to,
    )
    figures, base = _with_both(look, now)
    return replace(now, figures=figures, before=now.figures, changed=look.time, base=base, mode=to, change=change)


def _with_both(look: Look, now: State) -> tuple[Figures, Figures]:
    """The figures by which events are published to both Redis, and what the settings say of them."""
    figures = {**now.figures, BOTH: 1}
    return figures, of_figures({**now.base, **look.servers[0].base}, figures)


def _hindered(look: Look, rules: RedisAdapter, now: State, memory: Memory, runs: Mode, to: Mode) -> str:
    """Why the fleet is not rolled now; empty: it can be."""
    with_both = "single" not in (runs, to)
    for one in look.servers:
        if one.mode != runs:
            return f"servers are in several modes: {look.servers[0].pod} in {runs}, {one.pod} in {one.mode}"
        if not one.modes:
            return f"{one.pod} does not tell which modes it can be in: it is of an earlier version"
        if to not in one.modes:
            return f"{one.pod} has no Redis for {to} (chart: redis.existingSecret, redis.clusterSecret)"
    if to == "single" and rules.mode == "auto":
        return "mode auto never rolls onto single: publishers outside would not be heard any more"
    if to == "single" and look.wanted > 1:
        return f"{look.wanted} servers are wanted, and in single they do not hear each other"
    if not look.takes_mode:
        return "the Deployment does not have ADAPTER_MODE from the operator's ConfigMap (chart: redisAdapter.apply)"
    if look.busy:
        return look.busy
    # One in single takes none of its clients' events along anyway, and no server can help it before it is rolled.
    if look.too_many and runs != "single":
        return look.too_many
    if with_both:
        if rules.pinned.get(BOTH) == 0:
            return f"{BOTH} is pinned to 0"
        away = [one.pod for one in look.servers if one.other_up is not True]
        if away:
            return f"the Redis of {to} does not answer at {away[0]}"
    others = [one.pod for one in look.servers if one.error or (now.changed and one.revision != now.revision)]
    if others:
        return f"revision {now.revision} is not in force at {others[0]}"
    if runs == "single" and look.wanted > 1:
        quiet_since = 0.0  # no servers are added meanwhile
    else:
        quiet_since = max(now.changed, memory.mode_since if rules.mode == "auto" else 0) + rules.dwell
    rest = max(now.held_until, quiet_since) - look.time
    return f"there is to be no change for {rest:.0f} s" if rest > 0 else ""


def _both(
    look: Look, rules: RedisAdapter, state: State, change: ModeChange, memory: Memory, told: list[Action]
) -> Decision:
    """Every server is to publish to both Redis."""
    age = look.time - change.since
    refused = look.refused(state)
    others = [one.pod for one in look.servers if one.revision != state.revision or one.figures.get(BOTH) != 1]
    missing = [*others, *look.silent]
    down = [one.pod for one in look.servers if one.other_up is False]
    both = {one.pod: one.other_failed for one in look.servers if one.pod not in missing}
    # One that restarts counts anew.
    failed = {pod: min(count, memory.failed.get(pod, count)) for pod, count in both.items()}
    full = [f"{count - failed[pod]} events of {pod}" for pod, count in both.items() if count > failed[pod]]
    trouble = look.trouble(state)
    if down:
        trouble = trouble or f"the Redis of {change.to} does not answer at {down[0]}"
    elif full:
        trouble = trouble or f"the Redis of {change.to} has not taken {full[0]} (full, or not allowed?)"
    memory = replace(memory, troubled=memory.troubled + 1 if trouble else 0, failed=failed)
    if rules.mode == change.before:
        return _give_up(look, rules, state, change, memory, told, f"the SocketFleet asks for mode {rules.mode}")
    if refused is not None:
        return _give_up(look, rules, state, change, memory, told, f"{refused.pod} refuses it: {refused.error}")
    if memory.troubled >= LOOKS:
        return _give_up(look, rules, state, change, memory, told, trouble)
    if missing or not look.servers:
        where = ", ".join(missing[:5]) or "any server"
        if age > rules.confirm:
            why = f"after {age:.0f} s {BOTH} is not in force at {where}"
            return _give_up(look, rules, state, change, memory, told, why)
        waits = f"{BOTH} (revision {state.revision}) is not in force at {where}"
        return _under_way(None, look, replace(memory, confirmed=None), told, f"{change.name}: {waits}")
    since = memory.confirmed if memory.confirmed is not None else look.time
    memory = replace(memory, confirmed=since)
    # What a Redis does not take is told once its time is over.
    watched = max(WATCHED, 2 * max(one.figures["publish_timeout"] for one in look.servers))
    if look.time - since < watched or trouble:
        waits = f"every server publishes to both Redis; that is watched for {watched:.0f} s"
        return _under_way(None, look, memory, told, f"{change.name}: {waits}")
    busy = look.busy or look.too_many
    if busy:
        if age > rules.roll:
            why = f"after {age:.0f} s it is still no time to roll: {busy}"
            return _give_up(look, rules, state, change, memory, told, why)
        return _under_way(None, look, memory, told, f"{change.name}: waits, since {busy}")
    why = f"all {len(look.servers)} servers publish to both Redis"
    return _roll(look, state, change, memory, told, why)


def _roll(look: Look, state: State, change: ModeChange, memory: Memory, told: list[Action], why: str) -> Decision:
    """Servers that start are told the new mode from now on; the pod template follows when nodes have heard of it."""
    rolled = replace(change, step="roll", since=look.time, mark=_other_mark(look.mark, change.to))
    written = replace(state, mode=change.to, change=rolled)
    memory = memory.for_another_step()
    message = f"{change.name}: {why}; the Deployment of {len(look.servers)} servers is rolled"
    told.append(Action(reason="AdapterModeRolling", message=message))
    return _under_way(written, look, memory, told, message)


def _rolling(
    look: Look, rules: RedisAdapter, state: State, change: ModeChange, memory: Memory, told: list[Action]
) -> Decision:
    """Until every server is in the new mode."""
    age = look.time - change.since
    refused = look.refused(state)
    left = _left(look, change.mark, change.to)
    if not left and not (_unknown(look) and age <= rules.roll):
        return _rolled(look, state, change, memory, told)
    if rules.mode == change.before:
        return _back(look, state, change, memory, told, f"the SocketFleet asks for mode {rules.mode}")
    if refused is not None:
        return _back(look, state, change, memory, told, f"{refused.pod} refuses the figures: {refused.error}")
    if look.stuck and look.mark == change.mark:
        why = f"after {age:.0f} s the rollout does not get on (ProgressDeadlineExceeded): {left}"
        return _back(look, state, change, memory, told, why)
    # Once all in service are in the new mode, going back would cost more than waiting for those that end.
    arrived = bool(look.servers) and not look.silent and all(one.mode == change.to for one in look.servers)
    if age > rules.roll and not arrived:
        return _back(look, state, change, memory, told, f"after {age:.0f} s not every server is in {change.to}: {left}")
    return _turn(look, state, change, change.to, memory, told)


def _rolling_back(
    look: Look, rules: RedisAdapter, state: State, change: ModeChange, memory: Memory, told: list[Action]
) -> Decision:
    """Until every server is in the earlier mode again, however long that takes: servers of two modes are there."""
    waits = _unknown(look) and look.time - change.since <= rules.roll
    if not _left(look, change.mark, change.before) and not waits:
        return _taken_back(look, rules, state, change, change.why, memory, told)
    return _turn(look, state, change, change.before, memory, told)


def _off(look: Look, state: State, change: ModeChange, memory: Memory, told: list[Action]) -> Decision:
    """Every server is to publish to one Redis again."""
    strays = [one for one in look.servers if one.mode != change.to]
    if strays:
        rolled = replace(change, step="roll", since=look.time)
        both = replace(state, figures={**state.before, BOTH: 1}, changed=look.time, change=rolled)
        message = f"{change.name}: {strays[0].pod} is in {strays[0].mode}; events are published to both Redis again"
        told.append(Action(reason="AdapterModeRolling", message=message, warning=True))
        return _under_way(both, look, memory, told, message)
    others = [one.pod for one in look.servers if one.revision != state.revision]
    missing = [*others, *look.silent]
    if missing or not look.servers:
        where = ", ".join(missing[:5]) or "any server"
        return _under_way(
            None, look, memory, told, f"{change.name}: revision {state.revision} is not in force at {where}"
        )
    return _done(look, state, change, memory, told)


def _rolled(look: Look, state: State, change: ModeChange, memory: Memory, told: list[Action]) -> Decision:
    """Every server is in the new mode."""
    if "single" in (change.before, change.to):
        return _done(look, state, change, memory, told)
    off = replace(change, step="off", since=look.time)
    written = replace(state, figures=state.before, changed=look.time, change=off)
    where = f"all {len(look.servers)} servers are in {change.to}"
    message = f"{change.name}: {where}; events go to its Redis only (revision {written.revision})"
    told.append(Action(reason="AdapterModeRolling", message=message))
    return _under_way(written, look, memory, told, message)


def _done(look: Look, state: State, change: ModeChange, memory: Memory, told: list[Action]) -> Decision:
    message = f"{change.name}: all {len(look.servers)} servers, after {look.time - change.began:.0f} s"
    told.append(Action(reason="AdapterModeRolled", message=message))
    good = State(
        figures=state.figures,
        changed=look.time,
        base=of_figures(state.base, state.figures),
        mode=state.mode,
    )
    condition = Condition("AdapterTuned", "True", "InForce", message)
    return Decision(good, told, condition, status_of(look, memory), replace(memory, mode=change.to))


def _back(look: Look, state: State, change: ModeChange, memory: Memory, told: list[Action], why: str) -> Decision:
    """Servers that start are told the earlier mode again, and the Deployment is rolled back."""
    back = replace(change, step="back", since=look.time, mark=change.mark_before, why=why)
    written = replace(state, mode=change.key_before, change=back)
    message = f"{change.name} taken back: {why}; the Deployment is rolled back"
    told.append(Action(reason="AdapterTakenBack", message=message, warning=True))
    return _under_way(written, look, replace(memory, wrong=0), told, message)


def _give_up(
    look: Look,
    rules: RedisAdapter,
    state: State,
    change: ModeChange,
    memory: Memory,
    told: list[Action],
    why: str,
) -> Decision:
    """Before anything is rolled: events go to one Redis, as before."""
    message = f"{change.name} taken back: {why}; no other change for {_rest(rules, change):.0f} s"
    told.append(Action(reason="AdapterTakenBack", message=message, warning=True))
    return _taken_back(look, rules, state, change, why, memory, told)


def _rest(rules: RedisAdapter, change: ModeChange) -> float:
    """Seconds until the next attempt. From single it is not put off for long: no servers are added meanwhile."""
    return rules.dwell * (1 if change.before == "single" else REST)


def _taken_back(
    look: Look, rules: RedisAdapter, state: State, change: ModeChange, why: str, memory: Memory, told: list[Action]
) -> Decision:
    before = state.taken_back(look.time, _rest(rules, change), why)
    condition = Condition("AdapterTuned", "False", "TakenBack", f"the last change was taken back: {why}")
    memory = memory.for_another_step()
    return Decision(before, told, condition, status_of(look, memory), memory)


def _turn(look: Look, state: State, change: ModeChange, to: Mode, memory: Memory, told: list[Action]) -> Decision:
    """Have the Deployment rolled, once nodes have heard of the mode; once more if servers have started too early."""
    left = _left(look, change.mark, to) or f"{_unknown(look)} does not answer"
    message = f"{change.name}: {'rolled' if to == change.to else 'rolled back'}; {left}"
    if look.mark != change.mark:
        mark = change.mark if look.time - change.since >= HEARD else None
        return replace(_under_way(None, look, memory, told, message), mark=mark)
    wrong = [one for one in look.servers if one.mode != to]
    memory = replace(memory, wrong=memory.wrong + 1 if wrong and not look.changing and look.takes_mode else 0)
    if memory.wrong < LOOKS:
        return _under_way(None, look, memory, told, message)
    again = replace(state, mode=to, change=replace(change, mark=_other_mark(look.mark, to)))
    message = f"{change.name}: the rollout is over and {wrong[0].pod} is in {wrong[0].mode}: it is rolled again"
    told.append(Action(reason="AdapterModeRolling", message=message, warning=True))
    return _under_way(again, look, replace(memory, wrong=0), told, message)


def _left(look: Look, mark: str, to: Mode) -> str:
    """What is missing until every server is in a mode; empty: nothing but those out of service that do not answer."""
    others = [one.pod for one in look.servers if one.mode != to]
    ending = [name for name, mode in look.outside.items() if mode not in (None, to)]
    if not look.servers or others or look.silent:
        count = len(look.servers) + len(look.silent)
        there = f"{len(look.servers) - len(others)} of {count} servers in service are in {to}"
        return f"{there}, not {', '.join([*others, *look.silent][:5])}" if count else there
    if ending:
        return f"{', '.join(ending[:5])} are ending in another mode"
    return "the rollout is not over" if look.changing or look.mark != mark else ""


def _unknown(look: Look) -> str:
    """One that is out of service, may have clients, and does not answer; empty: none."""
    return next((name for name, mode in look.outside.items() if mode is None), "")


def _other_mark(now: str, mode: Mode) -> str:
    """An annotation for a mode that is not the one that is there: the same would roll nothing."""
    name, _, turn = now.partition(".")
    if name != mode:
        return mode
    return f"{mode}.{int(turn) + 1 if turn.isdecimal() else 2}"


def _under_way(state: State | None, look: Look, memory: Memory, told: list[Action], message: str) -> Decision:
    condition = Condition("AdapterTuned", "False", ROLLING, message)
    return Decision(state, told, condition, status_of(look, memory), memory)
