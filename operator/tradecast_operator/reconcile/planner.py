"""Planning a round of one fleet: from what was observed to what is done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tradecast_operator.kube.client import Object
from tradecast_operator.model.actions import Action
from tradecast_operator.model.observation import Observation
from tradecast_operator.model.resource import is_paused, read_last_mode
from tradecast_operator.model.spec import Spec
from tradecast_operator.planning.plan import PlannerState, make_plan
from tradecast_operator.tuning.scale_hold import hold_replicas


@dataclass(frozen=True, slots=True)
class PlannedRound:
    """A plan.

    Attributes:
        body: The SocketFleet as it was when the fleet was observed.
        spec: What is asked for, with the replicas that may be for now.
        actions: What to do.
        paused: Whether nothing is done: a person has paused the fleet, or there is an `owner`.
        owner: The older SocketFleet of the same Deployment, which alone acts on it; empty: there is none.
    """

    body: Object
    spec: Spec
    actions: Sequence[Action]
    paused: bool
    owner: str

    @property
    def acts(self) -> bool:
        """Whether anything is changed."""
        return not self.paused and not self.spec.dry_run

    @property
    def is_dry_run(self) -> bool:
        """Whether actions are only reported."""
        return not self.paused and self.spec.dry_run


class RoundPlanner:
    """Plans the rounds of one fleet, and remembers what the next plan needs.

    Args:
        fleet: The fleet's name.
    """

    def __init__(self, fleet: str) -> None:
        self._fleet = fleet
        self._state = PlannerState()

    def plan(self, body: Object, seen: Observation, spec: Spec, owner: str) -> PlannedRound:
        """Plan a round.

        Args:
            body: The SocketFleet.
            seen: What was observed.
            spec: What the SocketFleet asks for.
            owner: The older SocketFleet of the same Deployment; empty: there is none.
        """
        config_map = spec.redis_adapter.config_map_of(self._fleet)
        spec = hold_replicas(seen, spec, read_last_mode(body), config_map)
        planned = make_plan(seen, spec, self._state)
        self._state = planned.state
        return PlannedRound(body, spec, planned.actions, paused=is_paused(body) or bool(owner), owner=owner)
