"""Plans what to write for an adapter: the entry point of the tuning. Pure."""

from __future__ import annotations

from dataclasses import replace

from tradecast_operator.model.adapter_spec import RedisAdapter
from tradecast_operator.tuning.mode_change import ModeChange
from tradecast_operator.tuning.recommendation import update_recommendation
from tradecast_operator.tuning.record import TuningRecord
from tradecast_operator.tuning.settings_change import SettingsChange
from tradecast_operator.tuning.snapshot import Decision, Snapshot, TuningState


def plan_tuning(
    snapshot: Snapshot, rules: RedisAdapter, record: TuningRecord | None, state: TuningState, *, apply: bool
) -> Decision:
    """Decide what to write and what to report.

    Args:
        snapshot: The adapter now.
        rules: `spec.redisAdapter`.
        record: What is persisted; None: there is no ConfigMap, or none with a valid record.
        state: What the last round remembered.
        apply: Whether anything may be written; else settings and mode are only recommended.
    """
    state, recommended = update_recommendation(snapshot, rules, state)
    decision = _decide_change(snapshot, rules, record, state, apply=apply)
    return replace(decision, actions=(*recommended, *decision.actions))


def _decide_change(
    snapshot: Snapshot, rules: RedisAdapter, record: TuningRecord | None, state: TuningState, *, apply: bool
) -> Decision:
    mode = ModeChange(snapshot, rules, record, state)
    settings = SettingsChange(snapshot, rules, record, state)
    if apply and record is not None and record.change is not None:
        return mode.proceed(record.change)
    if apply and record is not None and record.on_trial:
        return settings.confirm()
    if not snapshot.servers or snapshot.silent:
        return settings.wait_for_answers()
    if not apply:
        return settings.recommend()
    restored = mode.restore()
    if restored is not None:
        return restored
    begun = mode.begin() if rules.apply == "roll" else None
    return begun or settings.begin(mode.obstacle)
