"""What a round of a fleet is to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tradecast_operator.kube.client import Object
from tradecast_operator.model.actions import Action
from tradecast_operator.model.spec import Spec


@dataclass(frozen=True, slots=True)
class PlannedRound:
    """A plan.

    Attributes:
        body: The SocketFleet as it was when the fleet was observed.
        spec: What is asked for, with the replicas that may be for now.
        actions: What to do.
        paused: Whether nothing is done nor reported as done: a person has paused the fleet, or there is an `owner`.
        owner: The older SocketFleet of the same Deployment, which alone acts on it; empty: there is none.
    """

    body: Object
    spec: Spec
    actions: Sequence[Action]
    paused: bool
    owner: str

    @property
    def acts(self) -> bool:
        return not self.paused and not self.spec.dry_run

    @property
    def dry_run(self) -> bool:
        return not self.paused and self.spec.dry_run
