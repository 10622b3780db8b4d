"""Why a fleet cannot be migrated to another mode now. Pure."""

from __future__ import annotations

from tradecast_operator.model.adapter_spec import PUBLISH_BOTH, Mode, RedisAdapter
from tradecast_operator.model.observation import Observation
from tradecast_operator.model.spec import Spec
from tradecast_operator.tuning.record import TuningRecord
from tradecast_operator.tuning.snapshot import Snapshot, TuningState


def find_rollout_obstacle(seen: Observation, spec: Spec) -> str:
    """Why the fleet cannot be rolled now, whatever for; empty: it can."""
    alive = [pod for pod in seen.pods if not pod.terminating]
    if seen.rolling or seen.behind:
        return "a rollout is under way"
    if seen.stuck:
        return "the last rollout does not progress"
    draining = [pod.name for pod in alive if pod.drain_since is not None or (pod.stats and pod.stats.draining)]
    if draining:
        return f"{draining[0]} is draining"
    if seen.replicas != spec.wanted or len(alive) != seen.replicas:
        return f"there are {len(alive)} pods, the Deployment has {seen.replicas} replicas and {spec.wanted} are wanted"
    changing = [pod.name for pod in seen.pods if pod.terminating or not pod.ready]
    if changing:
        return f"{changing[0]} is starting or terminating"
    shedding = [pod.name for pod in alive if pod.stats and pod.stats.shedding]
    if shedding:
        return f"{shedding[0]} is shedding clients"
    return ""


def find_mode_obstacle(
    snapshot: Snapshot, rules: RedisAdapter, record: TuningRecord, state: TuningState, current: Mode, to: Mode
) -> str:
    """Why the fleet cannot be migrated to a mode now; empty: it can be.

    Args:
        snapshot: The adapter now; every server has answered, and there are some.
        rules: `spec.redisAdapter`.
        record: What is persisted; no change is on trial.
        state: What is remembered.
        current: The mode that the servers are in.
        to: The mode.
    """
    return (
        _find_unable_server(snapshot, current, to)
        or _find_rule_against(snapshot, rules, current, to)
        or _find_redis_trouble(snapshot, rules, current, to)
        or _find_unsettled(snapshot, rules, record, state, current)
    )


def _find_unable_server(snapshot: Snapshot, current: Mode, to: Mode) -> str:
    for one in snapshot.servers:
        if one.mode != current:
            first = snapshot.servers[0].pod
            return f"servers are in several modes: {first} in {current}, {one.pod} in {one.mode}"
        if not one.modes:
            return f"{one.pod} does not report its possible modes: it is of an earlier version"
        if to not in one.modes:
            return f"{one.pod} has no Redis for {to} (chart: redis.existingSecret, redis.clusterSecret)"
    return ""


def _find_rule_against(snapshot: Snapshot, rules: RedisAdapter, current: Mode, to: Mode) -> str:
    if to == "single" and rules.mode == "auto":
        return "mode auto never rolls onto single: events of external publishers would no longer arrive"
    if to == "single" and snapshot.wanted > 1:
        return f"{snapshot.wanted} servers are wanted, and servers in single do not receive each other's events"
    if not snapshot.reads_mode:
        return "the Deployment does not take ADAPTER_MODE from the operator's ConfigMap (chart: redisAdapter.apply)"
    # A rollout from single closes clients without recovery however slow it is, and no server can be added before it.
    return snapshot.busy or ("" if current == "single" else snapshot.rollout_too_fast)


def _find_redis_trouble(snapshot: Snapshot, rules: RedisAdapter, current: Mode, to: Mode) -> str:
    if "single" in (current, to):
        return ""
    if rules.pinned.get(PUBLISH_BOTH) == 0:
        return f"{PUBLISH_BOTH} is pinned to 0"
    down = [one.pod for one in snapshot.servers if one.other_redis_up is not True]
    return f"the Redis of {to} does not answer at {down[0]}" if down else ""


def _find_unsettled(
    snapshot: Snapshot, rules: RedisAdapter, record: TuningRecord, state: TuningState, current: Mode
) -> str:
    others = [
        one.pod for one in snapshot.servers if one.error or (record.changed_at and one.revision != record.revision)
    ]
    if others:
        return f"revision {record.revision} is not in effect at {others[0]}"
    if current == "single" and snapshot.wanted > 1:
        settled_at = 0.0  # without a dwell: no servers are added meanwhile
    else:
        recommended_since = state.recommended_since if rules.mode == "auto" else 0
        settled_at = max(record.changed_at, recommended_since) + rules.dwell
    pause = max(record.no_change_before, settled_at) - snapshot.time
    return f"no other change starts for {pause:.0f} s" if pause > 0 else ""
