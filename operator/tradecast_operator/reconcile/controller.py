"""All SocketFleets of this operator, each reconciled in a task of its own.

Why not kopf's daemons, timers and indexes: docs/decisions/0011-kopf-watches-we-schedule.md.
"""

from __future__ import annotations

import asyncio
import time
import weakref
from typing import Final

import httpx
import structlog

from tradecast_operator.clients.pod_http import PodClient
from tradecast_operator.clients.server_admin import CONCURRENT_REQUESTS
from tradecast_operator.kube.act import Interrupted
from tradecast_operator.kube.client import InvalidName, Kubernetes, Missing, Object
from tradecast_operator.kube.fleet_observer import AdminAccess
from tradecast_operator.kube.lease import NotHeld
from tradecast_operator.kube.leaseholder import Leaseholder
from tradecast_operator.metrics import Metrics
from tradecast_operator.model.resource import SpecInvalid
from tradecast_operator.reconcile.fleet import Fleet

# Seconds after which the operator is ready though a fleet has not been observed yet.
READY_AFTER: Final = 20.0
log = structlog.stdlib.get_logger("tradecast.operator")


class FleetController:
    """The fleets, by namespace and name.

    Args:
        kubernetes: The API.
        every: Seconds between rounds of a fleet.
        client: Makes the requests to servers; None: one of its own.
        strict: Whether what the next version refuses is refused now: Secrets without their label, and servers that
            accept no signed requests.

    Attributes:
        metrics: Of all fleets.
    """

    def __init__(
        self,
        kubernetes: Kubernetes,
        every: float = 5.0,
        client: PodClient | None = None,
        *,
        strict: bool = False,
    ) -> None:
        self.metrics = Metrics()
        self._kubernetes = kubernetes
        self._every = every
        self._client = client or PodClient()
        self._strict = strict
        # One per namespace: pods that hang delay no fleet of another namespace.
        self._limits: weakref.WeakValueDictionary[str, asyncio.Semaphore] = weakref.WeakValueDictionary()
        self._fleets: dict[tuple[str, str], tuple[Fleet, asyncio.Task[None]]] = {}
        self._releasing: set[asyncio.Task[None]] = set()
        self._began = time.monotonic()
        self._ready = False

    async def start(self) -> None:
        await self._kubernetes.start()

    async def close(self) -> None:
        """Stop all rounds, then let other operators acquire the Leases."""
        for _, task in self._fleets.values():
            task.cancel()
        await asyncio.gather(*(task for _, task in self._fleets.values()), *self._releasing, return_exceptions=True)
        # Only now: what was begun under a Lease has ended.
        await asyncio.gather(*(fleet.leave() for fleet, _ in self._fleets.values()))

    def update(self, body: Object) -> None:
        """Take a SocketFleet that is new or has changed."""
        key = (body["metadata"]["namespace"], body["metadata"]["name"])
        known = self._fleets.get(key)
        if known is not None and known[0].resource.uid == body["metadata"]["uid"]:
            known[0].update(body)
            return
        self.remove(*key)
        limit = self._limits.setdefault(key[0], asyncio.Semaphore(CONCURRENT_REQUESTS))
        access = AdminAccess(self._client, limit, strict=self._strict)
        lease = Leaseholder(self._kubernetes, body)
        fleet = Fleet(body, self._kubernetes, access, self.metrics, lease, self)
        task = asyncio.create_task(fleet.run(self._every), name=f"fleet {key[0]}/{key[1]}")
        self._fleets[key] = (fleet, task)
        log.info("fleet added", namespace=key[0], fleet=key[1])

    def remove(self, namespace: str, name: str) -> None:
        """Stop reconciling a SocketFleet that was deleted: its servers stay, and their drains are cancelled."""
        known = self._fleets.get((namespace, name))
        if known is not None:
            acted = not self.find_owner(namespace, name)
            del self._fleets[namespace, name]
            known[1].cancel()  # first: a round that ended afterwards would leave metrics of the fleet for ever
            self.metrics.forget(namespace, name)
            task = asyncio.create_task(self._release(*known, acted=acted), name=f"release {namespace}/{name}")
            self._releasing.add(task)
            task.add_done_callback(self._releasing.discard)

    def find_owner(self, namespace: str, name: str) -> str:
        """The oldest other SocketFleet of the same Deployment, if it is older; both would write its replicas."""
        this = self._fleets[namespace, name][0].resource
        older = [
            fleet.resource
            for (where, _), (fleet, _) in self._fleets.items()
            if where == namespace
            and fleet.resource.deployment == this.deployment
            and fleet.resource.seniority < this.seniority
        ]
        return min(older, key=lambda resource: resource.seniority).name if older else ""

    async def _release(self, fleet: Fleet, running: asyncio.Task[None], *, acted: bool) -> None:
        await asyncio.gather(running, return_exceptions=True)
        try:
            if acted:  # else the drains are another SocketFleet's
                await fleet.release()
        except (Missing, InvalidName, SpecInvalid, httpx.HTTPError, Interrupted, NotHeld) as error:
            log.warning("drains of a deleted fleet not cancelled", fleet=fleet.name, error=type(error).__name__)
        finally:
            await fleet.leave()  # else a new fleet of this name would wait for the Lease for ever

    def is_ready(self) -> bool:
        """Whether the autoscaler's requests can be answered: each fleet has been observed once, or 20 s have passed."""
        observed = bool(self._fleets) and all(fleet.observed for fleet, _ in self._fleets.values())
        self._ready = self._ready or observed or time.monotonic() - self._began > READY_AFTER
        return self._ready

    def newest_round(self) -> float:
        """When any fleet had its last good round, in seconds since 1970; now, if there is no fleet.

        Not the oldest: a fleet whose rounds all fail shows in its condition and its metrics. A restart would not help
        it, and would interrupt all others.
        """
        return max((fleet.last_round for fleet, _ in self._fleets.values()), default=time.time())

    def connections(self, namespace: str, name: str) -> int:
        """A fleet's number for the autoscaler. Raises KeyError or autoscaler_metric.Unknown."""
        return self._fleets[namespace, name][0].connections()
