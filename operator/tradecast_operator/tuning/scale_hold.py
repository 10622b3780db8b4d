"""How many servers there may be as long as they do not hear each other: a pure decision."""

from __future__ import annotations

from dataclasses import replace

from tradecast_operator.model.adapter_spec import RedisAdapter
from tradecast_operator.model.observation import Observation
from tradecast_operator.model.spec import Spec
from tradecast_operator.tuning.rules import Adapter, adapter_of

HELD = (
    "servers are in mode single and do not hear each other: more are made when they have been rolled onto another "
    "(the condition AdapterTuned tells what that waits for)"
)


def hold(seen: Observation, spec: Spec, last: str, config_map: str) -> Spec:
    """The spec, with no more replicas than there are while the fleet is about to be rolled from mode single.

    Args:
        seen: The fleet.
        spec: What is asked for.
        last: The modes that its servers were last seen in, with a stroke between them.
        config_map: The name of the ConfigMap that the operator tells servers their mode by.
    """
    rules = spec.redis_adapter
    if rules.apply != "roll" or rules.mode == "single":
        return spec
    servers = [one for one in (adapter_of(pod) for pod in seen.pods if not pod.terminating) if one is not None]
    modes: set[str] = {one.mode for one in servers}
    modes = modes or set(last.split("/"))
    # Where they can be rolled onto nothing it is as without an operator that rolls: it would be held for ever.
    can_roll = config_map in seen.mode_from and all(_can_be_joined(one, rules) for one in servers)
    most = max(1, seen.replicas)
    if "single" not in modes or not can_roll or spec.bounded <= most:
        return spec
    return replace(spec, most=most, most_why=HELD)


def _can_be_joined(server: Adapter, rules: RedisAdapter) -> bool:
    """Whether a server has what it takes to be in the mode that it is to be in."""
    return bool(set(server.modes) & ({"pubsub", "sharded"} if rules.mode == "auto" else {rules.mode}))
