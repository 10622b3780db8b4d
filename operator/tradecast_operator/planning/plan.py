"""From what was seen, what is asked for and what is remembered to what is to be done: pure, and all decisions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from tradecast_operator.model.actions import Action
from tradecast_operator.model.observation import Observation
from tradecast_operator.model.spec import Spec
from tradecast_operator.planning.rebalance import History, plan_rebalance
from tradecast_operator.planning.replicas import plan_replicas
from tradecast_operator.planning.rollout import too_fast


@dataclass(frozen=True, slots=True)
class Memory:
    """What a fleet's next plan needs of the last one. A new operator begins without it.

    Attributes:
        history: For evening out.
        warned: Whether it has been told that this rollout is too fast.
        held: Whether it has been told that replicas are held.
    """

    history: History = field(default_factory=History)
    warned: bool = False
    held: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done, in this order, and what to remember."""

    actions: Sequence[Action]
    memory: Memory


def plan(seen: Observation, spec: Spec, memory: Memory) -> Plan:
    """Decide."""
    actions = plan_replicas(seen, spec)
    moved, history = plan_rebalance(seen, spec, memory.history)
    wrong = too_fast(seen)
    warning = () if wrong is None or memory.warned else (_told(wrong),)
    held = () if spec.most is None or memory.held else (_held(spec, spec.most),)
    warned = seen.rolling and (memory.warned or wrong is not None)
    return Plan(
        (*actions, *(() if actions else moved), *warning, *held), Memory(history, warned, spec.most is not None)
    )


def _held(spec: Spec, most: int) -> Action:
    message = f"{spec.bounded} replicas are wanted, and {most} kept for now: {spec.most_why}"
    return Action(reason="ReplicasHeld", message=message, warning=True)


def _told(wrong: str) -> Action:
    return Action(reason="RolloutTooFast", message=wrong, warning=True)
