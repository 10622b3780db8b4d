"""How many servers there may be while they do not receive each other's events: a pure decision."""

from __future__ import annotations

from dataclasses import replace

from tradecast_operator.model.adapter_spec import RedisAdapter
from tradecast_operator.model.observation import Observation
from tradecast_operator.model.spec import Spec
from tradecast_operator.tuning.server_adapter import ServerAdapter, read_adapter

HELD = (
    "servers are in mode single and do not receive each other's events: servers are added once the fleet is rolled "
    "onto another mode (the condition AdapterTuned says what the rollout waits for)"
)


def hold_replicas(seen: Observation, spec: Spec, last_mode: str, config_map: str) -> Spec:
    """Limit a spec to the present replicas while the fleet is about to be rolled from mode single.

    Args:
        seen: The fleet.
        spec: What is asked for.
        last_mode: The modes in which its servers were last seen, separated by slashes.
        config_map: The name of the ConfigMap that gives servers their mode.
    """
    rules = spec.redis_adapter
    if rules.apply != "roll" or rules.mode == "single":
        return spec
    servers = [one for one in (read_adapter(pod) for pod in seen.pods if not pod.terminating) if one is not None]
    modes: set[str] = {one.mode for one in servers}
    modes = modes or set(last_mode.split("/"))
    # Where no rollout is possible nothing is held, or it would be for ever.
    can_roll = config_map in seen.mode_from and all(_has_redis(one, rules) for one in servers)
    most = max(1, seen.replicas)
    if "single" not in modes or not can_roll or spec.bounded <= most:
        return spec
    return replace(spec, most=most, most_why=HELD)


def _has_redis(server: ServerAdapter, rules: RedisAdapter) -> bool:
    """Whether a server has a Redis for the wanted mode."""
    return bool(set(server.modes) & ({"pubsub", "sharded"} if rules.mode == "auto" else {rules.mode}))
