"""Carries out actions: patches to Kubernetes, requests to servers."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import httpx
import structlog

from tradecast_operator.clients.server_admin import ServerAdmin, ServerSilent, Target
from tradecast_operator.kube.client import Conflict, Kubernetes, Missing
from tradecast_operator.kube.lease import NotHeld
from tradecast_operator.kube.leaseholder import Leaseholder
from tradecast_operator.kube.observe import DRAIN_FLEET, DRAIN_SINCE, DRAINING, FIRST
from tradecast_operator.kube.pods.reduced import DELETION_COST
from tradecast_operator.model.actions import (
    Action,
    CancelDrain,
    PutFirst,
    SetPacing,
    SetReplicas,
    Shed,
    StartDrain,
    UpdateDrain,
)
from tradecast_operator.model.rollout_record import HOLD, format_hold

log = structlog.stdlib.get_logger("tradecast.operator")


class Interrupted(Exception):
    """Kubernetes failed after some of the actions; `__cause__` is the error.

    Args:
        done: The actions that were carried out before.
    """

    def __init__(self, done: Sequence[Action]) -> None:
        super().__init__(f"after {len(done)} actions")
        self.done = done


class Actor:
    """Acts on one fleet. What cannot be done now is decided again in the next round.

    Args:
        kubernetes: The API.
        lease: Without the Lease nothing is begun.
        admin: The servers' admin ports.
        namespace: Where the fleet is.
        fleet: The SocketFleet's name.
        deployment: The Deployment's name.
    """

    def __init__(
        self,
        kubernetes: Kubernetes,
        lease: Leaseholder,
        admin: ServerAdmin,
        *,
        namespace: str,
        fleet: str,
        deployment: str,
    ) -> None:
        self._lease = lease
        self._kubernetes = kubernetes
        self._admin = admin
        self._namespace = namespace
        self._fleet = fleet
        self._deployment = deployment

    async def carry_out(self, actions: Sequence[Action], targets: Mapping[str, Target]) -> list[Action]:
        """Carry out actions. Returns those that succeeded, without updates of drains, which are repeated.

        Args:
            actions: In their order; updates of drains come last, all at the same time.
            targets: How to reach pods' servers, by the pod's name.

        Raises:
            Interrupted: Kubernetes failed after some of the actions.
        """
        done: list[Action] = []
        for action in (one for one in actions if not isinstance(one, UpdateDrain)):
            try:
                async with self._lease.acting():
                    await self._do(action, targets)
            except NotHeld:
                log.warning("action not carried out: another operator may act now", reason=action.reason)
                break
            except (Conflict, Missing, ServerSilent) as error:
                why = str(error) or type(error).__name__
                log.warning("action failed, deciding again in the next round", reason=action.reason, why=why)
            except httpx.HTTPError as error:
                raise Interrupted(done) from error
            else:
                done.append(action)
        # A rollout ends many pods: one after the other would take longer than a round may, if some do not answer.
        await asyncio.gather(*(self._update_drain(one, targets) for one in actions if isinstance(one, UpdateDrain)))
        return done

    async def _update_drain(self, action: UpdateDrain, targets: Mapping[str, Target]) -> None:
        try:
            async with self._lease.acting():
                await self._admin.drain(
                    _find_target(targets, action.pod),
                    action.rate,
                    action.timeout,
                    renew_within=action.renew_within,
                    ends_within=action.ends_within,
                )
        except NotHeld:
            return
        except ServerSilent as error:
            # It may have terminated meanwhile; the next round repeats the request.
            log.info("drain of a server not updated", pod=action.pod, why=str(error))

    async def _do(self, action: Action, targets: Mapping[str, Target]) -> None:
        match action:
            case SetReplicas():
                await self._kubernetes.set_replicas(self._namespace, self._deployment, action.version, action.replicas)
            case SetPacing():
                await self._kubernetes.set_pacing(
                    self._namespace,
                    self._deployment,
                    action.version,
                    minimum=action.minimum,
                    deadline=action.deadline,
                    annotation=(HOLD, None if action.hold is None else format_hold(action.hold)),
                )
            case StartDrain():
                # The mark first: an operator that starts in between finds it, and continues.
                await self._mark(action.pod, action.uid, since=action.since)
                await self._admin.drain(
                    _find_target(targets, action.pod), action.rate, action.timeout, renew_within=action.renew_within
                )
            case CancelDrain():
                await self._admin.cancel_drain(_find_target(targets, action.pod))
                await self._mark(action.pod, action.uid, since=None)
            case PutFirst():
                annotations = {DELETION_COST: FIRST}
                await self._kubernetes.mark_pod(self._namespace, action.pod, action.uid, annotations=annotations)
            case Shed():
                await self._admin.shed(_find_target(targets, action.pod), action.count, action.rate)
            case _ if type(action) is Action:
                return  # to be reported only
            case _:
                raise TypeError(f"no such action: {type(action).__name__}")

    async def _mark(self, pod: str, uid: str, *, since: float | None) -> None:
        annotations: dict[str, str | None] = {DRAIN_SINCE: None, DRAIN_FLEET: None, DELETION_COST: None}
        if since is not None:
            annotations = {DRAIN_SINCE: f"{since:.0f}", DRAIN_FLEET: self._fleet}
        labels = {DRAINING: None if since is None else "true"}
        await self._kubernetes.mark_pod(self._namespace, pod, uid, labels=labels, annotations=annotations)


def _find_target(targets: Mapping[str, Target], pod: str) -> Target:
    target = targets.get(pod)
    if target is None or not target.address:
        raise ServerSilent("it has no address")
    return target
