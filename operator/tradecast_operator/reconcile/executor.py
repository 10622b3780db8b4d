"""Carrying out a round of one fleet: what was planned, and the tuning of the adapter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tradecast_operator.kube.act import Actor
from tradecast_operator.kube.client import Kubernetes
from tradecast_operator.kube.fleet_observer import ObservedFleet
from tradecast_operator.kube.leaseholder import Leaseholder
from tradecast_operator.model.actions import Action
from tradecast_operator.model.spec import Spec
from tradecast_operator.reconcile.adapter import AdapterTuner, RoundResult
from tradecast_operator.reconcile.planner import PlannedRound


@dataclass(frozen=True, slots=True)
class Outcome:
    """The results of a plan.

    Attributes:
        done: What was done, and what the tuning reports.
        tuned: The outcome of the tuning.
    """

    done: Sequence[Action]
    tuned: RoundResult


class RoundExecutor:
    """Carries out the rounds of one fleet.

    Args:
        kubernetes: The API.
        namespace: The fleet's namespace.
        fleet: The fleet's name.
        lease: Without the Lease nothing is done.
        strict: Whether a Secret without its label is refused.
    """

    def __init__(self, kubernetes: Kubernetes, namespace: str, fleet: str, lease: Leaseholder, *, strict: bool) -> None:
        self._kubernetes = kubernetes
        self._namespace = namespace
        self._fleet = fleet
        self._lease = lease
        self._tuner = AdapterTuner(kubernetes, namespace, fleet, lease, strict=strict)

    async def execute(self, planned: PlannedRound, fleet: ObservedFleet) -> Outcome:
        """Carry out the plan, and tune the adapter.

        Raises:
            Interrupted: Kubernetes failed after some of the actions.
            NotHeld: Another operator may act now.
        """
        done = await self.carry_out(planned.actions, fleet, planned.spec) if planned.acts else ()
        tuned = await self._tuner.run_round(fleet.seen, planned.spec, act=planned.acts)
        return Outcome(done if planned.paused else (*done, *tuned.actions), tuned)

    async def carry_out(self, actions: Sequence[Action], fleet: ObservedFleet, spec: Spec) -> Sequence[Action]:
        """Carry out actions; what was done. Raises Interrupted."""
        actor = Actor(
            self._kubernetes,
            self._lease,
            fleet.admin,
            namespace=self._namespace,
            fleet=self._fleet,
            deployment=spec.deployment,
        )
        return await actor.carry_out(actions, fleet.targets)
