"""The recommended mode of a fleet, from round to round. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tradecast_operator.model.actions import Action
from tradecast_operator.model.adapter_spec import Mode, RedisAdapter
from tradecast_operator.tuning.rules import recommend_mode
from tradecast_operator.tuning.snapshot import Snapshot, TuningState


def recommend_for(snapshot: Snapshot, rules: RedisAdapter, previous: Mode) -> tuple[Mode, str]:
    """Recommend a mode for a fleet, and say why.

    Args:
        snapshot: The adapter now; there are servers that answer.
        rules: `spec.redisAdapter`.
        previous: The mode that was recommended last.
    """
    return recommend_mode(
        rules,
        previous,
        snapshot.servers[0].mode,
        snapshot.connections,
        snapshot.wanted,
        snapshot.redis,
        cluster=all("sharded" in one.modes for one in snapshot.servers),
    )


def update_recommendation(
    snapshot: Snapshot, rules: RedisAdapter, state: TuningState
) -> tuple[TuningState, Sequence[Action]]:
    """Recommend a mode if possible, and report a new one. A recommendation holds for the dwell at least."""
    redis_is_unknown = rules.redis_secret is not None and snapshot.redis.facts is None
    if not snapshot.servers or snapshot.silent or redis_is_unknown:
        return state, ()
    current = snapshot.servers[0].mode
    mode, why = recommend_for(snapshot, rules, state.recommended_mode or current)
    # Servers that do not receive each other's events are not left so for the dwell where more than one is wanted.
    isolated = current == "single" and snapshot.wanted > 1
    dwelling = snapshot.time - state.recommended_since < rules.dwell and not isolated
    if state.recommended_mode is not None and (mode == state.recommended_mode or dwelling):
        return state, ()
    state = replace(state, recommended_mode=mode, recommended_since=snapshot.time)
    if mode == current:
        return state, ()
    return state, (Action(reason="AdapterModeRecommended", message=f"mode {mode} instead of {current}: {why}"),)
