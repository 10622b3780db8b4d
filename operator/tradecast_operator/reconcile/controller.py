"""All SocketFleets that the operator looks after, each in a task of its own."""

from __future__ import annotations

import asyncio
import functools
import time
import weakref

import httpx
import structlog

from tradecast_operator.clients.server_admin import AT_ONCE, make_client
from tradecast_operator.kube.act import Interrupted
from tradecast_operator.kube.client import InvalidName, Kubernetes, Missing, Object
from tradecast_operator.kube.lease import NotHeld
from tradecast_operator.kube.leaseholder import Leaseholder
from tradecast_operator.metrics import Metrics
from tradecast_operator.reconcile.fleet import Fleet, Unfit

log = structlog.stdlib.get_logger("tradecast.operator")
FIRST_LOOK = 20.0


class Fleets:
    """The fleets, by namespace and name.

    Args:
        every: Seconds between rounds of a fleet.
        strict: Whether what the next version refuses is refused now: Secrets without their label, and servers that take
            no signed requests.
    """

    def __init__(self, every: float = 5.0, *, strict: bool = False) -> None:
        self._strict = strict
        # Of each namespace its own: pods that hang keep nobody else's fleet waiting.
        self._at_once: weakref.WeakValueDictionary[str, asyncio.Semaphore] = weakref.WeakValueDictionary()
        self.metrics = Metrics()
        self._every = every
        self._kubernetes = Kubernetes()
        self._client = make_client()
        self._releasing: set[asyncio.Task[None]] = set()
        self._fleets: dict[tuple[str, str], tuple[Fleet, asyncio.Task[None]]] = {}
        self._began = time.monotonic()
        self._ready = False

    async def start(self) -> None:
        await self._kubernetes.start()

    async def close(self) -> None:
        for _, task in self._fleets.values():
            task.cancel()
        await asyncio.gather(*(task for _, task in self._fleets.values()), *self._releasing, return_exceptions=True)
        # Only now: what has been begun under a Lease has ended.
        await asyncio.gather(*(fleet.leave() for fleet, _ in self._fleets.values()))
        await self._client.aclose()

    def saw(self, body: Object) -> None:
        """A SocketFleet is new, or has changed."""
        key = (body["metadata"]["namespace"], body["metadata"]["name"])
        known = self._fleets.get(key)
        if known is not None and known[0].body["metadata"]["uid"] == body["metadata"]["uid"]:
            known[0].changed(body)
            return
        self.lost(*key)
        lease = Leaseholder(self._kubernetes, body)
        owner = functools.partial(self._owner, *key)
        gone = functools.partial(self.lost, *key)
        at_once = self._at_once.setdefault(key[0], asyncio.Semaphore(AT_ONCE))
        fleet = Fleet(
            body, self._kubernetes, self._client, self.metrics, lease, owner, gone, at_once, strict=self._strict
        )
        task = asyncio.create_task(fleet.run(self._every), name=f"fleet {key[0]}/{key[1]}")
        self._fleets[key] = (fleet, task)
        log.info("looks after a fleet", namespace=key[0], fleet=key[1])

    def _owner(self, namespace: str, name: str) -> str:
        """The oldest other SocketFleet of the same Deployment, if it is older; both would write its replicas."""
        this = self._fleets[namespace, name][0]
        older = [
            fleet
            for (where, _), (fleet, _) in self._fleets.items()
            if where == namespace and fleet.deployment == this.deployment and fleet.age < this.age
        ]
        return min(older, key=lambda fleet: fleet.age).name if older else ""

    def lost(self, namespace: str, name: str) -> None:
        """A SocketFleet is gone; its servers stay, and those that drain take clients again."""
        known = self._fleets.get((namespace, name))
        if known is not None:
            acted = not self._owner(namespace, name)
            del self._fleets[namespace, name]
            known[1].cancel()  # first: a round that ended after all would be told of for ever
            self.metrics.forget(namespace, name)
            task = asyncio.create_task(self._release(*known, acted=acted), name=f"release {namespace}/{name}")
            self._releasing.add(task)
            task.add_done_callback(self._releasing.discard)

    async def _release(self, fleet: Fleet, running: asyncio.Task[None], *, acted: bool) -> None:
        await asyncio.gather(running, return_exceptions=True)
        try:
            if acted:  # else the drains are another SocketFleet's
                await fleet.release()
        except (Missing, InvalidName, Unfit, httpx.HTTPError, Interrupted, NotHeld) as error:
            log.warning("a fleet that is gone is left as it is", fleet=fleet.name, error=type(error).__name__)
        finally:
            await fleet.leave()  # else another one of its name would wait for ever

    def is_ready(self) -> bool:
        """Whether the autoscaler can be sent here: each fleet has been looked at once; after 20 s in any case."""
        looked = bool(self._fleets) and all(fleet.looked for fleet, _ in self._fleets.values())
        self._ready = self._ready or looked or time.monotonic() - self._began > FIRST_LOOK
        return self._ready

    def newest_round(self) -> float:
        """When any fleet had its last round that ended well, in seconds since 1970; now without any.

        Not the oldest: one fleet whose rounds fail, for whatever its author has made of it, is told of in its condition
        and by its metrics. A restart would not help it, and would stop all others.
        """
        return max((fleet.last_round for fleet, _ in self._fleets.values()), default=time.time())

    def connections(self, namespace: str, name: str) -> int:
        """What the autoscaler is told of a fleet. Raises KeyError, metric.Unknown."""
        return self._fleets[namespace, name][0].connections()
