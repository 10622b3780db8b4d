"""Reporting on one fleet: events, metrics, conditions and the rest of the status."""

from __future__ import annotations

from collections.abc import Sequence

import httpx
import structlog

from tradecast_operator.kube.client import Kubernetes, Missing, Object
from tradecast_operator.kube.events import EventRecorder
from tradecast_operator.kube.fleet_observer import ObservedFleet, find_trust_problems
from tradecast_operator.kube.lease import NotHeld
from tradecast_operator.kube.leaseholder import Leaseholder
from tradecast_operator.kube.status import StatusWriter
from tradecast_operator.metrics import FleetMetrics
from tradecast_operator.model.actions import Action
from tradecast_operator.model.observation import Observation
from tradecast_operator.model.resource import FleetResource, is_paused, read_last_mode
from tradecast_operator.planning.conditions import (
    describe_failure,
    describe_fleet,
    describe_trust,
    round_count,
)
from tradecast_operator.planning.rollout import measure_progress
from tradecast_operator.planning.rollout_hold import describe_trial
from tradecast_operator.reconcile.executor import Outcome
from tradecast_operator.reconcile.planner import PlannedRound
from tradecast_operator.tuning.mode_change import ROLLING
from tradecast_operator.tuning.server_adapter import read_mode

log = structlog.stdlib.get_logger("tradecast.operator")


class FleetReporter:
    """Reports what was observed and done.

    Args:
        kubernetes: The API.
        resource: The SocketFleet.
        lease: Without the Lease no status is written.
        metrics: The fleet's metrics.

    Attributes:
        has_reported: Whether a status was reported since `reset`.
    """

    def __init__(
        self, kubernetes: Kubernetes, resource: FleetResource, lease: Leaseholder, metrics: FleetMetrics
    ) -> None:
        self.has_reported = False
        self._resource = resource
        self._lease = lease
        self._metrics = metrics
        self._events = EventRecorder(kubernetes, resource, metrics)
        self._status = StatusWriter(kubernetes, resource, lease, metrics)

    def reset(self) -> None:
        """Another operator has acted: what was reported before says nothing of the fleet now."""
        self.has_reported = False

    async def report_actions(self, done: Sequence[Action]) -> None:
        """Report what was done before Kubernetes failed."""
        await self._events.record(done)
        self._metrics.report_actions(done)

    async def report_round(self, planned: PlannedRound, fleet: ObservedFleet, outcome: Outcome) -> None:
        """Report a round.

        Args:
            planned: What was to be done.
            fleet: What was observed.
            outcome: What was done.

        Raises:
            NotHeld: Another operator may write now.
        """
        spec, seen, tuned = planned.spec, fleet.seen, outcome.tuned
        if planned.is_dry_run:
            await self._events.record([one for one in planned.actions if one.reason], prefix="dry run: ")
        await self._events.record(outcome.done)
        self._metrics.report_fleet(seen, spec, outcome.done)
        problems = find_trust_problems(fleet, spec, tuned.unlabelled_secret)
        await self._events.record([Action(reason=why, message=message, warning=True) for why, message in problems])
        conditions = [
            *describe_fleet(
                seen,
                spec,
                paused=is_paused(planned.body),
                rolling_mode=any(one.reason == ROLLING for one in tuned.conditions),
                owner=planned.owner,
            ),
            describe_trial(seen, spec),
            describe_trust(problems, has_token=bool(spec.admin.secret)),
            *tuned.conditions,
        ]
        alive = [pod for pod in seen.pods if not pod.terminating]
        progress = measure_progress(seen)
        status = {
            "observedGeneration": planned.body["metadata"]["generation"],
            # An autoscaler that counted pods on their way out would remove others for them.
            "replicas": min(seen.replicas, sum(pod.drain_since is None for pod in alive)),
            "readyReplicas": sum(pod.ready for pod in alive),
            "desiredReplicas": spec.wanted,
            "selector": fleet.selector,
            "connections": round_count(seen.total),
            # While no server answers the mode stays: replicas are held by it.
            "mode": _join_modes(seen) or read_last_mode(planned.body),
            "rollout": None if progress is None else progress.as_status(),
            **tuned.status,
        }
        await self._status.write(planned.body, status, conditions)
        self.has_reported = True

    async def report_failure(self, why: str, reason: str = "NotSeen") -> None:
        """Report that the fleet cannot be observed, or its spec is invalid; without the Lease, nothing."""
        if not self._lease.holds():
            return
        body: Object = self._resource.body
        try:
            await self._status.write(body, {}, describe_failure(why, reason))
            self.has_reported = True
        except (NotHeld, Missing, httpx.HTTPError):
            return
        except Exception:
            # A task that ended here would leave the fleet to nobody.
            log.exception("condition not written", fleet=self._resource.name, namespace=self._resource.namespace)


def _join_modes(seen: Observation) -> str:
    """The modes that the servers report; several while the fleet is rolled from one to the other."""
    modes = (read_mode(pod.stats.adapter) for pod in seen.pods if pod.stats is not None)
    return "/".join(sorted({mode for mode in modes if mode is not None}))
