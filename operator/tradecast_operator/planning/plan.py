"""Plans actions for an observation: the entry point of all decisions about replicas and connections. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from tradecast_operator.model.actions import Action
from tradecast_operator.model.observation import Observation
from tradecast_operator.model.spec import Spec
from tradecast_operator.planning.deadlines import Deadlines, plan_deadlines
from tradecast_operator.planning.rebalance import RebalanceHistory, plan_rebalance
from tradecast_operator.planning.renewals import plan_renewals
from tradecast_operator.planning.replicas import plan_replicas
from tradecast_operator.planning.rollout import describe_too_fast_rollout
from tradecast_operator.planning.rollout_hold import RolloutState, plan_rollout


@dataclass(frozen=True, slots=True)
class PlannerState:
    """What the next plan needs of the last one. It is not persisted: a new operator starts without it.

    Attributes:
        history: For rebalancing.
        warned: Whether it was reported that this rollout is too fast.
        held: Whether it was reported that replicas are held.
        rollout: For the trial of a rollout.
        deadlines: For terminating pods.
    """

    history: RebalanceHistory = field(default_factory=RebalanceHistory)
    warned: bool = False
    held: bool = False
    rollout: RolloutState = field(default_factory=RolloutState)
    deadlines: Deadlines = field(default_factory=Deadlines)


@dataclass(frozen=True, slots=True)
class Plan:
    """Actions, in their order, and what to remember."""

    actions: Sequence[Action]
    state: PlannerState


def make_plan(seen: Observation, spec: Spec, state: PlannerState) -> Plan:
    """Decide what to do.

    Args:
        seen: The fleet.
        spec: What is asked for.
        state: What the last plan remembered.
    """
    # First: it keeps old servers, and no action may come between the observation and it.
    paced, rollout = plan_rollout(seen, spec, state.rollout)
    actions = plan_renewals(plan_replicas(seen, spec), seen, spec, state.deadlines.time)
    moved, history = plan_rebalance(seen, spec, state.history)
    updates, deadlines = plan_deadlines(seen, spec, state.deadlines)
    wrong = describe_too_fast_rollout(seen)
    warning = () if wrong is None or state.warned else (_warn_of_rollout(wrong),)
    held = () if spec.most is None or state.held else (_warn_of_hold(spec, spec.most),)
    return Plan(
        (*paced, *actions, *(() if actions else moved), *updates, *warning, *held),
        PlannerState(
            history=history,
            warned=seen.rolling and (state.warned or wrong is not None),
            held=spec.most is not None,
            rollout=rollout,
            deadlines=deadlines,
        ),
    )


def _warn_of_hold(spec: Spec, most: int) -> Action:
    message = f"{spec.bounded} replicas are wanted, {most} are kept for now: {spec.most_why}"
    return Action(reason="ReplicasHeld", message=message, warning=True)


def _warn_of_rollout(wrong: str) -> Action:
    return Action(reason="RolloutTooFast", message=wrong, warning=True)
