"""Carrying out what was decided: patches to Kubernetes, calls to servers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import httpx
import structlog

from tradecast_operator.clients.server_admin import Servers, ServerSilent, Target
from tradecast_operator.kube.client import Conflict, Kubernetes, Missing
from tradecast_operator.kube.lease import NotHeld
from tradecast_operator.kube.leaseholder import Leaseholder
from tradecast_operator.kube.observe import DELETION_COST, DRAIN_FLEET, DRAIN_SINCE, DRAINING, FIRST
from tradecast_operator.model.actions import Action, CancelDrain, PutFirst, SetReplicas, Shed, StartDrain

log = structlog.stdlib.get_logger("tradecast.operator")


class Interrupted(Exception):
    """Kubernetes failed in the middle; the cause is how.

    Args:
        done: What had been done by then.
    """

    def __init__(self, done: Sequence[Action]) -> None:
        super().__init__(f"after {len(done)} actions")
        self.done = done


class Actor:
    """Acts on one fleet. Whatever cannot be done now is decided anew in the next round.

    Args:
        kubernetes: The API.
        lease: Without it nothing is begun.
        servers: The fleet's admin ports.
        namespace: Where the fleet is.
        fleet: The SocketFleet's name.
        deployment: The Deployment's name.
    """

    def __init__(
        self,
        kubernetes: Kubernetes,
        lease: Leaseholder,
        servers: Servers,
        *,
        namespace: str,
        fleet: str,
        deployment: str,
    ) -> None:
        self._lease = lease
        self._kubernetes = kubernetes
        self._servers = servers
        self._namespace = namespace
        self._fleet = fleet
        self._deployment = deployment

    async def carry_out(self, actions: Sequence[Action], targets: Mapping[str, Target]) -> list[Action]:
        """Do what can be done; what was.

        Args:
            actions: In their order.
            targets: How pods are asked, by name.

        Raises:
            Interrupted: Kubernetes failed in the middle.
        """
        done: list[Action] = []
        for action in actions:
            try:
                async with self._lease.acting():
                    await self._do(action, targets)
            except NotHeld:
                log.warning("not done, another operator may act now", reason=action.reason)
                break
            except (Conflict, Missing, ServerSilent) as error:
                log.warning("not done, decided anew", reason=action.reason, why=str(error) or type(error).__name__)
            except httpx.HTTPError as error:
                raise Interrupted(done) from error
            else:
                done.append(action)
        return done

    async def _do(self, action: Action, targets: Mapping[str, Target]) -> None:
        match action:
            case SetReplicas():
                await self._kubernetes.set_replicas(self._namespace, self._deployment, action.version, action.replicas)
            case StartDrain():
                # The mark first: an operator that starts in between finds it, and goes on.
                await self._mark(action.pod, action.uid, since=action.since)
                await self._servers.drain(_target(targets, action.pod), action.rate, action.timeout)
            case CancelDrain():
                await self._servers.cancel_drain(_target(targets, action.pod))
                await self._mark(action.pod, action.uid, since=None)
            case PutFirst():
                annotations = {DELETION_COST: FIRST}
                await self._kubernetes.mark_pod(self._namespace, action.pod, action.uid, annotations=annotations)
            case Shed():
                await self._servers.shed(_target(targets, action.pod), action.count, action.rate)
            case _ if type(action) is Action:
                return  # to be told only
            case _:
                raise TypeError(f"no such action: {type(action).__name__}")

    async def _mark(self, pod: str, uid: str, *, since: float | None) -> None:
        annotations: dict[str, str | None] = {DRAIN_SINCE: None, DRAIN_FLEET: None, DELETION_COST: None}
        if since is not None:
            annotations = {DRAIN_SINCE: f"{since:.0f}", DRAIN_FLEET: self._fleet}
        labels = {DRAINING: None if since is None else "true"}
        await self._kubernetes.mark_pod(self._namespace, pod, uid, labels=labels, annotations=annotations)


def _target(targets: Mapping[str, Target], pod: str) -> Target:
    target = targets.get(pod)
    if target is None or not target.address:
        raise ServerSilent("it has no address")
    return target
