"""How many servers there may be as long as they do not hear each other: a pure decision."""

from __future__ import annotations

from dataclasses import replace

from tradecast_operator.observation import Observation
from tradecast_operator.spec import Spec
from tradecast_operator.tuning import adapter_of

HELD = "servers are in mode single and do not hear each other: more are made when they have been rolled onto another"


def hold(seen: Observation, spec: Spec, last: str) -> Spec:
    """The spec, with no more replicas than there are while the fleet is about to be rolled from mode single.

    Args:
        seen: The fleet.
        spec: What is asked for.
        last: The modes that its servers were last seen in, with a stroke between them.
    """
    if spec.redis_adapter.apply != "roll" or spec.redis_adapter.mode == "single":
        return spec
    servers = [one for one in (adapter_of(pod) for pod in seen.pods if not pod.terminating) if one is not None]
    modes: set[str] = {one.mode for one in servers}
    modes = modes or set(last.split("/"))
    # Without a Redis they can be rolled onto nothing: then it is as without an operator that rolls.
    can_roll = not servers or any(set(one.modes) - {"single"} for one in servers)
    most = max(1, seen.replicas)
    if "single" not in modes or not can_roll or spec.bounded <= most:
        return spec
    return replace(spec, most=most, most_why=HELD)
