"""Rounds of a fleet: real servers on loopback addresses, Kubernetes in memory."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

from kit.kubernetes.fake_api import NAMESPACE, FakeKubernetes, Granted, SoleFleet, fleet_body, pod_body
from kit.servers.in_process import RunningServer
from tradecast_operator.clients.pod_http import PodClient
from tradecast_operator.kube.client import Object
from tradecast_operator.kube.fleet_observer import AdminAccess
from tradecast_operator.metrics import Metrics
from tradecast_operator.reconcile.fleet import Fleet


class World:
    """Two servers, of which the first has a client; all have one port, and addresses of their own."""

    def __init__(self, servers: list[RunningServer], client: PodClient) -> None:
        self.servers = servers
        self.metrics = Metrics()
        self.lease = Granted()
        self._access = AdminAccess(client, asyncio.Semaphore(50))

    def fleet(self, kubernetes: FakeKubernetes, body: Object) -> Fleet:
        return Fleet(body, kubernetes, self._access, self.metrics, self.lease, SoleFleet())

    def told(self, metric: str, **labels: str) -> float | None:
        labels |= {"namespace": NAMESPACE, "fleet": "fleet"}
        return self.metrics.registry.get_sample_value(f"tradecast_operator_{metric}", labels)


def two_pods() -> list[Object]:
    return [pod_body("a", "127.0.0.11"), pod_body("b", "127.0.0.12")]


def asked(world: World, **spec: object) -> Object:
    port = urlsplit(world.servers[0].admin_url).port
    spec.setdefault("redisAdapter", {"mode": "single"})  # two without Redis: else that is told
    return fleet_body(admin={"port": port, "tokenSecret": {"name": "tokens"}}, **spec)


def conditions(kubernetes: FakeKubernetes) -> dict[str, tuple[str, str]]:
    return {one["type"]: (one["status"], one["reason"]) for one in kubernetes.statuses[-1]["conditions"]}
