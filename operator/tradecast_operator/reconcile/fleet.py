"""One SocketFleet: observe, plan, act, report, round after round."""

from __future__ import annotations

import asyncio
import time
from typing import Final, Protocol

import structlog

from tradecast_operator.kube.act import Interrupted
from tradecast_operator.kube.client import Conflict, InvalidName, Kubernetes, Missing, Object
from tradecast_operator.kube.fleet_observer import AdminAccess, FleetObserver
from tradecast_operator.kube.lease import NotHeld
from tradecast_operator.kube.leaseholder import Leaseholder
from tradecast_operator.metrics import FleetMetrics, Metrics
from tradecast_operator.model.actions import CancelDrain
from tradecast_operator.model.resource import FleetResource, SpecInvalid, read_spec
from tradecast_operator.model.spec import Spec
from tradecast_operator.planning.autoscaler_metric import Unknown
from tradecast_operator.planning.rollout_hold import end_hold
from tradecast_operator.reconcile.executor import RoundExecutor
from tradecast_operator.reconcile.planner import RoundPlanner
from tradecast_operator.reconcile.reporter import FleetReporter

# Seconds after which a round is given up; the next one decides again.
LONGEST_ROUND: Final = 300.0
log = structlog.stdlib.get_logger("tradecast.operator")


class Gone(Exception):
    """The SocketFleet has been deleted, but no watch event has reported it."""


class FleetRegistry(Protocol):
    """All fleets of this operator."""

    def find_owner(self, namespace: str, name: str) -> str:
        """The older SocketFleet of the same Deployment, which alone acts on it; empty: there is none."""

    def remove(self, namespace: str, name: str) -> None:
        """Stop reconciling a fleet, which has been deleted."""


class Fleet:
    """A SocketFleet.

    Attributes:
        resource: The SocketFleet as it is now.
        last_round: When its last round ended that did not fail for a reason of the operator's own, in seconds since
            1970; before there is one, when the fleet was first seen.
        observed: Whether a round has ended, successfully or not.

    Args:
        body: The SocketFleet.
        kubernetes: The API.
        access: How the servers' admin ports are reached.
        metrics: The operator's metrics.
        lease: Without the Lease the fleet is only observed.
        registry: All fleets of this operator.
    """

    def __init__(
        self,
        body: Object,
        kubernetes: Kubernetes,
        access: AdminAccess,
        metrics: Metrics,
        lease: Leaseholder,
        registry: FleetRegistry,
    ) -> None:
        self.resource = FleetResource(body)
        self.last_round = time.time()
        self.observed = False
        self.namespace, self.name = self.resource.namespace, self.resource.name
        self._kubernetes = kubernetes
        self._strict = access.strict
        self._lease = lease
        self._registry = registry
        self._metrics = FleetMetrics(metrics, self.namespace, self.name, lease)
        self._observer = FleetObserver(kubernetes, self.namespace, access)
        self._reporter = FleetReporter(kubernetes, self.resource, lease, self._metrics)
        self._renewing: asyncio.Task[None] | None = None
        self._wake_up = asyncio.Event()
        self._forget_term()

    def _forget_term(self) -> None:
        """Forget what this operator did: another one has acted since."""
        self._term: int | None = None
        self._planner = RoundPlanner(self.name)
        self._executor = RoundExecutor(self._kubernetes, self.namespace, self.name, self._lease, strict=self._strict)
        self._metrics.forget_course()
        self._reporter.reset()

    def update(self, body: Object) -> None:
        """Take a new body; the next round begins at once if it asks for something else."""
        if self.resource.update(body):
            self._observer.expire_token()
            self._wake_up.set()

    def lease_changed(self) -> None:
        """The Lease was acquired or lost: the next round begins at once."""
        self._wake_up.set()

    async def run(self, every: float) -> None:
        """Run rounds, `every` seconds apart, until the SocketFleet is deleted."""
        self._metrics.begin()
        name = f"lease {self.namespace}/{self.name}"
        self._renewing = asyncio.create_task(self._lease.run(self), name=name)
        while True:
            self._wake_up.clear()
            try:
                await self.run_round()
            except Gone:
                log.warning("the SocketFleet is gone", fleet=self.name, namespace=self.namespace)
                self._registry.remove(self.namespace, self.name)
                return
            try:
                async with asyncio.timeout(every):
                    await self._wake_up.wait()
            except TimeoutError:
                continue

    async def run_round(self) -> str:
        """Run one round, and report how it went: the result. Raises Gone."""
        began = time.monotonic()
        result = await self._try_round()
        good_at = time.time() if result not in ("error", "waiting") else None
        self._metrics.report_round(result, time.monotonic() - began, good_at)
        if not self._lease.holds():
            self._stand_by()
        self.observed = True
        if result != "error":
            self.last_round = time.time()
        return result

    async def _try_round(self) -> str:
        try:
            async with asyncio.timeout(LONGEST_ROUND):
                return await self.round()
        except (asyncio.CancelledError, Gone):
            raise
        except NotHeld:
            return "waiting"
        except Missing as error:
            # Somebody's mistake, which another operator would find as well: no reason to restart this one.
            self.last_round = time.time()
            await self._reporter.report_failure(f"{error} does not exist")
            self._term = None  # perhaps it is the SocketFleet that does not exist
        except (SpecInvalid, InvalidName) as error:
            self.last_round = time.time()
            await self._reporter.report_failure(str(error), "SpecInvalid")
        except Exception as error:
            log.exception("round failed", fleet=self.name, namespace=self.namespace)
            await self._reporter.report_failure(f"{type(error.__cause__ or error).__name__}: see the operator's log")
        return "error"

    async def round(self) -> str:
        """Observe, plan, act, report; the result.

        Raises:
            NotHeld: Another operator may act by now.
            Gone: The SocketFleet has been deleted.
            SpecInvalid: Its spec is invalid.
        """
        if self._lease.forbidden:
            raise NotHeld
        body, term = self.resource.body, self._lease.term
        spec = read_spec(body)
        deployment = await self._observer.read_deployment(spec)
        if "replicas" not in body["spec"]:
            await self._adopt_replicas(body, deployment, spec)
            return "ok"  # a watch event brings the SocketFleet again, with replicas
        fleet = await self._observer.observe(deployment, spec)
        await self._enter_term(term, body)
        planned = self._planner.plan(body, fleet.seen, spec, self._registry.find_owner(self.namespace, self.name))
        try:
            outcome = await self._executor.execute(planned, fleet)
        except Interrupted as error:
            await self._reporter.report_actions(error.done)
            raise
        await self._reporter.report_round(planned, fleet, outcome)
        return "paused" if planned.paused else "ok" if fleet.seen.complete else "incomplete"

    async def _adopt_replicas(self, body: Object, deployment: Object, spec: Spec) -> None:
        """Begin with the Deployment's replicas: an autoscaler ignores a fleet without any."""
        replicas = max(spec.min_replicas, min(spec.max_replicas, int(deployment["spec"].get("replicas", 1))))
        version = body["metadata"]["resourceVersion"]
        async with self._lease.acting():
            try:
                await self._kubernetes.adopt_replicas(self.namespace, self.name, version, replicas)
            except Conflict:  # somebody else has written them, perhaps
                log.info(
                    "replicas not filled in: the SocketFleet has changed", fleet=self.name, namespace=self.namespace
                )

    async def _enter_term(self, term: int | None, body: Object) -> None:
        """Make sure that nobody else has acted since the fleet was observed, in this term of the Lease.

        Raises:
            NotHeld: Another operator may have acted.
            Gone: The SocketFleet has been deleted.
        """
        if term is None or self._lease.term != term:
            raise NotHeld
        if term != self._term:
            # A new term may mean that the deletion was missed and the Lease was garbage-collected.
            if not await self._kubernetes.has_fleet(self.namespace, self.name, body["metadata"]["uid"]):
                raise Gone
            self._forget_term()
        self._term = term

    def _stand_by(self) -> None:
        """Stand by while another operator acts and reports: the metrics of this one are reset."""
        if self._term is not None or self._reporter.has_reported:
            self._forget_term()
            self._metrics.restart()

    async def release(self) -> None:
        """Cancel the drains, and end the hold of a rollout: nobody controls them any more."""
        if not self._lease.holds():
            return
        spec = read_spec(self.resource.body)
        deployment = await self._observer.read_deployment(spec)
        fleet = await self._observer.observe(deployment, spec, ask=False)
        why = "the SocketFleet is gone"
        cancel = [
            CancelDrain(
                pod=pod.name, uid=pod.uid, reason="DrainCancelled", message=f"{pod.name} accepts clients again: {why}"
            )
            for pod in fleet.seen.pods
            if pod.drain_since is not None and not pod.terminating
        ]
        try:
            await self._executor.carry_out([*end_hold(fleet.seen), *cancel], fleet, spec)
        except Interrupted as error:
            await self._reporter.report_actions(error.done)
            raise

    async def leave(self) -> None:
        """Let another operator acquire the Lease at once. Nothing may follow."""
        if self._renewing is not None:
            self._renewing.cancel()
            await asyncio.gather(self._renewing, return_exceptions=True)
        await self._observer.close()
        await self._lease.release()

    def connections(self) -> int:
        """The number for the autoscaler. Raises Unknown."""
        try:
            spec = read_spec(self.resource.body)
        except SpecInvalid as invalid:
            raise Unknown(str(invalid)) from None
        return self._observer.count_connections(spec)
